package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
)

func (c *cli) rebuild() *cobra.Command {
	var (
		siteName string
		dirs     []string
		dryRun   bool
		form     *form
	)
	cmd := &cobra.Command{
		Use: "rebuild --from-sent DIR", Short: "Restore the ledger from the archive of sent messages", Args: noArgs,
		Long: `Restore ledger, VMs, deliveries and marks from the archives of sent messages (the directory sent in the directory of the
state), after the database was lost or a backup was restored. With several nodes name the directories of all. What the
database has newer stays; nothing is priced anew. The next collection goes on from there.`,
		Example: "  fedsite accounting rebuild --from-sent /var/lib/fedsite/sent --dry-run\n  fedsite accounting rebuild --from-sent /var/lib/fedsite/sent --from-sent /mnt/node-2/sent",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(dirs) == 0 {
				return usage(cmd, fmt.Errorf("--from-sent names no directory"))
			}
			a, done, err := c.open(cmd.Context(), app.Options{})
			if err != nil {
				return err
			}
			defer done()
			sites, err := a.Sites(siteName)
			if err != nil {
				return usage(cmd, err)
			}
			all, report, err := a.Rebuild(cmd.Context(), sites, dirs, dryRun, operator())
			if err != nil {
				return err
			}
			if form.value != asTable {
				if all == nil {
					all = []accounting.Rebuilt{}
				}
				if err := c.encode(form.value, all); err != nil {
					return err
				}
			} else {
				c.rebuilt(all, dryRun)
				problems(c.out, c.outTerminal, report)
			}
			if code := report.Exit(); code != 0 {
				return &exit{code: code}
			}
			return nil
		},
	}
	form = forms(cmd)
	cmd.Flags().StringVar(&siteName, "site", "", "only this site")
	cmd.Flags().StringSliceVar(&dirs, "from-sent", nil, "directory of an archive; several may be given, for several nodes")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be restored; change nothing")
	return cmd
}

func (c *cli) rebuilt(all []accounting.Rebuilt, dryRun bool) {
	what := "restored"
	if dryRun {
		what = "would be restored"
	}
	for _, r := range all {
		if r.Messages+r.OnTheirWay == 0 {
			fmt.Fprintf(c.out, "%s: nothing of it is in the archive\n", r.Site)
			continue
		}
		fmt.Fprintf(c.out, "%s: %s in the archive, the last of %s UTC, and %s on their way\n", r.Site, several(r.Messages, "messages"), stamp(r.Newest), several(r.OnTheirWay, "messages"))
		fmt.Fprintf(c.out, "  %s: %s, %s, %s, marks of %s; %s the database has as new or newer\n", what,
			several(r.Records, "records"), several(r.VMs, "VMs"), several(r.Deliveries, "deliveries"), several(r.Windows, "projects"), several(r.Kept, "records"))
	}
}

package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/app"
)

func (c *cli) privacy() *cobra.Command {
	cmd := &cobra.Command{Use: "privacy", Short: "Where a person's data are, and erasing them", GroupID: operations, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(c.privacyShow(), c.privacyErase())
	return cmd
}

func (c *cli) privacyShow() *cobra.Command {
	var form *form
	cmd := &cobra.Command{
		Use: "show SUBJECT", Short: "Show where the data of a person are", Args: oneArgument("one user, by id or name"),
		Example: "  fedsite privacy show 3f2a9c…\n  fedsite privacy show ann@example.org -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			a, done, err := c.open(cmd.Context(), app.Options{})
			if err != nil {
				return err
			}
			defer done()
			p, err := a.Locate(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if form.value != asTable {
				return c.encode(form.value, p)
			}
			return c.person(p)
		},
	}
	form = forms(cmd)
	return cmd
}

func (c *cli) privacyErase() *cobra.Command {
	var (
		yes, dryRun bool
		form        *form
	)
	cmd := &cobra.Command{
		Use: "erase SUBJECT", Short: "Take a person's id and names out of database and archive", Args: oneArgument("one user, by id or name"),
		Long: `Take a person's id and names, and the names of the person's VMs, out of the database and the archive of sent messages. Use
stays as it was counted. Backups and snapshots are named, and not changed; what the accounting server was sent is not
changed either.`,
		Example: "  fedsite privacy erase 3f2a9c… --dry-run\n  fedsite privacy erase 3f2a9c… --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if yes == dryRun {
				return usage(cmd, fmt.Errorf("%s cannot be undone: say --yes to do it, or --dry-run to see what would be done", cmd.CommandPath()))
			}
			a, done, err := c.open(cmd.Context(), app.Options{})
			if err != nil {
				return err
			}
			defer done()
			var p app.Person
			if dryRun {
				p, err = a.Locate(cmd.Context(), args[0])
			} else {
				p, err = a.Erase(cmd.Context(), args[0], operator())
			}
			if err != nil {
				return err
			}
			if form.value != asTable {
				return c.encode(form.value, p)
			}
			if err := c.person(p); err != nil || !p.Found() {
				return err
			}
			word := "erased"
			if dryRun {
				word = "would be erased"
			}
			fmt.Fprintf(c.out, "%s from database and archive\n", word)
			if p.Sent > 0 {
				fmt.Fprintf(c.out, "→ the accounting server has %s of this person, and keeps them: ask the accounting team\n", several(p.Sent, "records"))
			}
			if p.Living > 0 {
				fmt.Fprintf(c.out, "→ %s of this person still run: the next collection reads the names again; delete the VMs or the user, or set privacy.global_user_name: omit\n", several(p.Living, "VMs"))
			}
			return nil
		},
	}
	form = forms(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "erase; it cannot be undone")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be erased; change nothing")
	return cmd
}

func (c *cli) person(p app.Person) error {
	if !p.Found() && len(p.Snapshots) == 0 {
		c.note("nothing of this person is in the database, the archive or the snapshots")
		return nil
	}
	months := "-"
	if n := len(p.Months); n > 0 {
		months = p.Months[0] + " to " + p.Months[n-1]
	}
	rows := [][]string{
		{"VMs", fmt.Sprintf("%d, of them %d running", p.VMs, p.Living)},
		{"records", fmt.Sprintf("%d, of them %d sent; %s", p.Records, p.Sent, months)},
		{"messages not settled", fmt.Sprint(p.Messages)},
		{"reports of runs", fmt.Sprint(p.Runs)},
	}
	list := func(what string, files []string) {
		for i, f := range files {
			if i > 0 {
				what = ""
			}
			rows = append(rows, []string{what, f})
		}
	}
	list("ids and names", p.Names)
	list("files of the archive", p.Archives)
	list("snapshots that hold the person", p.Snapshots)
	list("copies that cannot be read", p.Unread)
	list("backups, not looked into", p.Backups)
	for i := range rows {
		rows[i][0] = cmp.Or(rows[i][0], " ")
	}
	return c.table([]string{"WHERE", "WHAT"}, rows)
}

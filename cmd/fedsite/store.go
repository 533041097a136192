package main

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
)

// oneArgument is for commands that take one, which is what.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return usage(cmd, fmt.Errorf("%s takes %s", cmd.CommandPath(), what))
		}
		return nil
	}
}

func (c *cli) backup() *cobra.Command {
	var (
		force bool
		form  *form
	)
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Copy the database into a file, while the service writes it", GroupID: operations, Args: oneArgument("one file"),
		Long: `Copy the database into a file, as it is at one instant; the service goes on. The copy is checked and synced before it gets
its name, and only its owner may read it: it names persons. The daily snapshots are made the same way. As always, root
becomes the user that the state directory belongs to, who must be able to write there.

PostgreSQL is backed up by its own tools: pg_dump --format=custom --file FILE DATABASE.`,
		Example: "  fedsite backup /srv/backup/fedsite.db",
		RunE: func(cmd *cobra.Command, args []string) error {
			a, done, err := c.open(cmd.Context(), app.Options{})
			if err != nil {
				return err
			}
			defer done()
			b, err := a.Backup(cmd.Context(), args[0], force, operator())
			if err != nil {
				return err
			}
			if form.value != asTable {
				return c.encode(form.value, b)
			}
			_, err = fmt.Fprintf(c.out, "%s: %s, in %s\n", b.Path, humanize.Bytes(uint64(b.Bytes)), b.Took.Round(time.Millisecond))
			return err
		},
	}
	form = forms(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	return cmd
}

func (c *cli) restore() *cobra.Command {
	var form *form
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Put a backup in the place of the database; the service must be stopped", GroupID: operations, Args: oneArgument("one file"),
		Long: `Put a backup, or a snapshot, in the place of the database. The present database stays beside it, under another name.
What was sent since the backup was made is brought back by fedsite accounting rebuild.

PostgreSQL is restored by its own tools: pg_restore --clean --if-exists --dbname DATABASE FILE, with every node's service stopped.`,
		Example: "  systemctl stop fedsite\n  fedsite restore /var/lib/fedsite/backup/fedsite-20261125T031500Z.db\n  fedsite accounting rebuild --from-sent /var/lib/fedsite/sent\n  systemctl start fedsite",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			if err := c.dropRoot(cfg.Store.Path); err != nil {
				return err
			}
			log, flush, err := c.logger()
			if err != nil {
				return err
			}
			defer flush()
			r, err := app.Restore(cmd.Context(), cfg, app.Options{Version: versionText(), Now: c.now, Log: log}, args[0], operator())
			if r.Kept != "" && form.value == asTable {
				c.note("the database that was there is " + r.Kept)
			}
			if err != nil {
				return err
			}
			if form.value != asTable {
				return c.encode(form.value, r)
			}
			return c.restored(r)
		},
	}
	form = forms(cmd)
	return cmd
}

func (c *cli) restored(r app.Restored) error {
	head := []string{"", "RESTORED"}
	row := func(what string, of func(accounting.Knowledge) string) []string {
		cells := []string{what, of(r.Is)}
		if r.Was != nil {
			cells = append(cells, of(*r.Was))
		}
		return cells
	}
	if r.Was != nil {
		head = append(head, "BEFORE")
	}
	number := func(of func(accounting.Knowledge) int64) func(accounting.Knowledge) string {
		return func(k accounting.Knowledge) string { return humanize.Comma(of(k)) }
	}
	err := c.table(head, [][]string{
		row("newest sighting (UTC)", func(k accounting.Knowledge) string { return stamp(k.Sighting) }),
		row("last message settled (UTC)", func(k accounting.Knowledge) string { return stamp(k.Settled) }),
		row("VMs", number(func(k accounting.Knowledge) int64 { return k.VMs })),
		row("records", number(func(k accounting.Knowledge) int64 { return k.Records })),
		row("deliveries", number(func(k accounting.Knowledge) int64 { return k.Deliveries })),
		row("messages", number(func(k accounting.Knowledge) int64 { return k.Messages })),
	})
	if err != nil {
		return err
	}
	next := "→ nothing was sent that it does not know: start the service"
	if r.Newer {
		next = fmt.Sprintf("→ messages were sent that it does not know: fedsite accounting rebuild --from-sent %s, then start the service", r.Sent)
	}
	_, err = fmt.Fprintln(c.out, next)
	return err
}

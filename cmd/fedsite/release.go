package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/audit"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
)

func (c *cli) release() *cobra.Command {
	var (
		siteName string
		dryRun   bool
		form     *form
	)
	cmd := &cobra.Command{
		Use: "release PROJECT", Short: "Say that the missing VMs of a held project are gone",
		Long: `Say of a project that is held, by its id or name, that its missing VMs are gone for good. The next collection looks
for them once more, and closes those that it does not find when they were last seen. Where several clouds of a site have
the project, as the regions of a cloud do, it is CLOUD/PROJECT.

A project is held when more of its VMs than 5, and than a fifth, cannot be found any more, or when it cannot be signed in
to: it is far more likely that the cloud does not show them. A project whose VMs are back is free by itself.`,
		Example: "  fedsite accounting release vo-ops --dry-run\n  fedsite accounting release vo-ops",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usage(cmd, fmt.Errorf("%s takes one project, by its id or name", cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				r, err := a.Release(cmd.Context(), sites, args[0], operator(), dryRun)
				if errors.Is(err, accounting.ErrNotHeld) {
					return c.notHeld(cmd.Context(), a, sites, err)
				}
				if err != nil {
					return err
				}
				return c.released(form.value, r, dryRun)
			})
		},
	}
	form = forms(cmd)
	cmd.Flags().StringVar(&siteName, "site", "", "only this site")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show which VMs would be closed, and when; change nothing")
	return cmd
}

// operator is who uses this shell, for the audit.
func operator() string { return audit.Actor() }

func (c *cli) released(form string, r accounting.Release, dryRun bool) error {
	if form != asTable {
		return c.encode(form, r)
	}
	rows := make([][]string, 0, len(r.VMs))
	for _, v := range r.VMs {
		rows = append(rows, []string{v.VM, v.Name, v.VO, stamp(v.Seen)})
	}
	if len(rows) > 0 {
		if err := c.table([]string{"VM", "NAME", "VO", "LAST SEEN (UTC)"}, rows); err != nil {
			return err
		}
	}
	what := "released: the next collection closes"
	if dryRun {
		what = "would be released: the next collection would close"
	}
	_, err := fmt.Fprintf(c.out, "%s of cloud %s, site %s, %s %s that it does not find, when they were last seen\n", r.Object(), r.Cloud, r.Site, what, several(int64(len(r.VMs)), "VMs"))
	return err
}

// held says which projects are held, and gives how many.
func (c *cli) held(ctx context.Context, a *app.App, sites []config.Site) (int, error) {
	all, err := a.Held(ctx, sites)
	for _, h := range all {
		released := ""
		if !h.Released.IsZero() {
			released = "; released: the next collection closes what it does not find"
		}
		c.note(fmt.Sprintf("%s of cloud %s, site %s, is %s (since %s UTC)%s", h.Object(), h.Cloud, h.Site, h.Reason, stamp(h.Since), released))
	}
	return len(all), err
}

// notHeld is the error for a project that is not held, after those that are.
func (c *cli) notHeld(ctx context.Context, a *app.App, sites []config.Site, err error) error {
	n, herr := c.held(ctx, a, sites)
	if herr != nil {
		return herr
	}
	hint := "no project is: there is nothing to release"
	if n > 0 {
		hint = "those that are stand above, with id and name"
	}
	return &exit{code: run.ExitFailed, err: err, hint: hint}
}

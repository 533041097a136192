package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
)

func (c *cli) imagesInspect() *cobra.Command {
	var form *form
	cmd := &cobra.Command{
		Use: "inspect FILE|URL", Short: "Say what a disk image is, whether it is safe, and its checksum", Args: oneArgument("one file or URL"),
		Long: `Say what a disk image is by its content, whether it would be let in, and its checksums; of one that is packed, what is in it. All of
it is read, and nothing of a URL is kept. One that would be refused, or of which that cannot be known: exit code 1.`,
		Example: "  fedsite images inspect disk.ova\n  fedsite images inspect https://example.org/debian.qcow2 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := app.InspectImage(cmd.Context(), args[0], c.progress())
			if errors.Is(err, app.ErrNoURL) {
				return usage(cmd, err)
			}
			if err != nil {
				return err
			}
			if form.value != asTable {
				if err := c.encode(form.value, found); err != nil {
					return err
				}
			} else {
				for _, l := range found.Describe() {
					fmt.Fprintf(c.out, "%-20s %s\n", l[0], visible(l[1]))
				}
			}
			if found.Refused != "" || found.Unknown != "" {
				return &exit{code: run.ExitFailed}
			}
			return nil
		},
	}
	form = forms(cmd)
	return cmd
}

func (c *cli) imagesBlock() *cobra.Command {
	var (
		siteName, reason string
		dryRun           bool
		form             *form
	)
	cmd := &cobra.Command{
		Use: "block CHECKSUM|REF|TITLE|GLANCE-ID", Short: "Hide and deactivate an image at once at all sites, and never bring it again", Args: oneArgument("one image, by what it is called or its checksum"),
		Long: `Hide and deactivate an image at once at all sites, by its checksum, by what its source calls it (its id, source/id, market place URI),
or by what fedsite images list shows (its title, its id in Glance): then its checksum is what is blocked. The block stands in the
file that images.blocks names, and is marked in Glance; the image stays there, so that what ran from it can be looked at. The VMs
that run from it are listed. Blocked again, it gets the new reason. Not hidden where a site only observes, or called so by nothing:
exit code 3, and the block stands all the same.`,
		Example: "  fedsite images block sha512:5ba367ad… --reason 'default password'\n  fedsite images block egi/egi_vm_images/ubuntu:24.04 --reason CVE-2026-0001",
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return usage(cmd, errors.New("--reason is required: others will want to know"))
			}
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				what, done, words := "images block", "DONE", blockWords
				if dryRun {
					what, done, words = "images block --dry-run", "DO", dryBlockWords
					c.note("nothing is written and nothing blocked: --dry-run")
				}
				all, err := a.BlockImage(cmd.Context(), sites, args[0], reason, dryRun)
				if err != nil {
					return blockFailed(cmd, err)
				}
				if form.value != asTable {
					return c.encodeApplied(form.value, all)
				}
				return c.applied(what, done, all, words)
			})
		},
	}
	form = forms(cmd)
	cmd.Flags().StringVar(&siteName, "site", "", "hide it only at this site; no site brings it again")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who find it blocked")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be hidden")
	return cmd
}

// blockFailed makes an error of use of a name that does not say which image.
func blockFailed(cmd *cobra.Command, err error) error {
	if errors.Is(err, app.ErrWhichImage) {
		return usage(cmd, err)
	}
	return err
}

func (c *cli) imagesUnblock() *cobra.Command {
	return &cobra.Command{
		Use: "unblock CHECKSUM|REF|TITLE|GLANCE-ID", Short: "Lift a block; the next run shows or brings the image again", Args: oneArgument("one image, by what it is called or its checksum"),
		Long: `Lift a block, by what it was blocked by, or by what fedsite images list shows of the image; the next run shows or brings it again.
One that is blocked by another name, too, stays hidden: exit code 3.`,
		Example: "  fedsite images unblock egi/egi_vm_images/ubuntu:24.04",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, "", app.Options{}, func(a *app.App, _ []config.Site) error {
				all, err := a.UnblockImage(cmd.Context(), args[0])
				if err != nil {
					return blockFailed(cmd, err)
				}
				return c.applied("images unblock", "DONE", all, unblockWords)
			})
		},
	}
}

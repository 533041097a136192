package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

func (c *cli) imagesInspect() *cobra.Command {
	var form *form
	cmd := &cobra.Command{
		Use: "inspect FILE|URL", Short: "Say what a disk image is, whether it is safe, and its checksum", Args: oneArg("a file or a URL"),
		Long: `Say what a disk image is by its content, whether it would be let in, and its checksums; of one that is packed, what is in it. All of
it is read, and nothing of a URL is kept. One that would be refused, or of which that cannot be known: exit code 1.`,
		Example: "  fedsite images inspect disk.ova\n  fedsite images inspect https://example.org/debian.qcow2 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usage(cmd, errors.New("name a file or a URL"))
			}
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
		Use: "block CHECKSUM|REF", Short: "Hide and deactivate an image at once at all sites, and never bring it again", Args: oneArg("what the image is called, or its checksum"),
		Long: `Hide and deactivate an image at once at all sites, by its checksum, by what its source calls it (its id, source/id, market place URI),
or by what fedsite images list shows (its id in Glance, its name): then its checksum is what is blocked. The block stands in the file that images.blocks names, and is marked in Glance; the image stays there, so that what ran from it can be
looked at. The VMs that run from it are listed.`,
		Example: "  fedsite images block sha512:5ba367ad… --reason 'default password'\n  fedsite images block egi/egi_vm_images/ubuntu:24.04 --reason CVE-2026-0001",
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return usage(cmd, errors.New("--reason is required: others will want to know"))
			}
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				if dryRun {
					c.note("nothing is written and nothing blocked: --dry-run")
				}
				all, err := a.BlockImage(cmd.Context(), sites, args[0], reason, dryRun)
				if err != nil {
					return err
				}
				if !slices.ContainsFunc(all, func(s app.AppliedImages) bool { return len(s.Results) > 0 }) {
					c.note(nothingHidden(sites))
				}
				if form.value != asTable {
					return c.encodeApplied(form.value, all)
				}
				return c.applied("images block", all, blockWords)
			})
		},
	}
	form = forms(cmd)
	cmd.Flags().StringVar(&siteName, "site", "", "hide it only at this site; no site brings it again")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who find it blocked")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be hidden")
	return cmd
}

// nothingHidden says why a block has hidden nothing.
func nothingHidden(sites []config.Site) string {
	for _, s := range sites {
		if s.Images.Mode != site.Active {
			return fmt.Sprintf("nothing is hidden at %s, which only observes images: images.mode: active hides what is blocked. It is not brought there", s.Site.Name)
		}
	}
	return "no image was there to hide, or it is hidden already; fedsite images list has what they are called"
}

func (c *cli) imagesUnblock() *cobra.Command {
	return &cobra.Command{
		Use: "unblock CHECKSUM|REF", Short: "Lift a block; the next run shows or brings the image again", Args: oneArg("what the image is called, or its checksum"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, "", app.Options{}, func(a *app.App, _ []config.Site) error {
				all, err := a.UnblockImage(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return c.applied("images unblock", all, unblockWords)
			})
		},
	}
}

func (c *cli) imagesRelease() *cobra.Command {
	var (
		siteName, source string
		all, dryRun      bool
		form             *form
	)
	cmd := &cobra.Command{
		Use: "release [GLANCE-ID…]", Short: "Give images back to another manager, with what they were before",
		Long: `Take our marks from images in Glance, so that fedsite does not know them any more. Those that were adopted get back the name,
visibility and properties that they had. The images themselves stay. Images of a site that is active would be brought anew: set
images.mode to observe first.`,
		Example: "  fedsite images release --all --dry-run\n  fedsite images release --source egi --site EXAMPLE-CLOUD",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !all && source == "" && len(args) == 0 {
				return usage(cmd, errors.New("name images by their ids in Glance, or --source, or --all"))
			}
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				found := 0
				var done []app.AppliedImages
				for _, s := range sites {
					if s.Images.Mode == site.Active && !dryRun {
						return &exit{code: run.ExitFailed, err: fmt.Errorf("images of %s are active: what is released would be brought anew", s.Site.Name), hint: "set images.mode: observe, reload, and release then; --dry-run shows what would be"}
					}
					plan, applied := a.ReleaseImages(cmd.Context(), s, dryRun, func(id string, m images.Marks) bool {
						return all || source != "" && m.Source == source || slices.Contains(args, id)
					})
					found += len(plan.Actions)
					for _, x := range plan.Actions {
						switch {
						case !dryRun: // what was done says so
						case form.value != asTable:
							applied.Results = append(applied.Results, images.Result{Action: x, Image: x.Image})
						default:
							fmt.Fprintf(c.out, "%s  would release %s (%s) %s\n", s.Site.Name, visible(x.Name), x.Image, visible(x.Reason))
						}
					}
					done = append(done, applied)
				}
				if !slices.ContainsFunc(done, func(s app.AppliedImages) bool { return s.Err != nil || s.Report.Outcome != run.Done }) && found == 0 {
					return &exit{code: run.ExitPartial, err: errors.New("no image of ours in use is one of those that were named"), hint: "fedsite images list has those that there are, and their sources"}
				}
				if form.value != asTable {
					return c.encodeApplied(form.value, done)
				}
				return c.applied("images release", done, releaseWords)
			})
		},
	}
	form = forms(cmd)
	cmd.Flags().StringVar(&siteName, "site", "", "only this site")
	cmd.Flags().StringVar(&source, "source", "", "all images of this source")
	cmd.Flags().BoolVar(&all, "all", false, "all images of ours")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be released")
	return cmd
}

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// released is what is given back: what was asked for, and what was found of it.
type released struct {
	all    bool
	source string
	ids    []string
	dryRun bool

	found   []string // ids of those that are there
	sources []string // of images of ours that are there
}

// asked tells whether an image is one that was asked for.
func (r *released) asked(id string, m images.Marks) bool {
	if !slices.Contains(r.sources, m.Source) {
		r.sources = append(r.sources, m.Source)
	}
	is := r.all || r.source != "" && m.Source == r.source || slices.Contains(r.ids, id)
	if is {
		r.found = append(r.found, id)
	}
	return is
}

func (c *cli) imagesRelease() *cobra.Command {
	var (
		r        released
		siteName string
		form     *form
	)
	cmd := &cobra.Command{
		Use: "release [GLANCE-ID…]", Short: "Give images back to another manager, with what they were before",
		Long: `Take our marks from images in Glance, so that fedsite does not know them any more. Those that were adopted get back the name,
visibility and properties that they had. The images themselves stay. Images of a site that is active would be brought anew: set
images.mode to observe first.`,
		Example: "  fedsite images release --all --dry-run\n  fedsite images release --source egi --site EXAMPLE-CLOUD",
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.ids = args; !r.all && r.source == "" && len(args) == 0 {
				return usage(cmd, errors.New("name images by their ids in Glance, or --source, or --all"))
			}
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				return c.giveBack(cmd, a, sites, &r, form.value)
			})
		},
	}
	form = forms(cmd)
	cmd.Flags().StringVar(&siteName, "site", "", "only this site")
	cmd.Flags().StringVar(&r.source, "source", "", "all images of this source")
	cmd.Flags().BoolVar(&r.all, "all", false, "all images of ours")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "only say what would be released")
	return cmd
}

// giveBack gives images of the sites back, and says what of what was asked for is not there.
func (c *cli) giveBack(cmd *cobra.Command, a *app.App, sites []config.Site, r *released, form string) error {
	var (
		done  []app.AppliedImages
		blind bool // not all could be looked at
	)
	for _, s := range sites {
		if s.Images.Mode == site.Active && !r.dryRun {
			return &exit{code: run.ExitFailed, err: fmt.Errorf("images of %s are active: what is released would be brought anew", s.Site.Name), hint: "set images.mode: observe, reload, and release then; --dry-run shows what would be"}
		}
		plan, applied := a.ReleaseImages(cmd.Context(), s, r.dryRun, r.asked)
		for _, x := range plan.Actions {
			switch {
			case !r.dryRun: // what was done says so
			case form != asTable:
				applied.Results = append(applied.Results, images.Result{Action: x, Image: x.Image})
			default:
				fmt.Fprintf(c.out, "%s  would release %s (%s) %s\n", s.Site.Name, visible(x.Name), x.Image, visible(x.Reason))
			}
		}
		done, blind = append(done, applied), blind || applied.Err != nil || applied.Report.Outcome != run.Done
	}
	if !blind && len(r.found) == 0 {
		if err := r.unknownSource(sites); err != nil {
			return usage(cmd, err)
		}
	}
	var err error
	if form != asTable {
		err = c.encodeApplied(form, done)
	} else {
		err = c.applied("images release", "DONE", done, releaseWords)
	}
	if missing := r.missing(); err == nil && missing != nil {
		return &exit{code: run.ExitPartial, err: missing, hint: "fedsite images list has those that there are, and their sources"}
	}
	return err
}

// unknownSource is the error of a source that is neither configured nor that of an image.
func (r *released) unknownSource(sites []config.Site) error {
	if r.source == "" {
		return nil
	}
	err := knownSources(sites, []string{r.source})
	if err != nil && len(r.sources) > 0 {
		slices.Sort(r.sources)
		return fmt.Errorf("%w; images of ours in use are of %s", err, strings.Join(r.sources, ", "))
	}
	return err
}

// missing says which of what was asked for is not there; nil = all is.
func (r *released) missing() error {
	var none []string
	for _, id := range r.ids {
		if !slices.Contains(r.found, id) {
			none = append(none, id)
		}
	}
	switch {
	case len(none) > 0:
		return fmt.Errorf("no image of ours in use is called so in Glance: %s", strings.Join(none, ", "))
	case len(r.found) == 0 && r.source != "":
		return fmt.Errorf("no image of ours in use is of source %s", r.source)
	}
	return nil
}

package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
)

func (c *cli) images() *cobra.Command {
	cmd := &cobra.Command{Use: "images", Short: "The federation's VM images in Glance, verified", GroupID: pipelines,
		Long: `The federation's VM images in Glance, verified:

  list → plan → fetch → verify → upload`,
		Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(c.imagesPlan(), c.imagesApply(), c.imagesList(), c.imagesVerify(), c.imagesInspect(), c.imagesBlock(), c.imagesUnblock(), c.imagesRelease())
	return cmd
}

// imageFlags are the flags of plan and apply.
func imageFlags(cmd *cobra.Command, siteName *string, o *app.ImageOptions) {
	flags := cmd.Flags()
	flags.StringVar(siteName, "site", "", "only this site")
	flags.StringVar(&o.Image, "image", "", "only this image: its id, title, checksum, market place URI, or Glance's id")
	flags.StringVar(&o.VO, "vo", "", "only images of this VO")
	flags.BoolVar(&o.Yes, "yes", false, "also adopt images that another manager changed in the last 7 days")
	flags.BoolVar(&o.AllowRemoval, "allow-mass-removal", false, "let go what the guard holds")
	flags.BoolVar(&o.PruneOrphans, "prune-orphans", false, "retire images of sources that are not configured any more")
}

// knownVO refuses a VO that no site has.
func knownVO(cmd *cobra.Command, a *app.App, sites []config.Site, name string) error {
	if name == "" {
		return nil
	}
	err := a.KnowsVO(cmd.Context(), sites, name)
	if errors.Is(err, app.ErrNoSuchVO) {
		return usage(cmd, err)
	}
	return err
}

// plannedSite is a site's plan as JSON and YAML have it.
type plannedSite struct {
	Site    string          `json:"site"`
	Bytes   int64           `json:"bytes"`             // to bring, as far as sources say
	Unsized int             `json:"unsized,omitempty"` // how many are to be brought whose size is not known
	Changes int             `json:"changes"`
	Actions []plannedAction `json:"actions"`
	Report  run.Report      `json:"report"`
}

type plannedAction struct {
	Verb    images.Verb `json:"verb"`
	Source  string      `json:"source,omitempty"`
	Image   string      `json:"image,omitempty"` // of the source: its id
	Name    string      `json:"name,omitempty"`
	Cloud   string      `json:"cloud,omitempty"`
	Project string      `json:"project,omitempty"`
	Glance  string      `json:"glance,omitempty"` // id
	Former  []string    `json:"former,omitempty"`
	With    []string    `json:"with,omitempty"`
	Bytes   int64       `json:"bytes,omitempty"`
	Changes []string    `json:"changes,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Observe bool        `json:"observe,omitempty"`
	VMs     []images.VM `json:"vms,omitempty"`   // of block: those that run from it
	Error   string      `json:"error,omitempty"` // of apply
}

func plannedAs(a images.Action) plannedAction {
	p := plannedAction{Verb: a.Verb, Source: a.Source, Image: a.Key.ID, Name: a.Name, Cloud: a.CloudName, Project: a.Project, Glance: a.Image, With: a.Guests, Bytes: a.Size, Reason: a.Reason, Observe: a.Observe}
	for _, f := range a.Former {
		p.Former = append(p.Former, f.Image)
	}
	for _, e := range a.Edits {
		p.Changes = append(p.Changes, e.String())
	}
	return p
}

func (c *cli) imagesPlan() *cobra.Command {
	var (
		siteName string
		o        app.ImageOptions
		kept     bool
		form     *form
	)
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what apply would do, and why", Args: noArgs,
		Long: `Ask the sources and the clouds, and show what fedsite images apply would do. Nothing is changed: whatever could change something is
refused before it leaves.`,
		Example: "  fedsite images plan\n  fedsite images plan --vo ops -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				if err := knownVO(cmd, a, sites, o.VO); err != nil {
					return err
				}
				all := a.PlanImages(cmd.Context(), sites, o)
				if form.value != asTable {
					return c.encodePlans(form.value, all)
				}
				codes := map[int]int{}
				for i, p := range all {
					if i > 0 {
						fmt.Fprintln(c.out)
					}
					codes[p.Report.Exit()]++
					if err := c.plan(p, kept); err != nil {
						return err
					}
				}
				if code := together(codes); code != run.ExitDone {
					return &exit{code: code}
				}
				return nil
			})
		},
	}
	form = forms(cmd)
	imageFlags(cmd, &siteName, &o)
	cmd.Flags().BoolVar(&kept, "all", false, "also list what stays as it is")
	return cmd
}

func (c *cli) encodePlans(form string, all []app.PlannedImages) error {
	codes := map[int]int{}
	shown := []plannedSite{}
	for _, p := range all {
		one := plannedSite{Site: p.Site, Bytes: p.Seen.Plan.Bytes(), Unsized: unsized(p.Seen.Plan), Changes: p.Seen.Plan.Changes(), Actions: []plannedAction{}, Report: p.Report}
		for _, a := range p.Seen.Plan.Actions {
			one.Actions = append(one.Actions, plannedAs(a))
		}
		shown = append(shown, one)
		codes[p.Report.Exit()]++
	}
	if err := c.encode(form, shown); err != nil {
		return err
	}
	if code := together(codes); code != run.ExitDone {
		return &exit{code: code}
	}
	return nil
}

// plan writes a site's plan: a line for each action, then the sums.
func (c *cli) plan(p app.PlannedImages, kept bool) error {
	rows, stays, observed := [][]string{}, 0, 0
	for _, a := range p.Seen.Plan.Actions {
		if a.Verb == images.Keep && a.Hint == "" && !kept {
			stays++
			continue
		}
		if a.Verb == images.Fail || a.Verb == images.Hold {
			continue // said below, with what to do
		}
		if a.Observe {
			observed++
		}
		rows = append(rows, []string{string(a.Verb), shortened(a.Name, 50), cmp.Or(a.ProjectName, a.Project), a.CloudName, a.Source, size(a.Size), a.Details()})
	}
	if len(rows) > 0 {
		if err := c.table([]string{"DO", "IMAGE", "PROJECT", "CLOUD", "SOURCE", "SIZE", "WHY"}, rows); err != nil {
			return err
		}
	}
	if stays > 0 {
		fmt.Fprintf(c.out, "%s as %s\n", several(int64(stays), "images stay"), "they are")
	}
	problems(c.out, c.outTerminal, p.Report)
	switch n := p.Seen.Plan.Changes(); {
	case n > 0:
		fmt.Fprintf(c.out, "%s: %s, %s: fedsite images apply\n", p.Site, several(int64(n), "changes"), toBring(p.Seen.Plan))
	case observed > 0:
		fmt.Fprintf(c.out, "%s: observing: %s would be made in mode active\n", p.Site, several(int64(observed), "changes"))
	default:
		fmt.Fprintf(c.out, "%s: nothing to do\n", p.Site)
	}
	return nil
}

// unsized counts the images that are to be brought and whose size no source says.
func unsized(p images.Plan) int {
	n := 0
	for _, a := range p.Actions {
		if a.Writes() && a.Size <= 0 && slices.Contains([]images.Verb{images.Add, images.Replace, images.Resume}, a.Verb) {
			n++
		}
	}
	return n
}

// toBring says how much a plan would bring, as far as it is known.
func toBring(p images.Plan) string {
	bytes, n := p.Bytes(), int64(unsized(p))
	switch {
	case n == 0 && bytes == 0:
		return "nothing to bring"
	case n == 0:
		return size(bytes) + " to bring"
	case bytes == 0:
		return several(n, "images to bring") + ", of a size that is not known"
	}
	return size(bytes) + " to bring, and " + several(n, "images") + " of a size that is not known"
}

func size(n int64) string {
	if n <= 0 {
		return "-"
	}
	return humanize.Bytes(uint64(n))
}

func shortened(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// imageWords are what the report of a run of images counts.
var imageWords = []counted{{name: "added", word: "added", always: true}, {name: "replaced", word: "replaced", always: true}, {name: "changed", word: "changed"}, {name: "adopted", word: "adopted"}, {name: "resumed", word: "resumed"},
	{name: "finished", word: "finished"}, {name: "shared", word: "shared"}, {name: "unshared", word: "unshared"}, {name: "retired", word: "retired"}, {name: "deleted", word: "deleted"}, {name: "discarded", word: "discarded"},
	{name: "blocked", word: "blocked"}, {name: "unblocked", word: "unblocked"}, {name: "failed", word: "failed"}, {name: "kept", word: "kept", always: true}, {name: "bytes", word: "bytes brought"}}

// blockWords, dryBlockWords, unblockWords and releaseWords are those of what is done to images that are there.
var (
	blockWords    = []counted{{name: "blocked", word: "blocked", always: true}, {name: "hidden already", word: "hidden already"}, {name: "discarded", word: "discarded"}, {name: "failed", word: "failed"}}
	dryBlockWords = []counted{{name: "to block", word: "would be blocked", always: true}, {name: "hidden already", word: "hidden already"}, {name: "to discard", word: "would be discarded"}}
	unblockWords  = []counted{{name: "unblocked", word: "unblocked", always: true}, {name: "failed", word: "failed"}}
	releaseWords  = []counted{{name: "released", word: "released", always: true}, {name: "to release", word: "would be released"}, {name: "failed", word: "failed"}}
)

func (c *cli) imagesApply() *cobra.Command {
	var (
		siteName string
		o        app.ImageOptions
		dryRun   bool
		form     *form
	)
	cmd := &cobra.Command{
		Use: "apply", Short: "Bring the images of each site up to what its sources say", Args: noArgs,
		Long: `Bring the images of each site up to what its sources say, as fedsite images plan shows it. What failed is tried again, also
when it would not be due. Some failed: exit code 3, and they are listed.`,
		Example: "  fedsite images apply --dry-run\n  fedsite images apply --image 24.04 --site EXAMPLE-CLOUD",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dryRun {
				plan := c.imagesPlan()
				plan.SetContext(cmd.Context())
				for _, name := range []string{"site", "image", "vo", "yes", "allow-mass-removal", "prune-orphans", "output"} {
					if f := cmd.Flags().Lookup(name); f.Changed {
						if err := plan.Flags().Set(name, f.Value.String()); err != nil {
							return err
						}
					}
				}
				return plan.RunE(plan, nil)
			}
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				if err := knownVO(cmd, a, sites, o.VO); err != nil {
					return err
				}
				all := a.ApplyImages(cmd.Context(), sites, o)
				if form.value != asTable {
					return c.encodeApplied(form.value, all)
				}
				return c.applied("images apply", "DONE", all, imageWords)
			})
		},
	}
	form = forms(cmd)
	imageFlags(cmd, &siteName, &o)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show the plan")
	return cmd
}

// applied lists what was done, under a heading for that, and gives the exit code.
func (c *cli) applied(what, done string, all []app.AppliedImages, words []counted) error {
	var reports []app.SiteReport
	for _, s := range all {
		rows := [][]string{}
		for _, r := range s.Results {
			if r.Err == nil {
				rows = append(rows, []string{string(r.Verb), shortened(r.Name, 50), cmp.Or(r.ProjectName, r.Project), r.CloudName, r.Image, size(r.Bytes)})
			}
			for _, vm := range r.VMs {
				rows = append(rows, []string{"runs", "VM " + vm.ID, vm.Project, vm.Cloud, r.Image, "-"})
			}
		}
		if len(rows) > 0 && !c.quiet {
			if err := c.table([]string{done, "IMAGE", "PROJECT", "CLOUD", "GLANCE ID", "SIZE"}, rows); err != nil {
				return err
			}
		}
		reports = append(reports, s.SiteReport)
	}
	return c.runReports(asTable, what, reports, words)
}

// appliedSite is what was done at a site as JSON and YAML have it.
type appliedSite struct {
	app.SiteReport
	Actions []plannedAction `json:"actions"`
}

func (c *cli) encodeApplied(form string, all []app.AppliedImages) error {
	shown := []appliedSite{}
	codes := map[int]int{}
	for _, s := range all {
		one := appliedSite{SiteReport: s.SiteReport, Actions: []plannedAction{}}
		for _, r := range s.Results {
			a := plannedAs(r.Action)
			a.Glance, a.Bytes, a.VMs = r.Image, r.Bytes, r.VMs
			if r.Err != nil {
				a.Error = r.Err.Error()
			}
			one.Actions = append(one.Actions, a)
		}
		shown = append(shown, one)
		code := s.Report.Exit()
		if s.Err != nil {
			code = explain(s.Err).code
		}
		codes[code]++
	}
	if err := c.encode(form, shown); err != nil {
		return err
	}
	if code := together(codes); code != run.ExitDone {
		return &exit{code: code}
	}
	return nil
}

func (c *cli) imagesVerify() *cobra.Command {
	var (
		siteName string
		form     *form
	)
	cmd := &cobra.Command{
		Use: "verify [SOURCE…]", Short: "Read the sources, and say whether they are believed and why",
		Long: `Read the sources of each site, and say what they are: who signed a list, which images it has, and what is wrong with those that
cannot be used. No cloud is asked, and nothing is remembered. A source that is not believed: exit code 3; none is: 1.`,
		Example: "  fedsite images verify\n  fedsite images verify egi -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				if err := knownSources(sites, args); err != nil {
					return usage(cmd, err)
				}
				verdicts := []verified{}
				for _, s := range sites {
					for _, v := range a.VerifyImages(cmd.Context(), s) {
						if len(args) == 0 || slices.Contains(args, v.Source) {
							verdicts = append(verdicts, verified{Site: s.Site.Name, Verdict: v})
						}
					}
				}
				return c.verdicts(form.value, verdicts)
			})
		},
	}
	form = forms(cmd)
	cmd.Flags().StringVar(&siteName, "site", "", "only this site")
	return cmd
}

// knownSources refuses names of sources that none of the sites has in its configuration.
func knownSources(sites []config.Site, names []string) error {
	var there []string
	for _, s := range sites {
		for _, src := range s.Images.Sources {
			if !slices.Contains(there, src.Name) {
				there = append(there, src.Name)
			}
		}
	}
	for _, name := range names {
		switch {
		case slices.Contains(there, name):
		case len(there) == 0:
			return fmt.Errorf("no source %.80q is configured, nor any other: images.sources", name)
		default:
			return fmt.Errorf("no source %.80q is configured: there are %s", name, strings.Join(there, ", "))
		}
	}
	return nil
}

// verified is what became of a source.
type verified struct {
	Site string `json:"site"`
	images.Verdict
}

func (c *cli) verdicts(form string, all []verified) error {
	codes := map[int]int{}
	for _, v := range all {
		switch {
		case v.Failed != nil:
			codes[run.ExitFailed]++
		case len(v.Bad) > 0 || !v.Expired.IsZero():
			codes[run.ExitPartial]++
		default:
			codes[run.ExitDone]++
		}
	}
	if form != asTable {
		if err := c.encode(form, all); err != nil {
			return err
		}
	} else {
		for _, v := range all {
			c.verdict(v)
		}
	}
	if code := together(codes); code != run.ExitDone {
		return &exit{code: code}
	}
	return nil
}

func (c *cli) verdict(v verified) {
	fmt.Fprintf(c.out, "%s  source %s (%s)", v.Site, v.Source, v.Kind)
	if v.Failed != nil {
		fmt.Fprintf(c.out, ": not believed\n  %s  %s: %s\n", paint(c.outTerminal, red, "FAIL"), v.Failed.Kind, visible(v.Failed.Reason))
		if v.Failed.Hint != "" {
			fmt.Fprintf(c.out, "        → %s\n", v.Failed.Hint)
		}
		return
	}
	fmt.Fprintf(c.out, ": %s\n", several(int64(len(v.Entries)), "images"))
	switch {
	case v.List == "":
	case v.Version == "" && v.Created.IsZero(): // a registry, which has no edition
		fmt.Fprintf(c.out, "  from %s\n", visible(v.List))
	default:
		fmt.Fprintf(c.out, "  list %s, version %s, made %s UTC\n", visible(v.List), cmp.Or(visible(v.Version), "-"), cmp.Or(stamp(v.Created), "-"))
	}
	if v.Signer != "" {
		fmt.Fprintf(c.out, "  signed by %s\n", visible(v.Signer))
	}
	if !v.Expired.IsZero() {
		fmt.Fprintf(c.out, "  %s  the list expired %s UTC\n", paint(c.outTerminal, yellow, "warn"), stamp(v.Expired))
	}
	for _, e := range v.Entries {
		fmt.Fprintf(c.out, "  %-50s  %8s  %s\n", visible(shortened(e.Name(), 50)), size(e.Size), e.Digest.Short())
	}
	for _, b := range v.Bad {
		fmt.Fprintf(c.out, "  %s  image %s: %s\n", paint(c.outTerminal, yellow, "warn"), visible(cmp.Or(b.Title, b.ID)), visible(b.Reason))
	}
	for _, n := range v.Notices {
		fmt.Fprintf(c.out, "  %s  %s\n", paint(c.outTerminal, dim, "note"), visible(n))
	}
}

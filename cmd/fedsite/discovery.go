package main

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/protocol/glue"
)

func (c *cli) discovery() *cobra.Command {
	cmd := &cobra.Command{Use: "discovery", Short: "What the cloud offers to each VO, told to the federation as GLUE 2.1", GroupID: pipelines,
		Long: `What the cloud offers to each VO, told to the federation as GLUE 2.1:

  shares → catalog → render → publish`,
		Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(c.offerShow(), c.offerPublish(), c.offerDiff(), c.offerRemove())
	return cmd
}

// asDocument are the forms of discovery show.
const (
	asGLUE = string(discovery.JSON)
	asLDIF = string(discovery.LDIF)
)

func (c *cli) offerShow() *cobra.Command {
	var siteName, format, endpoint string
	cmd := &cobra.Command{
		Use: "show", Short: "Show what each share is offered, as it was last known", Args: noArgs,
		Long: `Show what each share is offered as fedsite last knew it: how fresh it is, and what went wrong. Nobody is asked; a site
that never was is asked first, as by discovery publish --dry-run. The other formats are the document as it is published: of an active
site without the VOs that only observe.`,
		Example: "  fedsite discovery show\n  fedsite discovery show --format glue21json > site.json\n  fedsite discovery show --format ldif --site EXAMPLE-CLOUD",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != asTable && format != asGLUE && format != asLDIF {
				return usage(cmd, fmt.Errorf("--format %q is none of table, glue21json, ldif", format))
			}
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				var all []offered
				for _, s := range sites {
					o, err := c.offered(cmd, a, s)
					if err != nil {
						return err
					}
					for _, one := range o {
						if endpoint == "" || one.catalog.EP == endpoint {
							all = append(all, one)
						}
					}
				}
				if format == asTable {
					return c.offerTables(a, all)
				}
				switch {
				case len(all) == 0:
					return &exit{code: run.ExitFailed, err: errors.New("nothing is known yet: there is no document"), hint: "fedsite discovery publish --dry-run says why"}
				case len(all) > 1:
					return usage(cmd, fmt.Errorf("there are %d documents: choose one by --site, and --endpoint where a site has several", len(all)))
				}
				body, err := discovery.Body(discovery.Format(format), all[0].published, glue.ResourceBase())
				if err != nil {
					return err
				}
				_, err = c.out.Write(body)
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&siteName, "site", "", "only this site")
	flags.StringVar(&endpoint, "endpoint", "", "only this Keystone URL")
	flags.StringVar(&format, "format", asTable, "table, glue21json, ldif")
	return cmd
}

// offered is a catalog with its document.
type offered struct {
	site     config.Site
	catalog  discovery.Catalog
	doc      glue.Document
	findings []glue.Finding

	published glue.Document // without the shares that only observe
}

// offered gives what is known of a site, which is asked if it never was.
func (c *cli) offered(cmd *cobra.Command, a *app.App, s config.Site) ([]offered, error) {
	catalogs, rendering, err := a.Offered(cmd.Context(), s)
	if err != nil {
		return nil, err
	}
	if len(catalogs) == 0 && s.Discovery.Mode != "disabled" {
		for _, r := range a.Publish(cmd.Context(), []config.Site{s}, app.PublishOptions{DryRun: true}) {
			if r.Err != nil {
				return nil, r.Err
			}
			problems(c.err, c.errTerminal, r.Report)
		}
		if catalogs, rendering, err = a.Offered(cmd.Context(), s); err != nil {
			return nil, err
		}
	}
	var all []offered
	published := a.Documents(s, catalogs)
	for i, catalog := range catalogs {
		doc, findings := discovery.Render(catalog, rendering)
		all = append(all, offered{s, catalog, doc, append(findings, glue.Validate(doc)...), published[i].Document})
	}
	return all, nil
}

// offerTables writes what is known of each endpoint, a line for each share.
func (c *cli) offerTables(a *app.App, all []offered) error {
	if len(all) == 0 {
		c.note("nothing is known yet: no cloud could be asked, or discovery is disabled")
		return nil
	}
	for i, o := range all {
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		key := o.catalog.Registration.Value.Key
		if key == "" {
			key = "not in GOCDB"
		} else {
			key = "GOCDB " + key
		}
		fmt.Fprintf(c.out, "%s  %s  %s\n", o.catalog.Site, o.catalog.EP, key)
		fmt.Fprintf(c.out, "  asked %s UTC (%s ago), mode %s: %d images, %d flavors, %d accelerators\n", stamp(o.catalog.Made), a.Now().Sub(o.catalog.Made).Round(time.Second),
			o.site.Discovery.Mode, len(unique(o.doc.Images, func(i glue.Image) string { return i.ID })), len(unique(o.doc.InstanceTypes, func(t glue.InstanceType) string { return t.ID })), len(unique(o.doc.VirtualAccelerators, func(v glue.VirtualAccelerator) string { return v.ID })))
		status := discovery.StatusOf(o.catalog, o.doc, len(o.findings))
		rows := [][]string{}
		for _, sh := range status.Shares {
			limit := "-"
			if sh.MaxVM != nil {
				limit = fmt.Sprint(*sh.MaxVM)
			}
			state := string(sh.State)
			if sh.Mode == site.Observe && o.site.Discovery.Mode == site.Active {
				state += ", observes"
			}
			rows = append(rows, []string{sh.VO, cmp.Or(sh.Name, sh.Project), sh.Cloud, state, stamp(sh.AsOf), fmt.Sprint(sh.VMs), limit, fmt.Sprint(sh.Flavors), fmt.Sprint(sh.Images)})
		}
		if err := c.table([]string{"VO", "PROJECT", "CLOUD", "STATE", "AS OF (UTC)", "VMS", "LIMIT", "FLAVORS", "IMAGES"}, rows); err != nil {
			return err
		}
		for _, sh := range status.Shares {
			for _, t := range sh.Troubles {
				fmt.Fprintf(c.out, "  %s  VO %s: %s: %s\n", paint(c.outTerminal, yellow, "warn"), visible(sh.VO), t, visible(t.Reason))
				if t.Hint != "" {
					fmt.Fprintf(c.out, "        → %s\n", t.Hint)
				}
			}
		}
		c.findings(o.findings)
	}
	return nil
}

// mostFindings is how many findings are listed of a document.
const mostFindings = 20

// findings lists what cannot be shown as it is, once for all shares that have it.
func (c *cli) findings(all []glue.Finding) {
	var different []glue.Finding
	seen := map[glue.Finding]bool{}
	for _, f := range all {
		if !seen[f] {
			seen[f] = true
			different = append(different, f)
		}
	}
	for i, f := range different {
		if i == mostFindings {
			fmt.Fprintf(c.out, "  … and %d more findings\n", len(different)-i)
			return
		}
		word, colour := "note", dim
		if f.Level >= glue.LevelError {
			word, colour = "warn", yellow
		}
		fmt.Fprintf(c.out, "  %s  %s\n", paint(c.outTerminal, colour, word), visible(strings.TrimPrefix(f.String(), f.Level.String()+": ")))
	}
}

func unique[T any](all []T, id func(T) string) map[string]bool {
	seen := map[string]bool{}
	for _, one := range all {
		seen[id(one)] = true
	}
	return seen
}

func (c *cli) offerPublish() *cobra.Command {
	var (
		siteName, to, format string
		dryRun               bool
		form                 *form
	)
	cmd := &cobra.Command{
		Use: "publish", Short: "Ask the clouds what they offer, and publish it", Args: noArgs,
		Long: `Ask each cloud what it offers to each share, make the document, and hand it to every sink of discovery.publish.
A site in mode observe publishes nothing: the report says what would change. --to stdout writes the document to standard
output, whatever the mode.`,
		Example: "  fedsite discovery publish --dry-run\n  fedsite discovery publish --to stdout > site.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != asGLUE && format != asLDIF {
				return usage(cmd, fmt.Errorf("--format %q is none of glue21json, ldif", format))
			}
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				if err := knownSink(sites, to); err != nil {
					return usage(cmd, err)
				}
				if to == app.Stdout && form.value != asTable {
					return usage(cmd, errors.New("--to stdout and --output both write to standard output"))
				}
				reports := a.Publish(cmd.Context(), sites, app.PublishOptions{To: to, DryRun: dryRun, Out: c.out, Format: discovery.Format(format)})
				out := *c
				if to == app.Stdout {
					out.out = c.err
				}
				return out.runReports(form.value, "discovery publish", reports, []counted{
					{name: "shares", word: "shares", always: true}, {name: "images", word: "images", always: true}, {name: "flavors", word: "flavors", always: true},
					{name: "documents_published", word: "documents published", always: true}, {name: "documents_refused", word: "documents refused"}})
			})
		},
	}
	form = forms(cmd)
	flags := cmd.Flags()
	flags.StringVar(&siteName, "site", "", "only this site")
	flags.StringVar(&to, "to", "", "only this sink, by its name; stdout is always there")
	flags.StringVar(&format, "format", asGLUE, "of --to stdout: glue21json, ldif")
	flags.BoolVar(&dryRun, "dry-run", false, "ask, and say what would change; publish nothing")
	return cmd
}

// knownSink refuses a sink that none of the sites has.
func knownSink(sites []config.Site, name string) error {
	if name == "" || name == app.Stdout {
		return nil
	}
	known := []string{app.Stdout}
	for _, s := range sites {
		for _, k := range s.Discovery.Publish {
			if k.Name == name {
				return nil
			}
			known = append(known, k.Name)
		}
	}
	return fmt.Errorf("no site has a sink %q; there are: %s", name, strings.Join(known, ", "))
}

func (c *cli) offerDiff() *cobra.Command {
	var (
		siteName string
		form     *form
	)
	cmd := &cobra.Command{
		Use: "diff", Short: "Show what changed since the last publication, by object", Args: noArgs,
		Long:    `Compare what is known of each cloud with what each sink has. Nobody is asked, and nothing is published.`,
		Example: "  fedsite discovery diff\n  fedsite discovery diff -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				all := []discovery.ChangedDocument{}
				for _, s := range sites {
					changed, err := a.Changes(cmd.Context(), s)
					if err != nil {
						return err
					}
					all = append(all, changed...)
				}
				if form.value != asTable {
					return c.encode(form.value, all)
				}
				c.changes(all)
				return nil
			})
		},
	}
	form = forms(cmd)
	cmd.Flags().StringVar(&siteName, "site", "", "only this site")
	return cmd
}

func (c *cli) offerRemove() *cobra.Command {
	var (
		prune, dryRun bool
		form          *form
	)
	cmd := &cobra.Command{
		Use: "remove", Short: "Take away what was published of sites that are gone", Args: noArgs,
		Long: `Take away the documents of sites and endpoints that the configuration has no more, from sinks with delete_removed; what is
to stay is read back first. The service does so every hour; of more than three sites at once only with --prune.`,
		Example: "  fedsite discovery remove --dry-run\n  fedsite discovery remove --prune",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, done, err := c.open(cmd.Context(), app.Options{})
			if err != nil {
				return err
			}
			defer done()
			report, err := a.Remove(cmd.Context(), prune, dryRun)
			if err != nil {
				return err
			}
			return c.runReports(form.value, "discovery remove", []app.SiteReport{{Site: "all sites", Report: report}}, []counted{
				{name: "documents_removed", word: "documents removed", always: true}, {name: "documents_left", word: "documents left"}})
		},
	}
	form = forms(cmd)
	cmd.Flags().BoolVar(&prune, "prune", false, "also of more than three sites at once")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would go; take nothing away")
	return cmd
}

// mostChanges is how many changed objects of a document are listed.
const mostChanges = 200

func (c *cli) changes(all []discovery.ChangedDocument) {
	if len(all) == 0 {
		c.note("there is nothing to compare: no sink is configured, or no cloud was asked yet")
	}
	for i, d := range all {
		since := "published " + stamp(d.Since) + " UTC"
		if d.Since.IsZero() {
			since = "never published"
		}
		fmt.Fprintf(c.out, "%s  %s  sink %s, %s: %s\n", d.Site, d.Endpoint, d.Sink, since, several(int64(len(d.Changes)), "differences"))
		if d.FormerName != "" {
			fmt.Fprintf(c.out, "  its name there changes from %s to %s\n", d.FormerName, d.Name)
		}
		if i+1 < len(all) && all[i+1].Endpoint == d.Endpoint && reflect.DeepEqual(all[i+1].Changes, d.Changes) {
			continue // the next sink's are the same
		}
		c.changedObjects(d.Changes)
	}
}

// changedObjects lists what is otherwise in a document.
func (c *cli) changedObjects(all []glue.Change) {
	for i, ch := range all {
		if i == mostChanges {
			fmt.Fprintf(c.out, "  … and %d more\n", len(all)-i)
			break
		}
		fmt.Fprintf(c.out, "  %-8s %s %q", ch.Kind, ch.Class, ch.ID)
		if ch.Name != "" {
			fmt.Fprintf(c.out, " (%s)", visible(ch.Name))
		}
		if ch.Share != "" {
			share := ch.Share
			if _, short, ok := strings.Cut(share, "_share_"); ok { // VO and project
				share = short
			}
			fmt.Fprint(c.out, ", share ", visible(share))
		}
		fmt.Fprintln(c.out)
		for _, v := range ch.Values {
			fmt.Fprintf(c.out, "           %s: %s → %s\n", v.Attribute, cmp.Or(visible(v.From), "-"), cmp.Or(visible(v.To), "-"))
		}
	}
}

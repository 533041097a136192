package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/apel"
)

func (c *cli) accounting() *cobra.Command {
	cmd := &cobra.Command{Use: "accounting", Short: "What the cloud was used for, told to the federation's accounting", GroupID: pipelines,
		Long: `What the cloud was used for, told to the federation's accounting:

  collect → record → ledger → message → send`,
		Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(c.collect(), c.send(), c.records(), c.release(), c.rebuild())
	return cmd
}

func (c *cli) collect() *cobra.Command {
	var (
		siteName, from, to string
		projects           []string
		environment        bool
		form               *form
	)
	cmd := &cobra.Command{
		Use: "collect", Short: "Read the VMs of every project, and keep their records in the ledger", Args: noArgs,
		Long: `Read every VM that existed since the last collection, and keep its usage records in the ledger.
Nothing is sent. A window may be collected again at any time: the ledger ends the same.`,
		Example: "  fedsite accounting collect\n  fedsite accounting collect --project vo-ops --from 2026-11-01",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := accounting.Ask{Projects: projects}
			var err error
			if ask.From, err = parseTime(cmd, "from", from); err != nil {
				return err
			}
			if ask.To, err = parseTime(cmd, "to", to); err != nil {
				return err
			}
			if !ask.From.IsZero() && !ask.To.IsZero() && !ask.From.Before(ask.To) {
				return usage(cmd, fmt.Errorf("--from %s is not before --to %s", from, to))
			}
			var o app.Options
			if environment {
				o.Getenv = c.getenv
			}
			return c.with(cmd, siteName, o, func(a *app.App, sites []config.Site) error {
				if environment && (len(sites) != 1 || len(sites[0].Clouds) != 1) {
					return usage(cmd, fmt.Errorf("--os-env signs in to one cloud only: the configuration has more; name a site with one cloud"))
				}
				return c.reports(form.value, "collect", a.Collect(cmd.Context(), sites, ask), []counted{
					{name: "projects_collected", word: "projects collected", always: true}, {name: "projects_up_to_date", word: "already up to date"},
					{name: "vms_seen", word: "sightings of VMs", always: true}, {name: "records_changed", word: "records new or changed", always: true},
					{name: "vms_without_use", word: "of VMs without use yet"}, {name: "vms_vanished", word: "VMs vanished"}})
			})
		},
	}
	form = forms(cmd)
	flags := cmd.Flags()
	flags.StringVar(&siteName, "site", "", "only this site")
	flags.StringSliceVar(&projects, "project", nil, "only these projects, by id or name")
	flags.StringVar(&from, "from", "", "begin no later than this (a day, or a time with zone)")
	flags.StringVar(&to, "to", "", "end here (default now, less accounting.settle)")
	flags.BoolVar(&environment, "os-env", false, "sign in with the OS_* variables of this shell instead of the configured credential")
	return cmd
}

func (c *cli) send() *cobra.Command {
	var (
		siteName, dest string
		dryRun, parked bool
		yes            bool
		form           *form
	)
	cmd := &cobra.Command{
		Use: "send", Short: "Send the ledger's records that a destination has not got", Args: noArgs,
		Long: `Cut messages out of the records that a destination has not got, sign them, and deliver them.
A site in mode observe sends nothing; --dry-run shows what would go. When a site has become active, the first call shows
what will go and asks.`,
		Example: "  fedsite accounting send --dry-run\n  fedsite accounting send",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				err := knownDestination(sites, dest)
				if err != nil {
					return usage(cmd, err)
				}
				if dryRun {
					return c.preview(cmd.Context(), a, sites, dest, form.value)
				}
				if !yes {
					if yes, err = c.goActive(cmd.Context(), a, sites, dest); err != nil {
						return err
					}
				}
				return c.reports(form.value, "send", a.Send(cmd.Context(), sites, app.SendOptions{To: dest, RetryParked: parked, GoActive: yes}), []counted{
					{name: "messages_sent", word: "messages sent", always: true}, {name: "messages_queued", word: "messages queued"}, {name: "records_sent", word: "records", always: true},
					{name: "bytes_sent", word: "on the wire", bytes: true}, {name: "messages_waiting_in_queue", word: "messages still in the queue"},
					{name: "attempts_repeated", word: "attempts repeated"}, {name: "messages_split", word: "messages split"}, {name: "records_parked", word: "records parked"}, {name: "records_held", word: "records held back"}})
			})
		},
	}
	form = forms(cmd)
	flags := cmd.Flags()
	flags.StringVar(&siteName, "site", "", "only this site")
	flags.StringVar(&dest, "to", "", "only this destination: ams, dirq")
	flags.BoolVar(&yes, "yes", false, "don't ask whether a site that became active may send")
	flags.BoolVar(&dryRun, "dry-run", false, "show what would be cut, for where and how large; send nothing")
	flags.BoolVar(&parked, "retry-parked", false, "cut parked records anew from their present rows, and write again what waits in a queue that is lost")
	return cmd
}

// with opens fedsite, and runs fn with the sites of that name, all for "".
func (c *cli) with(cmd *cobra.Command, siteName string, o app.Options, fn func(*app.App, []config.Site) error) error {
	a, done, err := c.open(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer done()
	sites, err := a.Sites(siteName)
	if err != nil {
		return usage(cmd, err)
	}
	return fn(a, sites)
}

// knownDestination refuses a destination that none of the sites has.
func knownDestination(sites []config.Site, name string) error {
	if name == "" {
		return nil
	}
	for _, s := range sites {
		if (name == app.AMS && s.Accounting.AMS != nil) || (name == app.Dirq && s.Accounting.Dirq != nil) {
			return nil
		}
	}
	return fmt.Errorf("no site has a destination %q in its configuration", name)
}

// reports prints the reports of the sites' accounting, and gives the exit code that they lead to.
func (c *cli) reports(form, what string, all []app.SiteReport, words []counted) error {
	return c.runReports(form, "accounting "+what, all, words)
}

// runReports prints the reports of the sites, and gives the exit code that they lead to.
func (c *cli) runReports(form, what string, all []app.SiteReport, words []counted) error {
	if form != asTable {
		if err := c.encode(form, all); err != nil {
			return err
		}
	}
	codes := map[int]int{}
	for _, r := range all {
		if r.Err != nil {
			e := explain(r.Err)
			c.fail(fmt.Errorf("site %s: %w", r.Site, e.err), e.hint)
			codes[e.code]++
			continue
		}
		codes[r.Report.Exit()]++
		if form != asTable || (c.quiet && r.Report.Exit() == run.ExitDone) {
			continue
		}
		took := r.Report.Ended.Sub(r.Report.Started).Round(10 * time.Millisecond)
		fmt.Fprintf(c.out, "%s  %s, %s UTC, %s: %s\n", r.Site, what, r.Report.Started.Format("2006-01-02 15:04"), took, r.Report.Outcome)
		fmt.Fprintf(c.out, "  %s\n", counts(r.Report, words))
		problems(c.out, c.outTerminal, r.Report)
	}
	if code := together(codes); code != run.ExitDone {
		return &exit{code: code}
	}
	return nil
}

// together gives the exit code of several runs: of one kind only, that one; done and not done, partly done.
func together(codes map[int]int) int {
	if len(codes) == 1 {
		for code := range codes {
			return code
		}
	}
	if codes[run.ExitDone] > 0 || codes[run.ExitPartial] > 0 {
		return run.ExitPartial
	}
	if len(codes) == 0 {
		return run.ExitDone
	}
	return run.ExitFailed
}

func (c *cli) preview(ctx context.Context, a *app.App, sites []config.Site, dest, form string) error {
	plan, reports, err := a.Preview(ctx, sites, dest)
	if err != nil {
		return err
	}
	codes := map[int]int{}
	for _, r := range reports {
		codes[r.Exit()]++
	}
	if form != asTable {
		all := forecast{Messages: plan, Problems: []run.Problem{}}
		if plan == nil {
			all.Messages = []accounting.Planned{}
		}
		for _, r := range reports {
			all.Problems = append(all.Problems, r.Problems...)
		}
		err = c.encode(form, all)
	} else {
		err = c.forecast(plan, reports, sites)
	}
	if err != nil {
		return err
	}
	if code := together(codes); code != run.ExitDone {
		return &exit{code: code}
	}
	return nil
}

// goActive shows what sites that became active will send first, and asks. What it shows goes where no program reads.
func (c *cli) goActive(ctx context.Context, a *app.App, sites []config.Site, dest string) (bool, error) {
	undecided, err := a.Undecided(ctx, sites)
	if err != nil || len(undecided) == 0 || !c.inTerminal {
		return false, err // send says what is to be done
	}
	plan, reports, err := a.Preview(ctx, undecided, dest)
	if err != nil {
		return false, err
	}
	asking := *c
	asking.out, asking.outTerminal = c.err, c.errTerminal
	if err := asking.forecast(plan, reports, undecided); err != nil {
		return false, err
	}
	names := make([]string, 0, len(undecided))
	for _, s := range undecided {
		names = append(names, s.Site.Name)
	}
	return c.ask(fmt.Sprintf("%s will send this now, and from now on whatever is collected. Send?", strings.Join(names, ", ")))
}

// forecast is what send --dry-run prints for programs.
type forecast struct {
	Messages []accounting.Planned `json:"messages"`
	Problems []run.Problem        `json:"problems"`
}

func (c *cli) forecast(plan []accounting.Planned, reports []run.Report, sites []config.Site) error {
	var (
		rows           [][]string
		records, bytes int
		modes          = map[string]string{}
	)
	for _, s := range sites {
		modes[s.Site.Name] = string(s.Accounting.Mode)
	}
	for _, p := range plan {
		rows = append(rows, []string{p.Site, p.Destination, p.State, p.Period, strconv.Itoa(p.Records), humanize.Comma(int64(p.Bytes)), p.Message, p.Problem})
		records, bytes = records+p.Records, bytes+p.Bytes
	}
	if len(plan) > 0 {
		if err := c.table([]string{"SITE", "DESTINATION", "WOULD BE", "FROM MONTH", "RECORDS", "BYTES SIGNED", "MESSAGE", "PROBLEM"}, rows); err != nil {
			return err
		}
	}
	fmt.Fprintf(c.out, "%s, %s, %s signed. Nothing was cut or sent\n", several(int64(len(plan)), "messages"), several(int64(records), "records"), humanize.Bytes(uint64(bytes)))
	for _, s := range sites {
		if modes[s.Site.Name] != "active" {
			fmt.Fprintf(c.out, "%s is in mode %s: send would cut and send nothing\n", s.Site.Name, modes[s.Site.Name])
		}
		for _, p := range plan {
			if p.Site == s.Site.Name {
				fmt.Fprintf(c.out, "%s: records of %s and later go out (active_from)\n", p.Site, p.ActiveFrom.Format("2006-01"))
				break
			}
		}
	}
	for i, r := range reports {
		if len(r.Problems) > 0 {
			fmt.Fprintf(c.out, "%s  accounting send would end: %s\n", sites[i].Site.Name, r.Outcome)
			problems(c.out, c.outTerminal, r)
		}
	}
	return nil
}

func (c *cli) records() *cobra.Command {
	var (
		siteName string
		f        accounting.Filter
		form     *form
		limit    uint
	)
	cmd := &cobra.Command{
		Use: "records", Short: "Show the ledger, and what was sent", Args: noArgs,
		Long: `Show the ledger: one record per VM and month, and what each destination has of it.
The form "wire" is the exact text of the records, as the accounting server gets it.`,
		Example: "  fedsite accounting records --month 2026-11 --vo ops\n  fedsite accounting records --vm 7f3c… -o wire",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Period != "" {
				if _, err := time.Parse("2006-01", f.Period); err != nil {
					return usage(cmd, fmt.Errorf("--month %q is no month: 2026-11", f.Period))
				}
			}
			f.Limit = int(limit)
			return c.with(cmd, siteName, app.Options{}, func(a *app.App, sites []config.Site) error {
				entries, err := a.Records(cmd.Context(), sites, f)
				if err != nil {
					return err
				}
				if err := c.ledger(form.value, entries); err != nil {
					return err
				}
				_, err = c.held(cmd.Context(), a, sites)
				return err
			})
		},
	}
	form = forms(cmd, asWire)
	flags := cmd.Flags()
	flags.StringVar(&siteName, "site", "", "only this site")
	flags.StringVar(&f.Period, "month", "", "only this month, 2026-11")
	flags.StringVar(&f.VO, "vo", "", "only this VO")
	flags.StringVar(&f.Project, "project", "", "only this project, by id")
	flags.StringVar(&f.VM, "vm", "", "only this VM, by id")
	flags.UintVar(&limit, "limit", 0, "at most so many records of each site (0 = all)")
	return cmd
}

// ledger writes rows of the ledger.
func (c *cli) ledger(form string, entries []accounting.Entry) error {
	switch form {
	case asWire:
		bodies := make([]string, 0, len(entries))
		for _, e := range entries {
			if e.Wire != "" {
				bodies = append(bodies, e.Wire)
			}
		}
		if len(bodies) == 0 {
			c.note("no records")
			return nil
		}
		_, err := c.out.Write(apel.JoinCloud(bodies))
		return err
	case asJSON, asYAML:
		if entries == nil {
			entries = []accounting.Entry{}
		}
		return c.encode(form, entries)
	}
	if len(entries) == 0 {
		c.note("no records")
		return nil
	}
	sites := slices.ContainsFunc(entries, func(e accounting.Entry) bool { return e.Site != entries[0].Site })
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, []string{e.Site, e.Period, e.VO, e.VM, e.Status, stamp(e.Measured), hours(e.Wall), hours(e.Suspended), hours(e.CPU), strconv.FormatFloat(e.CPUs, 'f', -1, 64), said(e)})
	}
	head := []string{"SITE", "MONTH", "VO", "VM", "STATUS", "MEASURED (UTC)", "WALL h", "SUSPEND h", "CPU h", "CPUS", "SENT"}
	if !sites {
		head = head[1:]
		for i := range rows {
			rows[i] = rows[i][1:]
		}
	}
	if err := c.table(head, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.out, "%s. Wall and CPU are totals since the VM began\n", several(int64(len(entries)), "records"))
	return err
}

// said tells what the destinations have of a row.
func said(e accounting.Entry) string {
	if e.Parked != "" {
		return "parked: " + e.Parked
	}
	var names []string
	for name := range e.Sent {
		names = append(names, name)
	}
	slices.Sort(names)
	var parts []string
	for _, name := range names {
		parts = append(parts, name+" "+e.Sent[name])
	}
	return strings.Join(parts, ", ")
}

func hours(seconds int64) string { return strconv.FormatFloat(float64(seconds)/3600, 'f', 1, 64) }

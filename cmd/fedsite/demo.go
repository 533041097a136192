package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/app/demo"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/run"
)

func (c *cli) demo() *cobra.Command {
	var (
		o    demo.Options
		at   string
		once bool
	)
	cmd := &cobra.Command{
		Use: "demo", Short: "An emulated site and federation, with fedsite at work between them", GroupID: setup, Args: noArgs,
		Long: `Start an emulated OpenStack cloud, message broker and accounting server on loopback; let fedsite collect and
send at stepped times, as cron would have for weeks; and compare what the federation ended up with to what was truly
used. Then serve until Ctrl-C. With --once: check, and exit 0 or 1.

With --era the cloud is of another release: mitaka (2016), zed (2022) or current. With --fault something goes wrong in
the middle of the history, or when images are brought: the demo shows what fedsite said of it, and how it went on.
--fault list names what can.`,
		Example: "  fedsite demo\n  fedsite demo --once --era mitaka --fault 503 --fault ams-lost-answer\n  fedsite demo --dir /tmp/demo   # then, in a second shell:\n  fedsite --config /tmp/demo/fedsite.yaml accounting records",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.At, err = parseTime(cmd, "at", at); err != nil {
				return err
			}
			if o.Projects < 1 || o.Projects > 1000 || o.VMs < 0 || o.VMs > 100_000 {
				return usage(cmd, fmt.Errorf("--projects must be 1 to 1000, --vms 0 to 100000"))
			}
			if !o.At.IsZero() && (o.At.Year() < 2010 || o.At.Year() > 2100) {
				return usage(cmd, fmt.Errorf("--at must lie between 2010 and 2100: OpenStack is not older"))
			}
			if slices.Contains(o.Faults, "list") {
				return c.faults(c.out)
			}
			for _, name := range o.Faults {
				if _, ok := faults.Find(name); !ok {
					if err := c.faults(c.err); err != nil {
						return err
					}
					return usage(cmd, fmt.Errorf("--fault: there is no fault %q; those that there are stand above", name))
				}
			}
			if !slices.Contains(demo.Eras(), o.Era) {
				return usage(cmd, fmt.Errorf("--era must be one of %s", strings.Join(demo.Eras(), ", ")))
			}
			signal.Ignore(syscall.SIGPIPE) // its files are removed also when nobody reads on
			o.Version = versionText()
			d, err := demo.Start(o)
			if err != nil {
				return err
			}
			err = c.tell(cmd.Context(), d, once)
			if cerr := d.Close(); err == nil && cerr != nil {
				return cerr
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&once, "once", false, "check the outcome and exit, 0 when truth and server are equal, else 1")
	flags.StringVar(&o.Dir, "dir", "", "leave fedsite.yaml, clouds.yaml, certificates and logins here, for other commands and clients")
	flags.IntVar(&o.Projects, "projects", 4, "projects with a VO")
	flags.IntVar(&o.VMs, "vms", 36, "VMs")
	flags.Uint64Var(&o.Seed, "seed", 1, "another seed makes another world")
	flags.StringVar(&at, "at", "", "the world's present (default now, to the whole hour)")
	flags.StringVar(&o.Era, "era", "current", "release of the emulated cloud: "+strings.Join(demo.Eras(), ", "))
	flags.StringArrayVar(&o.Faults, "fault", nil, "something that goes wrong in the middle of the history; may be repeated; list shows the names")
	return cmd
}

// faults shows what --fault takes.
func (c *cli) faults(w io.Writer) error {
	var rows [][]string
	for _, n := range faults.Shown() {
		rows = append(rows, []string{n.Name, string(n.Place), n.Text})
	}
	return (&cli{out: w}).table([]string{"FAULT", "WHERE", "WHAT HAPPENS"}, rows)
}

// episodes shows what the faults did, and what fedsite said that it does not say otherwise.
func (c *cli) episodes(all []demo.Episode, usual []run.Problem) {
	p := func(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }
	for _, e := range all {
		p("   %s in the run of %s: %s", e.Name, e.At.Format("2006-01-02 15:04"), e.Text)
		if e.What != "" {
			p("   %s", e.What)
		}
		struck := ""
		if e.Struck > 0 {
			struck = fmt.Sprintf("; %s struck", several(int64(e.Struck), "requests"))
		}
		p("   fedsite   %s%s", strings.Join(e.Runs, ", "), struck)
		c.said(e, e.Said, usual)
		if e.Then != "" {
			p("   then      %s", e.Then)
		}
		if e.Undone {
			p("   then      fedsite accounting send --retry-parked with the next run, as the report says")
		}
		c.said(e, e.Next, usual)
		p("")
	}
}

// saidAtMost is how many problems of a run are shown.
const saidAtMost = 4

// said shows what is unusual in the report of a run.
func (c *cli) said(e demo.Episode, all, usual []run.Problem) {
	all = slices.DeleteFunc(slices.Clone(all), func(s run.Problem) bool {
		same := func(u run.Problem) bool { return u.Object == s.Object && u.Reason == s.Reason }
		return slices.ContainsFunc(usual, same) || !e.Concerns(s)
	})
	slices.SortStableFunc(all, func(a, b run.Problem) int { return cmp.Compare(weight(b), weight(a)) })
	problems(c.out, c.outTerminal, run.Report{Problems: all[:min(len(all), saidAtMost)], Outcome: run.Partial})
	if more := len(all) - saidAtMost; more > 0 {
		fmt.Fprintf(c.out, "        and %d more\n", more)
	}
}

// weight puts failures before other problems, and these before notices.
func weight(p run.Problem) int {
	switch {
	case p.Failed:
		return 2
	case p.Notice:
		return 0
	}
	return 1
}

// tell runs the demo and says what happens.
func (c *cli) tell(ctx context.Context, d *demo.Demo, once bool) error {
	p := func(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }
	p("fedsite demo: an emulated site and federation on loopback; nothing leaves this machine")
	p("")
	p("%s   %s in %s of %s, and a project that belongs to none", demo.SiteName,
		several(int64(d.VMs), "VMs"), several(int64(d.Projects), "projects"), several(int64(d.VOs()), "VOs"))
	p("present     %s UTC", d.At.Format("2006-01-02 15:04"))
	p("")
	h, err := d.Work(ctx)
	if err != nil {
		return err
	}
	n := func(name string) string { return humanize.Comma(h.Counts[name]) }
	p("1  collect → record → ledger → message → send, %d times over the weeks since %s", h.Runs, h.From.Format("2006-01-02"))
	p("   asked     %s requests to OpenStack, with a token of each project", humanize.Comma(h.Requests))
	p("   kept      %s records new or changed: one per VM and month, the newest", n("records_changed"))
	p("   sent      %s messages with %s records, signed, %s", n("messages_sent"), n("records_sent"), humanize.Bytes(uint64(h.Counts["bytes_sent"])))
	p("")
	if len(h.Episodes) > 0 {
		p("   what went wrong")
		c.episodes(h.Episodes, h.Problems)
	}
	p("2  what it met, and what it said at the last run")
	problems(c.out, c.outTerminal, run.Report{Problems: h.Problems, Outcome: run.Partial})
	for _, s := range d.Smuggled() {
		p("  note  VM %s is called %q: it travels as %s", s.VM[:8], s.Name, s.Wire)
	}
	p("")
	o, err := d.Check(ctx)
	if err != nil {
		return err
	}
	p("3  what the federation ended up with, up to %s UTC, beside what was truly used", o.Until.Format("2006-01-02 15:04"))
	if err := c.sums(o); err != nil {
		return err
	}
	p("")
	if len(o.Wrong) > 0 {
		for _, w := range o.Wrong {
			p("  FAIL  %s", w)
		}
		return &exit{code: run.ExitFailed, err: fmt.Errorf("the federation has not what was used: %d differences", len(o.Wrong))}
	}
	for _, k := range o.Known {
		p("  known  %s", k)
	}
	equal := "truth and accounting server are equal, to the second"
	if len(o.Known) > 0 {
		equal = "truth and accounting server are equal, to the second, but for what is said above"
	}
	p("%s: %d of %d sums; %d messages received, none rejected, nothing left to send", equal, len(o.Sums)-len(o.Known), len(o.Sums), o.Messages)
	p("")
	if err := c.offers(ctx, d, h.Problems, once); err != nil {
		return err
	}
	if err := c.brings(ctx, d); err != nil {
		return err
	}
	if once {
		return nil
	}
	ldap, api, stop, err := d.ServeDocuments(ctx)
	if err != nil {
		return err
	}
	defer stop()
	p("")
	p("serving until Ctrl-C. In a second shell:")
	for _, line := range d.Try() {
		p("  %s", line)
	}
	p("  ldapsearch -x -LLL -H ldap://%s -b o=glue '(objectClass=GLUE2CloudComputingShare)' GLUE2EntityName GLUE2CloudComputingShareTotalVM", ldap)
	p("  curl -s 'http://%s/sites/?include_projects=true'", api)
	d.Serve(ctx)
	return nil
}

// offers publishes what the cloud offers, and shows it. What was said before is not said again.
func (c *cli) offers(ctx context.Context, d *demo.Demo, said []run.Problem, once bool) error {
	p := func(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }
	o, err := d.Publish(ctx)
	if err != nil {
		return err
	}
	p("4  shares → catalog → render → publish: what the cloud offers to each VO, as GLUE 2.1")
	if len(o.Episodes) > 0 {
		p("   what went wrong")
		c.episodes(o.Episodes, said)
	}
	for _, e := range o.Endpoints {
		p("   endpoint  %s, GOCDB %s, health %s", e.EP, cmp.Or(e.GOCDBKey, "does not know it"), e.Health)
		rows := make([][]string, 0, len(e.Shares))
		for _, s := range e.Shares {
			rows = append(rows, []string{"   " + s.VO, s.Name, string(s.State), fmt.Sprint(s.VMs), fmt.Sprint(s.Flavors), fmt.Sprint(s.Images)})
		}
		if err := c.table([]string{"   VO", "PROJECT", "STATE", "VMs", "FLAVORS", "IMAGES"}, rows); err != nil {
			return err
		}
	}
	o.Report.Problems = slices.DeleteFunc(o.Report.Problems, func(q run.Problem) bool {
		return slices.ContainsFunc(said, func(s run.Problem) bool { return s.Object == q.Object && s.Reason == q.Reason })
	})
	problems(c.out, c.outTerminal, o.Report)
	if !once {
		p("   published %s", o.File)
	}
	return nil
}

// brings brings images, shows them, and fails unless they are what was published.
func (c *cli) brings(ctx context.Context, d *demo.Demo) error {
	p := func(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }
	b, err := d.BringImages(ctx)
	if err != nil {
		return err
	}
	p("")
	p("5  list → plan → fetch → verify → upload: the federation's images in Glance")
	for _, r := range b.Runs {
		p("   %s", r.What)
		p("   fedsite   %s: %s", r.Report.Outcome, cmp.Or(strings.Join(r.Did, ", "), "nothing to do"))
		problems(c.out, c.outTerminal, r.Report)
	}
	p("")
	if len(b.Episodes) > 0 {
		p("   what went wrong")
		c.episodes(b.Episodes, nil)
	}
	rows := make([][]string, 0, len(b.Images))
	for _, i := range b.Images {
		rows = append(rows, []string{"   " + i.VO, i.Name, i.Source, i.Version, string(i.State), size(i.Size)})
	}
	if err := c.table([]string{"   VO", "IMAGE", "SOURCE", "VERSION", "STATE", "SIZE"}, rows); err != nil {
		return err
	}
	p("")
	if len(b.Wrong) > 0 {
		for _, w := range b.Wrong {
			p("  FAIL  %s", w)
		}
		return &exit{code: run.ExitFailed, err: fmt.Errorf("images are not as they are published: %d differences", len(b.Wrong))}
	}
	p("what is published and what Glance has are equal, to the byte: %s", several(int64(len(b.Images)), "images"))
	return nil
}

func (c *cli) sums(o demo.Outcome) error {
	rows := make([][]string, 0, len(o.Sums))
	for _, s := range o.Sums {
		diff := "0"
		if !s.Equal() {
			diff = fmt.Sprintf("%+d s wall, %+d s CPU", s.ServerWall-s.TruthWall, s.ServerCPU-s.TruthCPU)
		}
		rows = append(rows, []string{"   " + s.Period, s.VO, fmt.Sprint(s.VMs), hours(s.TruthWall), hours(s.ServerWall), hours(s.TruthCPU), hours(s.ServerCPU), diff})
	}
	return c.table([]string{"   MONTH", "VO", "VMs", "WALL h TRUTH", "SERVER", "CPU h TRUTH", "SERVER", "DIFFERENCE"}, rows)
}

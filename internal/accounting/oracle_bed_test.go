package accounting_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
)

// archive is a store that timelines are run on, one after the other, each as a site of its own.
type archive struct {
	db     *store.Store
	commit func() // called after each commit of a write
}

// openArchive opens a store in memory where the machine has a file system there.
func openArchive(t testing.TB) *archive {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "oracle")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	a := &archive{commit: func() {}}
	a.db, err = store.Open(t.Context(), store.Config{Path: filepath.Join(dir, "fedsite.db"), OnCommit: func(int64) { a.commit() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.db.Close() })
	return a
}

// trial is one timeline being run.
type trial struct {
	*timeline
	archive *archive
	truth   *world.World // with every event
	shown   *world.World // what the cloud shows: without ends that are not visible yet
	unshown []unshownEnd

	cloud  *emulated.Cloud
	wire   *wire
	server *apelserver.Server
	door   *door
	source accounting.Source
	target *accounting.Target

	clock       atomic.Int64 // the cloud's, unix nanoseconds
	skew        time.Duration
	story       []string
	notices     []string                    // what reports said of VMs: "VM id: reason"
	cleanUps    map[string]int              // how often reports that were stored told each clean-up, "VM id: reason"
	excused     bool                        // a clean-up may be told more than once: the database was lost
	sights      []sight                     // undisturbed collections
	ledger      map[string]accounting.Entry // after the last step
	blind       string                      // a wrong pipeline never sees this VM
	commits     int64
	still       bool                                // the clock stands still in a step
	over        func(step, context.CancelCauseFunc) // arms the troubles of another destination than door
	instead     func(step) bool                     // a wrong pipeline's collection; true = done
	done        func(step)                          // called after each step
	sent        *accounting.Archive                 // nil = none
	collections []span                              // when each collection ran, in the host's time
	notFound    bool                                // something that is there was once said not to be
	faults      []string                            // what the trial found wrong
}

// unshownEnd is the end of a VM that the cloud shows later.
type unshownEnd struct {
	vm      string
	visible time.Time
	events  []world.Event
}

// sight is one collection that nothing disturbed.
type sight struct {
	at, done time.Time     // the cloud's time when it began and ended
	skew     time.Duration // how far the host's clock was ahead of the cloud's
	to       time.Time     // the window's end, in the host's time
	projects []string      // empty = all
}

func (tr *trial) wrong(format string, args ...any) {
	if len(tr.faults) < 20 {
		tr.faults = append(tr.faults, fmt.Sprintf(format, args...))
	}
}

func (tr *trial) tell(format string, args ...any) {
	tr.story = append(tr.story, stamp(tr.cloudNow())+"  "+fmt.Sprintf(format, args...))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func (tr *trial) cloudNow() time.Time { return time.Unix(0, tr.clock.Load()).UTC() }

func (tr *trial) hostNow() time.Time { return tr.cloudNow().Add(tr.skew) }

// newTrial builds world, cloud, server and site of a timeline. bend may put a wrong part into the pipeline.
func newTrial(a *archive, tl *timeline, name string, bend func(*trial)) *trial {
	tr := &trial{timeline: tl, archive: a, truth: tl.newWorld(), shown: tl.newWorld(), server: apelserver.New(), cleanUps: map[string]int{}}
	tr.clock.Store(tl.since.UnixNano())
	for _, l := range tl.lives {
		tr.truth.Add(clone(l.vm))
		vm := clone(l.vm)
		if n := len(vm.Events); l.late > 0 && n > 0 && vm.Events[n-1].Kind == world.Delete {
			end := vm.Events[n-1]
			vm.Events = vm.Events[:n-1]
			late := unshownEnd{vm: vm.ID, visible: end.At.Add(l.late), events: []world.Event{end}}
			if l.late > oracleOverlap-oracleSettle { // the row is written when it is committed
				late.events = append(late.events, world.Event{At: late.visible, Kind: world.Reproject})
			}
			tr.unshown = append(tr.unshown, late)
		}
		tr.shown.Add(vm)
	}
	tr.cloud = emulated.New(tr.shown, tr.cloudNow, emulated.Options{Era: tl.era, PageLimit: tl.givePage})
	tr.cloud.SetBase("http://cloud.example.org")
	tr.wire = newWire(tr)
	tr.door = &door{trial: tr, bodies: map[string]string{}}
	cloud := site.Cloud{ID: name, Name: name, ServiceName: "ORACLE-CLOUD", Properties: []string{"VO"}}
	tr.target = &accounting.Target{
		Site: site.Site{ID: name, Name: "ORACLE", Clouds: []site.Cloud{cloud}},
		Settings: accounting.Settings{Mode: site.Active, Previously: tl.previously, Since: tl.since, Overlap: oracleOverlap, Settle: oracleSettle, Charge: tl.charge,
			UserName: accounting.SendName, Machine: accounting.SendName, MaxRecords: tl.perMessage, CloudType: "fedsite/test (OpenStack)"},
		Clouds:       []accounting.CloudTarget{{Cloud: cloud, Parallel: tl.parallel}},
		Destinations: []accounting.Destination{tr.door},
	}
	if tl.previously == accounting.CASO {
		tr.target.Settings.ActiveFrom = tl.since
	}
	tr.restart()
	if bend != nil {
		bend(tr)
	}
	return tr
}

func clone(vm world.VM) world.VM {
	vm.Events = slices.Clone(vm.Events)
	return vm
}

// newWorld is the timeline's cloud without VMs.
func (tl *timeline) newWorld() *world.World {
	w := &world.World{Region: "RegionOne", Flavors: oracleFlavors, Images: []world.Image{
		{ID: "image-1", Name: "img", Visibility: "public"},
		{ID: "image-2", Name: "img2", Visibility: "public", Properties: map[string]string{"vmcatcher_event_ad_mpuri": "https://appdb.egi.eu/store/vo/image/xyz/"}}}}
	roles := func(role string) map[string][]string {
		m := map[string][]string{}
		for _, p := range tl.projects {
			m[p] = []string{role}
		}
		return m
	}
	for i, p := range tl.projects {
		w.Projects = append(w.Projects, world.Project{ID: p, Name: fmt.Sprint("p", i), Properties: map[string]string{"VO": "vo" + p[len(p)-1:]}})
	}
	w.Users = []world.User{
		{ID: "u-reader", Name: "reader", Password: "secret", Roles: roles("reader"), System: []string{"reader"}},
		{ID: "u-plain", Name: "plain", Password: "secret", Roles: roles("reader")},
		{ID: "u-admin", Name: "admin", Password: "secret", Roles: roles("admin")},
		{ID: "u-root", Name: "root", Password: "secret", Roles: roles("admin"), System: []string{"admin"}},
		{ID: "u-one", Name: "user-one@egi.eu", Roles: roles("member")},
		{ID: "u-two", Name: "user-two@egi.eu", Roles: roles("member")},
	}
	return w
}

// restart signs in anew, as a new process does.
func (tr *trial) restart() {
	c, err := openstack.New(openstack.Config{AuthURL: tr.cloud.AuthURL(), HTTP: tr.wire.client(), Now: tr.hostNow, MaxSkew: oracleSettle, PageSize: tr.askPage,
		Credential: func() (openstack.Credential, error) {
			return openstack.Credential{Username: tr.user, Password: "secret"}, nil
		}})
	if err != nil {
		panic(err)
	}
	tr.source = app.CloudSource(c)
	tr.target.Clouds[0].Source = tr.source
}

// show makes ends visible whose time has come.
func (tr *trial) show() {
	tr.unshown = slices.DeleteFunc(tr.unshown, func(l unshownEnd) bool {
		if l.visible.After(tr.cloudNow()) {
			return false
		}
		for _, e := range l.events {
			tr.shown.Happen(l.vm, e)
		}
		return true
	})
}

// meanwhile has the server summarise between two steps, as it does day by day. Two of its runs are never in one instant, as
// two steps may be: what the second one has to clean it does not yet see as stale. And on the first two days of a year it
// spares stale rows of January, which go on the third (spec accounting §3.3); that nobody sent anything then is no reason
// to keep them. Neither is a clean-up to report.
func (tr *trial) meanwhile(was, now time.Time) {
	if next := was.Add(time.Second); next.Before(now) {
		tr.server.Summarise(next)
	}
	third := time.Date(now.Year(), time.January, 3, 0, 0, 0, 0, time.UTC)
	if was.Before(third) && third.Before(now) {
		tr.server.Summarise(third)
	}
}

// play runs the whole timeline.
func (tr *trial) play() {
	for _, s := range tr.steps {
		was := tr.cloudNow()
		tr.clock.Store(max(tr.clock.Load(), s.at.UnixNano()))
		tr.meanwhile(was, tr.cloudNow())
		tr.skew = s.skew
		if s.fresh {
			tr.restart()
		}
		switch {
		case s.final && s.send:
			tr.sendAll(s)
		case s.send:
			tr.sendStep(s)
		default:
			tr.collectStep(s)
		}
		if tr.done != nil {
			tr.done(s)
		}
		if n := tr.archive.db.Commits(); n != tr.commits { // else nothing changed
			tr.commits = n
			tr.inspect()
		}
	}
}

var errKilled = errors.New("killed")

func (tr *trial) deps() accounting.Deps {
	return accounting.Deps{Now: tr.hostNow, DB: tr.archive.db, Log: slog.New(slog.DiscardHandler), Run: run.NewRecorder("oracle", tr.hostNow, nil), Sent: tr.sent}
}

func (tr *trial) collectStep(s step) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	tr.wire.arm(s, cancel)
	tr.armCommit(s, cancel)
	began := tr.cloudNow()
	if tr.instead != nil && tr.instead(s) {
		return
	}
	d := tr.deps()
	err := accounting.Collect(ctx, d, tr.target, s.ask)
	report := d.Run.Finish()
	tr.archive.commit = func() {}
	tr.collections = append(tr.collections, span{began.Add(s.skew), tr.hostNow().Add(time.Second)})
	tr.keep(report)
	tr.tell("collect%s%s: %s%s%s", aboutAsk(s.ask), aboutTrouble(s.trouble, tr.wire.struck), report.Outcome, aboutError(err), problems(report))
	disturbed := tr.wire.struck || ctx.Err() != nil
	tr.notFound = tr.notFound || (tr.wire.struck && s.trouble.kind == "status 404")
	if err != nil && !disturbed {
		tr.wrong("%s: collect failed: %v", stamp(began), err)
	}
	if err == nil && !disturbed && report.Outcome == run.Done && report.Counts["projects_up_to_date"] == 0 {
		to := began.Add(s.skew - oracleSettle)
		if !s.ask.To.IsZero() && s.ask.To.Before(to) {
			to = s.ask.To
		}
		tr.sights = append(tr.sights, sight{at: began, done: tr.cloudNow(), skew: s.skew, to: to, projects: s.ask.Projects})
	}
	if s.final && (err != nil || report.Outcome != run.Done) {
		tr.wrong("the last collection was not complete: %v %s", err, problems(report))
	}
}

// sendAll sends until nothing is left.
func (tr *trial) sendAll(s step) {
	for range 3 {
		if tr.sendStep(s).Counts["messages_sent"] == 0 {
			return
		}
		tr.clock.Add(int64(11 * time.Minute))
	}
	tr.wrong("after three undisturbed sendings there is still something to send")
}

func (tr *trial) sendStep(s step) run.Report {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	tr.door.arm(s, cancel)
	if tr.over != nil {
		tr.over(s, cancel)
	}
	task := "accounting.send/" + tr.target.Site.ID
	if err := tasks.Ensure(ctx, tr.archive.db, task, "", time.UnixMilli(0)); err != nil {
		panic(err)
	}
	var err error
	report, alive, herr := history{tr.archive.db, task, tr.hostNow}.run(ctx, func(ctx context.Context) run.Report {
		tr.armCommit(s, cancel)
		defer func() { tr.archive.commit = func() {} }()
		d := tr.deps()
		err = accounting.Send(ctx, d, tr.target, accounting.Sending{GoActive: true, Parallel: tr.parallel, Attempts: 1 + int(s.seed%2)})
		return d.Run.Finish()
	})
	if herr != nil {
		panic(herr)
	}
	if !alive { // nobody hears of a clean-up that it was about to tell
		report.Problems = slices.DeleteFunc(report.Problems, func(p run.Problem) bool { return strings.HasPrefix(p.Reason, needsCleanUp) })
	}
	tr.keep(report)
	tr.tell("send%s: %s%s%s, %d messages, %d records", aboutTrouble(s.trouble, tr.door.struck), report.Outcome, aboutError(err), problems(report), report.Counts["messages_sent"], report.Counts["records_sent"])
	if err != nil && ctx.Err() == nil {
		tr.wrong("%s: send failed: %v", stamp(tr.cloudNow()), err)
	}
	tr.server.Summarise(tr.cloudNow())
	return report
}

// armCommit ends the step after its n-th commit.
func (tr *trial) armCommit(s step, cancel context.CancelCauseFunc) {
	if s.trouble.kind != "kill after commit" {
		return
	}
	n := 0
	tr.archive.commit = func() {
		if n++; n == s.trouble.nth {
			cancel(errKilled)
		}
	}
}

// keep remembers what a report said of VMs.
func (tr *trial) keep(r run.Report) {
	for _, p := range r.Problems {
		for range max(p.Times, 1) { // a clean-up that is told of two former labels alike is told of both
			tr.notices = append(tr.notices, p.Object+": "+p.Reason)
		}
		if strings.HasPrefix(p.Reason, needsCleanUp) {
			tr.cleanUps[p.Object+": "+p.Reason] += max(p.Times, 1)
		}
	}
}

// needsCleanUp begins what a report says of a stale summary.
const needsCleanUp = "needs clean-up at APEL: "

// noticed tells whether a report said the text of the VM.
func (tr *trial) noticed(vm string, text string) bool {
	return slices.ContainsFunc(tr.notices, func(n string) bool { return strings.HasPrefix(n, "VM "+vm+": ") && strings.Contains(n, text) })
}

func aboutAsk(a accounting.Ask) string {
	text := ""
	if !a.From.IsZero() {
		text += " from " + stamp(a.From)
	}
	if !a.To.IsZero() {
		text += " to " + stamp(a.To)
	}
	if len(a.Projects) > 0 {
		text += " of " + strings.Join(a.Projects, ", ")
	}
	return text
}

func aboutTrouble(t trouble, struck bool) string {
	if t.kind == "" {
		return ""
	}
	if !struck {
		return fmt.Sprintf(" [%s %d]", t.kind, t.nth)
	}
	return fmt.Sprintf(" [%s %d: struck]", t.kind, t.nth)
}

func aboutError(err error) string {
	if err == nil {
		return ""
	}
	return " (" + err.Error() + ")"
}

func problems(r run.Report) string {
	text := ""
	for _, p := range r.Problems {
		text += "\n      " + p.Object + ": " + p.Reason
		if p.Times > 1 {
			text += fmt.Sprintf(" (%d times)", p.Times)
		}
	}
	return text
}

package accounting_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
)

// watches are the clocks of a test: the true time, and by how much this machine's and the cloud's are off.
type watches struct {
	*bed
	truly        time.Time
	ours, theirs atomic.Int64
	said         []run.Problem // by all runs so far
}

// dated gives the cloud's answers the date of its clock; what it shows is what there truly is.
func (w *watches) dated(next http.Handler) http.Handler {
	return w.faults.Middleware(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Date", w.truly.Add(time.Duration(w.theirs.Load())).UTC().Format(http.TimeFormat))
		next.ServeHTTP(rw, r)
	}))
}

func (w *watches) off(ours, theirs time.Duration) {
	w.ours.Store(int64(ours))
	w.theirs.Store(int64(theirs))
	w.clock.mu.Lock()
	w.clock.at = w.truly.Add(ours)
	w.clock.mu.Unlock()
}

// busy is a world in which VMs begin, change and end before and after the run in which a clock is wrong.
func busy() *world.World {
	w := troubled()
	vm(w, id(23), "2024-03-06", on(world.Delete, "2024-03-11T18:00"))
	vm(w, id(24), "2024-03-11T10:00")
	w.Happen(id(2), on(world.Resize, "2024-03-11T12:00", "2"))
	w.Happen(id(3), on(world.Delete, "2024-03-11T00:30"))
	return w
}

// newWatches makes a site whose machine and cloud have clocks of their own.
func newWatches(t *testing.T, fed *federation.Federation) *watches {
	w := &watches{truly: moment("2024-03-10T00:05"), bed: newCloudBed(t, busy(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")}
	w.fed, fed.Server = fed, apelserver.New()
	w.target.Destinations = []accounting.Destination{w.broker("SITE-A")}
	cloud := emulated.New(w.world, func() time.Time { return w.truly }, emulated.Options{Middleware: w.dated})
	srv, err := cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	w.cloud = cloud
	w.target.Clouds[0].Parallel = 1
	return w
}

// at is a run at a true instant: collect and send.
func (w *watches) at(text string) (outcome string) {
	w.truly = moment(text)
	w.off(time.Duration(w.ours.Load()), time.Duration(w.theirs.Load()))
	w.target.Clouds[0].Source = w.sourceAs(openstack.Config{AuthURL: w.cloud.AuthURL(), PageSize: 1000}, openstack.Credential{Username: "reader", Password: "secret"})
	collected := w.collect("")
	sent := w.send()
	w.said = append(w.said, append(slices.Clone(collected.Problems), sent.Problems...)...)
	return fmt.Sprint(collected.Outcome, " ", sent.Outcome)
}

// TestClocksThatJump lets clocks jump by an hour, a day and a month, either way, before a run or in the middle of it, and
// puts them right afterwards. In the end the figures are right, or a run has said of which VM they may not be, or that
// nothing was collected for the clock's sake.
func TestClocksThatJump(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	fed := newBed(t, small(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01").fed // its keys take their time
	for _, by := range []time.Duration{hour, day, 31 * day, -hour, -day, -31 * day} {
		for whose, parts := range map[string][2]time.Duration{"ours": {by, 0}, "the cloud's": {0, by}, "both": {by, by}} {
			for _, when := range []int{0, 4} { // before the run; between sign-in and listing
				t.Run(fmt.Sprintf("%s by %s at %d", whose, by, when), func(t *testing.T) {
					w := newWatches(t, fed)
					runs := []string{w.at("2024-03-10T00:05")}
					if when == 0 {
						w.off(parts[0], parts[1])
					} else {
						w.faults.Add(faults.Fault{Nth: when, Effect: faults.Effect{Do: func() { w.off(parts[0], parts[1]) }}})
					}
					runs = append(runs, w.at("2024-03-11T00:05"))
					if whose != "both" && when == 0 && runs[1] != "failed done" {
						t.Errorf("the clocks differ, and the run is %s", runs[1])
					}
					w.faults.Clear()
					w.off(0, 0)
					for _, at := range []string{"2024-03-11T02:05", "2024-03-12T00:35", "2024-03-13T00:05", "2024-04-12T00:45", "2024-04-13T00:05"} {
						runs = append(runs, w.at(at))
					}
					if last := runs[len(runs)-1]; last != "done done" {
						t.Errorf("the last run is %s", last)
					}
					d := cmp.Diff(truth(w.world, []string{"2024-03", "2024-04"}, moment("2024-04-13")), w.counted())
					if d != "" && !slices.ContainsFunc(w.said, func(p run.Problem) bool {
						return strings.Contains(p.Reason, "vanished") || strings.Contains(p.Reason, "possible error") || strings.Contains(p.Reason, "clock went back")
					}) {
						t.Errorf("runs %q, and nothing was said of this (-truth +server):\n%s\n%+v", runs, d, w.said)
					}
					if d != "" {
						t.Logf("said, and not equal: %s", d)
					}
				})
			}
		}
	}
}

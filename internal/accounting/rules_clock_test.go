package accounting_test

import (
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

// TestRule05ACloudAMinuteAhead collects from a cloud whose clock is a minute ahead, half a minute by that clock after a
// VM was resized, or stopped, so that the listing shows what is dated after it: it counts from the cloud's instant on.
func TestRule05ACloudAMinuteAhead(t *testing.T) {
	const day = 86400
	for name, c := range map[string]struct {
		event     world.Event
		wall, cpu int64 // at 2024-03-10T00:00
	}{
		"resized": {on(world.Resize, "2024-03-05T00:00:30", "2"), 8 * day, (3*day+30)*2 + (5*day-30)*8},
		"stopped": {on(world.Stop, "2024-03-05T00:00:30"), 3*day + 30, (3*day + 30) * 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := small()
			vm(w, id(1), "2024-03-02", c.event)
			b := newCloudBed(t, w, onDisk(t), "2024-03-04T00:05:00Z", "2024-03-01")
			cloud := emulated.New(w, func() time.Time { return b.clock.now().Add(time.Minute) }, emulated.Options{})
			srv, err := cloud.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.Close() })
			b.target.Clouds[0].Source = b.sourceAt(cloud, "reader")
			b.target.Settings.Charge = accounting.Charge{StoppedFree: true}
			for _, at := range []string{"2024-03-04T00:05:00Z", "2024-03-05T00:00:00Z", "2024-03-05T00:03:00Z", "2024-03-10T00:05:00Z"} {
				b.clean(b.collect(at))
				if b.said("VM "+id(1), "flavor") {
					t.Errorf("%s: doubt about the instant: %+v", at, b.last.Problems)
				}
			}
			if r := b.row(id(1), "2024-03"); r.WallDuration != c.wall || r.CPUDuration != c.cpu {
				t.Errorf("wall %d, CPU %d; want %d and %d", r.WallDuration, r.CPUDuration, c.wall, c.cpu)
			}
		})
	}
}

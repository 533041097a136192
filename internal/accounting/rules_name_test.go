package accounting_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/store"
)

// TestRule08ANameThatIsKnownLate says names that were omitted, or could not be read, until then: rows that the server has
// in months that it no longer cleans stay as they are, because with other labels they would be counted twice.
func TestRule08ANameThatIsKnownLate(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		vm(w, id(1), "2024-01-02")
		b := newBed(t, w, cfg, "2024-01-10T00:05:00Z", "2024-01-01")
		b.target.Settings.UserName = accounting.Omit
		for _, at := range []string{"2024-01-10T00:05:00Z", "2024-02-10T00:05:00Z", "2024-03-10T00:05:00Z"} {
			b.clean(b.collect(at))
		}
		b.clean(b.send())
		before := b.wires()
		b.target.Settings.UserName = accounting.SendName
		b.clean(b.collect("2024-04-10T00:05:00Z"))
		b.clean(b.send())
		if b.said("clean-up", "2024-01") || b.said("clean-up", "2024-02") { // March's row got a newer reading, too
			t.Errorf("%+v", b.last.Problems)
		}
		after := b.wires()
		for _, month := range []string{"2024-01", "2024-02"} {
			if d := cmp.Diff(before[id(1)+" "+month], after[id(1)+" "+month]); d != "" {
				t.Errorf("%s was told anew (-before +after):\n%s", month, d)
			}
		}
		if r := b.row(id(1), "2024-04"); r.GlobalUserName != "user-one@egi.eu" {
			t.Errorf("%+v", r)
		}
	})
}

// TestRule08ANameThatIsKnownLateAndWasNeverSent: what no server has takes the name in every month.
func TestRule08ANameThatIsKnownLateAndWasNeverSent(t *testing.T) {
	w := small()
	vm(w, id(1), "2024-01-02")
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-01-01")
	b.target.Settings.UserName = accounting.Omit
	b.clean(b.collect(""))
	b.target.Settings.UserName = accounting.SendName
	b.clean(b.collect("2024-03-11T00:05:00Z"))
	for _, month := range []string{"2024-01", "2024-02", "2024-03"} {
		if r := b.row(id(1), month); r.GlobalUserName != "user-one@egi.eu" {
			t.Errorf("%+v", r)
		}
	}
}

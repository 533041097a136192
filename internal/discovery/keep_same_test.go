package discovery_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/store"
)

// TestSameOffer: what a project is offered is written once for as long as it is the same, and is as old as when it was last
// asked for nevertheless; of what is in trouble, the time at which it was got stays.
func TestSameOffer(t *testing.T) {
	b := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
	first := b.share().Offer
	b.exec(`CREATE TRIGGER locked BEFORE UPDATE OF body ON share_state BEGIN SELECT raise(ABORT, 'it is written again'); END`)
	b.pass(time.Hour)
	second := b.share().Offer
	if d := cmp.Diff(first, second, cmp.Comparer(func(time.Time, time.Time) bool { return true })); d != "" || !second.Images.At.Equal(present.Add(time.Hour)) {
		t.Errorf("%s at %s", d, second.Images.At)
	}
	last, err := discovery.Last(t.Context(), b.deps(), b.target)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(second, b.region(last).Shares[0].Offer); d != "" {
		t.Errorf("read back: %s", d)
	}
	b.fault("image", "", faults.Effect{Status: 503})
	b.pass(time.Hour)
	if _, err := discovery.Take(t.Context(), b.deps(), b.target); err == nil || !strings.Contains(err.Error(), "it is written again") {
		t.Errorf("with trouble: %v", err)
	}
	b.exec(`DROP TRIGGER locked`)
	if o := b.share().Offer; !o.Images.At.Equal(present.Add(time.Hour)) || !o.Flavors.At.Equal(present.Add(2*time.Hour)) {
		t.Errorf("images of %s, flavors of %s", o.Images.At, o.Flavors.At)
	}
}

// exec changes the store by hand.
func (b *bed) exec(statement string) {
	b.t.Helper()
	err := b.db.Write(b.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(statement)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

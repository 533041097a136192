package accounting_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/store"
)

// TestForgettingIsKilled changes the start, and kills the run after each of its transactions in turn. The next run ends
// as if there had been no other: with the new start, and also when the former words were put back.
func TestForgettingIsKilled(t *testing.T) {
	const vms = 1200 // more than one transaction takes
	w := large(vms)
	for name, back := range map[string]bool{"new start": false, "put back": true} {
		each(t, func(t *testing.T, cfg store.Config) {
			t.Run(name, func(t *testing.T) {
				left, kill := -1, context.CancelFunc(nil)
				cfg.OnCommit = func(int64) {
					if left--; left == 0 {
						kill()
					}
				}
				b := newCloudBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
				b.target.Clouds[0].Source = b.sourceAs(openstack.Config{AuthURL: b.cloud.AuthURL(), PageSize: 1000}, openstack.Credential{Username: "reader", Password: "secret"})
				former := b.target.Settings.Since
				b.clean(b.collect(""))
				before := b.wires()
				for kills := 1; ; kills++ {
					b.target.Settings.Since, b.target.Settings.Previously = moment("2024-03-05"), accounting.Nothing
					var ctx context.Context
					ctx, kill = context.WithCancel(t.Context())
					left = kills
					err := accounting.Collect(ctx, b.deps(), b.target, accounting.Ask{})
					left = -1
					kill()
					if err == nil {
						t.Fatalf("not killed by %d", kills)
					}
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
					if started := b.count(`SELECT count(*) FROM accounting_start WHERE previously = 'nothing'`); started > 0 {
						if back && kills != 7 { // windows, those of clouds that are left out now too; VMs and rows, two each; the start
							t.Errorf("%d transactions", kills)
						}
						break // everything before was killed once
					}
					if back {
						b.target.Settings.Since, b.target.Settings.Previously = former, accounting.CASO
						b.clean(b.collect(""))
						if d := cmp.Diff(before, b.wires()); d != "" {
							t.Fatalf("killed after %d, and put back:\n%s", kills, d)
						}
					}
				}
				b.clean(b.collect(""))
				for key, e := range b.records() {
					if r := b.parse(e); r.StartTime != seconds("2024-03-05") || len(b.keys()) != vms {
						t.Fatalf("%s begins %d", key, r.StartTime)
					}
					break
				}
			})
		})
	}
}

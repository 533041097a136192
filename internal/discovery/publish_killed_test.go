package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestKilledAnywhere ends a run of publishing and removing at each delivery and at each commit, before and after it; the
// next run leaves all as if nothing had been. The site has just got another name, says something else, and lost an endpoint.
func TestKilledAnywhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		db := storetest.Open(t, cfg)
		undisturbed := killedAt(t, db, 0)
		if len(undisturbed.held) != 4 || undisturbed.moments < 10 {
			t.Fatalf("%+v", undisturbed)
		}
		step := 1
		if cfg.URL != "" {
			step = 4 // the same, on a database that begins each connection anew
		}
		for n := 1; n <= undisturbed.moments; n += step {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				got := killedAt(t, db, n)
				got.moments = undisturbed.moments
				if diff := cmp.Diff(undisturbed, got, cmp.AllowUnexported(outcome{})); diff != "" {
					t.Errorf("(-undisturbed +killed):\n%s", diff)
				}
			})
		}
	})
}

// outcome is all there is after the runs, but for times.
type outcome struct {
	held, noted, kept []string
	moments           int // at which the run could have been ended
}

// killedAt ends the second of three runs at its nth moment, 0 = not at all. It begins with
// empty tables.
func killedAt(t *testing.T, db *store.Store, n int) outcome {
	t.Helper()
	s, bdii := newShelf("s"), newShelf("bdii")
	d := newDeskOn(t, db, s, plain{bdii})
	d.target.Sinks = append(d.target.Sinks, discovery.NewStore("api", d.db))
	err := d.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM publication`)
		_, err2 := tx.Exec(`DELETE FROM document`)
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	d.publish(everything, d.doc(firstEP, 1), d.doc(secondEP, 1))
	d.clean()
	d.target.Site.Name = "SITE-B"
	now := discovery.Removal{Configured: []discovery.Configured{d.configured(firstEP)}}
	for _, x := range d.target.Sinks {
		now.Sinks = append(now.Sinks, discovery.RemovalSink{Sink: x, Delete: true})
	}
	// One sink after the other, so that moments come in one order.
	sinks := d.target.Sinks
	all := func(ctx context.Context) {
		for _, x := range sinks {
			d.target.Sinks = []discovery.Sink{x}
			if ctx.Err() != nil {
				return
			}
			err := discovery.Publish(ctx, d.deps(), d.target, []discovery.Rendered{d.doc(firstEP, 2)}, everything)
			if err == nil && x == sinks[len(sinks)-1] {
				err = discovery.RemoveGone(ctx, d.deps(), now)
			}
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	}
	ctx, kill := context.WithCancel(t.Context())
	moments := 0
	moment := func() {
		if moments++; moments == n {
			kill()
		}
	}
	s.after = func(string) { moment() }
	bdii.after = s.after
	all(store.Watched(ctx, func(bool) { moment() }))
	kill()
	s.after, bdii.after = nil, nil
	all(t.Context())
	o := outcome{moments: moments, noted: d.rows(3, `SELECT sink, name, replaced FROM publication ORDER BY sink, name`), kept: d.kept()}
	for _, x := range []*shelf{s, bdii} {
		for _, name := range x.names() {
			o.held = append(o.held, fmt.Sprint(x.name, " ", name, " ", len(x.held[name])))
		}
	}
	return o
}

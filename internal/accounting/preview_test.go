package accounting_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/dirq"
	"github.com/fedsite/fedsite/protocol/smime"
)

// preview shows what would be sent, and gives the rows and the report.
func (b *bed) preview() ([]accounting.Planned, run.Report) {
	b.t.Helper()
	d := b.deps()
	plan, err := accounting.Preview(context.Background(), d, b.target, "")
	if err != nil {
		b.t.Fatal(err)
	}
	b.last = d.Run.Finish()
	return plan, b.last
}

// TestPreviewSaysWhatSendWouldMeet spoils what Send looks at before the first message: the preview says the same, and
// asks no server.
func TestPreviewSaysWhatSendWouldMeet(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(b *bed)
		exit  int // of both
		says  []string
	}{
		"nothing": {func(*bed) {}, run.ExitDone, nil},
		"what went before is not said": {func(b *bed) { b.target.Settings.Previously = "" }, run.ExitFailed,
			[]string{"accounting", "accounting.previously"}},
		"two ways to the server": {func(b *bed) { b.target.Destinations = append(b.target.Destinations, &server{name: "other"}) }, run.ExitFailed,
			[]string{"ams and other", "copy: true"}},
		"no certificate": {func(b *bed) {
			b.target.Destinations[0] = b.brokerWith("SITE-A", func(c *accounting.AMSConfig) {
				c.Identity = func() (smime.Identity, error) { return smime.Identity{}, os.ErrNotExist }
			})
		}, run.ExitFailed, []string{"destination ams", "accounting.ams.certificate"}},
		"certificate ended": {func(b *bed) { b.clock.set("2049-01-01T00:00:00Z") }, run.ExitFailed, []string{"destination ams", "renew"}},
		"no token": {func(b *bed) {
			b.target.Destinations[0] = b.brokerWith("SITE-A", func(c *accounting.AMSConfig) {
				c.Token = func() (string, error) { return "", os.ErrNotExist }
			})
		}, run.ExitFailed, []string{"destination ams", "token_file"}},
		"a record that cannot travel": {func(b *bed) {
			err := b.db.Write(context.Background(), func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE ledger SET body = body || $1 WHERE subject = $2`, "caf\u00e9", id(0))
				return err
			})
			if err != nil {
				b.t.Fatal(err)
			}
		}, run.ExitPartial, []string{"outside ASCII"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, crowd(3, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
			b.clean(b.collect(""))
			c.spoil(b)
			asked := len(b.fed.Received())
			plan, r := b.preview()
			if r.Exit() != c.exit || len(plan) != len(b.target.Destinations) {
				t.Errorf("exit %d, %d rows: %+v", r.Exit(), len(plan), r.Problems)
			}
			if c.says != nil {
				b.told(c.says...)
			}
			for _, p := range r.Problems {
				if p.Hint == "" || p.Object == "" {
					t.Errorf("problem without object or hint: %+v", p)
				}
			}
			if n := b.count(`SELECT count(*) FROM message`); n != 0 || len(b.fed.Received()) != asked {
				t.Errorf("%d messages were cut", n)
			}
			if r := b.slowly(); r.Exit() != c.exit {
				t.Errorf("send exits %d: %+v", r.Exit(), r.Problems)
			}
			if c.says != nil {
				b.told(c.says...)
			}
		})
	}
}

// TestPreviewOfASiteThatObserves says what going active asks for, as a notice.
func TestPreviewOfASiteThatObserves(t *testing.T) {
	b := newBed(t, crowd(3, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.target.Settings.Mode, b.target.Settings.Previously = site.Observe, ""
	b.clean(b.collect(""))
	if plan, r := b.preview(); len(plan) != 1 || plan[0].Bytes == 0 || r.Exit() != run.ExitDone {
		t.Errorf("exit %d, %+v", r.Exit(), plan)
	}
	b.told("accounting", "accounting.previously")
}

// TestPreviewOfAQueue looks after a message that waits in a queue, was taken from it, and whose queue is another.
func TestPreviewOfAQueue(t *testing.T) {
	b := newBed(t, crowd(3, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	q := dirq.Queue{Path: filepath.Join(t.TempDir(), "queue")}
	b.target.Destinations[0] = accounting.NewDirq("dirq", q)
	b.clean(b.collect(""))
	b.clean(b.slowly())
	states := func(exit int) []string {
		t.Helper()
		plan, r := b.preview()
		if r.Exit() != exit {
			t.Errorf("exit %d: %+v", r.Exit(), r.Problems)
		}
		var all []string
		for _, p := range plan {
			all = append(all, p.State)
		}
		return all
	}
	waits := []string{"waits in the queue"}
	if d := cmp.Diff(waits, states(run.ExitDone)); d != "" {
		t.Error(d)
	}
	if err := errors.Join(os.Rename(q.Path, q.Path+".away"), os.Mkdir(q.Path, 0o777)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(waits, states(run.ExitFailed)); d != "" {
		t.Error(d)
	}
	b.told("another queue")
	if err := errors.Join(os.Remove(q.Path), os.Rename(q.Path+".away", q.Path)); err != nil {
		t.Fatal(err)
	}
	empty(t, q)
	if d := cmp.Diff([]string{"was taken from the queue"}, states(run.ExitDone)); d != "" {
		t.Error(d)
	}
}

package accounting_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/store"
)

// fill puts n rows of one month, made of one that is there, into the ledger.
func (b *bed) fill(n int) {
	b.t.Helper()
	for from := 0; from < n; from += 1000 {
		err := b.db.Write(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec(`WITH RECURSIVE c(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM c WHERE i + 1 < $2)
				INSERT INTO ledger (site, cloud, kind, subject, period, measured, seen, rev, digest, body, vo, project, parked, labels, wall)
				SELECT site, cloud, kind, 'vm-' || CAST(100000000 + i AS TEXT), period, measured, seen, 1, digest, body, vo, project, parked, labels, wall
				FROM ledger, c WHERE subject = $3`, from, min(from+1000, n), id(0))
			return err
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// BenchmarkCut cuts and settles a large ledger's records, at a destination that costs nothing.
func BenchmarkCut(b *testing.B) {
	for _, rows := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			bed := newCloudBed(b, crowd(1, "2024-03-02"), onDisk(b), "2024-03-10T00:05:00Z", "2024-03-01")
			bed.clean(bed.collect(""))
			bed.fill(rows)
			for n := 0; b.Loop(); n++ {
				bed.target.Destinations = []accounting.Destination{&server{name: fmt.Sprint("copy-", n)}}
				began := time.Now()
				bed.clean(bed.send())
				b.ReportMetric(float64(rows)/time.Since(began).Seconds(), "records/s")
				began = time.Now()
				bed.clean(bed.send())
				b.ReportMetric(time.Since(began).Seconds()*1000, "ms/idle-run")
			}
		})
	}
}

// BenchmarkRecords shows a large ledger that was sent, to two destinations.
func BenchmarkRecords(b *testing.B) {
	bed := newCloudBed(b, crowd(1, "2024-03-02"), onDisk(b), "2024-03-10T00:05:00Z", "2024-03-01")
	bed.clean(bed.collect(""))
	bed.fill(60_000)
	bed.target.Destinations = []accounting.Destination{&server{name: "ams"}, &server{name: "copy"}}
	bed.target.Copies = []string{"copy"}
	bed.clean(bed.send())
	for b.Loop() {
		if n := len(bed.records()); n != 60_001 {
			b.Fatalf("%d rows", n)
		}
	}
}

// TestAMessageAtItsEndLeavesNoList settles messages, some after they were split: their texts and lists are gone, because
// they would only grow, and what was delivered is known all the same.
func TestAMessageAtItsEndLeavesNoList(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newCloudBed(t, crowd(6, "2024-03-02"), cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		dest := &server{name: "ams", judge: func(m accounting.Message) error {
			if m.Records > 2 {
				return &accounting.DeliveryError{Verdict: accounting.TooLarge, Err: errors.New("too large")}
			}
			return nil
		}}
		b.target.Destinations = []accounting.Destination{dest}
		b.clean(b.send())
		if n := b.count(`SELECT count(*) FROM message_record`) + b.count(`SELECT count(*) FROM message WHERE body <> ''`); n != 0 {
			t.Errorf("%d are left", n)
		}
		if n := b.count(`SELECT count(*) FROM delivery d JOIN message m ON m.id = d.message WHERE m.state = 'sent'`); n != 6 {
			t.Errorf("of %d rows it is known in which message they went", n)
		}
		for key, e := range b.records() {
			if e.Sent["ams"] != "yes" {
				t.Errorf("%s: %q", key, e.Sent["ams"])
			}
		}
		if r := b.send(); r.Counts["messages_cut"] != 0 {
			t.Errorf("cut again: %v", r.Counts)
		}
	})
}

// TestAGivenUpMessageMayHaveArrived parks a record after an answer that leaves open whether it was stored, and gives the
// message up. Its row waits until that attempt cannot arrive any more, and an end that is learnt then revises it.
func TestAGivenUpMessageMayHaveArrived(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := lateEnd(t, cfg)
		b.clean(b.collect("2024-03-02T00:05:00Z"))
		march := b.records()[id(1)+" 2024-03"].Wire
		dest := &server{name: "ams", judge: func(m accounting.Message) error {
			if bytes.Contains(m.Body, []byte(march)) {
				return &accounting.DeliveryError{Verdict: accounting.TooLarge, Stored: true, Err: errors.New("500")}
			}
			return nil
		}}
		b.target.Destinations = []accounting.Destination{dest}
		b.send()
		dest.judge = nil
		if n, err := accounting.Unpark(t.Context(), b.db, b.target.Site.ID, dest); n != 1 || err != nil {
			t.Fatalf("%d given up, %v", n, err)
		}
		if e := b.records()[id(1)+" 2024-03"]; e.Sent["ams"] != "no" {
			t.Errorf("shown as %q", e.Sent["ams"])
		}
		b.answers(func(s map[string]any) bool {
			if s["id"] == id(1) {
				s["status"], s["OS-SRV-USG:terminated_at"] = "DELETED", "2024-02-28T00:00:00.000000"
			}
			return true
		})
		b.clean(b.again())
		for _, c := range []struct {
			at   string
			want string
		}{{"2024-03-02T00:14:59Z", "no"}, {"2024-03-02T00:15:00Z", "yes"}} {
			b.clock.set(c.at)
			b.clean(b.send())
			if e := b.records()[id(1)+" 2024-03"]; e.Sent["ams"] != c.want || e.Wall != 18*86400 {
				t.Errorf("%s: %q, %d s", c.at, e.Sent["ams"], e.Wall)
			}
		}
	})
}

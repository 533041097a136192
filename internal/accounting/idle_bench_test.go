package accounting_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// BenchmarkIdleSend is a sending, as it is every five minutes, for which nothing waits: all of a ledger of so many VMs for
// three months has been delivered.
func BenchmarkIdleSend(b *testing.B) {
	for name, cfg := range map[string]func(testing.TB) store.Config{
		"sqlite":   onDisk,
		"postgres": func(t testing.TB) store.Config { return store.Config{URL: storetest.Postgres(t)} },
	} {
		for _, vms := range []int{4_000, 40_000, 400_000} {
			b.Run(fmt.Sprintf("%s/%d-vms", name, vms), func(b *testing.B) { benchmarkIdleSend(b, cfg(b), vms) })
		}
	}
}

func benchmarkIdleSend(b *testing.B, cfg store.Config, vms int) {
	bed := newCloudBed(b, crowd(1, "2024-03-02"), cfg, "2024-03-10T00:05:00Z", "2024-03-01")
	dest := &server{name: "ams"}
	bed.target.Destinations = []accounting.Destination{dest}
	bed.clean(bed.collect(""))
	bed.clean(bed.send())
	const chunk = 20_000
	for from := 0; from < vms; from += chunk {
		for _, period := range []string{"2024-03", "2024-04", "2024-05"} {
			bed.write(`WITH RECURSIVE c(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM c WHERE i + 1 < $2)
				INSERT INTO ledger (site, cloud, kind, subject, period, measured, seen, rev, digest, body, vo, project, labels, wall)
				SELECT site, cloud, kind, 'a0000000-0000-4000-8000-' || CAST(100000000000 + i AS TEXT), $3, measured, seen, 1, digest, body, vo, project, labels, wall
				FROM ledger, c WHERE subject = $4 AND period = '2024-03'`, from, min(from+chunk, vms), period, id(0))
			bed.write(`INSERT INTO delivery (destination, site, cloud, kind, subject, period, rev, wall, message, hold_until)
				SELECT 'ams', site, cloud, kind, subject, period, rev, wall, '000000000000000000000000', 0 FROM ledger
				WHERE site = $1 AND kind = 'cloud' AND period = $2 AND cloud = $3 AND subject >= $4`,
				bed.target.Site.ID, period, bed.target.Clouds[0].Cloud.ID, fmt.Sprintf("a0000000-0000-4000-8000-%d", 100000000000+from))
		}
	}
	if cfg.URL != "" {
		for _, table := range []string{"ledger", "delivery"} { // as autovacuum has done by the next day
			bed.write(`ANALYZE ` + table)
		}
	}
	bed.clean(bed.send())
	sent, commits := len(dest.got), bed.db.Commits()
	for b.Loop() {
		d := bed.deps()
		if err := accounting.Send(context.Background(), d, bed.target, accounting.Sending{Parallel: 4, Attempts: 1}); err != nil {
			b.Fatal(err)
		}
	}
	if len(dest.got) != sent {
		b.Fatalf("%d messages were sent", len(dest.got)-sent)
	}
	b.ReportMetric(float64(bed.db.Commits()-commits)/float64(b.N), "commits/op")
}

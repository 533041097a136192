package accounting_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/federation/broker"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/store"
)

// large is a world of one project with many VMs, 50 users, 40 flavors and 20 images.
func large(vms int) *world.World {
	w := small()
	w.Flavors, w.Images = nil, nil
	for n := range 40 {
		w.Flavors = append(w.Flavors, world.Flavor{ID: fmt.Sprint("flavor-", n), Name: fmt.Sprint("m1.", n), VCPUs: int64(n + 1), RAM: 2048, Disk: 20})
	}
	for n := range 20 {
		w.Images = append(w.Images, world.Image{ID: fmt.Sprint("image-", n), Name: fmt.Sprint("image ", n), Visibility: "public"})
	}
	for n := range 50 {
		w.Users = append(w.Users, world.User{ID: fmt.Sprint("user-", n), Name: fmt.Sprintf("user-%d@egi.eu", n)})
	}
	created := moment("2024-03-02")
	for n := range vms {
		w.Add(world.VM{ID: id(n), Project: project, User: fmt.Sprint("user-", n%50), Name: fmt.Sprint("vm ", n), Flavor: fmt.Sprint("flavor-", n%40), Image: fmt.Sprint("image-", n%20),
			Created: created.Add(time.Duration(n) * time.Second), Events: []world.Event{{At: created.Add(time.Duration(n)*time.Second + time.Minute), Kind: world.Launch}}})
	}
	return w
}

// fullPages collects with pages of 1,000 VMs, as a site does, and counts the nanoseconds that the emulated cloud takes.
func fullPages(t testing.TB, w *world.World, now string) (*bed, *atomic.Int64) {
	b := newCloudBed(t, w, onDisk(t), now, "2024-03-01")
	took := &atomic.Int64{}
	b.cloud = b.serve(w, emulated.Options{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			next.ServeHTTP(w, r)
			took.Add(int64(time.Since(began)))
		})
	}})
	b.target.Clouds[0].Source = b.sourceAs(openstack.Config{AuthURL: b.cloud.AuthURL(), PageSize: 1000}, openstack.Credential{Username: "reader", Password: "secret"})
	return b, took
}

// TestRequestsForUnchangedVMs counts what a run over 1,000 unchanged VMs asks of the cloud: at most twelve requests, and
// one for each user; where listings do not embed flavors, two for each flavor.
func TestRequestsForUnchangedVMs(t *testing.T) {
	b, _ := fullPages(t, large(1000), "2024-03-10T00:05:00Z")
	b.clean(b.collect(""))
	b.cloud.Forget()
	b.clean(b.collect("2024-03-10T01:05:00Z"))
	var users, others []string
	for _, r := range b.cloud.Requests() {
		if strings.Contains(r.Path, "/v3/users/") {
			users = append(users, r.Path)
		} else {
			others = append(others, r.Method+" "+r.Path)
		}
	}
	t.Logf("%d requests for users, %d others", len(users), len(others))
	most := 12
	if era.NovaMinor < 47 {
		most += 2 * 40
	}
	if len(users) != 50 || len(others) > most {
		t.Errorf("%d requests for 50 users, and %d others:\n%s", len(users), len(others), strings.Join(others, "\n"))
	}
	if b.last.Counts["records_changed"] != 1000 {
		t.Errorf("%v", b.last.Counts)
	}
}

// BenchmarkCollectUnchanged collects 1,000 VMs, to which nothing happened, an hour later.
func BenchmarkCollectUnchanged(b *testing.B) {
	bed, took := fullPages(b, large(1000), "2024-03-10T00:05:00Z")
	bed.clean(bed.collect(""))
	bed.cloud.Forget()
	took.Store(0)
	at := moment("2024-03-10T00:05")
	commits := bed.db.Commits()
	for b.Loop() {
		at = at.Add(time.Minute) // in one month, however often
		bed.clean(bed.collect(at.Format("2006-01-02T15:04:05Z")))
	}
	b.ReportMetric(float64(len(bed.cloud.Requests()))/float64(b.N), "requests/op")
	b.ReportMetric(float64(bed.db.Commits()-commits)/float64(b.N), "commits/op")
	b.ReportMetric(float64(took.Load())/1e6/float64(b.N), "cloud-ms/op")
}

// BenchmarkCollect collects 10,000 VMs for the first time; the emulated cloud's share of the time is given beside.
func BenchmarkCollect(b *testing.B) {
	const vms = 10_000
	w := large(vms)
	bed, took := fullPages(b, w, "2024-03-10T00:05:00Z")
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		db, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), fmt.Sprint(n))})
		if err != nil {
			b.Fatal(err)
		}
		before := bed.db
		bed.db = db
		b.StartTimer()
		bed.clean(bed.collect(""))
		b.StopTimer()
		bed.db = before
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(vms*float64(n)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(took.Load())/1e6/float64(n), "cloud-ms/op")
}

// BenchmarkSend cuts, signs and sends messages of 100 records; one message is one operation. Beside it, in the same run,
// stand as many bare RSA-2048 signatures and twice as many commits of the same store, and the ratio of the times. The
// second ledger is that of a large site's month, sent as a whole.
func BenchmarkSend(b *testing.B) {
	for _, messages := range []int{10, 1000} {
		b.Run(fmt.Sprintf("%d-records", 100*messages), func(b *testing.B) { benchmarkSend(b, messages, nil) })
		b.Run(fmt.Sprintf("%d-records-archived", 100*messages), func(b *testing.B) {
			benchmarkSend(b, messages, accounting.OpenArchive(filepath.Join(b.TempDir(), "sent")))
		})
	}
}

func benchmarkSend(b *testing.B, messages int, archive *accounting.Archive) {
	const collected = 1000 // the other records are copies of theirs
	bed := newBed(b, large(collected), onDisk(b), "2024-03-10T00:05:00Z", "2024-03-01")
	bed.fed.Broker.OnStored(func(broker.Stored) {}) // the receiver's work is not ours
	bed.clean(bed.collect(""))
	bed.copyLedger(collected, 100*messages)
	sent := 0
	var spent time.Duration
	commits := int64(0)
	b.ReportAllocs()
	b.ResetTimer()
	for sent < b.N {
		b.StopTimer()
		bed.write(`UPDATE ledger SET rev = rev + 1`)
		d, before, began := bed.deps(), bed.db.Commits(), time.Now()
		d.Sent = archive
		b.StartTimer()
		if err := accounting.Send(b.Context(), d, bed.target, accounting.Sending{GoActive: true, Parallel: 4, Attempts: 1}); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(began)
		commits += bed.db.Commits() - before
		r := d.Run.Finish()
		bed.clean(r)
		if n := r.Counts["messages_sent"]; n != int64(messages) {
			b.Fatalf("%d messages were sent, of %d", n, messages)
		}
		sent += messages
	}
	b.StopTimer()
	signing, committing := bare(b, bed, min(sent, 1000))
	n := float64(min(sent, 1000))
	each := spent.Seconds() / float64(sent)
	b.ReportMetric(1/each, "messages/s")
	b.ReportMetric(n/signing.Seconds(), "signatures/s")
	b.ReportMetric(2*n/committing.Seconds(), "commits/s")
	b.ReportMetric(float64(commits)/float64(sent), "commits/message")
	b.ReportMetric(each*n/(signing+committing).Seconds(), "times-bare")
}

// bare measures n signatures and 2n commits, one after the other.
func bare(b *testing.B, bed *bed, n int) (signing, committing time.Duration) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("a message"))
	began := time.Now()
	for range n {
		if _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]); err != nil {
			b.Fatal(err)
		}
	}
	signing = time.Since(began)
	began = time.Now()
	for i := range 2 * n {
		bed.write(`INSERT INTO audit (id, at, who, action, object, origin) VALUES ($1, 0, '', '', '', '')`, fmt.Sprint(i))
	}
	return signing, time.Since(began)
}

// copyLedger makes a ledger of that many rows out of one whose subjects are the ids from 0 up to have: the rows again and
// again, with ids that go on.
func (b *bed) copyLedger(have, want int) {
	var columns []string
	err := b.db.Read(context.Background(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT * FROM ledger LIMIT 0`)
		if err != nil {
			return err
		}
		defer rows.Close()
		columns, err = rows.Columns()
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	values := strings.Join(columns, ", ")
	fresh := "$1 || substr(subject, 6)"
	values = strings.Replace(values, "subject", fresh, 1)
	values = strings.Replace(values, "body", "replace(body, subject, "+fresh+")", 1)
	for n := have; n < want; n += have {
		b.write(`INSERT INTO ledger (`+strings.Join(columns, ", ")+`) SELECT `+values+` FROM ledger WHERE subject < $2`, fmt.Sprintf("%05d", n/1000), id(have))
	}
}

// write runs one statement as a transaction of its own.
func (b *bed) write(statement string, args ...any) {
	err := b.db.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(statement, args...)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

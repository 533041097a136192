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
// one for each user.
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
	if len(users) != 50 || len(others) > 12 {
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
// stand as many bare RSA-2048 signatures and twice as many commits of the same store, and the ratio of the times.
func BenchmarkSend(b *testing.B) {
	const messages = 10
	bed := newBed(b, large(100*messages), onDisk(b), "2024-03-10T00:05:00Z", "2024-03-01")
	bed.fed.Broker.OnStored(func(broker.Stored) {}) // the receiver's work is not ours
	bed.clean(bed.collect(""))
	again := func() {
		err := bed.db.Write(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE ledger SET rev = rev + 1`)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	sent := 0
	var spent time.Duration
	commits := int64(0)
	b.ResetTimer()
	for sent < b.N {
		b.StopTimer()
		again()
		d, before, began := bed.deps(), bed.db.Commits(), time.Now()
		b.StartTimer()
		if err := accounting.Send(b.Context(), d, bed.target, accounting.Sending{Parallel: 4, Attempts: 1}); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(began)
		commits += bed.db.Commits() - before
		r := d.Run.Finish()
		bed.clean(r)
		sent += int(r.Counts["messages_sent"])
	}
	b.StopTimer()
	signing, committing := bare(b, bed, sent)
	per := func(d time.Duration, n int) float64 { return float64(n) / d.Seconds() }
	b.ReportMetric(per(spent, sent), "messages/s")
	b.ReportMetric(per(signing, sent), "signatures/s")
	b.ReportMetric(per(committing, 2*sent), "commits/s")
	b.ReportMetric(float64(commits)/float64(sent), "commits/message")
	b.ReportMetric(float64(spent)/float64(signing+committing), "times-bare")
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
		err := bed.db.Write(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO audit (id, at, who, action, object, origin) VALUES ($1, 0, '', '', '', '')`, fmt.Sprint(i))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return signing, time.Since(began)
}

package accounting_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/store"
)

// archivedTexts gives what the files of an archive unpack to.
func archivedTexts(t testing.TB, dir string) (texts []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		in, err := os.Open(f)
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
		_ = in.Close()
	}
	return texts
}

// months of TestRetain: one that lives on, one that ended early, one that is never sent to the end.
func TestRetain(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		dir := t.TempDir()
		w := small()
		vm(w, id(1), "2024-01-05")
		vm(w, id(2), "2024-01-10", on(world.Delete, "2024-03-20"))
		vm(w, id(3), "2024-01-15", on(world.Delete, "2024-01-20"))
		b := newBed(t, w, cfg, "2024-02-01T00:05:00Z", "2024-01-01")
		b.sent = accounting.OpenArchive(dir)
		for month := 2; month <= 12; month++ {
			b.clean(b.collect(fmt.Sprintf("2024-%02d-02T00:05:00Z", month)))
			b.clean(b.send())
		}
		b.fed.Server.Summarise(b.clock.now())
		server := fmt.Sprint(b.fed.Server.Monthly())
		want := map[string]accounting.Sum{}
		for _, m := range b.fed.Server.Monthly() {
			s := want[m.Period]
			s.Wall, s.CPU = s.Wall+m.Wall, s.CPU+m.CPU
			want[m.Period] = s
		}
		retain := func(before string) accounting.Retained {
			t.Helper()
			r, err := accounting.Retain(t.Context(), b.deps(), moment(before))
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		r := retain("2024-06-15")
		if r.Records != 9 || r.VMs != 2 || r.Staying != 0 || !slices.Equal(r.Archives, []string{"2024-02", "2024-03", "2024-04", "2024-05"}) || r.Messages == 0 {
			t.Errorf("%+v", r)
		}
		if r := retain("2024-06-15"); r.Records+r.VMs+r.Messages != 0 || len(r.Archives) > 0 {
			t.Errorf("a second time: %+v", r)
		}
		sums, err := accounting.Sums(t.Context(), b.db, b.target.Site.ID)
		if err != nil || len(sums) != 5 {
			t.Fatalf("%+v, %v", sums, err)
		}
		for _, s := range sums {
			if w := want[s.Period]; s.Wall != w.Wall || s.CPU != w.CPU || s.VO != "ops" {
				t.Errorf("%s: wall %d, CPU %d; the server has %d and %d", s.Period, s.Wall, s.CPU, w.Wall, w.CPU)
			}
		}
		if keys := b.keys(); slices.Contains(keys, id(3)+" 2024-01") || slices.Contains(keys, id(1)+" 2024-04") || !slices.Contains(keys, id(1)+" 2024-06") {
			t.Errorf("%v", keys)
		}
		if rec := b.row(id(1), "2024-05"); rec.MachineName != "" || rec.LocalUserID != "" || rec.WallDuration == 0 {
			t.Errorf("what stays of May names a person: %+v", rec)
		}
		if b.fed.Server.Summarise(b.clock.now()); fmt.Sprint(b.fed.Server.Monthly()) != server {
			t.Error("the server was told something")
		}
		sent := len(b.fed.Received())
		b.clean(b.collect("2025-01-02T00:05:00Z"))
		b.clean(b.send())
		if n := len(b.fed.Received()) - sent; n != 1 || b.last.Counts["records_sent"] != 2 {
			t.Errorf("%d messages, %v", n, b.last.Counts)
		}
		b.clean(b.collect("2025-04-02T00:05:00Z"))
		b.clean(b.send())
		if r := retain("2025-01-15"); r.Records != 7 || r.Staying != 0 {
			t.Errorf("%+v", r)
		}
		sums, err = accounting.Sums(t.Context(), b.db, b.target.Site.ID)
		if err != nil || len(sums) != 12 || sums[11].Wall != 31*24*3600 {
			t.Errorf("%+v, %v", sums, err)
		}
	})
}

// TestRetainKeeps: rows that were not sent, or that a late end may revise, stay however old they are.
func TestRetainKeeps(t *testing.T) {
	w := small()
	vm(w, id(1), "2024-01-05")
	b := newBed(t, w, onDisk(t), "2024-02-01T00:05:00Z", "2024-01-01")
	retain := func(before string) accounting.Retained {
		t.Helper()
		r, err := accounting.Retain(t.Context(), b.deps(), moment(before))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	b.clean(b.collect(""))
	b.clean(b.collect("2024-06-02T00:05:00Z"))
	if r := retain("2024-05-15"); r.Records != 0 || r.Staying != 4 {
		t.Errorf("nothing was sent: %+v", r)
	}
	b.clean(b.send())
	if r := retain("2024-05-15"); r.Records != 0 || r.Staying != 4 {
		t.Errorf("its end may lie in one of these months: %+v", r)
	}
	b.clean(b.collect("2024-09-02T00:05:00Z"))
	b.write(`UPDATE delivery SET rev = rev - 1 WHERE period = '2024-04'`)
	if r := retain("2024-05-15"); r.Records != 3 || r.Staying != 1 {
		t.Errorf("April waits: %+v", r)
	}
	b.clean(b.send())
	if r := retain("2024-05-15"); r.Records != 1 || r.Staying != 0 {
		t.Errorf("%+v", r)
	}
}

package accounting

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// archivedAt is an entry of November 2026 with a text of that length.
func archivedAt(n int, text string) Archived {
	return Archived{Message: fmt.Sprintf("%024d", n), Name: fmt.Sprint("name-", n), Destination: "ams", Site: "site-a-01", SiteName: "SITE-A",
		Clouds: map[string]string{"cloud-a-01": "main"}, Kind: KindCloud, Remote: fmt.Sprint(n), At: time.Date(2026, 11, 5, 0, 0, n, 0, time.UTC).Unix(),
		Start:   ArchivedStart{Since: 1, Previously: Nothing, ActiveFrom: 2},
		Records: []ArchivedRecord{{Cloud: "cloud-a-01", VM: "vm", Period: "2026-11", Revision: int64(n), Seen: 7, Flavor: "m1", State: "ACTIVE"}}, Text: text}
}

func readAll(t *testing.T, path string) (all []Archived, torn []Torn) {
	t.Helper()
	torn, err := readArchive(path, func(e Archived) error { all = append(all, e); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return all, torn
}

// TestArchiveTorn cuts a file at every byte of its last entry, as a killed process or a full disk leaves it, and appends
// after it: every whole entry is read, and what is torn is told.
func TestArchiveTorn(t *testing.T) {
	dir := t.TempDir()
	a := OpenArchive(filepath.Join(dir, "sent"))
	var want []Archived
	for n := range 3 {
		e := archivedAt(n, strings.Repeat(fmt.Sprint("text ", n, "\n"), 50))
		want = append(want, e)
		if err := a.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(a.Dir, "2026-11", "site-a-01.gz")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, torn := readAll(t, path)
	if d := cmp.Diff(want, got); d != "" || torn != nil {
		t.Fatalf("%s, torn %v", d, torn)
	}
	last, err := encodeMember(want[2])
	if err != nil {
		t.Fatal(err)
	}
	more, err := encodeMember(archivedAt(3, "more"))
	if err != nil {
		t.Fatal(err)
	}
	for lost := 1; lost <= len(last); lost++ {
		file := filepath.Join(dir, "torn.gz")
		cut := whole[:len(whole)-lost]
		if err := os.WriteFile(file, cut, 0o600); err != nil {
			t.Fatal(err)
		}
		got, torn := readAll(t, file)
		if len(got) != 2 || (lost < len(last)) != (len(torn) == 1) {
			t.Fatalf("%d bytes lost: %d entries, torn %v", lost, len(got), torn)
		}
		if err := os.WriteFile(file, append(bytes.Clone(cut), more...), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, torn = readAll(t, file); len(got) != 3 || got[2].Text != "more" || (lost < len(last)) != (len(torn) == 1) {
			t.Fatalf("%d bytes lost, then appended: %d entries, torn %v", lost, len(got), torn)
		}
	}
	zeros := append(append(bytes.Clone(whole), make([]byte, 200_000)...), more...) // what some file systems leave after a power cut
	file := filepath.Join(dir, "zeros.gz")
	if err := os.WriteFile(file, zeros, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, torn := readAll(t, file); len(got) != 4 || len(torn) != 1 || torn[0].Bytes != 200_000 {
		t.Errorf("%d entries, torn %v", len(got), torn)
	}
	for i := range whole { // one damaged byte spoils one entry at most
		bad := bytes.Clone(whole)
		bad[i] ^= 0x5a
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _ := readAll(t, file); len(got) < 2 {
			t.Fatalf("byte %d is damaged: %d entries", i, len(got))
		}
	}
}

// TestArchiveIsPlainGzip: what any program reads that knows gzip, zcat for one.
func TestArchiveIsPlainGzip(t *testing.T) {
	a := OpenArchive(t.TempDir())
	for n := range 2 {
		if err := a.Append(archivedAt(n, fmt.Sprintf("APEL-cloud-message: v0.4\nVMUUID: %d\n", n))); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(filepath.Join(a.Dir, "2026-11", "site-a-01.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(unpacked)
	if err != nil || !strings.Contains(string(out), "VMUUID: 0\n{") || !strings.HasSuffix(string(out), "VMUUID: 1\n") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestArchiveOfManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for range 2 { // two processes
		a := OpenArchive(dir)
		for n := range 100 {
			group.Go(func() {
				if err := a.Append(archivedAt(n, strings.Repeat("x", n*100))); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	got, torn := readAll(t, filepath.Join(dir, "2026-11", "site-a-01.gz"))
	if len(got) != 200 || torn != nil {
		t.Errorf("%d entries, torn %v", len(got), torn)
	}
	for _, path := range []string{"2026-11", filepath.Join("2026-11", "site-a-01.gz")} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestArchiveOfASite(t *testing.T) {
	a := OpenArchive(t.TempDir())
	has := func(id string, names ...string) bool {
		t.Helper()
		found, err := a.Holds(id, names...)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if has("site-a-01", "SITE-A") {
		t.Error("an archive that is not there has something")
	}
	if err := a.Append(archivedAt(1, "")); err != nil {
		t.Fatal(err)
	}
	if !has("site-a-01") || !has("other", "B", "SITE-A") || has("other", "B") {
		t.Error("it does not know its site")
	}
	b := OpenArchive(t.TempDir())
	if err := b.Hold(archivedAt(1, "")); err != nil {
		t.Fatal(err)
	}
	a = b
	if !has("site-a-01") {
		t.Error("a message on its way does not count")
	}
	for range 2 {
		if err := b.Drop(archivedAt(1, "").Message); err != nil {
			t.Error(err)
		}
	}
	if has("site-a-01") {
		t.Error("it was dropped")
	}
}

func TestArchiveThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := OpenArchive(filepath.Join(file, "sent"))
	for what, err := range map[string]error{"append": a.Append(archivedAt(1, "")), "hold": a.Hold(archivedAt(1, ""))} {
		if err == nil || !strings.Contains(err.Error(), "archive of sent messages: ") || !strings.Contains(err.Error(), "sent") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if de, ok := errors.AsType[*DeliveryError](unarchived(io.ErrShortWrite)); !ok || de.Hint == "" {
		t.Error("no hint")
	}
}

func FuzzReadArchive(f *testing.F) {
	one, err := encodeMember(archivedAt(1, "text"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(one)
	f.Add(append(one[:len(one)-3], one...))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "f.gz")
		if err := os.WriteFile(file, append(data, one...), 0o600); err != nil {
			t.Fatal(err)
		}
		var last Archived
		if _, err := readArchive(file, func(e Archived) error { last = e; return nil }); err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 && last.Text != "text" {
			t.Error("the entry is lost")
		}
	})
}

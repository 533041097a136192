package accounting_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
)

// TestArchiveCannotBeWritten: what cannot be noted does not go out; what cannot be archived is not settled, goes again, and
// is the same records to the server.
func TestArchiveCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	w := small()
	vm(w, id(1), "2024-03-02")
	b := newBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.sent = accounting.OpenArchive(dir)
	blocks := func(name string) func() {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	free := blocks("open")
	if r := b.send(); r.Outcome != run.Failed || len(b.fed.Received()) != 0 {
		t.Errorf("%+v", r)
	}
	b.told("archive of sent messages", "make room, or mend the rights")
	free()
	free = blocks("2024-03")
	if r := b.send(); r.Outcome != run.Failed || len(b.fed.Received()) != 1 {
		t.Errorf("%+v, %d messages", r, len(b.fed.Received()))
	}
	if e := b.records()[id(1)+" 2024-03"]; e.Sent["ams"] == "yes" {
		t.Error("it is settled, and not in the archive")
	}
	free()
	b.clean(b.send())
	if e := b.records()[id(1)+" 2024-03"]; e.Sent["ams"] != "yes" || len(b.fed.Received()) != 2 || len(b.fed.Server.Kept()) != 1 {
		t.Errorf("%v, %d messages, %d records", e.Sent, len(b.fed.Received()), len(b.fed.Server.Kept()))
	}
	if left, err := os.ReadDir(filepath.Join(dir, "open")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestRebuildFromSeveralNodes: two nodes have sent by turns. With one of the archives rebuild says that messages are
// missing; with both all is there.
func TestRebuildFromSeveralNodes(t *testing.T) {
	nodes := []*accounting.Archive{accounting.OpenArchive(t.TempDir()), accounting.OpenArchive(t.TempDir())}
	w := small()
	vm(w, id(1), "2024-03-02")
	vm(w, id(2), "2024-03-03", on(world.Delete, "2024-03-09"))
	b := newBed(t, w, onDisk(t), "2024-03-08T00:05:00Z", "2024-03-01")
	for i, at := range []string{"2024-03-08T00:05:00Z", "2024-03-10T00:05:00Z", "2024-03-11T00:05:00Z", "2024-03-12T00:05:00Z"} {
		b.sent = nodes[i%2]
		b.clean(b.collect(at))
		b.clean(b.send())
	}
	want, server := b.wires(), len(b.fed.Received())
	for n, archives := range [][]*accounting.Archive{{nodes[1]}, nodes} {
		for _, table := range []string{"message_record", "message", "ledger", "vm", "delivery", "accounting_start", "collected"} {
			b.write(`DELETE FROM ` + table)
		}
		d := b.deps()
		all, err := accounting.Rebuild(t.Context(), d, []*accounting.Target{b.target}, archives, false)
		if err != nil {
			t.Fatal(err)
		}
		b.last = d.Run.Finish()
		if n == 0 {
			if all[0].Missing != 2 || all[0].Windows != 0 {
				t.Errorf("%+v", all[0])
			}
			b.told("at least 2 of the last messages are in none of these directories", "name the directories of all nodes")
			continue
		}
		b.clean(b.last)
		if all[0].Missing != 0 || all[0].Windows != 1 || all[0].Messages != 4 {
			t.Errorf("%+v", all[0])
		}
	}
	got := b.wires()
	for key, text := range want {
		if got[key] != text {
			t.Errorf("%s: %q, want %q", key, got[key], text)
		}
	}
	b.clean(b.send())
	if n := len(b.fed.Received()) - server; n != 0 {
		t.Errorf("%d messages were sent again", n)
	}
	if _, err := accounting.Rebuild(t.Context(), b.deps(), []*accounting.Target{b.target}, []*accounting.Archive{accounting.OpenArchive(filepath.Join(t.TempDir(), "none"))}, false); errors.Is(err, os.ErrNotExist) {
		t.Errorf("an archive that has nothing: %v", err)
	}
}

package accounting_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/store"
)

// persons is a world with VMs of two users, of whom one has left: his VMs ended.
func persons() *world.World {
	w := small()
	w.Users = append(w.Users, world.User{ID: "u-two", Name: "user-two@egi.eu"})
	vm(w, id(1), "2024-03-02", on(world.Delete, "2024-03-20"))
	at := moment("2024-03-03")
	w.Add(world.VM{ID: id(2), Project: project, User: "u-two", Name: "vm-" + id(2), Flavor: "1", Image: "image-1", Created: at, Events: []world.Event{{At: at.Add(time.Minute), Kind: world.Launch}}})
	return w
}

// texts gives all that the database has, and the archive, as one text.
func (b *bed) texts(dir string) string {
	b.t.Helper()
	var all strings.Builder
	err := b.db.Read(context.Background(), func(tx *store.Tx) error {
		for _, query := range []string{`SELECT body FROM ledger`, `SELECT body FROM message`, `SELECT user_id || ' ' || user_name || ' ' || name FROM vm`, `SELECT coalesce(report, '') FROM run`} {
			rows, err := tx.Query(query)
			if err != nil {
				return err
			}
			for rows.Next() {
				var text string
				if err := rows.Scan(&text); err != nil {
					return err
				}
				all.WriteString(text + "\n")
			}
			if err := rows.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, text := range archivedTexts(b.t, dir) {
		all.WriteString(text)
	}
	return all.String()
}

func TestErase(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		dir := t.TempDir()
		b := newBed(t, persons(), cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.sent = accounting.OpenArchive(dir)
		b.clean(b.collect(""))
		b.clean(b.send())
		b.collect("2024-04-02T00:05:00Z")
		b.clean(b.send())
		b.collect("2024-04-03T00:05:00Z")
		b.write(`INSERT INTO run (task, fence, cause, node, started, report) VALUES ('x', 1, '', '', 0, '{"object":"user u-one"}')`)
		before := b.texts(dir)
		rows, keys := b.revisions(), b.keys()

		for _, subject := range []string{"u-one", "user-one@egi.eu"} {
			if era.SystemScope || subject == "u-one" {
				p, err := accounting.Locate(t.Context(), b.deps(), subject)
				if err != nil || p.VMs != 1 || p.Living != 0 || p.Records != 1 || p.Sent != 1 || len(p.Archives) != 2 || !slices.Contains(p.Names, "u-one") || (p.Runs != 1) || !slices.Equal(p.Months, []string{"2024-03"}) {
					t.Errorf("%s: %+v, %v", subject, p, err)
				}
			}
		}
		if after := b.texts(dir); after != before {
			t.Error("looking changed something")
		}
		if p, err := accounting.Locate(t.Context(), b.deps(), "nobody"); err != nil || p.Found() {
			t.Errorf("%+v, %v", p, err)
		}
		for range 2 { // a second time there is nothing
			if _, err := accounting.Erase(t.Context(), b.deps(), "u-one"); err != nil {
				t.Fatal(err)
			}
		}
		after := b.texts(dir)
		for _, word := range []string{"u-one", "user-one", "vm-" + id(1)} {
			if strings.Contains(after, word) || !strings.Contains(before, word) && (era.SystemScope || word != "user-one") {
				t.Errorf("%q is still there, or never was", word)
			}
		}
		if !strings.Contains(after, "u-two") || !strings.Contains(after, "vm-"+id(2)) {
			t.Error("somebody else was erased")
		}
		if d := cmp.Diff(rows, b.revisions()); d != "" || !slices.Equal(keys, b.keys()) {
			t.Errorf("revisions changed: %s", d)
		}
		server := len(b.fed.Received())
		b.again()
		if b.clean(b.send()); len(b.fed.Received()) > server+1 {
			t.Error("erasing sent records again")
		}
		for _, r := range b.fed.Server.Kept() {
			if r.VMUUID == id(1) && r.LocalUserID == accounting.Erased {
				t.Error("what the server has was changed")
			}
		}
		lost := b.rebuilt(dir)
		if strings.Contains(lost, "u-one") {
			t.Error("a rebuild brought the person back")
		}
	})
}

// rebuilt empties the ledger, rebuilds it from the archive, and gives all that the database has then.
func (b *bed) rebuilt(dir string) string {
	b.t.Helper()
	for _, table := range []string{"message_record", "message", "ledger", "vm", "delivery", "accounting_start", "collected"} {
		b.write(`DELETE FROM ` + table)
	}
	d := b.deps()
	if _, err := accounting.Rebuild(b.t.Context(), d, []*accounting.Target{b.target}, []*accounting.Archive{accounting.OpenArchive(dir)}, false); err != nil {
		b.t.Fatal(err)
	}
	b.clean(d.Run.Finish())
	return b.texts(dir)
}

// TestEraseOfAMessageOnItsWay: an unsettled message and its note in the archive lose the person, and it is delivered then.
func TestEraseOfAMessageOnItsWay(t *testing.T) {
	dir := t.TempDir()
	b := newBed(t, persons(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.sent = accounting.OpenArchive(dir)
	b.collect("")
	b.target.Destinations = []accounting.Destination{refusing{}}
	b.send()
	p, err := accounting.Erase(t.Context(), b.deps(), "u-one")
	if err != nil || p.Messages != 1 || p.Living != 1 || len(p.Archives) != 1 || filepath.Base(filepath.Dir(p.Archives[0])) != "open" {
		t.Fatalf("%+v, %v", p, err)
	}
	if text := b.texts(dir); strings.Contains(text, "u-one") || strings.Contains(text, "user-one") {
		t.Error("the person is still there")
	}
	b.target.Destinations = []accounting.Destination{b.broker("SITE-A")}
	b.clock.set("2024-03-10T00:30:00Z")
	b.target.Destinations = []accounting.Destination{renamed{b.target.Destinations[0]}}
	b.clean(b.send())
	if n := len(b.fed.Server.Kept()); n != 2 {
		t.Errorf("the server has %d records", n)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "open")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// refusing takes no message; renamed takes those that were cut for it.
type refusing struct{}

func (refusing) Name() string  { return "door" }
func (refusing) MaxBytes() int { return 0 }

func (refusing) Seal(m accounting.Message, _ time.Time) ([]byte, error) { return m.Body, nil }

func (refusing) Gone(context.Context, accounting.Message) (bool, error) { return false, nil }

func (refusing) Deliver(context.Context, accounting.Message, []byte) (accounting.Receipt, error) {
	return accounting.Receipt{}, &accounting.DeliveryError{Verdict: accounting.Refused, Err: os.ErrPermission}
}

type renamed struct{ accounting.Destination }

func (renamed) Name() string { return "door" }

func TestEraseNobody(t *testing.T) {
	b := newCloudBed(t, small(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	for _, subject := range []string{"", " ", accounting.Erased} {
		if _, err := accounting.Erase(t.Context(), b.deps(), subject); err == nil {
			t.Errorf("%q was erased", subject)
		}
	}
}

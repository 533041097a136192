package app_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
)

// TestImages: from a signed list into Glance, in every era: add, nothing to do, replace, withdraw, an older list, a lost
// database.
func TestImages(t *testing.T) {
	for _, era := range emulated.Eras() {
		t.Run(era.Name, func(t *testing.T) {
			f := newFarm(t, era)
			f.more = "  sources: [{name: appdb, list: \"" + f.URL + "/list\", endorser: {dn: /DC=EU/DC=EGI/C=NL/O=Hosts/O=EGI.eu/CN=appdb.example.org}}]\n"
			u1, u2, u3 := disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id2, "U2", "1", "RAW", "/u2", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""}
			f.list(t, "/list", listID, "ops", "1", "endorser", u1, u2)
			a := f.open(t)
			report, done := f.apply(t, a, app.ImageOptions{})
			if report.Outcome != run.Done {
				t.Errorf("%s: %+v", report.Outcome, report.Problems)
			}
			same(t, "added", []string{"add U1", "add U2"}, done)
			same(t, "there", []string{"0 U1 active active", "0 U2 active active"}, f.inGlance())
			f.contents(t)

			n := len(f.cloud.Requests())
			if report, done = f.apply(t, a, app.ImageOptions{}); report.Outcome != run.Done || len(done) > 0 {
				t.Errorf("again: %s, %v", report.Outcome, done)
			}
			same(t, "written again", nil, f.writes(n))

			u1.path, u1.version = "/u1-new", "2"
			f.list(t, "/list", listID, "ops", "2", "endorser", u1, u3)
			_, done = f.apply(t, a, app.ImageOptions{})
			same(t, "replaced", []string{"add U3", "replace U1", "retire U1", "retire U2"}, done)
			same(t, "there", []string{"0 U1 active active", "0 U3 active active"}, f.inGlance())
			f.contents(t)

			old := f.db
			for _, lost := range []bool{false, true} { // the marks in Glance remember, too
				if lost {
					_ = a.Close()
					f.db = filepath.Join(f.dir, "lost")
					a = f.open(t)
				}
				f.list(t, "/list", listID, "ops", "1", "endorser", u1)
				n = len(f.cloud.Requests())
				report, done = f.apply(t, a, app.ImageOptions{})
				if report.Outcome == run.Done || len(done) > 0 {
					t.Errorf("an older list, database lost %v: %s, %v", lost, report.Outcome, done)
				}
				same(t, "written for an older list", nil, f.writes(n))
				f.list(t, "/list", listID, "ops", "2", "endorser", u1, u3)
				if report, done = f.apply(t, a, app.ImageOptions{}); report.Outcome != run.Done || len(done) > 0 {
					t.Errorf("the right one, database lost %v: %s, %v", lost, report.Outcome, done)
				}
			}
			f.db = old
		})
	}
}

// contents: what is in Glance is what its mark says.
func (f *farm) contents(t *testing.T) {
	t.Helper()
	for _, i := range f.world.AllImages() {
		if i.Properties["fedsite_state"] != "active" {
			continue
		}
		body, _ := f.cloud.Content(i.ID)
		if sum := sha512.Sum512(body); "sha512:"+hex.EncodeToString(sum[:]) != i.Properties["fedsite_digest"] || i.Properties["fedsite_hash"] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s has another content than its marks say", i.Name)
		}
		if i.Properties["vmcatcher_event_ad_mpuri"] == "" || i.Properties["os_distro"] != "ubuntu" || i.MinRAM != 512 || i.MinDisk != 1 {
			t.Errorf("%s: %+v", i.Name, i)
		}
	}
}

// TestImagesRefused: what is wrong with one source or one image spoils that alone, is said, and never reaches Glance as a
// working image.
func TestImagesRefused(t *testing.T) {
	f := newFarm(t, emulated.Current)
	hostile, err := os.ReadFile("testdata/images/bad-backing.qcow2")
	if err != nil {
		t.Fatal(err)
	}
	f.put("/hostile", hostile)
	f.put("/html", []byte("<html>not here</html>"))
	f.more = "  sources:\n"
	for _, name := range []string{"good", "forged", "other", "html", "gone"} {
		f.more += "    - {name: " + name + ", vos: [ops], list: \"" + f.URL + "/" + name + "\"}\n"
	}
	u1, wrong, bad := disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id2, "U2", "1", "RAW", "/u2", strings.Repeat("0", 128)}, disk{id3, "U3", "1", "QCOW2", "/hostile", ""}
	f.list(t, "/good", listID, "ops", "1", "endorser", u1, wrong, bad)
	f.list(t, "/forged", "f", "ops", "1", "endorser", u1)
	forged := f.paths["/forged"]
	f.put("/forged", bytes.Replace(forged, []byte("U1"), []byte("U9"), 1))
	f.list(t, "/other", "o", "ops", "1", "endorser-other", u1)
	report, done := f.apply(t, f.open(t), app.ImageOptions{})
	same(t, "done", []string{"add U1", "add U2: failed", "add U3: failed"}, done)
	same(t, "there", []string{"0 U1 active active"}, f.inGlance())
	if report.Outcome != run.Partial || report.Exit() != run.ExitPartial {
		t.Errorf("%s, exit %d", report.Outcome, report.Exit())
	}
	for object, reason := range map[string]string{"source forged": "not trusted", "source other": "not trusted", "source html": "no list", "source gone": "unreachable", "image U2 of good": "checksum", "image U3 of good": "backing file"} {
		if !slices.ContainsFunc(report.Problems, func(p run.Problem) bool {
			return p.Object == object && strings.Contains(p.Reason, reason) && p.Hint != ""
		}) {
			t.Errorf("%s: no problem of %q with a hint in %+v", object, reason, report.Problems)
		}
	}
}

// TestImagesShared: one download and one upload for two VOs; the other one's project takes it.
func TestImagesShared(t *testing.T) {
	for _, era := range emulated.Eras() {
		t.Run(era.Name, func(t *testing.T) {
			f := newFarm(t, era)
			f.more = "  sharing: members\n  sources: [{name: a, list: \"" + f.URL + "/a\"}, {name: b, list: \"" + f.URL + "/b\"}]\n"
			f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
			f.list(t, "/b", "B", "vo.access.egi.eu", "1", "endorser", disk{id2, "U2", "1", "QCOW2", "/u1", ""})
			a := f.open(t)
			_, done := f.apply(t, a, app.ImageOptions{})
			same(t, "done", []string{"add U1", "share U1"}, done)
			same(t, "there", []string{"0 U1 active active"}, f.inGlance())
			if n := f.count("/u1"); n != 1 {
				t.Errorf("%d downloads", n)
			}
			for _, i := range f.world.AllImages() {
				if i.Name == "U1" && i.Members[f.world.Projects[1].ID] != "accepted" {
					t.Errorf("members: %v", i.Members)
				}
			}
			n := len(f.cloud.Requests())
			_, done = f.apply(t, a, app.ImageOptions{})
			same(t, "done again", nil, done)
			same(t, "written again", nil, f.writes(n))

			f.world.ChangeImage(f.titled(t, "U1").ID, func(i *world.Image) bool { // somebody there does not want to see it
				i.Members = map[string]string{f.world.Projects[1].ID: "rejected"}
				return true
			})
			_, done = f.apply(t, a, app.ImageOptions{})
			same(t, "done after it was refused", nil, done)
			same(t, "written after it was refused", nil, f.writes(n))
		})
	}
}

// TestImagesCopied: one download for two projects that get a copy each.
func TestImagesCopied(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sources: [{name: a, vos: \"*\", list: \"" + f.URL + "/a\"}]\n"
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
	_, done := f.apply(t, f.open(t), app.ImageOptions{})
	if len(done) < 2 || f.count("/u1") != 1 {
		t.Errorf("%v, %d downloads", done, f.count("/u1"))
	}
}

// TestImagesBroken: a stream that breaks off is read on within the upload; one that cannot be read on is staged.
func TestImagesBroken(t *testing.T) {
	body := qcow2(3<<20, 1)
	for name, c := range map[string]struct {
		ranges bool
		breaks int
	}{"with ranges": {true, 3}, "without ranges": {false, 1}} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, emulated.Current)
			f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
			f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
			left := c.breaks
			f.misbehave("/u1", func(w http.ResponseWriter, r *http.Request) {
				if !c.ranges {
					r.Header.Del("Range")
				}
				w.Header().Set("ETag", `"x"`)
				f.mu.Lock()
				left--
				cut := left >= 0
				f.mu.Unlock()
				if cut {
					w.Header().Set("Content-Length", fmt.Sprint(len(body)))
					if r.Header.Get("Range") == "" {
						_, _ = w.Write(body[:1<<20+77])
					}
					panic(http.ErrAbortHandler)
				}
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
			})
			report, done := f.apply(t, f.open(t), app.ImageOptions{})
			same(t, "done", []string{"add U1"}, done)
			if report.Outcome != run.Done {
				t.Errorf("%+v", report.Problems)
			}
			f.contents(t)
		})
	}
}

// TestImagesGlanceRefuses: each refusal of Glance is said, leaves nothing behind, and the next run goes on.
func TestImagesGlanceRefuses(t *testing.T) {
	for name, fault := range map[string]faults.Fault{
		"413":         {Service: "image", Method: http.MethodPut, Effect: faults.Effect{Status: 413}},
		"415":         {Service: "image", Method: http.MethodPut, Effect: faults.Effect{Status: 415}},
		"401":         {Service: "image", Method: http.MethodPut, Effect: faults.Effect{Status: 401}},
		"409":         {Service: "image", Method: http.MethodPut, Effect: faults.Effect{Status: 409}},
		"503":         {Service: "image", Method: http.MethodPut, Effect: faults.Effect{Status: 503}},
		"cut":         {Service: "image", Method: http.MethodPut, Effect: faults.Effect{Unread: true}},
		"lost answer": {Service: "image", Method: http.MethodPut, Effect: faults.Effect{Lost: true}},
		"no create":   {Service: "image", Method: http.MethodPost, Effect: faults.Effect{Status: 403}},
		"lost create": {Service: "image", Method: http.MethodPost, Effect: faults.Effect{Lost: true}},
		"no publish":  {Service: "image", Method: http.MethodPatch, Effect: faults.Effect{Status: 500}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, emulated.Current)
			f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
			f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""})
			a := f.open(t)
			f.faults.Add(fault)
			report, _ := f.apply(t, a, app.ImageOptions{})
			if report.Outcome != run.Partial {
				t.Errorf("%s: %+v", report.Outcome, report.Problems)
			}
			f.faults.Clear()
			f.apply(t, a, app.ImageOptions{})
			report, done := f.apply(t, a, app.ImageOptions{})
			same(t, "at the end", []string{"0 U1 active active", "0 U3 active active"}, f.inGlance())
			if report.Outcome != run.Done || len(done) > 0 {
				t.Errorf("third run: %s %v %+v", report.Outcome, done, report.Problems)
			}
			f.contents(t)
		})
	}
}

// TestImagesPlanned: what is planned is what is done, and planning writes nothing.
func TestImagesPlanned(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sources: [{name: a, vos: \"*\", list: \"" + f.URL + "/a\"}]\n"
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id2, "U2", "1", "RAW", "/u2", ""})
	a := f.open(t)
	sites := sitesOf(t, a)
	n := len(f.cloud.Requests())
	var planned []string
	for _, p := range a.PlanImages(t.Context(), sites, app.ImageOptions{}) {
		for _, x := range p.Seen.Plan.Actions {
			if x.Writes() {
				planned = append(planned, fmt.Sprint(x.Verb, " ", x.Name))
			}
		}
	}
	slices.Sort(planned)
	same(t, "written by the plan", nil, f.writes(n))
	_, done := f.apply(t, a, app.ImageOptions{})
	same(t, "done", planned, done)
}

// TestImagesBlocked: a block hides the image at once, keeps it from coming back, and is lifted again.
func TestImagesBlocked(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""})
	a := f.open(t)
	f.apply(t, a, app.ImageOptions{})
	sites := sitesOf(t, a)
	if _, err := a.BlockImage(t.Context(), sites, "a/"+id1, "default password", false); err != nil {
		t.Fatal(err)
	}
	same(t, "blocked", []string{"0 U1 blocked deactivated hidden", "0 U3 active active"}, f.inGlance())
	f.apply(t, a, app.ImageOptions{})
	same(t, "still", []string{"0 U1 blocked deactivated hidden", "0 U3 active active"}, f.inGlance())
	if _, err := a.UnblockImage(t.Context(), "a/"+id1); err != nil {
		t.Fatal(err)
	}
	f.apply(t, a, app.ImageOptions{})
	same(t, "lifted", []string{"0 U1 active active", "0 U3 active active"}, f.inGlance())
	if _, err := a.UnblockImage(t.Context(), "a/"+id1); err == nil {
		t.Error("a block that is not there was lifted")
	}
}

// TestImagesInUse: an image from which a VM runs is retired, stays, and is deleted when the VM is gone.
func TestImagesInUse(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
	u1 := disk{id1, "U1", "1", "QCOW2", "/u1", ""}
	f.list(t, "/a", "A", "ops", "1", "endorser", u1)
	a := f.open(t)
	f.apply(t, a, app.ImageOptions{})
	brought := f.world.AllImages()[len(f.world.AllImages())-1].ID
	f.world.Add(world.VM{ID: "vm-1", Name: "vm-1", Project: f.world.Projects[0].ID, User: f.world.Users[0].ID, Flavor: "1", Image: brought, Created: time.Now().Add(-time.Minute), Events: []world.Event{{At: time.Now().Add(-time.Minute), Kind: world.Launch}}})
	u1.path = "/u1-new"
	f.list(t, "/a", "A", "ops", "2", "endorser", u1)
	report, _ := f.apply(t, a, app.ImageOptions{})
	same(t, "replaced", []string{"0 U1 active active", "0 U1 retired active hidden"}, f.inGlance())
	if !slices.ContainsFunc(report.Problems, func(p run.Problem) bool { return p.Notice && strings.Contains(p.Reason, "vm-1") }) {
		t.Errorf("nobody says that vm-1 runs from it: %+v", report.Problems)
	}
	f.world.Happen("vm-1", world.Event{At: time.Now(), Kind: world.Delete})
	f.apply(t, a, app.ImageOptions{})
	same(t, "deleted", []string{"0 U1 active active"}, f.inGlance())
}

// TestImagesObserved: an observing site plans, says so, and writes nothing; so does a VO that observes within an active one.
func TestImagesObserved(t *testing.T) {
	for _, mode := range []string{"site", "VO"} {
		f := newFarm(t, emulated.Current)
		f.more = "  sources: [{name: a, vos: [ops], list: \"" + f.URL + "/a\"}]\n"
		f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
		f.mode = map[string][2]string{"site": {"mode: active", "mode: observe"}, "VO": {"{name: ops,", "{name: ops, mode: {images: observe},"}}[mode]
		n := len(f.cloud.Requests())
		report, done := f.apply(t, f.open(t), app.ImageOptions{})
		same(t, mode+": written", nil, f.writes(n))
		if len(done) > 0 || !slices.ContainsFunc(report.Problems, func(p run.Problem) bool { return strings.Contains(p.Reason, "observing: 1 changes") }) {
			t.Errorf("%s: %v, %+v", mode, done, report.Problems)
		}
	}
}

// TestImagesStaged: what is on disk and could not be uploaded is not fetched again, and nothing stays on disk in the end.
func TestImagesStaged(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  staging: always\n  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
	a := f.open(t)
	f.faults.Add(faults.Fault{Service: "image", Method: http.MethodPut, Times: 3, Effect: faults.Effect{Status: 503}})
	if report, done := f.apply(t, a, app.ImageOptions{}); report.Outcome != run.Partial {
		t.Fatalf("%s %v", report.Outcome, done)
	}
	var sent int64
	f.misbehave("/u1", func(w http.ResponseWriter, r *http.Request) {
		n := &countedWriter{ResponseWriter: w}
		sum := sha512.Sum512(f.paths["/u1"])
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
		http.ServeContent(n, r, "", time.Time{}, bytes.NewReader(f.paths["/u1"]))
		sent += n.n
	})
	_, done := f.apply(t, a, app.ImageOptions{})
	same(t, "done", []string{"add U1"}, done)
	same(t, "there", []string{"0 U1 active active"}, f.inGlance())
	f.contents(t)
	if sent > 1000 {
		t.Errorf("%d bytes were fetched again", sent)
	}
	if left, err := os.ReadDir(filepath.Join(f.dir, "staging")); err != nil || len(left) > 0 {
		t.Errorf("on disk: %v, %v", left, err)
	}
}

type countedWriter struct {
	http.ResponseWriter
	n int64
}

func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	return n, err
}

// TestImagesBlockedMeanwhile: a block does not wait for a run that is going on, nor for a source that does not answer, and what is
// known of the site stays known.
func TestImagesBlockedMeanwhile(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""})
	a := f.open(t)
	f.apply(t, a, app.ImageOptions{})
	sites := sitesOf(t, a)
	before, err := a.ImageStatus(t.Context(), sites[0])
	if err != nil {
		t.Fatal(err)
	}
	asked, blocked := make(chan bool), make(chan bool)
	f.misbehave("/a", func(w http.ResponseWriter, r *http.Request) {
		asked <- true
		<-blocked
		w.WriteHeader(http.StatusNotFound)
	})
	ended := make(chan bool)
	go func() {
		defer close(ended)
		a.ApplyImages(t.Context(), sites, app.ImageOptions{})
	}()
	<-asked
	done, err := a.BlockImage(t.Context(), sites, id1, "default password", false)
	if err != nil || done[0].Err != nil || done[0].Report.Outcome != run.Done {
		t.Errorf("%+v, %v", done, err)
	}
	same(t, "blocked", []string{"0 U1 blocked deactivated hidden", "0 U3 active active"}, f.inGlance())
	after, err := a.ImageStatus(t.Context(), sites[0])
	if err != nil || fmt.Sprint(after.Shares) != fmt.Sprint(before.Shares) {
		t.Errorf("known is %+v, and was %+v: %v", after.Shares, before.Shares, err)
	}
	close(blocked)
	<-ended
}

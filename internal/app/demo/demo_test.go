package demo_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/app/demo"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/run"
)

// started starts a demo.
func started(t *testing.T, o demo.Options) *demo.Demo {
	t.Helper()
	o.At, o.Projects, o.VMs, o.Hurry, o.Version = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), 3, 36, true, "test"
	o.Seed = 1
	d, err := demo.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// shown runs a demo to its end.
func shown(t *testing.T, o demo.Options) (demo.History, demo.Outcome) {
	t.Helper()
	d := started(t, o)
	h, err := d.Work(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	end, err := d.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range end.Wrong {
		t.Error(w)
	}
	return h, end
}

// TestEras: in every era truth and server are equal, but for what an old cloud does not tell, which is named.
func TestEras(t *testing.T) {
	for _, era := range demo.Eras() {
		t.Run(era, func(t *testing.T) {
			_, end := shown(t, demo.Options{Era: era})
			if (len(end.Known) > 0) != (era == "mitaka") {
				t.Errorf("known differences: %q", end.Known)
			}
		})
	}
	if _, err := demo.Start(demo.Options{Era: "bexar", Projects: 1}); err == nil || !strings.Contains(err.Error(), "mitaka, zed, current") {
		t.Errorf("%v", err)
	}
	if _, err := demo.Start(demo.Options{Faults: []string{"rain"}, Projects: 1}); err == nil || !strings.Contains(err.Error(), "rain") {
		t.Errorf("%v", err)
	}
}

// TestFaults shows every named fault: it strikes, what it spoils is said with what to do, and in the end truth and server
// are equal, or differ by what is named.
func TestFaults(t *testing.T) {
	usual := func(all []run.Problem) bool {
		return !slices.ContainsFunc(all, func(p run.Problem) bool { return !p.Notice && !strings.Contains(p.Reason, "belongs to no VO") })
	}
	for i, f := range faults.All() {
		if testing.Short() && i%5 != 0 {
			continue
		}
		if f.Place == faults.GOCDB {
			continue // TestOffers
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			h, end := shown(t, demo.Options{Faults: []string{f.Name}})
			if len(h.Episodes) != 1 {
				t.Fatalf("%d episodes", len(h.Episodes))
			}
			e := h.Episodes[0]
			ofRequests := f.Place == faults.Cloud || f.Place == faults.Broker || f.Place == faults.Authn
			if ofRequests && e.Struck == 0 {
				t.Error("nothing was struck")
			}
			if f.Place == faults.World && e.What == "" {
				t.Error("nothing was done to the world")
			}
			silent := f.Place == faults.World || f.Name == "site-forwards"
			switch {
			case f.Heals && (!usual(e.Said) || strings.Contains(strings.Join(e.Runs, " "), "failed")):
				t.Errorf("it was to heal: %v, %+v", e.Runs, e.Said)
			case !f.Heals && !silent && usual(e.Said):
				t.Errorf("nothing was said: %v, %+v", e.Runs, e.Said)
			}
			for _, p := range append(e.Said, e.Next...) {
				if !p.Notice && p.Hint == "" {
					t.Errorf("no hint: %+v", p)
				}
			}
			if len(end.Known) > 0 != (f.Name == "archived") {
				t.Errorf("known differences: %q", end.Known)
			}
		})
	}
}

// TestOffers: what the cloud offers is published of every VO, whole and without a finding; whatever GOCDB does, its last
// answer holds, and that is said with what to do.
func TestOffers(t *testing.T) {
	names := []string{"", "gocdb-down", "gocdb-500", "gocdb-garbage"}
	if !testing.Short() {
		names = append(names, "gocdb-slow") // takes as long as fedsite has patience
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := demo.Options{}
			if name != "" {
				o.Faults = []string{name}
			}
			d := started(t, o)
			offers, err := d.Publish(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(offers.Endpoints) != 1 || len(offers.Endpoints[0].Shares) != 3 {
				t.Fatalf("%+v", offers.Endpoints)
			}
			e := offers.Endpoints[0]
			if e.GOCDBKey == "" || e.Health != "ok" || e.Findings != 0 || e.Images != 3 || e.InstanceTypes != 5 || e.Accelerators != 1 {
				t.Errorf("%+v", e)
			}
			if text, err := os.ReadFile(offers.File); err != nil || !strings.Contains(string(text), e.GOCDBKey) {
				t.Errorf("the document does not know %s: %v", e.GOCDBKey, err)
			}
			if name == "" {
				return
			}
			if len(offers.Episodes) != 1 {
				t.Fatalf("%+v", offers.Episodes)
			}
			s := offers.Episodes[0]
			told := slices.ContainsFunc(s.Said, func(p run.Problem) bool { return p.Object == "GOCDB" && p.Notice && p.Hint != "" })
			if s.Struck == 0 || !told || s.Runs[0] != s.Runs[1] {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestImageFaults shows every named fault of Glance and of publishers: it strikes, what was in use stays so, what is not
// brought is said with what to do, and the next run brings it.
func TestImageFaults(t *testing.T) {
	for i, f := range slices.Concat(faults.Images(), faults.Published()) {
		if testing.Short() && i%4 != 0 {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			b, err := started(t, demo.Options{Faults: []string{f.Name}}).BringImages(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range b.Wrong {
				t.Error(w)
			}
			if len(b.Runs) != 3 || len(b.Images) != 9 || len(b.Episodes) != 1 {
				t.Fatalf("%d runs, %d images, %d episodes", len(b.Runs), len(b.Images), len(b.Episodes))
			}
			e := b.Episodes[0]
			if e.Struck == 0 || !strings.Contains(e.Then, "images done: ") || !strings.Contains(e.Then, "replace") || len(e.Next) > 0 {
				t.Errorf("%+v", e)
			}
			if partial := strings.HasPrefix(e.Runs[0], "images partial: "); partial == f.Heals {
				t.Errorf("the run that was struck: %q", e.Runs)
			}
			for _, p := range e.Said {
				if !p.Notice && p.Hint == "" {
					t.Errorf("no hint: %+v", p)
				}
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		d := started(t, demo.Options{Faults: []string{"list-html", "500", "image-cut", "registry-503"}})
		before := d.Ahead()
		b, err := d.BringImages(t.Context())
		if err != nil || len(b.Wrong) > 0 || len(b.Episodes) != 3 || !b.Episodes[2].At.Equal(d.At.Add(20*time.Minute)) {
			t.Errorf("%v, %q, %+v", err, b.Wrong, b.Episodes)
		}
		if passed := d.Ahead() - before; passed != 30*time.Minute {
			t.Errorf("the demo serves on %s later", passed)
		}
	})
}

// TestImages: images are brought as they are published, a forged list changes nothing, and an image is replaced; where Glance
// takes nothing, each disk that lacks is named.
func TestImages(t *testing.T) {
	for _, era := range demo.Eras() {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			b, err := started(t, demo.Options{Era: era}).BringImages(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range b.Wrong {
				t.Error(w)
			}
			if len(b.Runs) != 3 || len(b.Images) != 9 {
				t.Fatalf("%d runs, %d images", len(b.Runs), len(b.Images))
			}
			forged := b.Runs[1].Report
			told := slices.ContainsFunc(forged.Problems, func(p run.Problem) bool { return p.Object == "source appdb" && p.Hint != "" })
			if !told || forged.Outcome != run.Partial || len(b.Runs[1].Did) != 0 {
				t.Errorf("%+v", b.Runs[1])
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		d := started(t, demo.Options{})
		d.Disturb(faults.Fault{Service: "image", Method: http.MethodPut, Times: -1, Effect: faults.Effect{Status: http.StatusForbidden}})
		b, err := d.BringImages(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lacks := func(w string) bool { return strings.Contains(w, "is published, and not in Glance") }
		if n := len(slices.DeleteFunc(slices.Clone(b.Wrong), func(w string) bool { return !lacks(w) })); n != 9 {
			t.Errorf("%d of 9 disks are said to lack: %q", n, b.Wrong)
		}
	})
}

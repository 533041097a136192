package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/run"
)

// blocking is a farm with U1 and U3 in its first project, where images are blocked.
type blocking struct {
	*farm
	a     *app.App
	sites []config.Site
}

func newBlocking(t *testing.T) *blocking {
	t.Helper()
	f := newFarm(t, emulated.Current)
	f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""})
	b := &blocking{farm: f}
	b.reopen(t)
	f.apply(t, b.a, app.ImageOptions{})
	return b
}

// reopen opens fedsite as it is configured now.
func (b *blocking) reopen(t *testing.T) {
	t.Helper()
	b.a = b.open(t)
	var err error
	if b.sites, err = b.a.Sites(""); err != nil {
		t.Fatal(err)
	}
}

// block blocks an image, and gives the report.
func (b *blocking) block(t *testing.T, what, reason string, dryRun bool) app.AppliedImages {
	t.Helper()
	all, err := b.a.BlockImage(t.Context(), b.sites, what, reason, dryRun)
	if err != nil || len(all) != 1 {
		t.Fatalf("%s: %+v, %v", what, all, err)
	}
	return all[0]
}

// file is what the file of blocks has.
func (b *blocking) file(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "blocks.yaml"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

// says tells whether a report has a problem with a text, a notice or a worse one, and how it ended.
func says(r run.Report, outcome run.Outcome, notice bool, text string) bool {
	return r.Outcome == outcome && slices.ContainsFunc(r.Problems, func(p run.Problem) bool { return p.Notice == notice && strings.Contains(p.Reason, text) })
}

// TestImagesBlockedAgain: what is hidden already is counted as that, and a dry run says what would be, and changes nothing.
func TestImagesBlockedAgain(t *testing.T) {
	b := newBlocking(t)
	dry := b.block(t, "U1", "miner", true)
	if dry.Report.Counts["to block"] != 1 || dry.Report.Counts["blocked"] != 0 || len(dry.Results) != 1 || dry.Results[0].Name != "U1" || b.file(t) != "" {
		t.Errorf("dry: %+v, %+v, %s", dry.Report, dry.Results, b.file(t))
	}
	same(t, "still", []string{"0 U1 active active", "0 U3 active active"}, b.inGlance())
	first, again := b.block(t, "U1", "miner", false), b.block(t, "U1", "worm", false)
	if first.Report.Counts["blocked"] != 1 || first.Report.Counts["hidden already"] != 0 || !says(first.Report, run.Done, true, "its checksum is what is blocked: sha512:"+sha512Of(b.paths["/u1"])) {
		t.Errorf("blocked: %+v", first.Report)
	}
	if again.Report.Outcome != run.Done || again.Report.Counts["blocked"] != 0 || again.Report.Counts["hidden already"] != 1 || len(again.Results) != 0 {
		t.Errorf("again: %+v", again.Report)
	}
	if text := b.file(t); strings.Count(text, "checksum:") != 1 || !strings.Contains(text, "worm") || strings.Contains(text, "miner") {
		t.Errorf("blocks:\n%s", text)
	}
	if dry := b.block(t, "U1", "worm", true); dry.Report.Counts["to block"] != 0 || dry.Report.Counts["hidden already"] != 1 || len(dry.Results) != 0 {
		t.Errorf("dry, again: %+v", dry.Report)
	}
}

// TestImagesBlockedWatching: where a site only observes, nothing is hidden, and that is said.
func TestImagesBlockedWatching(t *testing.T) {
	b := newBlocking(t)
	b.mode = [2]string{"images:\n  mode: active", "images:\n  mode: observe"}
	b.reopen(t)
	from := len(b.cloud.Requests())
	one := b.block(t, "U1", "miner", false)
	if !says(one.Report, run.Partial, false, "blocked, and not hidden, for they are only observed: "+b.titled(t, "U1").ID) || len(one.Results) != 0 {
		t.Errorf("%+v", one.Report)
	}
	same(t, "written", nil, b.writes(from))
	b.list(t, "/a", "A", "ops", "2", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id2, "U2", "1", "RAW", "/u2", ""})
	if one := b.block(t, "a/"+id2, "to come", false); !says(one.Report, run.Done, true, "the site only observes") {
		t.Errorf("not there: %+v", one.Report)
	}
}

// TestImagesBlockedByNothing: what nothing is called by is written down, and is no success; what a source calls so is one.
func TestImagesBlockedByNothing(t *testing.T) {
	b := newBlocking(t)
	if one := b.block(t, "appdb/typo", "miner", false); !says(one.Report, run.Partial, false, "nothing is called so") || !strings.Contains(b.file(t), "ref: appdb/typo") {
		t.Errorf("%+v, %s", one.Report, b.file(t))
	}
	b.list(t, "/a", "A", "ops", "2", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id2, "U2", "1", "RAW", "/u2", ""})
	one := b.block(t, "U2", "miner", true)
	if !says(one.Report, run.Partial, false, "nothing is called so") || !slices.ContainsFunc(one.Report.Problems, func(p run.Problem) bool { return strings.HasSuffix(p.Hint, "fedsite images block a/"+id2) }) {
		t.Errorf("a title of a source: %+v", one.Report)
	}
	for what, text := range map[string]string{"an image to come": id2, "a checksum": "sha512:" + strings.Repeat("0", 128)} {
		if one := b.block(t, text, "miner", false); one.Report.Outcome != run.Done {
			t.Errorf("%s: %+v", what, one.Report)
		}
	}
	before := b.file(t)
	if _, err := b.a.BlockImage(t.Context(), b.sites, "U1", strings.Repeat("x", 501), false); err == nil || b.file(t) != before {
		t.Errorf("a reason that cannot be read again: %v", err)
	}
}

// TestImagesCalledAlike: a title that stands for several images is refused, with what they are.
func TestImagesCalledAlike(t *testing.T) {
	b := newBlocking(t)
	b.more = "  sources: [{name: a, list: \"" + b.URL + "/a\"}, {name: b, list: \"" + b.URL + "/b\"}]\n"
	b.list(t, "/b", "B", "vo.access.egi.eu", "1", "endorser", disk{id2, "U1", "1", "RAW", "/u2", ""})
	b.reopen(t)
	b.apply(t, b.a, app.ImageOptions{})
	_, err := b.a.BlockImage(t.Context(), b.sites, "U1", "miner", false)
	if !errors.Is(err, app.ErrWhichImage) || !strings.Contains(err.Error(), sha512Of(b.paths["/u1"])) || !strings.Contains(err.Error(), "b/"+id2) {
		t.Error(err)
	}
	if b.file(t) != "" {
		t.Errorf("blocks:\n%s", b.file(t))
	}
}

// TestImagesUnblockedAsShown: a block is lifted by what a list shows, too; what another block holds stays hidden. What a run has staged
// meanwhile stays where it is.
func TestImagesUnblockedAsShown(t *testing.T) {
	b := newBlocking(t)
	staged := filepath.Join(b.dir, "staging", "fedsite-"+b.sites[0].Site.ID+"-0123")
	if err := os.Mkdir(staged, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"U1", b.titled(t, "U1").ID} {
		b.block(t, "U1", "miner", false)
		if all, err := b.a.UnblockImage(t.Context(), what); err != nil || all[0].Report.Counts["unblocked"] != 1 {
			t.Errorf("%s: %+v, %v", what, all, err)
		}
		b.reopen(t)
		b.block(t, "a/"+id1, "miner", false)
		all, err := b.a.UnblockImage(t.Context(), what)
		if err != nil || !says(all[0].Report, run.Partial, false, "it is also blocked as a/"+id1) {
			t.Errorf("%s, blocked by its source's name: %+v, %v", what, all, err)
		}
		same(t, what, []string{"0 U1 blocked deactivated hidden", "0 U3 active active"}, b.inGlance())
		if _, err := b.a.UnblockImage(t.Context(), "a/"+id1); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(staged); err != nil {
		t.Error(err)
	}
}

// TestImagesNotThere: an image, and a VO, that are asked for and that nobody has, are no success.
func TestImagesNotThere(t *testing.T) {
	b := newBlocking(t)
	report, _ := b.apply(t, b.a, app.ImageOptions{Image: "typo"})
	planned := b.a.PlanImages(t.Context(), b.sites, app.ImageOptions{Image: "typo"})
	for what, r := range map[string]run.Report{"apply": report, "plan": planned[0].Report} {
		if !says(r, run.Partial, false, "no source has such an image") || r.Counts["kept"] != 0 {
			t.Errorf("%s: %+v", what, r)
		}
	}
	if report, _ := b.apply(t, b.a, app.ImageOptions{Image: "U1"}); report.Outcome != run.Done || report.Counts["kept"] != 1 {
		t.Errorf("one that is there: %+v", report)
	}
	err := b.a.KnowsVO(t.Context(), b.sites, "typo")
	if !errors.Is(err, app.ErrNoSuchVO) || !strings.Contains(err.Error(), "ops") || !strings.Contains(err.Error(), "vo.access.egi.eu") {
		t.Error(err)
	}
	if err := b.a.KnowsVO(t.Context(), b.sites, "ops"); err != nil {
		t.Error(err)
	}
}

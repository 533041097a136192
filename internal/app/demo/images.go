package demo

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/emulator/disk"
	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/emulator/federation/endorser"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/smime"
)

// Directories of images, in the demo's directory.
const (
	trustDir   = "authorities"
	stagingDir = "staging"
)

// The demo's sources of images.
const (
	listSource     = "appdb"
	registrySource = "egi"
)

// builds are the images that the registry has, and the seeds of their disks.
var builds = []struct {
	version string
	seed    uint64
}{{"24.04", 100}, {"22.04", 101}}

// newer is the seed of the disk that takes an older one's place; those of later versions count from there.
const newer = 1000

// seedOf is the seed of the disk of a build, as the registry has it now: faults let there be newer ones of the first.
func (d *Demo) seedOf(build int) uint64 {
	if build == 0 {
		return builds[0].seed + 10*uint64(d.anew)
	}
	return builds[build].seed
}

// Brought is what became of the federation's images: what is in Glance in the end, and each run on the way.
type Brought struct {
	Runs     []ImageRun
	Images   []BroughtImage
	Episodes []Episode // what faults of Glance and of publishers did
	Wrong    []string  // what is in Glance otherwise than it was published
}

// ImageRun is a run of images, and what was done at the publishers before it.
type ImageRun struct {
	What   string
	Did    []string // "add 11", by what was done
	Report run.Report
}

// BroughtImage is an image that is in Glance.
type BroughtImage struct {
	VO string
	images.Listed
}

// publishImages has the federation publish images, and writes what fedsite needs to believe them.
func (d *Demo) publishImages() error {
	for _, dir := range []string{trustDir, stagingDir} {
		if err := os.MkdirAll(filepath.Join(d.Dir, dir), 0o700); err != nil {
			return err
		}
	}
	if err := d.Federation.StartImages(federation.ImageOptions{}); err != nil {
		return err
	}
	if err := d.Federation.WriteTrust(filepath.Join(d.Dir, trustDir)); err != nil {
		return err
	}
	for _, b := range builds {
		if err := d.Federation.PushUbuntu(b.version, "fc45d0d3", b.seed); err != nil {
			return err
		}
	}
	return d.Federation.PublishList(d.listed())
}

// listed is the VO that the signed list is for.
func (d *Demo) listed() string { return d.voOf(d.World.Projects[min(1, d.Projects-1)].ID) }

// bringing is the part of the configuration that is about images.
func (d *Demo) bringing(p func(format string, args ...any), file func(string) string) {
	p("images:")
	p("  mode: active")
	p("  formats: [qcow2, raw]")
	p("  ca_dir: %s", file(trustDir))
	p("  staging_dir: %s", file(stagingDir))
	p("  network: {ca_file: %s}", file("ca.pem"))
	p("  sources:")
	p("    - {name: %s, list: %q, endorser: {dn: %q, ca: %q}}", listSource, d.Federation.ListURL(d.listed()), d.Federation.Images.Signer.DN(), smime.SlashDN(d.Federation.CA.Certificate.RawSubject))
	p(`    - {name: %s, oci: "%s/%s", tags: "^[^-]*$", vos: "*"}`, registrySource, d.Federation.RegistryURL(), federation.ImageProject)
}

// BringImages brings what is published into Glance; then again when somebody has forged the list, and when its publisher has
// a new version of an image. Then faults strike, if any were named.
func (d *Demo) BringImages(ctx context.Context) (Brought, error) {
	a, err := d.open(ctx)
	if err != nil {
		return Brought{}, err
	}
	defer a.Close() //nolint:errcheck // the demo's own state
	sites, err := a.Sites("")
	if err != nil {
		return Brought{}, err
	}
	var b Brought
	e, vo := d.Federation.Images.Endorser, d.listed()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"a list is signed for " + vo + ", and a registry has images for all", func() error { return nil }},
		{"somebody changes a letter of the list", func() error { return e.Forge(vo) }},
		{"its endorser signs a new version, with a newer disk in it", func() error { return d.renewImage(e, vo) }},
	} {
		if err := step.do(); err != nil {
			return b, err
		}
		r, err := bring(ctx, a, sites)
		if err != nil {
			return b, err
		}
		r.What = step.what
		b.Runs = append(b.Runs, r)
	}
	b.Wrong = d.wrongRuns(b.Runs)
	for _, n := range d.unsent {
		e, wrong, err := d.miss(ctx, a, sites, n)
		if err != nil {
			return b, err
		}
		b.Episodes, b.Wrong = append(b.Episodes, e), append(b.Wrong, wrong...)
	}
	b.Wrong = append(b.Wrong, d.wrongImages()...)
	listed, report := a.ListImages(ctx, sites[0])
	if report.Outcome == run.Failed {
		return b, failure(report, d.clock.now())
	}
	for _, i := range listed {
		b.Images = append(b.Images, BroughtImage{d.voOf(i.Project), i})
	}
	return b, nil
}

// bring is a run of images.
func bring(ctx context.Context, a *app.App, sites []config.Site) (ImageRun, error) {
	done := a.ApplyImages(ctx, sites, app.ImageOptions{})
	if len(done) != 1 {
		return ImageRun{}, errors.New("the demo has one site")
	}
	counts := map[images.Verb]int{}
	for _, r := range done[0].Results {
		if r.Err == nil && r.Stays == "" {
			counts[r.Verb]++
		}
	}
	r := ImageRun{Report: done[0].Report}
	for verb, n := range counts {
		r.Did = append(r.Did, fmt.Sprintf("%s %d", verb, n))
	}
	slices.Sort(r.Did)
	return r, done[0].Err
}

// renewImage publishes a list in which one image has another disk, and a version of its own.
func (d *Demo) renewImage(e *endorser.Endorser, vo string) error {
	path, version := fmt.Sprintf("/images/%s-24.04.%d", federation.UbuntuImage, 1+d.anew), "2026.11.20"
	if d.anew > 0 {
		version += fmt.Sprintf(".%d", d.anew)
	}
	e.File(path, bytes.NewReader(disk.QCOW2(newer+uint64(d.anew))))
	return e.Change(vo, func(l *endorser.List) {
		for i := range l.Images {
			if l.Images[i].Identifier == federation.UbuntuImage {
				l.Images[i].Version, l.Images[i].URI, l.Images[i].Size, l.Images[i].SHA512 = version, path, 0, ""
			}
		}
	})
}

// wrongRuns says which run did otherwise than it should have: all is brought, nothing goes for a forged list, and one image is
// replaced.
func (d *Demo) wrongRuns(all []ImageRun) (wrong []string) {
	want := []string{fmt.Sprintf("add %d", 3+len(builds)*d.Projects), "", "metadata 2, replace 1, retire 1"} // the others say of which version of the list they are
	for i, r := range all {
		did := slices.DeleteFunc(slices.Clone(r.Did), func(what string) bool { return strings.HasPrefix(what, string(images.Keep)) })
		if got := strings.Join(did, ", "); got != want[i] {
			wrong = append(wrong, fmt.Sprintf("%s: done %q, and not %q", r.What, got, want[i]))
		}
	}
	return wrong
}

// wrongImages compares what is in Glance with what is published now, by project and checksum of the content.
func (d *Demo) wrongImages() (wrong []string) {
	want := map[string]int{} // project and checksum
	list := [][]byte{disk.QCOW2(newer + uint64(d.anew)), federation.ListDisk(federation.AlmaImage), federation.ListDisk(federation.DebianImage)}
	for _, p := range d.World.Projects[:d.Projects] {
		for i := range builds {
			want[p.ID+" "+sha512Of(disk.QCOW2(d.seedOf(i)))]++
		}
		for _, file := range list {
			if d.voOf(p.ID) == d.listed() {
				want[p.ID+" "+sha512Of(file)]++
			}
		}
	}
	for _, i := range d.World.AllImages() {
		if i.Properties["fedsite_managed_by"] == "" || i.Properties["fedsite_state"] != string(images.Active) {
			continue
		}
		content, _ := d.Cloud.Content(i.ID)
		key := i.Owner + " " + sha512Of(content)
		if want[key] == 0 || i.Status != "active" || i.Hidden {
			wrong = append(wrong, fmt.Sprintf("image %s (%s) is in Glance, and its disk is not what is published for VO %s", i.ID, i.Name, d.voOf(i.Owner)))
			continue
		}
		want[key]--
	}
	for key, n := range want {
		if project, sum, _ := strings.Cut(key, " "); n > 0 {
			wrong = append(wrong, fmt.Sprintf("the disk %.12s… of VO %s is published, and not in Glance", sum, d.voOf(project)))
		}
	}
	slices.Sort(wrong)
	return wrong
}

func sha512Of(content []byte) string {
	sum := sha512.Sum512(content)
	return hex.EncodeToString(sum[:])
}

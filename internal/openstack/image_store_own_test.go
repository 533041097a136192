package openstack_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
)

// TestImageStoreOwn: 300 images of a project, in each state and hidden ones too, come over pages, to a member as to an
// administrator; no image of others is among them, and one that cannot be read spoils itself only.
func TestImageStoreOwn(t *testing.T) {
	states := []string{"queued", "saving", "importing", "active", "deactivated", "killed", "pending_delete"}
	for _, era := range emulated.Eras() {
		t.Run(era.Name, func(t *testing.T) {
			b := imageBedOf(t, emulated.Options{Era: era, ImagePage: 20})
			us, them := b.w.Projects[0].ID, b.w.Projects[1].ID
			b.w.ChangeImage(b.w.AllImages()[0].ID, func(i *world.Image) bool { i.Owner = us; return true })
			var want []string
			for _, i := range b.w.AllImages() {
				if i.Owner == us {
					want = append(want, fmt.Sprint(i.ID, " active false"))
				}
			}
			for n := range 300 {
				i := world.Image{ID: fmt.Sprintf("ours-%d", n), Name: "n", Owner: us, Visibility: "private", Status: states[n%len(states)], Hidden: n%3 == 0}
				b.w.AddImage(i)
				b.w.AddImage(world.Image{ID: fmt.Sprintf("theirs-%d", n), Owner: them, Visibility: []string{"public", "private", "shared"}[n%3], Members: map[string]string{us: "accepted"}, Hidden: i.Hidden})
				want = append(want, fmt.Sprint(i.ID, " ", i.Status, " ", i.Hidden && b.owner.Hides()))
			}
			b.w.AddImage(world.Image{ID: "spoilt", Name: "spoilt", Owner: us, Visibility: "private"})
			b.faults.Add(faults.Fault{Service: "image", Method: http.MethodGet, Path: "/v2/images", Times: -1, Effect: faults.Effect{Change: func(body []byte) []byte {
				body = bytes.Replace(body, []byte(`"name":"spoilt"`), []byte(`"name":7`), 1)
				return bytes.Replace(body, []byte(`"images":[{`), []byte(`"images":[{"id":"not-asked-for","owner":"`+them+`","status":"active"},{`), 1)
			}}})
			asked := len(b.cloud.Requests())
			slices.Sort(want)
			for user, c := range map[string]openstack.Credential{"an administrator": password(world.Admin, world.AdminPass), "a member": password(world.Member, world.MemberPass)} {
				own, bad, err := b.storeOf(t, c, us).Own(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, i := range own {
					got = append(got, fmt.Sprint(i.ID, " ", i.Status, " ", i.Hidden))
				}
				slices.Sort(got)
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("what %s sees (-want +got):\n%s", user, d)
				}
				if len(bad) != 1 || bad[0].ID != "spoilt" || !strings.Contains(bad[0].Reason, "name") {
					t.Errorf("to %s, not to be read: %v", user, bad)
				}
			}
			pages := 0
			for _, r := range b.cloud.Requests()[asked:] {
				if strings.HasSuffix(r.Path, "/images") {
					if pages++; !strings.Contains(r.Query, "owner="+us) {
						t.Errorf("others' images were asked for: %s", r.Query)
					}
				}
			}
			if pages < 30 {
				t.Errorf("%d pages", pages)
			}
		})
	}
}

// TestImageStoreAbilities: what a Glance can do stands in its schema, and not in its version.
func TestImageStoreAbilities(t *testing.T) {
	for _, era := range emulated.Eras() {
		b := newImageBed(t, era, emulated.ImageService{})
		if old := era.Name == emulated.Mitaka.Name; b.owner.Hides() == old || b.owner.SharedVisibility() == old {
			t.Errorf("%s: hides %v, calls shared images shared %v", era.Name, b.owner.Hides(), b.owner.SharedVisibility())
		}
		if s := b.owner.Scope(); s.ID != b.w.Projects[0].ID {
			t.Errorf("%s: %+v", era.Name, s)
		}
	}
	b := newImageBed(t, emulated.Current, emulated.ImageService{})
	for body, kind := range map[string]error{`{"properties": {"id": {"type": "string"}}}`: openstack.ErrBadAnswer, `{"properties": 3}`: openstack.ErrBadAnswer, `<html>`: openstack.ErrBadAnswer} {
		b.faults.Clear()
		b.faults.Add(faults.Fault{Service: "image", Path: "/v2/schemas/image", Effect: faults.Effect{Status: 200, Body: body}})
		if _, err := connect(t, b.cloud.AuthURL(), password(world.Admin, world.AdminPass)).ImageStore(t.Context(), b.w.Projects[0].ID); !errors.Is(err, kind) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestImageStoreOddTexts: names and values come back as they were written, and what goes is gone.
func TestImageStoreOddTexts(t *testing.T) {
	odd := []string{"", " ", "a\r\nb\tc", `"quoted\" \u0041`, "<script>&amp;</script>", "\u2028\u2029\ufeff", "Ubuntu 🐧", "日本", "%2F%00", "null", "true", "1e9", "{}", "\x7f\u0085", strings.Repeat("é", 30000)}
	for _, era := range emulated.Eras() {
		t.Run(era.Name, func(t *testing.T) {
			b := newImageBed(t, era, emulated.ImageService{})
			ctx, image := t.Context(), must[openstack.StoredImage](t)
			want := map[string]string{"~": "tilde", "/": "slash", "~1": "written as a slash", "a/b~0c": "x", "ad:mpuri": "y", "with blank": "z", "Owner": "not the owner"}
			for n, text := range odd {
				want[fmt.Sprint("p", n)] = text
			}
			made := image(b.owner.Create(ctx, openstack.NewImage{Name: "a\n\"b\"", DiskFormat: "raw", ContainerFormat: "bare", Visibility: "private", Tags: []string{"b", "a"}, Properties: want}))
			if d := cmp.Diff(want, made.Properties); d != "" || made.Name != "a\n\"b\"" || made.Owner != b.w.Projects[0].ID || !slices.Equal(made.Tags, []string{"a", "b"}) {
				t.Fatalf("%q %q %q (-want +got):\n%s", made.Name, made.Owner, made.Tags, d)
			}
			var changes []openstack.Change
			for n, text := range odd { // each property gets the text of another one
				name := fmt.Sprint("p", (n+1)%len(odd))
				changes, want[name] = append(changes, openstack.Change{Name: name, Value: text, Property: true}), text
			}
			for _, name := range []string{"~", "/", "~1", "a/b~0c"} {
				changes = append(changes, openstack.Change{Name: name, Remove: true, Property: true})
				delete(want, name)
			}
			changes = append(changes, openstack.Change{Name: "tags"}, openstack.Change{Name: "protected", Value: "true"}, openstack.Change{Name: "min_disk", Value: "7"})
			got := image(b.owner.Change(ctx, made.ID, changes))
			if d := cmp.Diff(want, got.Properties); d != "" || len(got.Tags) > 0 || !got.Protected || got.MinDisk != 7 {
				t.Errorf("%+v (-want +got):\n%s", got.Tags, d)
			}
			if _, err := b.owner.Change(ctx, made.ID, []openstack.Change{{Name: "kept", Value: "x", Property: true}, {Name: "none", Remove: true, Property: true}}); !errors.Is(err, openstack.ErrConflict) {
				t.Errorf("what is not there is removed: %v", err)
			}
			if again := image(b.owner.Image(ctx, made.ID)); cmp.Diff(got, again) != "" {
				t.Errorf("half a change was made: %s", cmp.Diff(got, again))
			}
		})
	}
}

// TestImageStoreLimits: what is too much of an image is refused whole.
func TestImageStoreLimits(t *testing.T) {
	b := newImageBed(t, emulated.Current, emulated.ImageService{Properties: 3, Members: 1})
	ctx := t.Context()
	many := make([]string, 129)
	for n := range many {
		many[n] = fmt.Sprint(n)
	}
	create := func(n openstack.NewImage) error {
		n.DiskFormat, n.ContainerFormat, n.Visibility = "raw", "bare", "private"
		_, err := b.owner.Create(ctx, n)
		return err
	}
	before := len(b.w.AllImages())
	for name, c := range map[string]struct{ err, kind error }{
		"properties":   {create(openstack.NewImage{Properties: map[string]string{"a": "", "b": "", "c": "", "d": ""}}), openstack.ErrFull},
		"tags":         {create(openstack.NewImage{Tags: many}), openstack.ErrFull},
		"a long name":  {create(openstack.NewImage{Name: strings.Repeat("n", 256)}), openstack.ErrBadAnswer},
		"a long value": {create(openstack.NewImage{Properties: map[string]string{"a": strings.Repeat("v", 65536)}}), openstack.ErrBadAnswer},
		"no number": {func() error {
			_, err := b.owner.Change(ctx, "x", []openstack.Change{{Name: "min_disk", Value: "many"}})
			return err
		}(), nil},
	} {
		if c.err == nil || c.kind != nil && !errors.Is(c.err, c.kind) {
			t.Errorf("%s: %v, want %v", name, c.err, c.kind)
		}
	}
	if n := len(b.w.AllImages()); n != before {
		t.Errorf("%d images, %d before", n, before)
	}
	made := must[openstack.StoredImage](t)(b.owner.Create(ctx, openstack.NewImage{Name: "n", DiskFormat: "raw", ContainerFormat: "bare", Visibility: "shared"}))
	if err := b.owner.Share(ctx, made.ID, "first"); err != nil {
		t.Error(err)
	}
	if err := b.owner.Share(ctx, made.ID, "second"); !errors.Is(err, openstack.ErrFull) {
		t.Errorf("one member too many: %v", err)
	}
}

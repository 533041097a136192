package openstack_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/transport"
)

// imageBed is a cloud of two projects, with Glance as each of them sees it.
type imageBed struct {
	w            *world.World
	cloud        *emulated.Cloud
	faults       *faults.Set
	owner, guest *openstack.ImageStore
}

func newImageBed(t *testing.T, era emulated.Era, service emulated.ImageService) *imageBed {
	t.Helper()
	return imageBedOf(t, emulated.Options{Era: era, Images: service})
}

func imageBedOf(t *testing.T, o emulated.Options) *imageBed {
	t.Helper()
	b := &imageBed{w: world.Generate(world.Options{Seed: 1, At: present, Projects: 2, VMs: 1}), faults: &faults.Set{}}
	o.Middleware = b.faults.Middleware
	b.cloud = serve(t, b.w, o)
	b.owner, b.guest = b.store(t, b.w.Projects[0].ID), b.store(t, b.w.Projects[1].ID)
	return b
}

func (b *imageBed) store(t *testing.T, project string) *openstack.ImageStore {
	t.Helper()
	return b.storeOf(t, password(world.Admin, world.AdminPass), project)
}

func (b *imageBed) storeOf(t *testing.T, c openstack.Credential, project string) *openstack.ImageStore {
	t.Helper()
	s, err := connect(t, b.cloud.AuthURL(), c).ImageStore(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// qcow is the beginning of a qcow2 image, as much as the emulated Glance looks at.
func qcow(n int) []byte {
	body := bytes.Repeat([]byte{7}, n)
	copy(body, "QFI\xfb\x00\x00\x00\x03")
	return body
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestImageStore makes, fills, changes, shares and deletes an image, in every era.
func TestImageStore(t *testing.T) {
	for _, era := range emulated.Eras() {
		t.Run(era.Name, func(t *testing.T) {
			b := newImageBed(t, era, emulated.ImageService{LengthOnly: true})
			ctx, image := t.Context(), must[openstack.StoredImage](t)
			before, bad, err := b.owner.Own(ctx)
			if err != nil || len(bad) > 0 {
				t.Fatal(err, bad)
			}
			properties := map[string]string{"fedsite_state": "uploading", "a/b~c": "1", "ad:mpuri": "https://example.org/x:1/", "long": strings.Repeat("x", 60000)}
			made := image(b.owner.Create(ctx, openstack.NewImage{Name: "n", DiskFormat: "qcow2", ContainerFormat: "bare", Visibility: "private", MinDisk: 2, MinRAM: 512, Tags: []string{"t"}, Properties: properties}))
			if made.Status != "queued" || made.Owner != b.w.Projects[0].ID || made.Visibility != "private" || made.MinDisk != 2 || made.MinRAM != 512 || made.Size != 0 || made.HashValue != "" {
				t.Errorf("made: %+v", made)
			}
			if d := cmp.Diff(properties, made.Properties); d != "" {
				t.Errorf("properties (-want +got):\n%s", d)
			}
			body := qcow(300_000)
			if err := b.owner.Upload(ctx, made.ID, int64(len(body)), bytes.NewReader(body)); err != nil {
				t.Fatal(err)
			}
			there := image(b.owner.Image(ctx, made.ID))
			sum := sha512.Sum512(body)
			if there.Status != "active" || there.Size != 300_000 || b.owner.Hides() && there.HashValue != hex.EncodeToString(sum[:]) || there.Checksum == "" {
				t.Errorf("filled: %+v", there)
			}
			if kept, _ := b.cloud.Content(made.ID); !bytes.Equal(kept, body) {
				t.Error("the content is another one")
			}
			if err := b.owner.Upload(ctx, made.ID, 1, strings.NewReader("x")); !errors.Is(err, openstack.ErrConflict) {
				t.Errorf("a second upload: %v", err)
			}
			changed := image(b.owner.Change(ctx, made.ID, []openstack.Change{{Name: "name", Value: "other"}, {Name: "a/b~c", Value: "2", Property: true}, {Name: "new", Value: "3", Property: true}, {Name: "long", Remove: true, Property: true},
				{Name: "visibility", Value: "shared"}, {Name: "os_hidden", Value: "true"}, {Name: "min_ram", Value: "1024"}}))
			if changed.Name != "other" || changed.Properties["a/b~c"] != "2" || changed.Properties["new"] != "3" || changed.Properties["long"] != "" || changed.MinRAM != 1024 || changed.Hidden != b.owner.Hides() {
				t.Errorf("changed: %+v", changed)
			}
			b.share(t, made.ID)
			own, _, err := b.owner.Own(ctx)
			if err != nil || len(own) != len(before)+1 || !slices.ContainsFunc(own, func(i openstack.StoredImage) bool { return i.ID == made.ID }) {
				t.Errorf("the project owns %d images, %d before: %v", len(own), len(before), err)
			}
			for range 2 {
				if err := errors.Join(b.owner.Deactivate(ctx, made.ID), b.owner.Deactivate(ctx, made.ID)); err != nil {
					t.Error(err)
				}
				if i := image(b.owner.Image(ctx, made.ID)); i.Status != "deactivated" {
					t.Errorf("deactivated it is %s", i.Status)
				}
				if err := b.owner.Reactivate(ctx, made.ID); err != nil {
					t.Error(err)
				}
			}
			if err := errors.Join(b.owner.Delete(ctx, made.ID), b.owner.Delete(ctx, made.ID)); err != nil {
				t.Error(err)
			}
			if _, err := b.owner.Image(ctx, made.ID); !errors.Is(err, openstack.ErrNotFound) {
				t.Errorf("deleted: %v", err)
			}
		})
	}
}

// share offers an image to the guest, who takes it, and takes it back.
func (b *imageBed) share(t *testing.T, id string) {
	t.Helper()
	ctx, guest := t.Context(), b.w.Projects[1].ID
	if err := errors.Join(b.owner.Share(ctx, id, guest), b.owner.Share(ctx, id, guest)); err != nil {
		t.Fatal(err)
	}
	members := must[[]openstack.Member](t)
	if all := members(b.owner.Members(ctx, id)); len(all) != 1 || all[0] != (openstack.Member{Project: guest, Status: "pending"}) {
		t.Errorf("offered: %v", all)
	}
	if err := b.guest.Accept(ctx, id); err != nil {
		t.Fatal(err)
	}
	if all := members(b.owner.Members(ctx, id)); len(all) != 1 || all[0].Status != "accepted" {
		t.Errorf("accepted: %v", all)
	}
	if err := errors.Join(b.owner.Unshare(ctx, id, guest), b.owner.Unshare(ctx, id, guest)); err != nil {
		t.Error(err)
	}
}

// TestImageStoreUpload: an upload that breaks off leaves the image queued, and what Glance says of it counts.
func TestImageStoreUpload(t *testing.T) {
	b := newImageBed(t, emulated.Current, emulated.ImageService{Quota: 64 << 20})
	ctx := t.Context()
	fresh := func() string {
		return must[openstack.StoredImage](t)(b.owner.Create(ctx, openstack.NewImage{Name: "n", DiskFormat: "qcow2", ContainerFormat: "bare", Visibility: "private"})).ID
	}
	broke := errors.New("the source broke off")
	large := io.LimitReader(&repeated{qcow(1 << 20)}, 65<<20)
	for _, c := range []struct {
		name string
		size int64
		body io.Reader
		want error
		then string
	}{
		{"the body breaks off", 1 << 20, io.MultiReader(bytes.NewReader(qcow(1000)), iotest.ErrReader(broke)), broke, "queued"},
		{"it ends early", 1 << 20, bytes.NewReader(qcow(1000)), nil, "queued"},
		{"another format", 1000, bytes.NewReader(append([]byte("KDMV"), make([]byte, 996)...)), openstack.ErrFormat, "queued"},
		{"over the quota", 65 << 20, large, openstack.ErrFull, "queued"},
		{"right", 1 << 20, bytes.NewReader(qcow(1 << 20)), nil, "active"},
	} {
		id := fresh()
		err := b.owner.Upload(ctx, id, c.size, io.MultiReader(io.LimitReader(c.body, 1), &begun{b, id}, c.body))
		if (c.then == "active") != (err == nil) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if errors.Is(err, broke) && errors.Is(err, openstack.ErrUnavailable) {
			t.Errorf("%s, and Glance is blamed: %v", c.name, err)
		}
		b.settled(t, id)
		if i := must[openstack.StoredImage](t)(b.owner.Image(ctx, id)); i.Status != c.then {
			t.Errorf("%s: it is %s, want %s", c.name, i.Status, c.then)
		}
	}
	if err := b.owner.Upload(ctx, "00000000-0000-4000-8000-000000000000", 1, strings.NewReader("x")); !errors.Is(err, openstack.ErrNotFound) {
		t.Errorf("into nothing: %v", err)
	}
}

// settled waits until Glance has noticed that an upload ended.
func (b *imageBed) settled(t *testing.T, id string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if i, _ := b.w.Image(id); i.Status != "saving" {
			return
		}
		_, _ = b.owner.Image(t.Context(), id)
	}
	t.Errorf("image %s is saving still", id)
}

// begun ends once Glance has begun to take the image's content.
type begun struct {
	b  *imageBed
	id string
}

func (r *begun) Read([]byte) (int, error) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		if i, _ := r.b.w.Image(r.id); i.Status == "saving" {
			break
		}
	}
	return 0, io.EOF
}

// repeated gives the same bytes over and over.
type repeated struct{ of []byte }

func (r *repeated) Read(p []byte) (int, error) { return copy(p, r.of), nil }

// TestImageStoreRefusals: each refusal has its kind, and none is repeated.
func TestImageStoreRefusals(t *testing.T) {
	b := newImageBed(t, emulated.Current, emulated.ImageService{Clones: true})
	ctx := t.Context()
	used := b.w.VMs()[0].Image
	b.w.ChangeImage(used, func(i *world.Image) bool { i.Owner = b.w.Projects[0].ID; return true })
	b.w.AddImage(world.Image{ID: "protected", Owner: b.w.Projects[0].ID, Visibility: "private", Protected: true})
	b.w.AddImage(world.Image{ID: "foreign", Owner: b.w.Projects[1].ID, Visibility: "public"})
	for name, c := range map[string]struct {
		err  error
		kind error
	}{
		"in use":          {b.owner.Delete(ctx, used), openstack.ErrInUse},
		"protected":       {b.owner.Delete(ctx, "protected"), openstack.ErrProtected},
		"not there":       {b.owner.Deactivate(ctx, "none"), openstack.ErrNotFound},
		"nobody's member": {b.owner.Accept(ctx, "protected"), openstack.ErrNotFound},
	} {
		if !errors.Is(c.err, c.kind) || openstack.Hint(c.err) == "" && c.kind != openstack.ErrNotFound {
			t.Errorf("%s: %v, want %v", name, c.err, c.kind)
		}
	}
	servers, err := b.store(t, b.w.VMs()[0].Project).Servers(ctx, used)
	if err != nil || len(servers) == 0 || servers[0].ID == "" {
		t.Errorf("VMs from an image that one runs from: %v, %v", servers, err)
	}
	if servers, err := b.owner.Servers(ctx, "none"); err != nil || len(servers) > 0 {
		t.Errorf("VMs from no image: %v, %v", servers, err)
	}
}

// TestImageStoreReads: with a client that only reads, nothing is written.
func TestImageStoreReads(t *testing.T) {
	b := newImageBed(t, emulated.Current, emulated.ImageService{})
	reading, err := transport.New(transport.Config{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reading.CloseIdleConnections)
	s, err := connect(t, b.cloud.AuthURL(), password(world.Admin, world.AdminPass), func(c *openstack.Config) { c.HTTP = reading.Client }).ImageStore(t.Context(), b.w.Projects[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Own(t.Context()); err != nil {
		t.Error(err)
	}
	n := len(b.w.AllImages())
	_, create := s.Create(t.Context(), openstack.NewImage{Name: "n", DiskFormat: "raw", ContainerFormat: "bare", Visibility: "private"})
	for name, err := range map[string]error{"create": create, "upload": s.Upload(t.Context(), "x", 1, strings.NewReader("x")), "delete": s.Delete(t.Context(), b.w.AllImages()[0].ID), "share": s.Share(t.Context(), "x", "y")} {
		if err == nil || !strings.Contains(err.Error(), "would change something") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(b.w.AllImages()) != n {
		t.Error("something was written")
	}
}

// TestImageStoreSignsInAnew: a token that ended is made anew, once, and an upload begins with a fresh one.
func TestImageStoreSignsInAnew(t *testing.T) {
	b := newImageBed(t, emulated.Current, emulated.ImageService{})
	b.faults.Add(faults.Fault{Service: "image", Method: http.MethodPost, Effect: faults.Effect{Status: http.StatusUnauthorized}})
	made := must[openstack.StoredImage](t)(b.owner.Create(t.Context(), openstack.NewImage{Name: "n", DiskFormat: "qcow2", ContainerFormat: "bare", Visibility: "private"}))
	signIns := 0
	count := func() (n int) {
		for _, r := range b.cloud.Requests() {
			if r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/auth/tokens") {
				n++
			}
		}
		return n
	}
	signIns = count()
	if err := b.owner.Upload(t.Context(), made.ID, 100, bytes.NewReader(qcow(100))); err != nil {
		t.Fatal(err)
	}
	if count() == signIns {
		t.Error("the upload began with an old token")
	}
}

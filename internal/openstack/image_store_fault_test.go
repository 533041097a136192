package openstack_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
)

// TestImageStoreFaults: each named fault is said as what it is, and what to do; nothing is sent twice, and the next upload
// goes well where there is one to make.
func TestImageStoreFaults(t *testing.T) {
	kinds := map[string]error{"image-401-late": openstack.ErrNotAuthorised, "image-409": openstack.ErrConflict, "image-413": openstack.ErrFull, "image-415": openstack.ErrFormat,
		"image-503": openstack.ErrUnavailable, "image-cut": openstack.ErrUnavailable, "image-lost-answer": openstack.ErrUnavailable}
	body := qcow(1 << 20)
	for _, f := range faults.Images() {
		t.Run(f.Name, func(t *testing.T) {
			b := newImageBed(t, emulated.Current, emulated.ImageService{})
			ctx, image := t.Context(), must[openstack.StoredImage](t)
			made := image(b.owner.Create(ctx, openstack.NewImage{Name: "n", DiskFormat: "qcow2", ContainerFormat: "bare", Visibility: "private"}))
			b.faults.Add(f.Fault)
			err := b.owner.Upload(ctx, made.ID, int64(len(body)), bytes.NewReader(body))
			e, ok := errors.AsType[*openstack.Error](err)
			if !ok || kinds[f.Name] == nil || !errors.Is(err, kinds[f.Name]) || f.Fault.Effect.Status != e.Status {
				t.Fatalf("%v, want %v", err, kinds[f.Name])
			}
			if hint := openstack.Hint(err); hint == "" || strings.Contains(hint, "window") || strings.ContainsAny(err.Error(), "<>\n") {
				t.Errorf("%v; %s", err, hint)
			}
			if n := b.faults.Struck(); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
			b.faults.Clear()
			b.settled(t, made.ID)
			if f.Fault.Effect.Lost {
				if err := b.owner.Upload(ctx, made.ID, 1, strings.NewReader("x")); !errors.Is(err, openstack.ErrConflict) {
					t.Errorf("what is there was sent again: %v", err)
				}
			} else if err := b.owner.Upload(ctx, made.ID, int64(len(body)), bytes.NewReader(body)); err != nil {
				t.Errorf("the next one: %v", err)
			}
			if i := image(b.owner.Image(ctx, made.ID)); i.Status != "active" || i.Size != int64(len(body)) {
				t.Errorf("at the end: %+v", i)
			}
		})
	}
}

// TestImageStoreMembersDenied: that somebody may not ask who shares an image does not mean that nobody does.
func TestImageStoreMembersDenied(t *testing.T) {
	b := newImageBed(t, emulated.Current, emulated.ImageService{})
	made := must[openstack.StoredImage](t)(b.owner.Create(t.Context(), openstack.NewImage{Name: "n", DiskFormat: "qcow2", ContainerFormat: "bare", Visibility: "private"}))
	if all, err := b.owner.Members(t.Context(), made.ID); err != nil || len(all) > 0 {
		t.Errorf("a private image: %v, %v", all, err)
	}
	b.faults.Add(faults.Fault{Service: "image", Path: "/v2/images/*/members", Effect: faults.Effect{Status: http.StatusForbidden, Body: "<html><h1>403 Forbidden</h1>You are not authorized to complete get_members action.</html>"}})
	if all, err := b.owner.Members(t.Context(), made.ID); !errors.Is(err, openstack.ErrForbidden) {
		t.Errorf("by policy: %v, %v", all, err)
	}
}

// waiting gives some bytes, and then nothing until somebody says so.
type waiting struct {
	r     io.Reader
	until <-chan struct{}
}

func (w *waiting) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err == io.EOF {
		<-w.until
		n, err = len(p), nil
	}
	return n, err
}

// TestImageStoreUploadRefusedEarly: Glance refuses an image while its source is silent. The upload ends with that all the same.
func TestImageStoreUploadRefusedEarly(t *testing.T) {
	b := newImageBed(t, emulated.Current, emulated.ImageService{})
	b.faults.Add(faults.Fault{Service: "image", Method: http.MethodPut, Effect: faults.Effect{After: 1000, Status: http.StatusRequestEntityTooLarge}})
	until := make(chan struct{})
	defer close(until)
	if err := b.owner.Upload(t.Context(), "x", 1<<20, &waiting{bytes.NewReader(qcow(64 << 10)), until}); !errors.Is(err, openstack.ErrFull) {
		t.Error(err)
	}
}

// late answers an upload only when its body has ended, well or not, and looks whether there is more of it then.
type late struct {
	http.RoundTripper
	body io.Reader
}

func (l *late) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPut {
		return l.RoundTripper.RoundTrip(r)
	}
	_, _ = io.Copy(io.Discard, r.Body)
	l.body = r.Body
	return &http.Response{StatusCode: http.StatusRequestEntityTooLarge, Body: io.NopCloser(strings.NewReader("full")), Header: http.Header{}, Request: r}, nil
}

// TestImageStoreUploadBothBreak: what Glance said and what the source met are both told, and nothing is read any more once the
// upload has ended.
func TestImageStoreUploadBothBreak(t *testing.T) {
	b := newImageBed(t, emulated.Current, emulated.ImageService{})
	l := &late{}
	s, err := connect(t, b.cloud.AuthURL(), password(world.Admin, world.AdminPass), func(c *openstack.Config) {
		l.RoundTripper = c.HTTP.Transport
		c.HTTP = &http.Client{Transport: l}
	}).ImageStore(t.Context(), b.w.Projects[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	broke := errors.New("the source broke off")
	body := io.MultiReader(strings.NewReader("some"), iotest.ErrReader(broke), strings.NewReader("more"))
	err = s.Upload(t.Context(), "x", 100, body)
	if !errors.Is(err, openstack.ErrFull) || !errors.Is(err, broke) || strings.Index(err.Error(), "full") > strings.Index(err.Error(), broke.Error()) || openstack.Hint(err) == "" {
		t.Errorf("%v", err)
	}
	if n, err := l.body.Read(make([]byte, 10)); n > 0 || err == nil || errors.Is(err, broke) {
		t.Errorf("read after the end: %d bytes, %v", n, err)
	}
}

package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
)

// glanceOf takes uploads, and notes how many bytes came and whether all of them did.
type glanceOf struct {
	Store
	after int64 // refuses after so many bytes; 0 = never
	mu    sync.Mutex
	got   bytes.Buffer
	whole bool
}

var errQuota = errors.New("quota")

func (g *glanceOf) Upload(ctx context.Context, _ string, size int64, body io.Reader) error {
	var w io.Writer = &g.got
	if g.after > 0 {
		if _, err := io.CopyN(w, body, g.after); err != nil {
			return err
		}
		return errQuota
	}
	n, err := io.Copy(w, body)
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%d bytes of %d", n, size)
	}
	g.mu.Lock()
	g.whole = true
	g.mu.Unlock()
	return nil
}

// content is what images are made of in these tests.
func contentOf(n int) []byte {
	body := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	return body
}

func digests(body []byte) (Digest, Digest) {
	long, short := sha512.Sum512(body), sha256.Sum256(body)
	return Digest(SHA512 + ":" + hex.EncodeToString(long[:])), Digest(SHA256 + ":" + hex.EncodeToString(short[:]))
}

// TestFeed: what is right arrives whole at every upload; of what is wrong, no upload gets all of it, whatever its size.
func TestFeed(t *testing.T) {
	for _, n := range []int{1, 512, tailBytes - 1, tailBytes, tailBytes + 1, tailBytes + chunkBytes, 3*tailBytes + 7} {
		body := contentOf(n)
		long, short := digests(body)
		wrong := bytes.Clone(body)
		wrong[n-1] ^= 1
		for _, c := range []struct {
			name   string
			src    io.Reader
			size   int64
			digest Digest
			want   error
		}{
			{"right, SHA-512", bytes.NewReader(body), int64(n), long, nil},
			{"right, SHA-256", iotest.HalfReader(bytes.NewReader(body)), int64(n), short, nil},
			{"one bit is wrong", bytes.NewReader(wrong), int64(n), long, errWrongSum},
			{"one bit is wrong, SHA-256", bytes.NewReader(wrong), int64(n), short, errWrongSum},
			{"cut", bytes.NewReader(body[:n-1]), int64(n), long, errBroken},
			{"longer than announced", io.MultiReader(bytes.NewReader(body), bytes.NewReader([]byte{1})), int64(n), long, errWrongSum},
			{"breaks off", io.MultiReader(bytes.NewReader(body[:n/2]), iotest.ErrReader(errors.New("connection reset"))), int64(n), long, errBroken},
		} {
			t.Run(fmt.Sprintf("%d bytes, %s", n, c.name), func(t *testing.T) {
				stores := []*glanceOf{{}, {}, {}}
				var outlets []*outlet
				for _, g := range stores {
					outlets = append(outlets, (&order{store: g, image: "i"}).open(t.Context(), c.size))
				}
				s := newSums().only(c.digest, true)
				err := feed(t.Context(), nil, c.src, c.size, outlets, s, func([]byte) error { return s.check(c.digest) }, func(int64) {})
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Fatalf("%v, want %v", err, c.want)
				}
				for i, g := range stores {
					whole := g.whole && bytes.Equal(g.got.Bytes(), body)
					if whole != (c.want == nil) || g.whole != whole {
						t.Errorf("upload %d: whole %v, %d bytes of %d", i, g.whole, g.got.Len(), n)
					}
					if (outlets[i].order.err == nil) != (c.want == nil) {
						t.Errorf("upload %d: %v", i, outlets[i].order.err)
					}
				}
			})
		}
	}
}

// TestFeedOneRefuses: an upload that Glance refuses in its midst spoils no other one.
func TestFeedOneRefuses(t *testing.T) {
	body := contentOf(3 * tailBytes)
	long, _ := digests(body)
	for _, after := range []int64{1, chunkBytes, 2 * tailBytes, int64(len(body)) - 1} {
		refusing, good := &glanceOf{after: after}, &glanceOf{}
		var outlets []*outlet
		for _, g := range []*glanceOf{refusing, good} {
			outlets = append(outlets, (&order{store: g, image: "i"}).open(t.Context(), int64(len(body))))
		}
		s := newSums().only(long, false)
		err := feed(t.Context(), body[:10], bytes.NewReader(body[10:]), int64(len(body)), outlets, s, func([]byte) error { return s.check(long) }, func(int64) {})
		if err != nil || !good.whole || !bytes.Equal(good.got.Bytes(), body) {
			t.Errorf("refused after %d: %v, the other one has %d bytes", after, err, good.got.Len())
		}
		if !errors.Is(outlets[0].order.err, errQuota) || outlets[1].order.err != nil {
			t.Errorf("refused after %d: %v and %v", after, outlets[0].order.err, outlets[1].order.err)
		}
	}
}

// TestFeedAllRefuse: nothing more is read of the source when nobody takes it.
func TestFeedAllRefuse(t *testing.T) {
	body := contentOf(20 * tailBytes)
	long, _ := digests(body)
	src := bytes.NewReader(body)
	out := (&order{store: &glanceOf{after: 1}, image: "i"}).open(t.Context(), int64(len(body)))
	s := newSums().only(long, false)
	err := feed(t.Context(), nil, src, int64(len(body)), []*outlet{out}, s, func([]byte) error { return s.check(long) }, func(int64) {})
	if !errors.Is(err, errEnded) || !errors.Is(out.order.err, errQuota) || src.Len() < 15*tailBytes {
		t.Errorf("%v, %v, %d bytes were not read", err, out.order.err, src.Len())
	}
}

// TestFeedInterrupted: the end of a run ends uploads, and says why.
func TestFeedInterrupted(t *testing.T) {
	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	g := &glanceOf{}
	out := (&order{store: g, image: "i"}).open(ctx, 10*tailBytes)
	src := io.MultiReader(bytes.NewReader(contentOf(2*tailBytes)), readerFunc(func([]byte) (int, error) {
		cancel(stop)
		return 0, ctx.Err()
	}))
	s := newSums().only("sha512:", false)
	err := feed(ctx, nil, src, 10*tailBytes, []*outlet{out}, s, func([]byte) error { return nil }, func(int64) {})
	if err == nil || g.whole || !errors.Is(out.order.err, stop) {
		t.Errorf("%v, %v, whole %v", err, out.order.err, g.whole)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

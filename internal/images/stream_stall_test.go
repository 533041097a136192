package images

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// stalling gives a body in two parts, with a pause between them that ends with the context.
type stalling struct {
	ctx   context.Context
	body  []byte
	at    int
	pause time.Duration
}

func (s *stalling) Read(p []byte) (int, error) {
	if s.at == len(s.body) {
		return 0, io.EOF
	}
	end := len(s.body)
	if half := end / 2; s.at < half {
		end = half
	} else if s.at == half {
		select {
		case <-time.After(s.pause):
		case <-s.ctx.Done():
			return 0, context.Cause(s.ctx)
		}
	}
	n := copy(p, s.body[s.at:end])
	s.at += n
	return n, nil
}

// slowGlance takes all, and answers late.
type slowGlance struct {
	Store
	answers time.Duration
}

func (g slowGlance) Upload(ctx context.Context, _ string, _ int64, body io.Reader) error {
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	select {
	case <-time.After(g.answers):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// TestFeedStalls: that a source stalls is not Glance's, and Glance may take its time to answer, but not for ever.
func TestFeedStalls(t *testing.T) {
	for name, c := range map[string]struct {
		source, answer time.Duration
		want           error
	}{
		"the source, for an hour":         {source: time.Hour},
		"Glance's answer, for 19 min":     {answer: 19 * time.Minute},
		"Glance's answer, for 21 min":     {answer: 21 * time.Minute, want: errSilent},
		"the source, then Glance a while": {source: 3 * time.Minute, answer: 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := contentOf(4 * tailBytes)
				digest, _ := digests(body)
				out := (&order{store: slowGlance{answers: c.answer}, image: "i"}).open(t.Context(), int64(len(body)))
				s := newSums().only(digest, false)
				err := feed(t.Context(), nil, &stalling{ctx: t.Context(), body: body, pause: c.source}, int64(len(body)), []*outlet{out}, s, func([]byte) error { return s.check(digest) }, func(int64) {})
				if err != nil || !errors.Is(out.order.err, c.want) {
					t.Errorf("%v, %v, want %v", err, out.order.err, c.want)
				}
			})
		})
	}
}

// TestFeedNobodyTakes: a source that stalls is not waited for when every upload has ended.
func TestFeedNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := contentOf(4 * tailBytes)
		ctx, enough := context.WithCancelCause(t.Context())
		out := (&order{store: &glanceOf{after: tailBytes}, image: "i"}).open(t.Context(), int64(len(body)))
		go func() { <-out.done; enough(errEnded) }()
		began := time.Now()
		err := feed(t.Context(), nil, &stalling{ctx: ctx, body: body, pause: time.Hour}, int64(len(body)), []*outlet{out}, newSums(), func([]byte) error { return nil }, func(int64) {})
		if !errors.Is(err, errEnded) || !errors.Is(out.order.err, errQuota) || time.Since(began) > time.Minute {
			t.Errorf("%v, %v after %s", err, out.order.err, time.Since(began))
		}
	})
}

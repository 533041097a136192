package download

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

func TestCutAtEveryOffset(t *testing.T) {
	file := content(40)
	for _, c := range []struct {
		name     string
		etag     string
		noRanges bool
	}{{"ranges", `"a"`, false}, {"ranges without a tag", "", false}, {"weak tag", `W/"a"`, false}, {"no ranges", `"a"`, true}, {"no ranges, no tag", "", true}} {
		cl := client(t)
		for cut := range len(file) {
			s := &store{file: file, etag: c.etag, noRanges: c.noRanges, cutAt: func(n int) int {
				if n == 1 {
					return cut
				}
				return -1
			}}
			srv := serve(t, s.ServeHTTP)
			var p pauses
			text, st, err := whole(t, cl.opener(srv.URL), Options{Sleep: p.sleep, Size: int64(len(file))})
			if err != nil || text != file || st.Offset() != int64(len(file)) || st.Breaks() != 1 || s.requests != 2 || len(p) != 1 {
				t.Fatalf("%s, cut at %d: %d bytes, right %t, %v, %d requests", c.name, cut, len(text), text == file, err, s.requests)
			}
			if fresh := !c.noRanges || cut == 0; fresh && s.served != len(file) {
				t.Errorf("%s, cut at %d: %d bytes went over the wire", c.name, cut, s.served)
			}
		}
	}
}

// Each connection brings one byte more: as long as there is progress, it goes on.
func TestProgressKeepsItGoing(t *testing.T) {
	file := content(50)
	s := &store{file: file, etag: `"a"`, cutAt: func(n int) int { return n }}
	srv := serve(t, s.ServeHTTP)
	var p pauses
	text, st, err := whole(t, client(t).opener(srv.URL), Options{Sleep: p.sleep, Tries: 2})
	if err != nil || text != file || st.Breaks() != 49 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	for _, d := range p {
		if d < 500*time.Millisecond || d > time.Second {
			t.Errorf("paused %s after progress", d)
		}
	}
}

func TestWithoutProgressItEnds(t *testing.T) {
	s := &store{file: content(50), etag: `"a"`, cutAt: func(int) int { return 20 }}
	srv := serve(t, s.ServeHTTP)
	var p pauses
	text, st, err := whole(t, client(t).opener(srv.URL), Options{Sleep: p.sleep, Tries: 4, Max: 3 * time.Second})
	if !errors.Is(err, ErrUnavailable) || len(text) != 20 || st.Offset() != 20 || s.requests != 4 {
		t.Errorf("%d bytes, %v, %d requests", len(text), err, s.requests)
	}
	for i, most := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second} {
		if p[i] < most/2 || p[i] > most {
			t.Errorf("pause %d is %s", i, p[i])
		}
	}
}

func TestChanged(t *testing.T) {
	file, other := content(60), content(80)[20:]
	for name, change := range map[string]func(*store){
		"etag and content": func(s *store) { s.etag, s.file = `"b"`, other },
		"etag alone":       func(s *store) { s.etag = `"b"` },
		"length":           func(s *store) { s.file += "x" },
		"content under the same etag, without ranges": func(s *store) { s.noRanges, s.file = true, other },
		"shorter, without ranges":                     func(s *store) { s.noRanges, s.file = true, file[:10] },
		"shorter, with ranges":                        func(s *store) { s.file = file[:10] },
	} {
		s := &store{file: file, etag: `"a"`, cutAt: func(n int) int {
			if n == 1 {
				return 30
			}
			return -1
		}}
		s.before = func(n int) {
			if n == 2 {
				change(s)
			}
		}
		srv := serve(t, s.ServeHTTP)
		var p pauses
		text, st, err := whole(t, client(t).opener(srv.URL), Options{Sleep: p.sleep})
		if !errors.Is(err, ErrChanged) || text != file[:30] || st.Offset() != 30 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}

func TestNoRanges(t *testing.T) {
	// It breaks each time a byte later: read again and again, but not for ever.
	file := content(60)
	s := &store{file: file, noRanges: true, cutAt: func(n int) int { return 10 + n }}
	srv := serve(t, s.ServeHTTP)
	var p pauses
	text, _, err := whole(t, client(t).opener(srv.URL), Options{Sleep: p.sleep})
	if !errors.Is(err, ErrNoRange) || text != file[:14] || s.requests != 5 {
		t.Errorf("%d bytes, %v, %d requests", len(text), err, s.requests)
	}
	// It breaks while it is read again.
	s = &store{file: file, noRanges: true, cutAt: func(n int) int { return []int{30, 12, -1}[n-1] }}
	srv = serve(t, s.ServeHTTP)
	if text, _, err = whole(t, client(t).opener(srv.URL), Options{Sleep: p.sleep}); err != nil || text != file {
		t.Errorf("broken twice: %d bytes, %v", len(text), err)
	}
	// It has ranges again while it is read again.
	s = &store{file: file, noRanges: true, cutAt: func(n int) int { return []int{30, 12, -1}[n-1] }}
	s.before = func(n int) { s.noRanges = n < 3 }
	srv = serve(t, s.ServeHTTP)
	if text, _, err = whole(t, client(t).opener(srv.URL), Options{Sleep: p.sleep}); err != nil || text != file {
		t.Errorf("ranges at last: %d bytes, %v", len(text), err)
	}
}

func TestResumed(t *testing.T) {
	file := content(60)
	for _, c := range []struct {
		name     string
		tag      string
		from     int64
		noRanges bool
		begins   int64
	}{
		{"the same file", `"a"`, 25, false, 25},
		{"at its end", `"a"`, 60, false, 60},
		{"another file", `"old"`, 25, false, 0},
		{"longer than it is now", "", 70, false, 0},
		{"no ranges", `"a"`, 25, true, 0},
	} {
		s := &store{file: file, etag: `"a"`, noRanges: c.noRanges}
		srv := serve(t, s.ServeHTTP)
		text, st, err := whole(t, client(t).opener(srv.URL), Options{From: c.from, Tag: c.tag})
		if err != nil || st.From() != c.begins || text != file[c.begins:] || st.Size() != 60 || st.Tag() != `"a"` {
			t.Errorf("%s: %d bytes from %+v, %v", c.name, len(text), st, err)
		}
	}
	// What came before 25 is not known here, so that it cannot be compared.
	s := &store{file: file, etag: `"a"`, cutAt: func(n int) int { return []int{40, -1}[n-1] }}
	s.before = func(n int) { s.noRanges = n > 1 }
	srv := serve(t, s.ServeHTTP)
	var p pauses
	if text, st, err := whole(t, client(t).opener(srv.URL), Options{From: 25, Tag: `"a"`, Sleep: p.sleep}); !errors.Is(err, ErrNoRange) || text != file[25:40] || st.Offset() != 40 {
		t.Errorf("no ranges later: %d bytes, %v", len(text), err)
	}
}

func TestWrongLength(t *testing.T) {
	s := &store{file: content(60)}
	srv := serve(t, s.ServeHTTP)
	for _, size := range []int64{59, 61} {
		if _, _, err := whole(t, client(t).opener(srv.URL), Options{Size: size}); !errors.Is(err, ErrLength) {
			t.Errorf("said %d: %v", size, err)
		}
	}
	chunked := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "0123456789")
	})
	for size, want := range map[int64]error{0: nil, 10: nil, 9: ErrLength, 11: ErrLength} {
		text, _, err := whole(t, client(t).opener(chunked.URL), Options{Size: size})
		if !errors.Is(err, want) || want == nil && text != "0123456789" {
			t.Errorf("without a length, said %d: %q, %v", size, text, err)
		}
	}
}

func TestWhatIsTriedAgain(t *testing.T) {
	file := content(20)
	for _, c := range []struct {
		status   int
		want     error
		requests int
	}{
		{http.StatusServiceUnavailable, nil, 2}, {http.StatusInternalServerError, nil, 2}, {http.StatusTooManyRequests, nil, 2},
		{http.StatusNotFound, ErrNotFound, 1}, {http.StatusUnauthorized, ErrDenied, 1}, {http.StatusForbidden, ErrDenied, 1}, {http.StatusBadRequest, ErrAnswer, 1},
	} {
		s := &store{file: file, answer: func(n int, w http.ResponseWriter) bool {
			if n == 1 {
				w.Header().Set("Retry-After", "17")
				w.WriteHeader(c.status)
			}
			return n == 1
		}}
		srv := serve(t, s.ServeHTTP)
		var p pauses
		text, _, err := whole(t, client(t).opener(srv.URL), Options{Sleep: p.sleep})
		if !errors.Is(err, c.want) || s.requests != c.requests || c.want == nil && (text != file || p[0] != 17*time.Second) {
			t.Errorf("%d: %q, %v, %d requests, %v", c.status, text, err, s.requests, p)
		}
	}
}

func TestStoppedStream(t *testing.T) {
	s := &store{file: content(20), cutAt: func(int) int { return 7 }}
	srv := serve(t, s.ServeHTTP)
	why := errors.New("the operator stopped it")
	ctx, cancel := context.WithCancelCause(t.Context())
	st, err := Start(ctx, client(t).opener(srv.URL), Options{Sleep: func(ctx context.Context, _ time.Duration) error {
		cancel(why)
		return context.Cause(ctx)
	}})
	must(t, err)
	if text, err := io.ReadAll(st); !errors.Is(err, why) || len(text) != 7 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	must(t, st.Close())
	st, err = Start(t.Context(), client(t).opener(srv.URL), Options{})
	must(t, err)
	must(t, st.Close())
	if n, err := st.Read(make([]byte, 5)); n != 0 || err == nil {
		t.Errorf("after Close: %d bytes, %v", n, err)
	}
}

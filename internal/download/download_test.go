package download

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/transport"
)

func TestDocument(t *testing.T) {
	const date = "Tue, 24 Nov 2026 12:00:00 GMT"
	for _, c := range []struct {
		name        string
		etag, date  string // of the server
		known       Known
		same        bool
		none, since string // what it must be asked
	}{
		{"unknown", `"a"`, date, Known{}, false, "", ""},
		{"known", `"a"`, date, Known{`"a"`, date}, true, `"a"`, date},
		{"another", `"b"`, date, Known{`"a"`, date}, false, `"a"`, date},
		{"by date", "", date, Known{LastModified: date}, true, "", date},
		{"weak", `W/"a"`, "", Known{ETag: `W/"a"`}, true, `W/"a"`, ""},
	} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if n, s := r.Header.Get("If-None-Match"), r.Header.Get("If-Modified-Since"); n != c.none || s != c.since || r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("%s: asked with %q, %q, %q", c.name, n, s, r.Header.Get("Accept-Encoding"))
			}
			if c.same {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			set(w.Header(), "ETag", c.etag)
			set(w.Header(), "Last-Modified", c.date)
			_, _ = io.WriteString(w, "the list")
		})
		d, err := client(t).Document(t.Context(), srv.URL, Auth{}, c.known)
		want := Document{Body: []byte("the list"), Known: Known{c.etag, c.date}}
		if c.same {
			want = Document{Known: c.known, NotModified: true}
		}
		if err != nil || !bytes.Equal(d.Body, want.Body) || d.Known != want.Known || d.NotModified != want.NotModified {
			t.Errorf("%s: %+v, %v", c.name, d, err)
		}
	}
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.String()
}

func TestBadAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		h      http.HandlerFunc
		offset int64
		want   error
		says   string
	}{
		{"compressed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, zipped("text"))
		}, 0, ErrAnswer, `Content-Encoding "gzip"`},
		{"404", status(404), 0, ErrNotFound, "status 404"},
		{"410", status(410), 0, ErrNotFound, ""},
		{"401", status(401), 0, ErrDenied, ""},
		{"403", status(403), 0, ErrDenied, ""},
		{"500", status(500), 0, ErrUnavailable, ""},
		{"503", status(503), 0, ErrUnavailable, ""},
		{"429", status(429), 0, ErrUnavailable, ""},
		{"204", status(204), 0, ErrAnswer, ""},
		{"304 unasked", status(304), 0, ErrAnswer, ""},
		{"206 unasked", status(206), 0, ErrAnswer, ""},
		{"redirect without a target", status(302), 0, ErrAnswer, ""},
		{"redirect to metadata", redirect("http://169.254.169.254/latest"), 0, ErrRefused, "link-local"},
		{"redirect in circles", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, 0, ErrRefused, "redirects"},
		{"206 of another part", ranged("bytes 3-9/10", 7), 5, ErrAnswer, "bytes from 5 on"},
		{"206 that ends early", ranged("bytes 5-8/10", 4), 5, ErrAnswer, "5 to 8 of 10"},
		{"206 with another length", ranged("bytes 5-9/10", 4), 5, ErrAnswer, "announces 4 bytes for a part of 5"},
		{"206 without a range", ranged("", 5), 5, ErrAnswer, "0 Content-Range"},
		{"206 in another unit", ranged("lines 5-9/10", 5), 5, ErrAnswer, "Content-Range"},
		{"206 backwards", ranged("bytes 9-5/10", 5), 5, ErrAnswer, ""},
		{"206 beyond", ranged("bytes 5-10/10", 6), 5, ErrAnswer, ""},
		{"416, shorter", unranged("bytes */4"), 5, ErrChanged, "4 bytes now"},
		{"416, longer", unranged("bytes */9"), 5, ErrNoRange, ""},
		{"416 without a length", unranged(""), 5, ErrNoRange, ""},
	} {
		srv := serve(t, c.h)
		u := strings.Replace(srv.URL, "//", "//t0ken:x-oauth-basic@", 1) + "/list?key=s3cret-key"
		p, err := client(t).Open(t.Context(), u, Auth{}, c.offset, "")
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "t0ken") || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "/list?***") {
			t.Errorf("%s: %+v, %v", c.name, p, err)
		}
		if c.offset == 0 {
			if _, err := client(t).Document(t.Context(), u, Auth{}, Known{}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s, as a document: %v", c.name, err)
			}
		}
	}
	gone := serve(t, status(200))
	gone.Close()
	if _, err := client(t).Open(t.Context(), gone.URL+"/list?key=s3cret-key", Auth{}, 0, ""); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody is there: %v", err)
	}
	for _, u := range []string{"", "ftp://h/x", "http://", "/x", "http://t0ken:p%zz@h/x", "file:///etc/passwd", "http://h/\x7f"} {
		if _, err := client(t).Open(t.Context(), u, Auth{}, 0, ""); !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "t0ken") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func status(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) }
}

func redirect(to string) http.HandlerFunc {
	return http.RedirectHandler(to, http.StatusFound).ServeHTTP
}

func ranged(contentRange string, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		set(w.Header(), "Content-Range", contentRange)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, strings.Repeat("x", n))
	}
}

func unranged(contentRange string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		set(w.Header(), "Content-Range", contentRange)
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	}
}

// Parts whose length is only in Content-Range, because the answer comes in chunks.
func TestPartsOfUnknownLength(t *testing.T) {
	for body, want := range map[string]error{"56789": nil, "5678": ErrUnavailable, "56789x": ErrAnswer} {
		srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 5-9/10")
			w.WriteHeader(http.StatusPartialContent)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, body)
		})
		p, err := client(t).Open(t.Context(), srv.URL, Auth{}, 5, "")
		must(t, err)
		text, err := io.ReadAll(p.Body)
		if !errors.Is(err, want) || string(text) != body[:min(len(body), 5)] || p.Offset != 5 || p.Length != 5 || p.Total != 10 {
			t.Errorf("%q: %q, %v, %+v", body, text, err, p)
		}
		must(t, p.Body.Close())
	}
}

func TestTooLarge(t *testing.T) {
	said := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
	})
	chunked := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
	})
	for max, want := range map[int64]error{100: nil, 99: ErrTooLarge} {
		for _, u := range []string{said.URL, chunked.URL} {
			c := client(t)
			c.MaxFile = max
			_, _, err := whole(t, c.opener(u), Options{})
			if !errors.Is(err, want) {
				t.Errorf("%s, at most %d: %v", u, max, err)
			}
			if _, err := c.Open(t.Context(), u, Auth{}, 0, ""); u == said.URL && !errors.Is(err, want) {
				t.Errorf("%s, at most %d, before it is read: %v", u, max, err)
			}
		}
	}
	c, err := transport.New(transport.Config{Redirects: transport.Anywhere, MaxBody: 50})
	must(t, err)
	if _, _, err := whole(t, (&Client{HTTP: c.Client}).opener(said.URL), Options{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("by the client's limit: %v", err)
	}
	for n, want := range map[int]error{MaxDocument: nil, MaxDocument + 1: ErrTooLarge} {
		for _, flush := range []bool{false, true} {
			srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if flush {
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = w.Write(make([]byte, n))
			})
			if d, err := client(t).Document(t.Context(), srv.URL, Auth{}, Known{}); !errors.Is(err, want) || want == nil && len(d.Body) != n {
				t.Errorf("a document of %d bytes: %d, %v", n, len(d.Body), err)
			}
		}
	}
}

func TestCutDocument(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "12345")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if d, err := client(t).Document(t.Context(), srv.URL, Auth{}, Known{}); !errors.Is(err, ErrUnavailable) || d.Body != nil {
		t.Errorf("%q, %v", d.Body, err)
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/*", "bytes 5-9/10", "bytes */10", "bytes 1-9223372036854775807/*", "Bytes  1-2/3", "bytes -1-2/3", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseRange(text)
		if err != nil {
			return
		}
		if s.first < 0 || s.last < s.first || s.last-s.first+1 <= 0 || s.total < -1 || s.total >= 0 && s.last >= s.total {
			t.Errorf("%q: %+v", text, s)
		}
	})
}

package gocdb

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// server stands for the other end: an answer by cursor, "" without one, and the questions as they came.
type server struct {
	status int // 0 = 200
	pages  map[string]string
	err    error // instead of an answer
	cut    error // after the body

	asked []url.Values
	at    string // the last URL without its query
}

func one(body string) *server { return &server{pages: map[string]string{"": body}} }

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	q := r.URL.Query()
	s.asked = append(s.asked, q)
	s.at = r.Method + " " + r.URL.Scheme + "://" + r.URL.Host + r.URL.Path
	if s.err != nil {
		return nil, s.err
	}
	status := s.status
	if status == 0 {
		status = 200
	}
	var body io.Reader = strings.NewReader(s.pages[q.Get("next_cursor")])
	if s.cut != nil {
		body = io.MultiReader(body, broke{s.cut})
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(body), Request: r, Header: http.Header{}}, nil
}

type broke struct{ err error }

func (b broke) Read([]byte) (int, error) { return 0, b.err }

func (s *server) client() *Client {
	return &Client{HTTP: &http.Client{Transport: s}, URL: "https://goc.example.org/gocdbpi/public/"}
}

func file(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// failed gives the error of a question as what it must be.
func failed(t *testing.T, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("%v (%T), want an *Error", err, err)
	}
	return e
}

// noon is in the middle of the downtimes of the test data.
var noon = time.Date(2026, 11, 26, 11, 0, 0, 0, time.UTC)

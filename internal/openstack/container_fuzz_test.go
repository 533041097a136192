package openstack_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/openstack"
)

// parrot signs anybody in, and answers everything else alike.
type parrot struct {
	status     int
	etag, body string
}

func (p parrot) RoundTrip(r *http.Request) (*http.Response, error) {
	res := &http.Response{StatusCode: p.status, Header: http.Header{"Etag": {p.etag}}, Body: io.NopCloser(strings.NewReader(p.body)), Request: r}
	if r.Method == http.MethodPost {
		res.StatusCode, res.Header = http.StatusCreated, http.Header{"X-Subject-Token": {"token"}}
		res.Body = io.NopCloser(strings.NewReader(fmt.Sprintf(`{"token":{"user":{"id":"u"},"project":{"id":%q},"catalog":[{"type":"object-store","endpoints":[{"interface":"public","region_id":"R","url":"http://store/v1/AUTH_x"}]}]}}`, oddProject)))
	}
	return res, nil
}

// FuzzContainer answers with anything. Nothing that is not whole by its sum is taken for read or stored, and errors are one
// line.
func FuzzContainer(f *testing.F) {
	f.Add(200, "900150983cd24fb0d6963f7d28e17f72", "abc")
	f.Add(201, `"900150983cd24fb0d6963f7d28e17f72"`, "")
	f.Add(200, "", `[{"name":"a","bytes":1,"hash":"x","content_type":"t","last_modified":"2026-11-24T12:00:00.000000"}]`)
	f.Add(204, "W/\"x\"", "")
	f.Add(403, "", "<html><h1>Forbidden</h1>\n<p>\x00Access\u009b</p></html>")
	f.Add(422, "", `{"Code":"x"}`)
	f.Fuzz(func(t *testing.T, status int, etag, body string) {
		if status < 200 || status > 999 || status/100 == 3 || strings.ContainsAny(etag, "\r\n") {
			return // no answer that a server gives
		}
		own := &http.Client{Transport: parrot{status, etag, body}}
		c, err := connect(t, "http://keystone/v3", password("me", "hunter2"), func(cfg *openstack.Config) { cfg.HTTP = own }).Container(t.Context(), oddProject, "c")
		if err != nil {
			t.Fatal(err)
		}
		sum := md5.Sum([]byte("abc"))
		said := strings.ToLower(strings.Trim(strings.TrimPrefix(strings.TrimSpace(etag), "W/"), `"`))
		got, err := c.Get(t.Context(), "o", 100)
		one(t, err)
		if raw, bad := hex.DecodeString(said); err == nil && (string(got) != body || len(got) > 100 || (bad == nil && len(raw) == md5.Size && !bytes.Equal(raw, sumOf(got)))) {
			t.Errorf("read %q of %q with sum %q", got, body, etag)
		}
		err = c.Put(t.Context(), "o", "text/plain", []byte("abc"))
		if one(t, err); err == nil && said != hex.EncodeToString(sum[:]) && body != "abc" {
			t.Errorf("stored, by the sum %q and %q", etag, body)
		}
		all, err := c.List(t.Context(), "")
		if one(t, err); err != nil && all != nil {
			t.Errorf("%d objects and %v", len(all), err)
		}
		one(t, c.Delete(t.Context(), "o"))
	})
}

func sumOf(body []byte) []byte {
	sum := md5.Sum(body)
	return sum[:]
}

// one fails the test when an error is not one line without control characters.
func one(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || (r >= 0x7f && r < 0xa0) }) {
		t.Errorf("%q", err)
	}
}

package endorser

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/fedsite/fedsite/internal/prerequisite"
	"github.com/fedsite/fedsite/protocol/gridtrust"
	"github.com/fedsite/fedsite/protocol/smime"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

var day = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const vo = "vo.example.eu"

// bed is a publisher that is served.
type bed struct {
	*Endorser
	url   string
	trust *gridtrust.Trust
	ca    *authority
	now   time.Time
}

func newBed(t *testing.T, o Options) *bed {
	t.Helper()
	b := &bed{ca: newAuthority(t), now: day}
	trust, warnings, err := gridtrust.Read(fstest.MapFS{"ca.pem": {Data: b.ca.pem}})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	b.trust = trust
	b.Endorser = New(func() time.Time { return b.now }, b.ca.identity(t, "appdb.example.org", false), o)
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	b.url = srv.URL
	b.At(srv.URL)
	b.File("/images/u1", bytes.NewReader(bytes.Repeat([]byte("ubuntu "), 10_000)))
	b.File("/images/u2", bytes.NewReader([]byte("alma")))
	if err := b.Publish(list()); err != nil {
		t.Fatal(err)
	}
	return b
}

func list() List {
	return List{VO: vo, Identifier: "76fdee70-8119-5d33-9f40-3c57e1c60df1", Title: "Images of " + vo, Version: "1", Images: []Image{
		{Identifier: "u1", Title: "Ubuntu <24.04> & more", Version: "2026.11", Format: "QCOW2", URI: "/images/u1", RAM: 512 << 20, Cores: 1, Arch: "x86_64", OS: "Linux", OSName: "Ubuntu", OSVersion: "24.04", More: map[string]string{"ad:appid": "1130"}},
		{Identifier: "u2", Title: "Alma", Version: "9", Format: "RAW", URI: "/images/u2"},
	}}
}

// get asks for a path, with headers in pairs.
func (b *bed) get(t *testing.T, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	tr := &http.Transport{DisableCompression: true}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		res.Header.Set("X-Broken", err.Error())
	}
	return res, body
}

// read verifies the list of the VO as fedsite does.
func (b *bed) read(t *testing.T) (vmlist.List, error) {
	t.Helper()
	_, body := b.get(t, Path(vo))
	return vmlist.Verify(body, vmlist.Trust{Authorities: b.trust, Now: b.now})
}

// TestForms: in each form and with each kind of key, a list verifies, with OpenSSL too, and says what was published.
func TestForms(t *testing.T) {
	openssl, _ := exec.LookPath("openssl")
	for _, ec := range []bool{false, true} {
		for _, f := range []Form{{}, {Opaque: true}, {Text: true}, {Bare: true}, {PSS: true}, {Opaque: true, PSS: true, Text: true}} {
			t.Run(fmt.Sprintf("%+v ec %v", f, ec), func(t *testing.T) {
				b := newBed(t, Options{})
				b.SignAs(b.ca.identity(t, "appdb.example.org", ec))
				b.SignIn(f)
				if err := b.Publish(list()); err != nil {
					t.Fatal(err)
				}
				l, err := b.read(t)
				if err != nil {
					t.Fatal(err)
				}
				sum := sha512.Sum512(bytes.Repeat([]byte("ubuntu "), 10_000))
				i := l.Images[0]
				if len(l.Bad) > 0 || len(l.Images) != 2 || l.VO != vo || l.Endorser.DN != "/DC=org/CN=appdb.example.org" || i.URI != b.url+"/images/u1" || i.Size != 70_000 || i.SHA512 != hex.EncodeToString(sum[:]) || i.RAM != 512 ||
					i.Title != "Ubuntu <24.04> & more" || i.AppID != "1130" || !i.Expires.Equal(day.AddDate(1, 0, 0)) {
					t.Errorf("%+v", l)
				}
				if !f.Opaque && !bytes.Contains(b.Signed(vo), []byte(`"Ubuntu <24.04> & more"`)) {
					t.Error("the AppDB writes <, > and & as they are")
				}
				if openssl == "" {
					prerequisite.Missing(t, "openssl", "apt install openssl")
				}
				file := filepath.Join(t.TempDir(), "ca.pem")
				if err := os.WriteFile(file, b.ca.pem, 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), openssl, "smime", "-verify", "-purpose", "any", "-CAfile", file, "-attime", fmt.Sprint(day.Unix()))
				cmd.Stdin = bytes.NewReader(b.Signed(vo))
				if f.PSS {
					cmd.Args[1] = "cms" // PKCS #7 does not know it
				}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("openssl: %v\n%s", err, out)
				}
			})
		}
	}
}

// TestChanges: what happens to a list is served as it is said, and verifies or not as it should.
func TestChanges(t *testing.T) {
	b := newBed(t, Options{})
	other := b.ca.identity(t, "other.example.org", false)
	stranger := newAuthority(t).identity(t, "appdb.example.org", false)
	first := b.Signed(vo)
	cases := []struct {
		name   string
		do     func() error
		images []string // of the list that verifies; nil = it does not
	}{
		{"as published", func() error { return nil }, []string{"u1", "u2"}},
		{"a changed image", func() error {
			b.File("/images/u1", bytes.NewReader([]byte("new")))
			return b.Change(vo, func(l *List) { l.Images[0].Version = "2026.12" })
		}, []string{"u1", "u2"}},
		{"withdrawn", func() error { return b.Withdraw(vo, "u2") }, []string{"u1"}},
		{"expired", func() error { return b.Change(vo, func(l *List) { l.Expires = day.Add(-time.Hour) }) }, []string{"u1"}},
		{"empty", func() error { return b.Change(vo, func(l *List) { l.Images = nil }) }, []string{}},
		{"an older one", func() error { return b.Instead(vo, "", first) }, []string{"u1", "u2"}},
		{"forged", func() error { return b.Forge(vo) }, nil},
		{"a page", func() error { return b.Instead(vo, "text/html", []byte("<html>sign in</html>")) }, nil},
		{"somebody else's, under the same name", func() error { b.SignAs(stranger); return b.Publish(list()) }, nil},
		{"by another", func() error {
			b.SignAs(other)
			l := list()
			l.DN = "/DC=org/CN=appdb.example.org"
			return b.Publish(l)
		}, nil},
		{"by another who says so", func() error { return b.Publish(list()) }, []string{"u1", "u2"}},
	}
	for _, c := range cases {
		if err := c.do(); err != nil {
			t.Fatal(c.name, err)
		}
		l, err := b.read(t)
		if (err == nil) != (c.images != nil) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := []string{}
		for _, i := range l.Images {
			got = append(got, i.ID)
		}
		if c.images != nil && !slices.Equal(got, c.images) {
			t.Errorf("%s: %v, want %v", c.name, got, c.images)
		}
	}
	if l, _ := b.Published(vo); l.Version != "1" {
		t.Errorf("version %q", l.Version)
	}
}

// TestEdition: each change is a newer edition than the one before.
func TestEdition(t *testing.T) {
	b := newBed(t, Options{})
	before, err := b.read(t)
	if err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Hour)
	if err := b.Change(vo, func(l *List) { l.Images[0].Title = "New" }); err != nil {
		t.Fatal(err)
	}
	after, err := b.read(t)
	if err != nil {
		t.Fatal(err)
	}
	if after.Images[0].MPURI != before.Images[0].MPURI {
		t.Errorf("the same file as %s, then %s", before.Images[0].MPURI, after.Images[0].MPURI)
	}
	b.File("/images/u1", bytes.NewReader([]byte("new")))
	if err := b.Change(vo, func(*List) {}); err != nil {
		t.Fatal(err)
	}
	if l, err := b.read(t); err != nil || l.Images[0].MPURI == before.Images[0].MPURI || l.Images[1].MPURI != before.Images[1].MPURI {
		t.Errorf("another file: %+v, %v", l, err)
	}
	if after.Version != "2" || !after.Created.Equal(b.now) || after.Images[0].Title != "New" || !vmlist.Newer(after.Edition, before.Edition) {
		t.Errorf("%+v", after)
	}
	if err := b.Change(vo, func(l *List) { l.Version = "2026.a" }); err != nil {
		t.Fatal(err)
	}
	if err := b.Change(vo, func(l *List) {
		l.Version, l.Images[0].URI, l.Images[0].SHA512, l.Images[0].Size = "2026.b", "https://elsewhere.example.org/u1", strings.Repeat("0", 128), 5
	}); err != nil {
		t.Fatal(err)
	}
	if l, err := b.read(t); err != nil || l.Images[0].URI != "https://elsewhere.example.org/u1" || l.Images[0].Size != 5 {
		t.Errorf("a file elsewhere: %+v, %v", l, err)
	}
	for name, err := range map[string]error{"after a version that cannot be counted": b.Change(vo, func(*List) {}), "of nobody": b.Change("nobody", func(*List) {}), "of no file": b.Change(vo, func(l *List) { l.Version, l.Images[0].URI, l.Images[0].SHA512 = "3", "/nothing", "" })} {
		if err == nil {
			t.Errorf("%s, a list changes", name)
		}
	}
}

// TestConditional: a list that is known is not given again; files are given in parts; the token is asked for where it is to
// be.
func TestConditional(t *testing.T) {
	b := newBed(t, Options{Token: "secret", Files: true})
	auth := []string{"Authorization", "Basic c2VjcmV0Ongtb2F1dGgtYmFzaWM="} // secret:x-oauth-basic
	res, _ := b.get(t, Path(vo), auth...)
	etag, modified := res.Header.Get("ETag"), res.Header.Get("Last-Modified")
	cases := []struct {
		path   string
		header []string
		status int
		body   string
	}{
		{Path(vo), []string{"Authorization", "Basic c2VjcmV0Om5v"}, 401, "unauthorized\n"},
		{Path(vo), nil, 401, "unauthorized\n"},
		{Path(vo), append(auth, "If-None-Match", etag), 304, ""},
		{Path(vo), append(auth, "If-Modified-Since", modified), 304, ""},
		{Path("other"), auth, 404, "404 page not found\n"},
		{"/images/u2", nil, 401, "unauthorized\n"},
		{"/images/u2", auth, 200, "alma"},
		{"/images/u2", append(auth, "Range", "bytes=1-2"), 206, "lm"},
		{"/images/u2", append(auth, "Range", "bytes=1-", "If-Range", `"other"`), 200, "alma"},
		{"/images/u2", append(auth, "Range", "bytes=4-"), 416, "invalid range: failed to overlap\n"},
	}
	for _, c := range cases {
		if res, body := b.get(t, c.path, c.header...); res.StatusCode != c.status || string(body) != c.body {
			t.Errorf("%s %v: %d %q", c.path, c.header, res.StatusCode, body)
		}
	}
	if err := b.Change(vo, func(*List) {}); err != nil {
		t.Fatal(err)
	}
	if res, _ := b.get(t, Path(vo), append(auth, "If-None-Match", etag)...); res.StatusCode != 200 {
		t.Errorf("a new list: %d", res.StatusCode)
	}
	if n := b.Asked("GET " + Path(vo)); n != 6 {
		t.Errorf("asked %d times", n)
	}
}

// TestManners: a file is given as badly as it is to be.
func TestManners(t *testing.T) {
	b := newBed(t, Options{})
	whole := string(bytes.Repeat([]byte("ubuntu "), 10_000))
	cases := []struct {
		name   string
		m      Manner
		header []string
		status int
		length int64 // announced
		body   string
		broken bool
	}{
		{"well", Manner{}, nil, 200, 70_000, whole, false},
		{"cut", Manner{Cut: 50_000}, nil, 200, 70_000, whole[:50_000], true},
		{"cut in a part", Manner{Cut: 10}, []string{"Range", "bytes=7-"}, 206, 69_993, whole[:10], true},
		{"no range", Manner{NoRange: true}, []string{"Range", "bytes=7-"}, 200, 70_000, whole, false},
		{"longer", Manner{Longer: 5}, nil, 200, 70_005, whole, true},
		{"shorter", Manner{Longer: -5}, nil, 200, 69_995, whole[:69_995], false},
		{"elsewhere", Manner{Redirect: "http://example.org/x"}, nil, 307, -1, "<a href=\"http://example.org/x\">Temporary Redirect</a>.\n\n", false},
	}
	for _, c := range cases {
		if err := b.Misbehave("/images/u1", c.m); err != nil {
			t.Fatal(err)
		}
		res, body := b.get(t, "/images/u1", c.header...)
		if res.StatusCode != c.status || string(body) != c.body || (res.Header.Get("X-Broken") != "") != c.broken || c.length >= 0 && res.ContentLength != c.length {
			t.Errorf("%s: %d, announced %d, %d bytes, %q", c.name, res.StatusCode, res.ContentLength, len(body), res.Header.Get("X-Broken"))
		}
	}
	if err := b.Misbehave("/images/u1", Manner{Changing: true, Cut: 3, Times: 1}); err != nil {
		t.Fatal(err)
	}
	one, first := b.get(t, "/images/u1")
	two, second := b.get(t, "/images/u1")
	if one.Header.Get("ETag") == two.Header.Get("ETag") || string(first) != "ubu" || string(second) != whole {
		t.Errorf("%s %q, %s and %d bytes", one.Header.Get("ETag"), first, two.Header.Get("ETag"), len(second))
	}
	if b.Misbehave("/nothing", Manner{}) == nil {
		t.Error("a file that is not there misbehaves")
	}
}

// TestStall: after so many bytes nothing comes, until who asks goes away.
func TestStall(t *testing.T) {
	b := newBed(t, Options{})
	if err := b.Misbehave("/images/u1", Manner{Stall: 100}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		answer, ended := httptest.NewRecorder(), false
		go func() {
			defer func() { ended = recover() == http.ErrAbortHandler }() //nolint:errorlint // it is that very value
			b.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, "/images/u1", nil))
		}()
		synctest.Wait()
		if ended || answer.Body.Len() != 100 {
			t.Errorf("%d bytes, ended %v", answer.Body.Len(), ended)
		}
		leave()
		synctest.Wait()
		if !ended || answer.Body.Len() != 100 {
			t.Errorf("left: %d bytes, ended %v", answer.Body.Len(), ended)
		}
	})
}

// authority is a throw-away authority.
type authority struct {
	pem  []byte
	sign func(t *testing.T, cn string, ec bool) (cert, key []byte)
}

func (a *authority) identity(t *testing.T, cn string, ec bool) smime.Identity {
	t.Helper()
	cert, key := a.sign(t, cn, ec)
	id, err := smime.ParseIdentity(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

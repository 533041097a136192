package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestReachOf(t *testing.T) {
	for text, want := range map[string]Reach{
		"127.0.0.1": Loopback, "127.8.9.1": Loopback, "::1": Loopback, "::": Loopback, "0.0.0.0": Loopback, "::ffff:127.0.0.1": Loopback,
		"64:ff9b::7f00:1": Loopback, "::127.0.0.1": Loopback, "2002:7f00:1::": Loopback,
		"169.254.169.254": LinkLocal, "fe80::1": LinkLocal, "fe80::1%eth0": LinkLocal, "fd00:ec2::254": LinkLocal, "100.100.100.200": LinkLocal, "64:ff9b::a9fe:a9fe": LinkLocal, "224.0.0.1": LinkLocal,
		"10.0.0.1": Private, "172.16.0.1": Private, "172.31.255.255": Private, "192.168.1.1": Private, "100.64.0.1": Private, "100.127.255.255": Private, "fd12::1": Private, "::ffff:10.0.0.1": Private, "2002:a00:1::": Private,
		"172.32.0.1": Public, "100.128.0.1": Public, "192.0.2.1": Public, "8.8.8.8": Public, "2001:db8::1": Public, "64:ff9b::808:808": Public, "11.0.0.1": Public,
	} {
		if got := ReachOf(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	target, _ := url.Parse("http://there.example.org/x")
	for _, c := range []struct {
		addr string
		l    limit
		ok   bool
	}{
		{"8.8.8.8", limit{from: Public}, true},
		{"10.0.0.1", limit{from: Public}, false},
		{"127.0.0.1", limit{from: Public}, false},
		{"10.0.0.1", limit{from: Private}, true},
		{"8.8.8.8", limit{from: Private}, true},
		{"127.0.0.1", limit{from: Private}, false},
		{"127.0.0.1", limit{from: Loopback}, true},
		{"169.254.169.254", limit{from: Loopback}, false},
		{"169.254.169.254", limit{from: LinkLocal}, false},
		{"127.0.0.1", limit{own: true}, true},
		{"169.254.169.254", limit{own: true}, false},
		{"169.254.169.254", limit{own: true, asIs: true}, true},
	} {
		c.l.target = target
		err := c.l.allows(netip.MustParseAddr(c.addr))
		if (err == nil) != c.ok || err != nil && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.addr)) {
			t.Errorf("%+v to %s: %v", c.l, c.addr, err)
		}
	}
}

// getFrom asks on the word of a URL that the operator wrote.
func getFrom(t *testing.T, c *Client, operator, target string) (string, error) {
	t.Helper()
	ctx, err := From(t.Context(), operator)
	must(t, err)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	must(t, err)
	return do(c, req)
}

func TestNoNearerThanTheOperatorSaid(t *testing.T) {
	s := plain(t, hello)
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	c := client(t, Config{Redirects: Anywhere, Retry: Retry{Attempts: 3}})
	for _, x := range []struct{ operator, target, refused string }{
		{s.URL, s.URL, ""},
		{s.URL, "http://localhost" + port, ""},
		{"http://localhost:1/", s.URL, ""}, // another port: what it named is on the same machine
		{"https://192.0.2.1/list", s.URL, "leads to a loopback address (127.0.0.1) from a public one"},
		{"https://192.0.2.1/list", "http://localhost" + port, "leads to a loopback address (127.0.0.1) from a public one"}, // by the name's address, at the connection
		{"https://192.0.2.1/list", "http://[::ffff:127.0.0.1]" + port, "leads to a loopback address"},
		{"https://192.0.2.1/list", "http://10.255.255.1:9", "leads to a private address (10.255.255.1) from a public one"},
		{"https://10.0.0.1/list", s.URL, "leads to a loopback address (127.0.0.1) from a private one"},
		{s.URL, "http://169.254.169.254/latest", "leads to a link-local address (169.254.169.254) from a loopback one"},
	} {
		text, err := getFrom(t, c, x.operator, x.target)
		if x.refused == "" {
			if err != nil || text != "hello" {
				t.Errorf("%s from %s: %q, %v", x.target, x.operator, text, err)
			}
			continue
		}
		if !errors.Is(err, ErrRefused) || !final(err) || !strings.Contains(err.Error(), x.refused) {
			t.Errorf("%s from %s: %q, %v, want %q", x.target, x.operator, text, err, x.refused)
		}
	}
	// The connections that are open now are not used for who may not go there.
	if _, err := getFrom(t, c, "https://192.0.2.1/list", "http://localhost"+port); !errors.Is(err, ErrRefused) {
		t.Errorf("over an open connection: %v", err)
	}
	// Where a name of the operator led last counts, and is remembered from the connection.
	for host, want := range map[string]Reach{"127.0.0.1": Loopback, "lists.example.org": Private} {
		if want == Private {
			c.near.seen.Store(host, want)
		}
		if got, ok := c.near.seen.Load(host); !ok || got != want {
			t.Errorf("%s: remembered %v", host, got)
		}
	}
	if got := c.near.reachOf(t.Context(), &url.URL{Scheme: "https", Host: "lists.example.org"}, false); got != Private {
		t.Errorf("a name that led to a private address: %s", got)
	}
	if _, err := From(t.Context(), "tok3n@"); err == nil || strings.Contains(err.Error(), "tok3n") {
		t.Errorf("no URL: %v", err)
	}
}

// Behind a proxy names are the proxy's to resolve, but what is certainly near is refused here.
func TestNoNearerByProxy(t *testing.T) {
	p := newProxy(t, "", 0)
	c := client(t, Config{Redirects: Anywhere, Proxy: p.URL})
	for target, ok := range map[string]bool{
		"http://images.example.org/a": true, "http://images.example.org:8080/a": true, "http://192.0.2.9/": true,
		"http://127.0.0.1:1/": false, "http://localhost/": false, "http://a.localhost./": false, "http://10.0.0.1/": false, "http://169.254.169.254/": false,
		"http://2130706433/": false, "http://0x7f.1/": false, "http://127.0x1/": false, "http://[::1]/": false,
	} {
		text, err := getFrom(t, c, "https://lists.example.org/list", target)
		if ok != (err == nil && text == "by proxy") || !ok && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %q, %v", target, text, err)
		}
	}
	if len(p.asked) != 3 {
		t.Errorf("asked of the proxy: %q", p.asked)
	}
}

func TestRedirectedAnywhere(t *testing.T) {
	type seen struct{ method, auth, cookie, referer string }
	var got []seen
	other := plain(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, seen{r.Method, r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("Referer")})
		hello(w, r)
	})
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	var back *httptest.Server
	hop := plain(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, back.URL+"/own", http.StatusFound) })
	back = plain(t, func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	})
	c := client(t, Config{Redirects: Anywhere})
	ask := func(method, to string) (string, error) {
		r, err := http.NewRequestWithContext(t.Context(), method, back.URL+"/a?to="+url.QueryEscape(to), nil)
		must(t, err)
		r.Header.Set("Authorization", "Bearer s3cret-token")
		r.Header.Set("Cookie", "a=b")
		return do(c, r)
	}
	for _, to := range []string{elsewhere + "/x", other.URL + "/x"} { // another host, and the same at another port
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			got = nil
			if _, err := ask(method, to); err != nil || len(got) != 1 || got[0] != (seen{method, "", "", ""}) {
				t.Errorf("%s: %v, %+v", to, err, got)
			}
		}
	}
	if text, err := ask(http.MethodGet, back.URL+"/own"); err != nil || text != "Bearer s3cret-token" {
		t.Errorf("on the same server: %q, %v", text, err)
	}
	if text, err := ask(http.MethodGet, hop.URL); err != nil || text != "" {
		t.Errorf("back from another: %q, %v", text, err)
	}
	for _, x := range []struct{ method, to, want string }{
		{http.MethodPost, elsewhere, "refused a redirect"},
		{http.MethodGet, "ftp://localhost/x", "not one of http or https"},
		{http.MethodGet, back.URL + "/a?to=" + url.QueryEscape("/a?to="+url.QueryEscape(back.URL+"/a?to="+url.QueryEscape("/a?to="+url.QueryEscape("/a?to=/a%3Fto%3D%2Fa")))), "more than 5 redirects"},
		{http.MethodGet, "http://169.254.169.254/latest", "link-local"},
	} {
		got = nil
		if _, err := ask(x.method, x.to); err == nil || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), x.want) || len(got) != 0 {
			t.Errorf("%s to %s: %v, %+v", x.method, x.to, err, got)
		}
	}
	ca := newAuthority(t)
	secure := serve(t, ca.issue(t, "127.0.0.1"), http.RedirectHandler(other.URL, http.StatusFound))
	if _, err := get(t, client(t, Config{Redirects: Anywhere, Roots: ca.pool()}), secure.URL); !errors.Is(err, ErrRefused) {
		t.Errorf("from https to http: %v", err)
	}
	near := plain(t, http.RedirectHandler(other.URL, http.StatusFound).ServeHTTP)
	if _, err := getFrom(t, c, "https://192.0.2.1/list", near.URL); !errors.Is(err, ErrRefused) {
		t.Errorf("to a nearer network: %v", err)
	}
}

// A page is a document like others here: it is not cut at what may be quoted of it.
func TestPageIsNotCut(t *testing.T) {
	s := plain(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, strings.Repeat("x", maxQuoted+1))
	})
	if text, err := get(t, client(t, Config{Redirects: Anywhere}), s.URL); err != nil || len(text) != maxQuoted+1 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

type answering func(*http.Request) (*http.Response, error)

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// slow gives a byte after each of its pauses, and then nothing any more.
type slow struct {
	ctx    context.Context
	pauses []time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	wait := 24 * time.Hour
	if len(s.pauses) > 0 {
		wait, s.pauses = s.pauses[0], s.pauses[1:]
	}
	if err := Sleep(s.ctx, wait); err != nil {
		return 0, s.ctx.Err()
	}
	p[0] = 'x'
	return 1, nil
}

func (s *slow) Close() error { return nil }

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := &stalling{after: time.Minute, next: answering(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: &slow{r.Context(), []time.Duration{59 * time.Second, 59 * time.Second, time.Second}}}, nil
		})}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://images.example.org/", nil)
		must(t, err)
		res, err := layer.RoundTrip(r)
		must(t, err)
		began := time.Now()
		var n int
		for one := make([]byte, 1); err == nil; time.Sleep(time.Hour) { // whoever reads may take long
			var got int
			got, err = res.Body.Read(one)
			n += got
		}
		if n != 3 || !errors.Is(err, ErrStalled) || !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "images.example.org: nothing came for 1m0s") {
			t.Errorf("%d bytes, %v", n, err)
		}
		if d := time.Since(began) - 4*time.Hour; d != 179*time.Second {
			t.Errorf("it ended after %s", d)
		}
		must(t, res.Body.Close())
	})
}

func TestStallOverTheWire(t *testing.T) {
	over := make(chan struct{})
	s := plain(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "some")
		_ = http.NewResponseController(w).Flush()
		<-over
	})
	defer close(over)
	for _, r := range []Redirects{SameHost, Anywhere} {
		text, err := get(t, client(t, Config{Redirects: r, Stall: 30 * time.Millisecond}), s.URL)
		if text != "some" || !errors.Is(err, ErrStalled) {
			t.Errorf("%q, %v", text, err)
		}
	}
}

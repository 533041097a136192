package download

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestWhoGetsTheSignIn(t *testing.T) {
	login := Auth{Host: "images.example.org", User: "site", Password: "pa55word"}
	const basic = "Basic c2l0ZTpwYTU1d29yZA=="
	for _, c := range []struct {
		auth Auth
		url  string
		want string
	}{
		{login, "https://images.example.org/a", basic},
		{login, "https://IMAGES.example.org:443/a", basic},
		{login, "https://images.example.org:8443/a", ""},
		{login, "https://example.org/a", ""},
		{login, "https://images.example.org.evil.example/a", ""},
		{login, "http://images.example.org/a", ""},
		{Auth{Host: "images.example.org", User: "site", Password: "pa55word", Plain: true}, "http://images.example.org/a", basic},
		{Auth{Host: "images.example.org:8443", User: "site", Password: "pa55word"}, "https://images.example.org:8443/a", basic},
		{Auth{User: "site", Password: "pa55word"}, "https://anything.example.org/a", basic},
		{Auth{User: "site", Password: "pa55word"}, "http://127.0.0.1:80/a", basic},
		{Auth{Header: "Bearer abc"}, "https://registry.example.org/v2/", "Bearer abc"},
		{Auth{Header: "Bearer abc"}, "http://registry.example.org/v2/", ""},
		{AppDB("t0ken"), "https://vmcaster.example.org/image.list", "Basic dDBrZW46eC1vYXV0aC1iYXNpYw=="},
		{Auth{}, "https://t0ken:x-oauth-basic@vmcaster.example.org/image.list", "Basic dDBrZW46eC1vYXV0aC1iYXNpYw=="},
		{login, "https://t0ken:x-oauth-basic@images.example.org/image.list", basic},
		{Auth{}, "https://images.example.org/a", ""},
	} {
		u, err := url.Parse(c.url)
		must(t, err)
		if got, _ := c.auth.header(t.Context(), u); got != c.want {
			t.Errorf("%+v at %s: %q, want %q", c.auth, c.url, got, c.want)
		}
	}
	l := Logins{login, {Host: "[2001:db8::1]:8443", User: "six", Password: "p"}}
	for target, want := range map[string]string{"https://images.example.org/x": "site", "https://[2001:db8::1]:8443/x": "six", "https://other.example.org/": "", "%": ""} {
		if got := l.For(target).User; got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}

// A server that echoes what it was sent, and one that gets it by a redirect.
func TestSecretsStayHidden(t *testing.T) {
	var carried []string
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		carried = append(carried, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusForbidden)
	})
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth()
		if user != "t0ken-of-site" {
			t.Errorf("signed in as %q", user)
		}
		http.Redirect(w, r, other.URL+"/"+user+"?"+url.QueryEscape(r.Header.Get("Authorization")), http.StatusFound)
	})
	_, err := client(t).Document(t.Context(), srv.URL, AppDB("t0ken-of-site"), Known{})
	if !errors.Is(err, ErrDenied) || strings.Contains(err.Error(), "t0ken") || !strings.Contains(err.Error(), "redirected to "+other.URL) || len(carried) != 1 || carried[0] != "" {
		t.Errorf("%v, carried %q", err, carried)
	}
	for in, want := range map[string]string{
		"https://t0ken:x@h.example.org/a%20b?q=1#f": "https://h.example.org/a%20b?***",
		"https://h/" + strings.Repeat("x", 400):     "https://h/" + strings.Repeat("x", 290) + "…",
		"https://h/\u009b31m":                       "https://h/%C2%9B31m",
		"t0ken":                                     "a URL",
		"%":                                         "a URL",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

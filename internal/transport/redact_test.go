package transport

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

const marked = `hunter/2+"ü&<pass>`

// echoes gives a secret in the forms in which services echo what they were sent.
func echoes(secret string) map[string]string {
	quoted, _ := json.Marshal(secret)
	all := map[string]string{"plain": secret, "json": string(quoted), "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "html": html.EscapeString(secret),
		"small escapes": strings.ReplaceAll(strings.ToLower(url.QueryEscape(secret)), "HUNTER", "hunter")}
	for n, before := range []string{"", "u", "me", "you", "user:"} {
		for m, after := range []string{"", "x", "yz"} {
			all[fmt.Sprintf("base64 %d %d", n, m)] = base64.StdEncoding.EncodeToString([]byte(before + secret + after))
			all[fmt.Sprintf("base64url %d %d", n, m)] = base64.RawURLEncoding.EncodeToString([]byte(before + secret + after))
		}
	}
	return all
}

// leaks tells what of a secret a text holds: a run of it, in any form, that is longer than chance.
func leaks(text, secret string) string {
	for name, form := range echoes(secret) {
		if strings.HasPrefix(name, "base64") {
			form = form[8 : len(form)-8]
		}
		if strings.Contains(text, form) {
			return name + ": " + form
		}
	}
	return ""
}

func TestRedact(t *testing.T) {
	for name, form := range echoes(marked) {
		text := Redact("before "+form+" after", marked)
		if leak := leaks(text, marked); leak != "" || !strings.Contains(text, Hidden) || !strings.HasPrefix(text, "before ") || !strings.HasSuffix(text, " after") {
			t.Errorf("%s: %q, %s", name, text, leak)
		}
	}
	for _, c := range []struct{ text, secret, want string }{
		{"nothing of it", "hunter2", "nothing of it"}, {"short words stay", "or", "short words stay"}, {"", "hunter2", ""}, {"x", "", "x"}, {"hunter22", "hunter2", "***2"},
	} {
		if got := Redact(c.text, c.secret); got != c.want {
			t.Errorf("%q without %q: %q", c.text, c.secret, got)
		}
	}
}

// TestEchoes: a service, or something before it, answers an error or a page that quotes the request with its secrets: who
// reads the answer, and the log, does not see them.
func TestEchoes(t *testing.T) {
	secrets := map[string]string{"token": "secret-token-of-keystone", "bearer": "secret.access.token", "key": "secret-key-of-ams", "vault": "hvs.secret-of-vault", "password": marked, "body": "secret-in-the-body"}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var all strings.Builder
		for _, values := range r.Header {
			all.WriteString(strings.Join(values, " ") + "\n")
		}
		fmt.Fprintf(&all, "%s\n%s\n%s", body, url.QueryEscape(string(body)), base64.StdEncoding.EncodeToString(body))
		w.Header().Set("X-Openstack-Request-Id", "req-"+r.Header.Get("X-Auth-Token"))
		switch r.URL.Path {
		case "/page":
			w.Header().Set("Content-Type", "text/html")
		case "/fine":
			w.Header().Set("Content-Type", "application/json")
		default:
			w.Header().Set("Www-Authenticate", "Bearer error="+r.Header.Get("X-Auth-Token"))
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, all.String())
	}))
	defer srv.Close()
	for path, quotes := range map[string]bool{"/error": false, "/page": false, "/fine": true} {
		var log bytes.Buffer
		c, err := New(Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		if err != nil {
			t.Fatal(err)
		}
		req, _ := http.NewRequestWithContext(Hiding(t.Context(), secrets["body"]), http.MethodPost, srv.URL+path, strings.NewReader(`{"password": "`+secrets["body"]+`"}`))
		req.SetBasicAuth("user", secrets["password"])
		req.Header.Add("Authorization", "Bearer "+secrets["bearer"])
		for name, key := range map[string]string{"X-Auth-Token": "token", "X-Api-Key": "key", "X-Vault-Token": "vault"} {
			req.Header.Set(name, secrets[key])
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || !bytes.Contains(body, []byte("password")) {
			t.Errorf("%s: %s, %v", path, body, err)
		}
		for name, secret := range secrets {
			if leak := leaks(log.String()+res.Header.Get("Www-Authenticate")+res.Header.Get("X-Openstack-Request-Id"), secret); leak != "" {
				t.Errorf("%s: log or header shows %s: %s", path, name, leak)
			}
			if leak := leaks(string(body), secret); (leak != "") != quotes {
				t.Errorf("%s: the answer shows %s: %q", path, name, leak)
			}
		}
		c.CloseIdleConnections()
	}
}

// TestErrorsAreHushed: an error of the connection that quotes a secret is said without it, and is still what it was.
func TestErrorsAreHushed(t *testing.T) {
	cause := errors.New("proxy said secret-token-of-keystone")
	for _, err := range []error{cause, &Failure{Host: "h", What: cause.Error(), Hint: "hint", Cause: cause}} {
		quiet := hushed(err, []string{"secret-token-of-keystone"})
		if strings.Contains(quiet.Error(), "secret-token") || !errors.Is(quiet, ErrUnreachable) || !errors.Is(quiet, cause) {
			t.Errorf("%v", quiet)
		}
	}
	if hushed(cause, []string{"another"}) != cause {
		t.Error("an error without a secret was changed")
	}
}

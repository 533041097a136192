package credential_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/credential"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation/issuer"
)

// TestClientCredentials: one token for all who ask, until shortly before it ends; in each way to show the client's secret.
func TestClientCredentials(t *testing.T) {
	for name, o := range map[string]issuer.Options{"usual": {}, "secret in the form": {PostOnly: true}, "by the token's own end": {Silent: true}} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			p := newProvider(t, c, o)
			r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}})
			var group sync.WaitGroup
			tokens := make([]string, 20)
			for i := range tokens {
				group.Go(func() { tokens[i], _ = r.AccessToken(t.Context(), "checkin") })
			}
			group.Wait()
			for _, token := range tokens {
				if sub, ok := p.Accept(token); !ok || sub != "robot@egi.eu" || token != tokens[0] {
					t.Fatalf("%q is not the one good token", token)
				}
			}
			if p.Asked("/token") != 1 || p.Asked("/.well-known/openid-configuration") != 1 {
				t.Errorf("asked %d times for a token, %d for the document", p.Asked("/token"), p.Asked("/.well-known/openid-configuration"))
			}
			c.forward(57 * time.Minute)
			if _, err := r.AccessToken(t.Context(), "checkin"); err != nil || p.Asked("/token") != 1 {
				t.Errorf("long before its end: asked %d times, %v", p.Asked("/token"), err)
			}
			c.forward(2 * time.Minute) // it holds a minute more
			token, err := r.AccessToken(t.Context(), "checkin")
			if _, ok := p.Accept(token); err != nil || !ok || token == tokens[0] || p.Asked("/token") != 2 {
				t.Errorf("shortly before its end: asked %d times, %v", p.Asked("/token"), err)
			}
		})
	}
	t.Run("neither says when it ends", func(t *testing.T) {
		c := newClock()
		p := newProvider(t, c, issuer.Options{Silent: true, Opaque: true})
		r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}})
		for range 2 {
			if _, err := r.AccessToken(t.Context(), "checkin"); err != nil {
				t.Fatal(err)
			}
		}
		c.forward(9 * time.Minute)
		if _, err := r.AccessToken(t.Context(), "checkin"); err != nil || p.Asked("/token") != 2 {
			t.Errorf("asked %d times, %v", p.Asked("/token"), err)
		}
	})
}

// TestOpenStackByAccessToken: what Keystone is shown; what a site says of itself wins; a refused token is got anew, once in
// a while.
func TestOpenStackByAccessToken(t *testing.T) {
	c := newClock()
	p := newProvider(t, c, issuer.Options{})
	r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}})
	e, err := r.OpenStack(t.Context(), "checkin", credential.For{Protocol: "oidc"})
	if err != nil || e.Credential.IdentityProvider != "egi.eu" || e.Credential.Protocol != "oidc" {
		t.Fatalf("%+v, %v", e, err)
	}
	for n, wait := range []time.Duration{0, time.Second, 2 * time.Minute} {
		c.forward(wait)
		p.Revoke(false)
		before := e.Credential
		if e, err = r.Renew(t.Context(), "checkin", credential.For{Protocol: "oidc"}, before); err != nil {
			t.Fatal(err)
		}
		_, ok := p.Accept(e.Credential.AccessToken)
		if again := n != 1; ok != again || (e.Credential != before) != again { // the second comes too soon after the first
			t.Errorf("%d: another credential %v, good %v", n, e.Credential != before, ok)
		}
	}
	if old, err := r.Renew(t.Context(), "checkin", credential.For{Protocol: "oidc"}, e.Credential); err != nil || old != e {
		t.Errorf("twice at once: %v, %v", old, err)
	}
}

// TestRefreshToken: a provider that rotates refresh tokens is followed, in memory and in the file; a new one in the file is
// taken; a second process that shares the file goes on with what the first one wrote.
func TestRefreshToken(t *testing.T) {
	c := newClock()
	p := newProvider(t, c, issuer.Options{Rotate: true, Life: 10 * time.Minute})
	name := write(t, file(t, "refresh"), p.Refresh("fedsite:1")+"\n")
	p.spec.RefreshToken, p.spec.RefreshFile = inFile(name), name
	one, two := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}}), resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}})
	for n, r := range []*credential.Resolver{one, one, two, one, two} {
		token, err := r.AccessToken(t.Context(), "checkin")
		if _, ok := p.Accept(token); err != nil || !ok {
			t.Fatalf("%d: %v", n, err)
		}
		c.forward(10 * time.Minute)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 || p.Asked("/token") != 5 {
		t.Errorf("%v, %v, asked %d times", info, err, p.Asked("/token"))
	}
	if rest, _ := filepath.Glob(filepath.Join(filepath.Dir(name), ".*")); len(rest) > 0 {
		t.Errorf("left behind: %v", rest)
	}

	// Somebody ends all tokens, and puts a new one into the file.
	if _, err := one.AccessToken(t.Context(), "checkin"); err != nil {
		t.Fatal(err)
	}
	p.Revoke(true)
	write(t, name, p.Refresh("fedsite:1"))
	token, err := one.AccessToken(t.Context(), "checkin")
	if _, ok := p.Accept(token); err != nil || !ok {
		t.Errorf("with a new refresh token: %v", err)
	}

	// Without a file it is kept in memory.
	first := p.Refresh("fedsite:1")
	p.spec.RefreshToken, p.spec.RefreshFile = literal(first), ""
	three := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}})
	for range 3 {
		if _, err := three.AccessToken(t.Context(), "checkin"); err != nil {
			t.Fatal(err)
		}
		c.forward(10 * time.Minute)
	}
	_, err = resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}}).AccessToken(t.Context(), "checkin")
	discreet(t, err, credential.ErrRefused, "get a new one")
	if strings.Contains(err.Error(), first) {
		t.Error(err)
	}
}

// TestRefreshTokenCannotBeWritten: the token is good all the same, and its successor is kept in memory.
func TestRefreshTokenCannotBeWritten(t *testing.T) {
	c := newClock()
	p := newProvider(t, c, issuer.Options{Rotate: true, Life: 10 * time.Minute})
	// A name so long that the new file beside it, under which the token is written at first, cannot be made: also by root.
	name := write(t, file(t, strings.Repeat("r", 248)), p.Refresh("fedsite:1"))
	p.spec.RefreshToken, p.spec.RefreshFile = inFile(name), name
	r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}})
	for range 3 {
		if _, err := r.AccessToken(t.Context(), "checkin"); err != nil {
			t.Fatal(err)
		}
		c.forward(10 * time.Minute)
	}
}

// TestChangedCredential: a changed secret, scope or issuer is used by the next request, and what was got before is not.
func TestChangedCredential(t *testing.T) {
	c := newClock()
	p := newProvider(t, c, issuer.Options{Clients: []issuer.Client{{ID: "fedsite:1", Secret: "hunter2-new", Subject: "new", Scopes: []string{"openid", "email"}, Grants: []string{"client_credentials"}}}})
	name := write(t, file(t, "secret"), clientSecret+"\n")
	p.spec.ClientSecret = inFile(name)
	r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}})
	subject := func() string {
		t.Helper()
		token, err := r.AccessToken(t.Context(), "checkin")
		if err != nil {
			t.Fatal(err)
		}
		sub, _ := p.Accept(token)
		return sub
	}
	if subject() != "robot@egi.eu" {
		t.Fatal("the first one")
	}
	write(t, name, "hunter2-new")
	if subject() != "new" {
		t.Error("a changed file was not read")
	}
	same, asked := p.spec, p.Asked("/token")
	r.Replace(map[string]credential.Spec{"checkin": {OIDC: &same}})
	if subject(); p.Asked("/token") != asked {
		t.Error("a reload without a change got a new token")
	}
	narrow := p.spec
	narrow.Scopes = []string{"openid"}
	r.Replace(map[string]credential.Spec{"checkin": {OIDC: &narrow}})
	if subject(); p.Asked("/token") != asked+1 {
		t.Error("a changed scope was not asked for")
	}
	if r.Forget("checkin"); subject() != "new" || p.Asked("/token") != asked+2 {
		t.Error("forgotten, it was not got anew")
	}
	r.Replace(nil)
	_, err := r.AccessToken(t.Context(), "checkin")
	discreet(t, err, credential.ErrConfiguration, "no credential is called")
	r.Replace(map[string]credential.Spec{"checkin": {OIDC: &narrow}})
	if subject(); p.Asked("/token") != asked+3 {
		t.Error("taken out and put back, the old token was used")
	}
}

// TestBadProvider: what is wrong is said, without a secret, and not asked about again for a moment.
func TestBadProvider(t *testing.T) {
	for _, no := range []struct {
		name   string
		change func(*provider)
		kind   error
		says   string
	}{
		{"wrong secret", func(p *provider) { p.spec.ClientSecret = literal("hunter2-wrong") }, credential.ErrRefused, "client_secret"},
		{"unknown scope", func(p *provider) { p.spec.Scopes = []string{"all"} }, credential.ErrRefused, "check scopes"},
		{"wrong refresh token", func(p *provider) { p.spec.RefreshToken = literal("hunter2-ended") }, credential.ErrRefused, "get a new one"},
		{"slash too many", func(p *provider) { p.spec.Issuer += "/" }, credential.ErrConfiguration, "letter by letter"},
		{"no issuer there", func(p *provider) { p.spec.Issuer += "/realms/egi" }, credential.ErrConfiguration, "404"},
		{"no idp", func(p *provider) { p.spec.IDP = "" }, credential.ErrConfiguration, "egi.eu"},
		{"unreadable secret", func(p *provider) { p.spec.ClientSecret = inFile("/nowhere") }, credential.ErrConfiguration, "/nowhere"},
		{"down", func(p *provider) { p.faults.Add(faults.Fault{Times: -1, Effect: faults.Effect{Status: 503}}) }, credential.ErrUnavailable, "503"},
		{"silent", func(p *provider) { p.faults.Add(faults.Fault{Times: -1, Effect: faults.Effect{Unread: true}}) }, credential.ErrUnavailable, "cut"},
		{"a page", func(p *provider) {
			p.faults.Add(faults.Fault{Service: "token", Times: -1, Effect: faults.Effect{Change: func([]byte) []byte { return []byte("<html>hello") }}})
		}, credential.ErrConfiguration, "no token"},
		{"echo", func(p *provider) {
			p.faults.Add(faults.Fault{Service: "token", Times: -1, Effect: faults.Effect{Status: 400, Body: `{"error":"invalid_request","error_description":"secret hunter2/client secret+ hunter2%2Fclient+secret%2B is odd"}`}})
		}, credential.ErrRefused, "is odd"},
		{"no https", func(p *provider) {
			p.faults.Add(faults.Fault{Service: ".well-known", Times: -1, Effect: faults.Effect{Change: func(b []byte) []byte {
				return []byte(strings.Replace(string(b), `"token_endpoint":"http`, `"token_endpoint":"ftp`, 1))
			}}})
		}, credential.ErrConfiguration, "token_url"},
	} {
		t.Run(no.name, func(t *testing.T) {
			c := newClock()
			p := newProvider(t, c, issuer.Options{})
			no.change(p)
			r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}})
			_, err := r.OpenStack(t.Context(), "checkin", credential.For{})
			discreet(t, err, no.kind, no.says)
			e, _ := errors.AsType[*credential.Error](err)
			if o := e.OpenStack(); strings.Contains(o.Error(), "hunter2") || o.Remedy == "" {
				t.Errorf("as an error of the cloud: %v", o)
			}
		})
	}
}

// TestFailureIsKept: a broken provider is asked again after a moment only; one that says for how long, after that.
func TestFailureIsKept(t *testing.T) {
	for after, pause := range map[string]time.Duration{"": 30 * time.Second, "120": 2 * time.Minute} {
		c := newClock()
		p := newProvider(t, c, issuer.Options{})
		p.faults.Add(faults.Fault{Service: "token", Times: 1, Effect: faults.Effect{Status: 503, RetryAfter: after}})
		r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}})
		for _, wait := range []time.Duration{0, pause - time.Second} {
			c.forward(wait)
			if _, err := r.AccessToken(t.Context(), "checkin"); !errors.Is(err, credential.ErrUnavailable) || p.faults.Struck() != 1 {
				t.Errorf("%v, struck %d times", err, p.faults.Struck())
			}
		}
		c.forward(time.Second)
		if _, err := r.AccessToken(t.Context(), "checkin"); err != nil {
			t.Errorf("after %v: %v", pause, err)
		}
	}
}

// TestWaitingEnds: a caller that goes away leaves the others what they wait for; when all have gone, the request ends, and
// who comes next begins anew.
func TestWaitingEnds(t *testing.T) {
	c := newClock()
	p := newProvider(t, c, issuer.Options{})
	asked, ended, answer := make(chan bool, 9), make(chan bool, 9), make(chan bool)
	base, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked <- true
		select {
		case <-answer:
			p.ServeHTTP(w, r)
		case <-r.Context().Done():
			ended <- true
		}
	}))
	p.spec.TokenURL = base + "/token"
	r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}})
	got := make(chan error, 9)
	call := func(ctx context.Context) {
		go func() {
			_, err := r.AccessToken(ctx, "checkin")
			got <- err
		}()
	}
	first, leave := context.WithCancel(t.Context())
	call(first)
	<-asked
	leave()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	<-ended
	call(t.Context())
	<-asked
	second, leave := context.WithCancel(t.Context())
	call(second)
	leave()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	answer <- true
	if err := <-got; err != nil {
		t.Errorf("who stayed got %v", err)
	}
}

package oci

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// token is a value of Authorization for one repository.
type token struct {
	header string
	until  time.Time // zero = it does not end
}

// How long a token is good: what it says, less a margin for the request that it goes with.
const (
	usualLife = time.Minute // where it does not say
	margin    = 15 * time.Second
)

// basic gives the registry's user and password as a value of Authorization; "" = nobody.
func (c *Client) basic() string {
	if c.User == "" {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password))
}

// ask asks for something of a repository, and signs in if the registry wants it. The answer has status 200.
func (c *Client) ask(ctx context.Context, repository, target, accept string) (*http.Response, error) {
	header := c.kept(repository)
	for again := true; ; again = false {
		res, err := c.get(ctx, target, accept, header)
		if err != nil {
			return nil, err
		}
		if res.StatusCode == http.StatusOK {
			return res, nil
		}
		if res.StatusCode != http.StatusUnauthorized || !again {
			defer res.Body.Close()
			return nil, refused(res)
		}
		_ = res.Body.Close()
		t, err := c.signIn(ctx, repository, ParseChallenges(res.Header))
		if err != nil {
			return nil, err
		}
		header = t.header
	}
}

// kept gives the value of Authorization that is still good for a repository.
func (c *Client) kept(repository string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tokens[repository]
	if !ok || !t.until.IsZero() && !c.now().Before(t.until) {
		return ""
	}
	return t.header
}

// signIn answers a registry's challenge, and keeps what it gave.
func (c *Client) signIn(ctx context.Context, repository string, all []Challenge) (token, error) {
	for _, ch := range all {
		var t token
		var err error
		switch {
		case ch.Scheme == "bearer":
			t, err = c.bearer(ctx, repository, ch)
		case ch.Scheme == "basic" && c.User != "":
			t = token{header: c.basic()}
		default:
			continue
		}
		if err != nil {
			return token{}, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.tokens == nil {
			c.tokens = map[string]token{}
		}
		c.tokens[repository] = t
		return t, nil
	}
	return token{}, &Error{Kind: ErrDenied, Status: http.StatusUnauthorized, Cause: errors.New("it wants a sign-in that fedsite does not have: give user and password, or make the project public")}
}

// bearer gets a token to read a repository.
func (c *Client) bearer(ctx context.Context, repository string, ch Challenge) (token, error) {
	realm, err := c.realm(ch.Params["realm"])
	if err != nil {
		return token{}, err
	}
	q := realm.Query()
	if s := ch.Params["service"]; s != "" {
		q.Set("service", s)
	}
	q.Set("scope", "repository:"+repository+":pull") // what is needed, whatever the challenge says
	realm.RawQuery = q.Encode()
	asked := c.now()
	res, err := c.get(ctx, realm.String(), "application/json", c.basic())
	if err != nil {
		return token{}, fmt.Errorf("the service of tokens %s: %w", realm.Host, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		e := refused(res)
		e.Host = realm.Host
		return token{}, e
	}
	text, e := read(res.Body, maxToken)
	if e != nil {
		e.Host = realm.Host
		return token{}, e
	}
	var said struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if e := decode(text, &said); e != nil {
		e.Host = realm.Host
		return token{}, e
	}
	value := cmp.Or(said.Token, said.AccessToken)
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		e := unusable("it gives no token")
		e.Host = realm.Host
		return token{}, e
	}
	life := usualLife
	if said.ExpiresIn > 0 {
		life = time.Duration(min(said.ExpiresIn, 24*3600)) * time.Second
	}
	return token{header: "Bearer " + value, until: asked.Add(max(life-margin, life/2))}, nil
}

// realm judges where a registry sends for a token.
func (c *Client) realm(text string) (*url.URL, error) {
	own, err := c.base()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, unusable("its service of tokens is %.80q, and no URL", text)
	}
	if u.Scheme == "http" && own.Scheme == "https" {
		return nil, unusable("its service of tokens %.80q is not https", u.Scheme+"://"+u.Host)
	}
	if c.User != "" && !related(own.Hostname(), u.Hostname()) {
		return nil, unusable("its service of tokens %.80q is of another domain, and gets no password of %.80q", u.Scheme+"://"+u.Host, own.Host)
	}
	return u, nil
}

// related tells whether two hosts are the same, or of one registered domain.
func related(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b {
		return true
	}
	for _, h := range []string{a, b} {
		if _, err := netip.ParseAddr(h); err == nil {
			return false
		}
	}
	da, err1 := publicsuffix.EffectiveTLDPlusOne(a)
	db, err2 := publicsuffix.EffectiveTLDPlusOne(b)
	return err1 == nil && err2 == nil && da == db
}

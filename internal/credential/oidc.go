package credential

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/transport"
)

// maxAnswer is how much is read of an answer of an OpenID provider or of Vault.
const maxAnswer = 1 << 20

// AccessToken gives an access token of an OpenID provider.
func (r *Resolver) AccessToken(ctx context.Context, name string) (string, error) {
	s, err := r.spec(name)
	if err != nil {
		return "", err
	}
	o := s.OIDC
	if o == nil {
		return "", &Error{Kind: ErrConfiguration, Name: name, Message: "it gives no access token: " + s.kind()}
	}
	if o.AccessToken != nil {
		token, err := o.AccessToken()
		if err != nil {
			return "", &Error{Kind: ErrConfiguration, Name: name, Cause: err}
		}
		return token, nil
	}
	secret, err := o.ClientSecret.readIf()
	if err != nil {
		return "", &Error{Kind: ErrConfiguration, Name: name, Cause: err}
	}
	c := &oidcClient{OIDC: *o, r: r, name: name, secret: secret}
	said := digestOf(o.Issuer, o.TokenURL, o.ClientID, secret, o.Scopes, o.RefreshToken != nil)
	digest := said
	if o.RefreshToken != nil {
		if c.refresh, err = r.refreshOf(name, said, o); err != nil {
			return "", err
		}
		digest = digestOf(said, c.refresh.epoch())
	}
	return cached(ctx, r.cache, tokenSlot(name), digest, c.token)
}

// oidcClient asks a provider for tokens.
type oidcClient struct {
	OIDC
	r       *Resolver
	name    string
	secret  string
	refresh *refreshing // nil = the grant client_credentials
}

// metadata is what is used of an issuer's discovery document.
type metadata struct {
	Issuer        string   `json:"issuer"`
	TokenEndpoint string   `json:"token_endpoint"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
}

// answer is what a token endpoint answers.
type answer struct {
	AccessToken  string      `json:"access_token"`
	RefreshToken string      `json:"refresh_token"`
	ExpiresIn    json.Number `json:"expires_in"`
	TokenType    string      `json:"token_type"`
	Error        string      `json:"error"`
	Description  string      `json:"error_description"`
}

func (c *oidcClient) token(ctx context.Context) (got[string], error) {
	m, err := c.discover(ctx)
	if err != nil {
		return got[string]{}, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	var a answer
	if c.refresh == nil {
		if len(c.Scopes) > 0 {
			form.Set("scope", strings.Join(c.Scopes, " "))
		}
		a, err = c.ask(ctx, m, form)
	} else {
		a, err = c.refresh.use(ctx, c, m)
	}
	if err != nil {
		return got[string]{}, err
	}
	return got[string]{a.AccessToken, a.life()}, nil
}

// life is how long the token is used.
func (a answer) life() time.Duration {
	if seconds, err := a.ExpiresIn.Float64(); err == nil && seconds > 0 {
		return usable(time.Duration(min(seconds, 1e6) * float64(time.Second)))
	}
	var claims struct{ Exp, Iat float64 }
	if claimsOf(a.AccessToken, &claims) == nil && claims.Exp > claims.Iat && claims.Iat > 0 { // no clock of ours is in it
		return usable(time.Duration(min(claims.Exp-claims.Iat, 1e6) * float64(time.Second)))
	}
	return usable(usualLife)
}

// discover reads the issuer's discovery document.
func (c *oidcClient) discover(ctx context.Context) (metadata, error) {
	if c.TokenURL != "" {
		return metadata{TokenEndpoint: c.TokenURL}, nil
	}
	return cached(ctx, c.r.cache, c.name+"\x00issuer", digestOf(c.Issuer), func(ctx context.Context) (got[metadata], error) {
		m, err := c.document(ctx)
		return got[metadata]{m, 24 * time.Hour}, err
	})
}

func (c *oidcClient) document(ctx context.Context) (metadata, error) {
	target := strings.TrimRight(c.Issuer, "/") + "/.well-known/openid-configuration"
	fail := func(kind error, message, remedy string, cause error) (metadata, error) {
		return metadata{}, &Error{Kind: kind, Name: c.name, Doing: "read " + target, Message: message, Remedy: remedy, Cause: cause}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return fail(ErrConfiguration, "issuer is no URL", "", nil)
	}
	status, _, text, err := c.send(req)
	var m metadata
	switch {
	case err != nil:
		return fail(ErrUnavailable, "", "", err)
	case status >= 500 || status == http.StatusTooManyRequests:
		return fail(ErrUnavailable, fmt.Sprintf("%d %s", status, http.StatusText(status)), "", nil)
	case status != http.StatusOK:
		return fail(ErrConfiguration, fmt.Sprintf("%d %s", status, http.StatusText(status)), "check issuer: below it must be /.well-known/openid-configuration", nil)
	case json.Unmarshal(text, &m) != nil || m.TokenEndpoint == "":
		return fail(ErrConfiguration, "that is no discovery document with a token_endpoint", "check issuer", nil)
	case m.Issuer != c.Issuer:
		return fail(ErrConfiguration, fmt.Sprintf("it is of the issuer %s", quoted(m.Issuer, 200)), "write issuer letter by letter as the document does, also a slash at its end", nil)
	}
	u, err := url.Parse(m.TokenEndpoint)
	if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || strings.HasPrefix(c.Issuer, "https:"))) {
		return fail(ErrConfiguration, "its token_endpoint is no https URL", "say token_url, or have the issuer's document mended", nil)
	}
	return m, nil
}

// ask asks the token endpoint with a grant.
func (c *oidcClient) ask(ctx context.Context, m metadata, form url.Values) (answer, error) {
	ctx = transport.Hiding(ctx, c.secret, form.Get("refresh_token"))
	basic := c.secret != "" && (len(m.AuthMethods) == 0 || slices.Contains(m.AuthMethods, "client_secret_basic"))
	if !basic {
		form.Set("client_id", c.ClientID)
		if c.secret != "" {
			form.Set("client_secret", c.secret)
		}
	}
	doing := "ask " + m.TokenEndpoint + " for a token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, &Error{Kind: ErrConfiguration, Name: c.name, Doing: doing, Message: "token_url is no URL"}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.secret)) // RFC 6749, 2.3.1
	}
	status, header, text, err := c.send(req)
	if err != nil {
		return answer{}, &Error{Kind: ErrUnavailable, Name: c.name, Doing: doing, Cause: err}
	}
	var a answer
	readable := json.Unmarshal(text, &a) == nil
	if status == http.StatusOK && readable && a.AccessToken != "" {
		return a, nil
	}
	e := &Error{Kind: ErrRefused, Name: c.name, Doing: doing, Message: fmt.Sprintf("%d %s", status, http.StatusText(status)), after: retryAfter(header)}
	switch {
	case status == http.StatusOK:
		e.Kind, e.Message = ErrConfiguration, "the answer is no token"
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		e.Kind = ErrUnavailable
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		e.Kind = ErrConfiguration
		c.r.cache.forget(c.name + "\x00issuer")
	}
	if readable && a.Error != "" {
		e.Message = quoted(a.Error, 60)
		if a.Description != "" {
			e.Message += ": " + quoted(a.Description, 200)
		}
	}
	e.Remedy = c.remedy(a.Error)
	return a, e
}

// remedy says what to do about the errors of RFC 6749, 5.2.
func (c *oidcClient) remedy(code string) string {
	switch code {
	case "invalid_client", "unauthorized_client":
		return "check client_id and client_secret, and that the provider allows this client the grant " + cmp.Or(map[bool]string{true: "refresh_token"}[c.refresh != nil], "client_credentials")
	case "invalid_grant":
		return "the refresh token has ended or was used elsewhere: get a new one from the provider, and put it in the place of the old one"
	case "invalid_scope":
		return "check scopes: the provider does not give them to this client"
	}
	return ""
}

// send sends a request, and gives the answer's status and text.
func (c *oidcClient) send(req *http.Request) (int, http.Header, []byte, error) {
	return send(c.HTTP, req)
}

func send(client *http.Client, req *http.Request) (int, http.Header, []byte, error) {
	req.Header.Set("Accept", "application/json")
	res, err := client.Do(req)
	if err != nil {
		if ue, ok := err.(*url.Error); ok {
			err = ue.Err // the URL is said already
		}
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	return res.StatusCode, res.Header, text, err
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// claimsOf reads the claims of a JWT. They are not verified: who gave it is whom we asked.
func claimsOf(token string, claims any) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return fmt.Errorf("it is no JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return fmt.Errorf("it is no JWT")
	}
	if err := json.Unmarshal(text, claims); err != nil {
		return fmt.Errorf("its claims are no JSON")
	}
	return nil
}

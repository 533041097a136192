package credential

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/transport"
)

// vaultClient reads a secret of Vault.
type vaultClient struct {
	Vault
	r    *Resolver
	name string
}

// secret reads the secret at a path of the mount.
func (v *vaultClient) secret(ctx context.Context, path string) (got[fields], error) {
	token, err := v.token(ctx)
	if err != nil {
		return got[fields]{}, err
	}
	f, err := v.read(ctx, token, path)
	if errors.Is(err, ErrRefused) && v.Login.Token == nil { // the login's own token may have been revoked
		v.r.cache.doubt(v.loginSlot())
		fresh, again := v.token(ctx)
		if again == nil && fresh != token {
			f, err = v.read(ctx, fresh, path)
		}
	}
	return f, err
}

func (v *vaultClient) loginSlot() string { return v.name + "\x00login" }

// token signs in, and gives Vault's token.
func (v *vaultClient) token(ctx context.Context) (string, error) {
	l := v.Login
	if l.Token != nil {
		token, err := l.Token()
		if err != nil {
			return "", &Error{Kind: ErrConfiguration, Name: v.name, Cause: err}
		}
		return token, nil
	}
	secretID, err := l.SecretID.readIf()
	if err != nil {
		return "", &Error{Kind: ErrConfiguration, Name: v.name, Cause: err}
	}
	return cached(ctx, v.r.cache, v.loginSlot(), digestOf(v.URL, l.Mount, l.RoleID, secretID, l.JWT, l.Role), func(ctx context.Context) (got[string], error) {
		if l.JWT == "" {
			return v.login(ctx, cmp.Or(l.Mount, "approle"), map[string]string{"role_id": l.RoleID, "secret_id": secretID})
		}
		jwt, err := v.r.AccessToken(ctx, l.JWT)
		if err != nil {
			return got[string]{}, err
		}
		t, err := v.login(ctx, cmp.Or(l.Mount, "jwt"), map[string]string{"jwt": jwt, "role": l.Role})
		if errors.Is(err, ErrRefused) {
			v.r.cache.doubt(tokenSlot(l.JWT))
			if fresh, again := v.r.AccessToken(ctx, l.JWT); again == nil && fresh != jwt {
				return v.login(ctx, cmp.Or(l.Mount, "jwt"), map[string]string{"jwt": fresh, "role": l.Role})
			}
		}
		return t, err
	})
}

func (v *vaultClient) login(ctx context.Context, mount string, with map[string]string) (got[string], error) {
	if with["role"] == "" {
		delete(with, "role")
	}
	body, err := json.Marshal(with)
	if err != nil {
		return got[string]{}, err
	}
	var a struct {
		Auth struct {
			Token string `json:"client_token"`
			Lease int64  `json:"lease_duration"`
		} `json:"auth"`
	}
	ctx = transport.Hiding(ctx, with["secret_id"], with["jwt"])
	doing := "sign in to Vault by " + mount
	if err := v.call(ctx, http.MethodPost, "auth/"+segments(mount)+"/login", "", body, doing, &a); err != nil {
		return got[string]{}, err
	}
	if a.Auth.Token == "" {
		return got[string]{}, &Error{Kind: ErrConfiguration, Name: v.name, Doing: doing, Message: "the answer is no token", Remedy: "check url: something else than Vault may answer there"}
	}
	life := usable(usualLife)
	if a.Auth.Lease > 0 {
		life = usable(seconds(a.Auth.Lease))
	}
	return got[string]{a.Auth.Token, life}, nil
}

func seconds(n int64) time.Duration { return time.Duration(min(max(n, 0), 1e6)) * time.Second }

// read reads a secret of the key-value engine.
func (v *vaultClient) read(ctx context.Context, token, path string) (got[fields], error) {
	at := segments(v.Mount) + "/" + path
	if v.KV == 2 {
		at = segments(v.Mount) + "/data/" + path
	}
	var a struct {
		LeaseID string         `json:"lease_id"`
		Lease   int64          `json:"lease_duration"`
		Data    map[string]any `json:"data"`
	}
	doing := "read " + strings.Trim(v.Mount, "/") + "/" + path + " in Vault"
	if err := v.call(ctx, http.MethodGet, at, token, nil, doing, &a); err != nil {
		return got[fields]{}, err
	}
	data := a.Data
	if v.KV == 2 {
		data, _ = a.Data["data"].(map[string]any)
	}
	if len(data) == 0 {
		return got[fields]{}, &Error{Kind: ErrConfiguration, Name: v.name, Doing: doing, Message: "there is nothing in it", Remedy: "check kv (1 or 2), mount and path"}
	}
	life := usualLife // what is kept in Vault may be changed there
	switch {
	case v.Forced > 0:
		life = v.Forced
	case a.LeaseID != "": // it was made for us, and ends with its lease
		life = usable(seconds(a.Lease))
	case a.Lease > 0:
		life = min(life, seconds(a.Lease))
	}
	f, err := fieldsOf(v.name, data, v.Key)
	return got[fields]{f, life}, err
}

// call calls Vault.
func (v *vaultClient) call(ctx context.Context, method, path, token string, body []byte, doing string, answer any) error {
	target := strings.TrimRight(v.URL, "/") + "/v1/" + path
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return &Error{Kind: ErrConfiguration, Name: v.name, Doing: doing, Message: "url is no URL of Vault"}
	}
	req.Header.Set("X-Vault-Request", "true")
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	status, header, text, err := send(v.HTTP, req)
	if err != nil {
		return &Error{Kind: ErrUnavailable, Name: v.name, Doing: doing, Cause: err}
	}
	if status == http.StatusOK {
		if json.Unmarshal(text, answer) != nil {
			return &Error{Kind: ErrConfiguration, Name: v.name, Doing: doing, Message: "the answer is not Vault's", Remedy: "check url: something else than Vault may answer there"}
		}
		return nil
	}
	e := &Error{Kind: ErrRefused, Name: v.name, Doing: doing, Message: fmt.Sprintf("%d %s", status, http.StatusText(status)), after: retryAfter(header)}
	var said struct {
		Errors []string `json:"errors"`
	}
	if json.Unmarshal(text, &said) == nil && len(said.Errors) > 0 {
		e.Message += ": " + quoted(strings.Join(said.Errors, "; "), 200)
	}
	switch {
	case status == http.StatusServiceUnavailable && strings.Contains(e.Message, "sealed"):
		e.Kind, e.Remedy = ErrUnavailable, "unseal Vault: vault operator unseal"
	case status >= 500 || status == http.StatusTooManyRequests || status == 472 || status == 473: // the last two are of a standby
		e.Kind = ErrUnavailable
	case status == http.StatusNotFound && method == http.MethodGet:
		e.Kind, e.Remedy = ErrConfiguration, "check kv (1 or 2), mount and path: nothing is kept there"
	case method == http.MethodGet:
		e.Remedy = "the policy of the login's role must allow to read this path"
	default:
		e.Remedy = "check login: the role, and what it is bound to"
	}
	return e
}

// segments escapes a path, part by part.
func segments(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// path fills the places of the configured path. What comes from elsewhere, as a VO's name does, stays where it is put: it
// leads to no other directory.
func (v *vaultClient) path(ctx context.Context, use For) (string, error) {
	var out []string
	for part := range strings.SplitSeq(strings.Trim(v.Path, "/"), "/") {
		for _, place := range []struct{ name, value, remedy string }{
			{"{vo}", use.VO, "use this credential for projects of a VO only, or take {vo} out of the path"},
			{"{site}", use.Site, ""}, {"{keystone_host}", use.KeystoneHost, ""}, {"{sub}", "", ""},
		} {
			if !strings.Contains(part, place.name) {
				continue
			}
			if place.name == "{sub}" {
				sub, err := v.subject(ctx)
				if err != nil {
					return "", err
				}
				place.value = sub
			}
			value, err := placed(place.value)
			if err != nil {
				return "", &Error{Kind: ErrConfiguration, Name: v.name, Doing: "fill " + place.name + " of its path", Message: err.Error(), Remedy: place.remedy}
			}
			part = strings.ReplaceAll(part, place.name, value)
		}
		out = append(out, part)
	}
	return segments(strings.Join(out, "/")), nil
}

// placed checks what is put into a path. A slash within it, as of a VO's group, makes parts below; none may lead elsewhere.
func placed(value string) (string, error) {
	value = strings.TrimPrefix(value, "/")
	if value == "" {
		return "", errors.New("it is not known here")
	}
	for part := range strings.SplitSeq(value, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\\{}") || printable(part) != part {
			return "", fmt.Errorf("%s cannot be part of a path", quoted(fmt.Sprintf("%q", value), 100))
		}
	}
	return value, nil
}

// subject is whom the access token of the login is for.
func (v *vaultClient) subject(ctx context.Context) (string, error) {
	fail := func(message string) (string, error) {
		return "", &Error{Kind: ErrConfiguration, Name: v.name, Doing: "fill {sub} of its path", Message: message, Remedy: "write the subject itself in the place of {sub}"}
	}
	if v.Login.JWT == "" {
		return fail("login is not by jwt")
	}
	token, err := v.r.AccessToken(ctx, v.Login.JWT)
	if err != nil {
		return "", err
	}
	var claims struct {
		Sub string `json:"sub"`
	}
	if err := claimsOf(token, &claims); err != nil || claims.Sub == "" {
		return fail("the access token of " + v.Login.JWT + " does not say whom it is for")
	}
	return claims.Sub, nil
}

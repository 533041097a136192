package credential

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
)

// fields are the fields of a credential, as Vault keeps them or a program prints them.
type fields map[string]string

// names gives the names of the fields: they are no secrets.
func (f fields) names() string {
	if len(f) == 0 {
		return "nothing"
	}
	return strings.Join(slices.Sorted(maps.Keys(f)), ", ")
}

// sameField are other names of fields, as OpenStack's clients and people write them.
var sameField = map[string]string{
	"user": "username", "user_domain": "user_domain_name", "secret": "application_credential_secret", "cert": "certificate", "key": "private_key",
	"idp": "identity_provider", "auth_token": "token", "os_token": "token", "os_username": "username", "os_password": "password", "os_user_domain_name": "user_domain_name",
	"os_application_credential_id": "application_credential_id", "os_application_credential_secret": "application_credential_secret", "os_access_token": "access_token",
}

// fieldsOf takes the fields of text out of a document. Of one key alone it is that of a token or password.
func fieldsOf(name string, data map[string]any, key string) (fields, error) {
	f := fields{}
	for k, v := range data {
		switch v := v.(type) {
		case string:
			f[strings.ToLower(k)] = v
		case json.Number, float64, bool:
			f[strings.ToLower(k)] = fmt.Sprint(v)
		}
	}
	for from, to := range sameField {
		if v, ok := f[from]; ok && f[to] == "" {
			f[to] = v
			delete(f, from)
		}
	}
	if key == "" {
		return f, nil
	}
	v, ok := data[key].(string)
	if !ok {
		return nil, &Error{Kind: ErrConfiguration, Name: name, Message: fmt.Sprintf("it has no text under key %q, only %s", key, f.names())}
	}
	return fields{"token": v, "password": v, "username": f["username"]}, nil
}

// openstack gives what signs in to OpenStack.
func (f fields) openstack(name string) (openstack.Credential, error) {
	user := openstack.Credential{Username: f["username"], UserID: f["user_id"], UserDomain: f["user_domain_name"], UserDomainID: f["user_domain_id"]}
	switch {
	case f["application_credential_secret"] != "" && f["application_credential_id"]+f["application_credential_name"] != "":
		user.ApplicationID, user.ApplicationSecret = f["application_credential_id"], f["application_credential_secret"]
		if user.ApplicationID == "" {
			user.ApplicationName = f["application_credential_name"]
		}
		return user, nil
	case f["access_token"] != "":
		return openstack.Credential{AccessToken: f["access_token"], IdentityProvider: f["identity_provider"], Protocol: f["protocol"]}, nil
	case f["password"] != "" && f["username"]+f["user_id"] != "":
		user.Password = f["password"]
		return user, nil
	case f["token"] != "":
		return openstack.Credential{Token: f["token"]}, nil
	}
	return openstack.Credential{}, &Error{Kind: ErrConfiguration, Name: name, Message: "there is nothing in it to sign in to OpenStack with, only " + f.names(),
		Remedy: "it needs username and password, application_credential_id and application_credential_secret, token, or access_token"}
}

// fields gets the fields of a credential that is in Vault, or that a program prints.
func (r *Resolver) fields(ctx context.Context, name string, s Spec, use For) (fields, error) {
	if s.Vault != nil {
		v := &vaultClient{Vault: *s.Vault, r: r, name: name}
		path, err := v.path(ctx, use)
		if err != nil {
			return nil, err
		}
		token, err := v.Login.Token.readIf()
		if err != nil {
			return nil, &Error{Kind: ErrConfiguration, Name: name, Cause: err}
		}
		secretID, err := v.Login.SecretID.readIf()
		if err != nil {
			return nil, &Error{Kind: ErrConfiguration, Name: name, Cause: err}
		}
		digest := digestOf(v.URL, v.KV, v.Mount, path, v.Key, token, v.Login.RoleID, secretID, v.Login.JWT, v.Login.Role, v.Login.Mount)
		return cached(ctx, r.cache, fieldsSlot(name, use), digest, func(ctx context.Context) (got[fields], error) { return v.secret(ctx, path) })
	}
	e := s.Exec
	return cached(ctx, r.cache, fieldsSlot(name, use), digestOf(e.Command, e.Timeout), func(ctx context.Context) (got[fields], error) {
		return e.run(ctx, name, use, r.cache.now)
	})
}

// until is how long fields hold that say when they end; the usual time for the others.
func (f fields) until(now time.Time) (time.Duration, error) {
	for _, key := range []string{"expires_at", "expires"} {
		text := f[key]
		if text == "" {
			continue
		}
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
			if at, err := time.Parse(layout, text); err == nil {
				return usable(max(at.Sub(now), 0)), nil
			}
		}
		var unix float64
		if n, err := fmt.Sscanf(text, "%g", &unix); err == nil && n == 1 {
			return usable(max(time.UnixMilli(int64(unix*1000)).Sub(now), 0)), nil
		}
		return 0, fmt.Errorf("%s is no time: write it as 2026-11-26T12:00:00Z", key)
	}
	return usualLife, nil
}

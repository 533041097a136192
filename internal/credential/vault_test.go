package credential_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/credential"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation/issuer"
	"github.com/fedsite/fedsite/internal/emulator/federation/vault"
	"github.com/fedsite/fedsite/internal/openstack"
)

// TestVaultLogins: each sign-in reads both versions of the key-value engine, and is done once.
func TestVaultLogins(t *testing.T) {
	for _, kv := range []int{1, 2} {
		for _, by := range []string{"token", "approle", "jwt"} {
			t.Run(fmt.Sprintf("%s, version %d", by, kv), func(t *testing.T) {
				c := newClock()
				p := newProvider(t, c, issuer.Options{})
				k := newKeeper(t, c, vault.Options{JWT: p.Accept, Role: "fedsite"})
				mount, at := "secrets", "GET /v1/secrets/"
				if kv == 2 {
					mount, at = "kv", "GET /v1/kv/data/"
				}
				for _, vo := range []string{"ops", "biomed/vip"} {
					k.Put(mount, "users/robot@egi.eu/cloudmon/keystone.example.org/"+vo, vault.Secret{Data: map[string]any{"application_credential_id": "id of " + vo, "application_credential_secret": "hunter2", "note": 1}})
				}
				k.spec.KV, k.spec.Mount, k.spec.Path = kv, mount, "users/{sub}/cloudmon/{keystone_host}/{vo}"
				switch by {
				case "token":
					k.spec.Login, k.spec.Path = credential.Login{Token: literal("hunter2-root")}, strings.Replace(k.spec.Path, "{sub}", "robot@egi.eu", 1)
				case "approle":
					k.spec.Path = strings.Replace(k.spec.Path, "{sub}", "robot@egi.eu", 1)
				case "jwt":
					k.spec.Login = credential.Login{JWT: "checkin", Role: "fedsite"}
				}
				r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}, "appcred": {Vault: &k.spec}})
				for vo, id := range map[string]string{"ops": "id of ops", "/biomed/vip": "id of biomed/vip"} {
					for range 2 {
						e, err := r.OpenStack(t.Context(), "appcred", credential.For{VO: vo, KeystoneHost: "keystone.example.org"})
						if want := (openstack.Credential{ApplicationID: id, ApplicationSecret: "hunter2"}); err != nil || e.Credential != want {
							t.Fatalf("%s: %+v, %v", vo, e, err)
						}
					}
				}
				logins := k.Asked("POST /v1/auth/approle/login") + k.Asked("POST /v1/auth/jwt/login")
				if want := map[string]int{"token": 0, "approle": 1, "jwt": 1}[by]; logins != want || k.Asked(at+"users/robot@egi.eu/cloudmon/keystone.example.org/ops") != 1 {
					t.Errorf("%d sign-ins; read %d times", logins, k.Asked(at+"users/robot@egi.eu/cloudmon/keystone.example.org/ops"))
				}
			})
		}
	}
}

// TestVaultLeases: a secret is read anew after a while, or when its lease ends; the sign-in when its token ends, or is
// revoked before.
func TestVaultLeases(t *testing.T) {
	c := newClock()
	k := newKeeper(t, c, vault.Options{Life: 20 * time.Minute})
	const login = "POST /v1/auth/approle/login"
	get := func(path string, lease time.Duration, made bool) func(after time.Duration) (reads, logins int) {
		k.Put("secrets", path, vault.Secret{Data: map[string]any{"username": "robot", "password": "hunter2"}, Lease: lease, Made: made})
		spec := k.spec
		spec.Path = path
		r := resolver(c, map[string]credential.Spec{"v": {Vault: &spec}})
		return func(after time.Duration) (int, int) {
			t.Helper()
			c.forward(after)
			if user, password, err := r.Basic(t.Context(), "v", credential.For{}); err != nil || user != "robot" || password != "hunter2" {
				t.Fatal(user, err)
			}
			return k.Asked("GET /v1/secrets/" + path), k.Asked(login)
		}
	}
	before := 0
	for _, one := range []struct {
		path  string
		lease time.Duration
		made  bool
		steps []time.Duration
		reads []int
	}{
		{"plain", 0, false, []time.Duration{0, 9 * time.Minute, 2 * time.Minute}, []int{1, 1, 2}},
		{"short", time.Minute, false, []time.Duration{0, 50 * time.Second, 11 * time.Second}, []int{1, 1, 2}},
		{"made", time.Hour, true, []time.Duration{0, 50 * time.Minute, 9 * time.Minute}, []int{1, 1, 2}},
	} {
		read := get(one.path, one.lease, one.made)
		for i, step := range one.steps {
			if reads, _ := read(step); reads != one.reads[i] {
				t.Errorf("%s after %v: read %d times, want %d", one.path, step, reads, one.reads[i])
			}
		}
		before = k.Asked(login)
	}
	read := get("revoked", 0, false)
	_, logins := read(0)
	k.Revoke()
	if _, again := read(11 * time.Minute); logins != before+1 || again != logins+1 {
		t.Errorf("%d sign-ins, then %d", logins-before, again-logins)
	}
}

// TestVaultSecretChanges: what Keystone refuses is read anew; what is the same still is not asked for again at once.
func TestVaultSecretChanges(t *testing.T) {
	c := newClock()
	k := newKeeper(t, c, vault.Options{})
	put := func(secret string) {
		k.Put("secrets", "users/robot", vault.Secret{Data: map[string]any{"username": "robot", "password": secret, "user_domain_name": "EGI"}})
	}
	put("hunter2-old")
	r := resolver(c, map[string]credential.Spec{"v": {Vault: &k.spec}})
	old, err := r.OpenStack(t.Context(), "v", credential.For{})
	if err != nil {
		t.Fatal(err)
	}
	put("hunter2-new")
	if same, _ := r.OpenStack(t.Context(), "v", credential.For{}); same.Credential != old.Credential {
		t.Error("it was not kept")
	}
	fresh, err := r.Renew(t.Context(), "v", credential.For{}, old.Credential)
	if want := (openstack.Credential{Username: "robot", Password: "hunter2-new", UserDomain: "EGI"}); err != nil || fresh.Credential != want {
		t.Errorf("%v, %v", fresh, err)
	}
	for range 5 {
		if _, err := r.Renew(t.Context(), "v", credential.For{}, fresh.Credential); err != nil {
			t.Fatal(err)
		}
	}
	if n := k.Asked("GET /v1/secrets/users/robot"); n != 2 {
		t.Errorf("read %d times", n)
	}
}

// TestVaultKey: one key of a secret is the token, or the password of another kind.
func TestVaultKey(t *testing.T) {
	c := newClock()
	k := newKeeper(t, c, vault.Options{})
	k.Put("secrets", "users/robot", vault.Secret{Data: map[string]any{"os": "hunter2", "cert": "PEM", "key": "hunter2-key"}})
	r := resolver(c, map[string]credential.Spec{"whole": {Vault: &k.spec}})
	cert, key, err := r.Certificate(t.Context(), "whole", credential.For{})
	if err != nil || string(cert) != "PEM" || string(key) != "hunter2-key" {
		t.Errorf("%s, %v", cert, err)
	}
	_, err = r.OpenStack(t.Context(), "whole", credential.For{})
	discreet(t, err, credential.ErrConfiguration, "only certificate, os, private_key")
	_, _, err = r.Basic(t.Context(), "whole", credential.For{})
	discreet(t, err, credential.ErrConfiguration, "no username and password")
	keyed := k.spec
	keyed.Key = "os"
	r.Replace(map[string]credential.Spec{"whole": {Vault: &keyed}})
	if e, err := r.OpenStack(t.Context(), "whole", credential.For{}); err != nil || e.Credential.Token != "hunter2" {
		t.Errorf("%v, %v", e, err)
	}
	keyed.Key = "other"
	_, err = r.OpenStack(t.Context(), "whole", credential.For{})
	discreet(t, err, credential.ErrConfiguration, `no text under key "other"`)
}

// TestVaultSaysNo: what is wrong is said with what to do, and no secret.
func TestVaultSaysNo(t *testing.T) {
	for _, no := range []struct {
		name   string
		change func(*keeper)
		kind   error
		says   string
	}{
		{"sealed", func(k *keeper) { k.Seal(true) }, credential.ErrUnavailable, "unseal"},
		{"wrong secret id", func(k *keeper) { k.spec.Login.SecretID = literal("hunter2-wrong") }, credential.ErrRefused, "check login"},
		{"wrong token", func(k *keeper) { k.spec.Login = credential.Login{Token: literal("hunter2-wrong")} }, credential.ErrRefused, "policy"},
		{"wrong role", func(k *keeper) { k.spec.Login = credential.Login{JWT: "checkin", Role: "other"} }, credential.ErrRefused, "could not be found"},
		{"no jwt", func(k *keeper) { k.spec.Login = credential.Login{JWT: "other"} }, credential.ErrConfiguration, "other"},
		{"nothing there", func(k *keeper) { k.spec.Path = "users/nobody" }, credential.ErrConfiguration, "check kv"},
		{"another version", func(k *keeper) { k.spec.KV = 2 }, credential.ErrConfiguration, "check kv"},
		{"unknown mount", func(k *keeper) { k.spec.Mount = "elsewhere" }, credential.ErrRefused, "403"},
		{"no VO", func(k *keeper) { k.spec.Path = "users/{vo}" }, credential.ErrConfiguration, "{vo}"},
		{"no subject", func(k *keeper) { k.spec.Path = "users/{sub}" }, credential.ErrConfiguration, "{sub}"},
		{"empty", func(k *keeper) { k.Put("secrets", "users/robot", vault.Secret{Data: map[string]any{}}) }, credential.ErrConfiguration, "nothing in it"},
		{"down", func(k *keeper) { k.faults.Add(faults.Fault{Times: -1, Effect: faults.Effect{Unread: true}}) }, credential.ErrUnavailable, "cut"},
		{"not Vault", func(k *keeper) {
			k.faults.Add(faults.Fault{Times: -1, Effect: faults.Effect{Status: 200, Body: "<html>hello"}})
		}, credential.ErrConfiguration, "check url"},
		{"echo", func(k *keeper) {
			k.faults.Add(faults.Fault{Method: http.MethodPost, Times: -1, Effect: faults.Effect{Status: 500, Body: `{"errors": ["hunter2-secret-id is odd"]}`}})
		}, credential.ErrUnavailable, "is odd"},
	} {
		t.Run(no.name, func(t *testing.T) {
			c := newClock()
			p := newProvider(t, c, issuer.Options{})
			k := newKeeper(t, c, vault.Options{JWT: p.Accept, Role: "fedsite"})
			k.Put("secrets", "users/robot", vault.Secret{Data: map[string]any{"token": "hunter2"}})
			no.change(k)
			r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}, "v": {Vault: &k.spec}})
			_, err := r.OpenStack(t.Context(), "v", credential.For{})
			discreet(t, err, no.kind, no.says)
		})
	}
}

// TestPlacesStayInTheirPath: a VO's name, which a project says of itself, leads to no other directory.
func TestPlacesStayInTheirPath(t *testing.T) {
	c := newClock()
	k := newKeeper(t, c, vault.Options{})
	k.Put("secrets", "admin", vault.Secret{Data: map[string]any{"token": "hunter2"}})
	k.Put("secrets", "vos/a b?c#d%2e/x", vault.Secret{Data: map[string]any{"token": "odd"}})
	k.spec.Path = "vos/{vo}/x"
	r := resolver(c, map[string]credential.Spec{"v": {Vault: &k.spec}})
	if e, err := r.OpenStack(t.Context(), "v", credential.For{VO: "a b?c#d%2e"}); err != nil || e.Credential.Token != "odd" {
		t.Errorf("%v, %v", e, err)
	}
	k.spec.Path = "vos/{vo}"
	for _, vo := range []string{"../admin", "..", ".", "a/../../admin", "a//b", "/", "", "..\\admin", "a/.", "a\nb", "{sub}"} {
		_, err := r.OpenStack(t.Context(), "v", credential.For{VO: vo})
		discreet(t, err, credential.ErrConfiguration, "{vo}")
	}
}

// TestVaultTakesANewAccessToken: an access token that Vault refuses is got anew.
func TestVaultTakesANewAccessToken(t *testing.T) {
	c := newClock()
	p := newProvider(t, c, issuer.Options{})
	k := newKeeper(t, c, vault.Options{JWT: p.Accept})
	k.Put("secrets", "users/robot@egi.eu/a", vault.Secret{Data: map[string]any{"token": "t"}})
	k.spec.Login, k.spec.Path = credential.Login{JWT: "checkin"}, "users/{sub}/a"
	r := resolver(c, map[string]credential.Spec{"checkin": {OIDC: &p.spec}, "v": {Vault: &k.spec}})
	if _, err := r.AccessToken(t.Context(), "checkin"); err != nil {
		t.Fatal(err)
	}
	p.Revoke(false)
	if e, err := r.OpenStack(t.Context(), "v", credential.For{}); err != nil || e.Credential.Token != "t" {
		t.Error(err)
	}
}

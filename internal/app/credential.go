package app

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/credential"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/transport"
)

// credentialTimeout bounds one call of an OpenID provider or of Vault, its repetitions included.
const credentialTimeout = time.Minute

// keeping holds a process's credentials, as the configuration in force says them.
type keeping struct {
	mu       sync.Mutex
	resolver *credential.Resolver
	of       *config.Config
	clients  []*transport.Client
}

// credentials gives the credentials of the configuration in force. What another one says the same stays got.
func (b *base) credentials() *credential.Resolver {
	k := &b.keeping
	k.mu.Lock()
	defer k.mu.Unlock()
	cfg := b.newest.Load()
	if cfg == k.of {
		return k.resolver
	}
	before := k.clients
	k.clients = nil
	specs := map[string]credential.Spec{}
	for name, c := range cfg.Credentials {
		specs[name] = b.spec(cfg, c)
	}
	if k.of = cfg; k.resolver == nil {
		k.resolver = credential.New(credential.Config{Specs: specs, Log: b.opts.Log})
	} else {
		k.resolver.Replace(specs)
	}
	for _, c := range before {
		c.CloseIdleConnections()
	}
	return k.resolver
}

// spec says how a configured credential is got.
func (b *base) spec(cfg *config.Config, c config.Credential) credential.Spec {
	switch {
	case c.OSCloud != "":
		return credential.Spec{Clouds: &credential.Clouds{File: c.CloudsFile, Entry: c.OSCloud}}
	case c.OIDC != nil:
		o := c.OIDC
		s := &credential.OIDC{Issuer: o.Issuer, TokenURL: o.TokenURL, ClientID: o.ClientID, ClientSecret: secretOf(o.ClientSecret), Scopes: o.Scopes,
			AccessToken: secretOf(o.AccessToken), IDP: o.IDP, Protocol: o.Protocol, HTTP: b.credentialClient(cfg.Network)}
		if o.Grant == "refresh_token" {
			s.RefreshToken = secretOf(o.RefreshToken)
			if file, ok := strings.CutPrefix(o.RefreshToken.Origin(), "file "); ok {
				s.RefreshFile = file
			}
		}
		return credential.Spec{OIDC: s}
	case c.Vault != nil:
		v := c.Vault
		n := cfg.Network
		n.CAFile = cmp.Or(v.CAFile, n.CAFile)
		s := &credential.Vault{URL: v.URL, KV: v.KV, Mount: v.Mount, Path: v.Path, Key: v.Key, HTTP: b.credentialClient(n),
			Login: credential.Login{Mount: v.Login.Mount, Token: secretOf(v.Login.Token), JWT: v.Login.JWT, Role: v.Login.Role}}
		if a := v.Login.AppRole; a != nil {
			s.Login.RoleID, s.Login.SecretID = a.RoleID, secretOf(a.SecretID)
		}
		return credential.Spec{Vault: s}
	case c.Exec != nil:
		return credential.Spec{Exec: &credential.Exec{Command: c.Exec.Command, Timeout: c.Exec.Timeout}}
	case c.Basic != nil:
		return credential.Spec{Basic: &credential.Basic{User: c.Basic.User, Password: secretOf(c.Basic.Password)}}
	case c.Certificate != nil:
		return credential.Spec{Certificate: &credential.Certificate{Cert: c.Certificate.Cert, Key: c.Certificate.Key}}
	}
	return credential.Spec{Said: &credential.Said{Username: c.Username, UserID: c.UserID, UserDomain: c.UserDomain, UserDomainID: c.UserDomainID,
		ApplicationID: c.ApplicationID, ApplicationName: c.ApplicationName, Password: secretOf(c.Password), ApplicationSecret: secretOf(c.ApplicationSecret), Token: secretOf(c.Token)}}
}

// secretOf gives the way to a configured secret; nil when it is not said.
func secretOf(s config.Secret) credential.Secret {
	if !s.IsSet() {
		return nil
	}
	return s.Value
}

// credentialClient makes the HTTP client of a provider or of Vault. One that cannot be made says so when it is used.
func (b *base) credentialClient(n config.Network) *http.Client {
	c, err := b.client(n, transport.Config{Timeout: credentialTimeout, Retry: transport.Retry{Attempts: 3, Base: cmp.Or(b.opts.BackOff, backOff), Max: longestBackOff}})
	if err != nil {
		return &http.Client{Transport: noTransport{err}}
	}
	b.keeping.clients = append(b.keeping.clients, c)
	return c.Client
}

// noTransport is the way of a client whose settings are wrong.
type noTransport struct{ err error }

func (n noTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return nil, n.err
}

// signInError says of a credential that could not be got what is wrong with a cloud.
func (a *App) signInError(err error) error {
	e, ok := errors.AsType[*credential.Error](err)
	if !ok {
		return err
	}
	if e.Kind == credential.ErrConfiguration && e.Remedy == "" {
		named := *e
		named.Remedy = "mend credentials." + e.Name + " in " + a.cfg.File
		e = &named
	}
	return e.OpenStack()
}

// environmentError says that the OS_* variables do not sign in.
func environmentError(err error) error {
	return &openstack.Error{Kind: openstack.ErrConfiguration, Message: err.Error(), Remedy: "set the OS_* variables, as openstack's clients want them"}
}

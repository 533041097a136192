package credential

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
)

// Config is what a resolver works with.
type Config struct {
	Specs map[string]Spec
	Now   func() time.Time // by which things end; nil = this machine's clock
	Log   *slog.Logger     // nil = none
}

// Resolver gives credentials by name. It may be used from several goroutines.
type Resolver struct {
	log   *slog.Logger
	cache *cache

	mu      sync.Mutex
	specs   map[string]Spec
	refresh map[string]*refreshing
}

// New gives a resolver; nothing is asked yet.
func New(cfg Config) *Resolver {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Resolver{log: cfg.Log, cache: newCache(cfg.Now), specs: maps.Clone(cfg.Specs), refresh: map[string]*refreshing{}}
}

// Replace puts other specs in the place of the present ones, as after a reload. What was got by a spec that says the same
// as before is kept.
func (r *Resolver) Replace(specs map[string]Spec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.specs {
		if _, ok := specs[name]; !ok {
			r.cache.forget(name + "\x00")
			delete(r.refresh, name)
		}
	}
	r.specs = maps.Clone(specs)
}

// Forget drops what is kept of a credential: the next one who wants it gets it anew. What else it needs stays.
func (r *Resolver) Forget(name string) { r.cache.forget(name + "\x00") }

func (r *Resolver) spec(name string) (Spec, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.specs[name]
	if !ok {
		return Spec{}, &Error{Kind: ErrConfiguration, Name: name, Message: fmt.Sprintf("no credential is called %q", name)}
	}
	return s, nil
}

// OpenStack gives what signs in to a cloud. Of an entry of clouds.yaml it is the whole entry, else the credential alone.
func (r *Resolver) OpenStack(ctx context.Context, name string, use For) (openstack.Entry, error) {
	s, err := r.spec(name)
	if err != nil {
		return openstack.Entry{}, err
	}
	switch {
	case s.Clouds != nil:
		e, err := openstack.FromCloudsYAML(s.Clouds.File, s.Clouds.Entry)
		if err != nil {
			return e, &Error{Kind: ErrConfiguration, Name: name, Cause: err, Remedy: s.Clouds.remedy()}
		}
		return e, nil
	case s.Said != nil:
		c, err := s.Said.credential()
		if err != nil {
			return openstack.Entry{}, &Error{Kind: ErrConfiguration, Name: name, Cause: err}
		}
		return openstack.Entry{Credential: c}, nil
	case s.OIDC != nil:
		token, err := r.AccessToken(ctx, name)
		if err != nil {
			return openstack.Entry{}, err
		}
		c := openstack.Credential{AccessToken: token, IdentityProvider: cmp.Or(use.IDP, s.OIDC.IDP), Protocol: cmp.Or(use.Protocol, s.OIDC.Protocol, "openid")}
		if c.IdentityProvider == "" {
			return openstack.Entry{}, &Error{Kind: ErrConfiguration, Name: name, Message: "idp is not said", Remedy: "say as idp what Keystone calls the identity provider: egi.eu"}
		}
		return openstack.Entry{Credential: c}, nil
	case s.Vault != nil, s.Exec != nil:
		f, err := r.fields(ctx, name, s, use)
		if err != nil {
			return openstack.Entry{}, err
		}
		c, err := f.openstack(name)
		if c.AccessToken != "" {
			c.IdentityProvider, c.Protocol = cmp.Or(use.IDP, c.IdentityProvider), cmp.Or(use.Protocol, c.Protocol, "openid")
		}
		return openstack.Entry{Credential: c}, err
	}
	return openstack.Entry{}, &Error{Kind: ErrConfiguration, Name: name, Message: "it is no credential for OpenStack: " + s.kind()}
}

// Renew is OpenStack after Keystone refused what it gave: what is kept of it is got anew, once in a while. Where nothing
// else is to be had it gives the same again.
func (r *Resolver) Renew(ctx context.Context, name string, use For, refused openstack.Credential) (openstack.Entry, error) {
	now, err := r.OpenStack(ctx, name, use)
	if err != nil || now.Credential != refused {
		return now, err
	}
	s, err := r.spec(name)
	if err != nil {
		return openstack.Entry{}, err
	}
	r.log.Debug("credential was refused: got anew", "credential", name)
	switch {
	case s.OIDC != nil:
		r.cache.doubt(tokenSlot(name))
	case s.Vault != nil, s.Exec != nil:
		r.cache.doubt(fieldsSlot(name, use))
	}
	return r.OpenStack(ctx, name, use)
}

// Basic gives a user's name and password.
func (r *Resolver) Basic(ctx context.Context, name string, use For) (user, password string, err error) {
	s, err := r.spec(name)
	if err != nil {
		return "", "", err
	}
	switch {
	case s.Basic != nil:
		if password, err = s.Basic.Password.read(); err != nil {
			return "", "", &Error{Kind: ErrConfiguration, Name: name, Cause: err}
		}
		return s.Basic.User, password, nil
	case s.Vault != nil, s.Exec != nil:
		f, err := r.fields(ctx, name, s, use)
		if err != nil {
			return "", "", err
		}
		if f["username"] == "" || f["password"] == "" {
			return "", "", &Error{Kind: ErrConfiguration, Name: name, Message: "it has no username and password, only " + f.names()}
		}
		return f["username"], f["password"], nil
	}
	return "", "", &Error{Kind: ErrConfiguration, Name: name, Message: "it is no user and password: " + s.kind()}
}

// Certificate gives a certificate with its chain, and its key, in PEM.
func (r *Resolver) Certificate(ctx context.Context, name string, use For) (cert, key []byte, err error) {
	s, err := r.spec(name)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case s.Certificate != nil:
		if cert, err = os.ReadFile(s.Certificate.Cert); err == nil {
			key, err = os.ReadFile(s.Certificate.Key)
		}
		if err != nil {
			return nil, nil, &Error{Kind: ErrConfiguration, Name: name, Cause: err}
		}
		return cert, key, nil
	case s.Vault != nil, s.Exec != nil:
		f, err := r.fields(ctx, name, s, use)
		if err != nil {
			return nil, nil, err
		}
		if f["certificate"] == "" || f["private_key"] == "" {
			return nil, nil, &Error{Kind: ErrConfiguration, Name: name, Message: "it has no certificate and private_key, only " + f.names()}
		}
		return []byte(f["certificate"]), []byte(f["private_key"]), nil
	}
	return nil, nil, &Error{Kind: ErrConfiguration, Name: name, Message: "it is no certificate: " + s.kind()}
}

// read reads a secret that must be there.
func (s Secret) read() (string, error) {
	if s == nil {
		return "", fmt.Errorf("a secret is not set")
	}
	return s()
}

// readIf reads a secret that may be left out.
func (s Secret) readIf() (string, error) {
	if s == nil {
		return "", nil
	}
	return s()
}

func (s Spec) kind() string {
	for _, k := range []struct {
		is   bool
		name string
	}{{s.Clouds != nil, "os_cloud"}, {s.Said != nil, "a way to sign in to OpenStack"}, {s.OIDC != nil, "oidc"}, {s.Vault != nil, "vault"}, {s.Exec != nil, "exec"},
		{s.Basic != nil, "basic"}, {s.Certificate != nil, "certificate"}} {
		if k.is {
			return k.name
		}
	}
	return "nothing"
}

func (c Clouds) remedy() string {
	if c.File != "" {
		return fmt.Sprintf("add the entry %s to %s, or name another one in the configuration", c.Entry, c.File)
	}
	return fmt.Sprintf("add the entry %s to clouds.yaml (in the working directory, ~/.config/openstack or /etc/openstack), or say clouds_file in the configuration", c.Entry)
}

func (s Said) credential() (openstack.Credential, error) {
	c := openstack.Credential{Username: s.Username, UserID: s.UserID, UserDomain: s.UserDomain, UserDomainID: s.UserDomainID, ApplicationID: s.ApplicationID, ApplicationName: s.ApplicationName}
	var err error
	for _, secret := range []struct {
		from Secret
		to   *string
	}{{s.Password, &c.Password}, {s.ApplicationSecret, &c.ApplicationSecret}, {s.Token, &c.Token}} {
		if *secret.to, err = secret.from.readIf(); err != nil {
			return openstack.Credential{}, err
		}
	}
	return c, nil
}

// Slots of the cache begin with the credential's name.
func tokenSlot(name string) string { return name + "\x00token" }

func fieldsSlot(name string, use For) string {
	return strings.Join([]string{name, "fields", use.Site, use.VO, use.KeystoneHost}, "\x00")
}

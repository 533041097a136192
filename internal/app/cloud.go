package app

import (
	"cmp"
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/credential"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/transport"
)

// Limits of one request to OpenStack, its repetitions included.
const (
	openstackTimeout  = 5 * time.Minute
	openstackAttempts = 4
	backOff           = 500 * time.Millisecond
	longestBackOff    = 30 * time.Second
)

// way is the way to a cloud with the credentials that a part has there.
type way interface {
	accounting.Source
	accounting.Knower
	Inventory(ctx context.Context, project string) (discovery.Inventory, error)
	Authorities(ctx context.Context) (openstack.Authorities, error)
	Store(ctx context.Context, project string) (*openstack.ImageStore, error)
}

// way gives a part's way to a cloud: to each project with its credential. What is wrong with it becomes a problem of that
// cloud, or project, when it is used, and spoils no other one.
func (a *App) way(s config.Site, c config.Cloud, part site.Part) way {
	return a.wayFor(s, c, part, false)
}

// wayFor is way, of a client that may write or not.
func (a *App) wayFor(s config.Site, c config.Cloud, part site.Part, writes bool) way {
	use := credential.For{Site: s.Site.Name}
	general, own := c.CredentialFor(part), c.ProjectCredentialsOf(part)
	each := a.forEachVO(general)
	if a.opts.Getenv != nil || (len(own) == 0 && len(c.VOCredentials[part]) == 0 && !each) {
		return a.wayWith(s, c, general, use, nil, writes)
	}
	all := ownWays{whole: part == site.Accounting}
	if general != "" && !each {
		all.general = a.wayWith(s, c, general, use, nil, writes)
	}
	made, done := map[string]way{}, map[string]bool{}
	for _, vo := range c.Cloud.VOs {
		name := c.CredentialOfVO(part, vo)
		if name == general && !each && vo.Project != "" {
			continue // the cloud's way leads there
		}
		of := "project " + vo.Project
		if vo.Project == "" {
			of = "VO " + vo.Name
		}
		if name == "" || done[of] {
			continue
		}
		done[of] = true
		its := use
		if a.forEachVO(name) || vo.Project == "" || a.cfg.Credentials[name].Exec != nil { // the others are the same for every VO
			its.VO = vo.Name
		}
		key := name + "\x00" + its.VO
		if made[key] == nil {
			made[key] = a.wayWith(s, c, name, its, all.general, writes)
		}
		all.own = append(all.own, ownWay{vo.Project, vo.Name, made[key]})
	}
	return &all
}

// forEachVO tells whether a credential is another one for each VO.
func (a *App) forEachVO(name string) bool {
	v := a.cfg.Credentials[name].Vault
	return a.opts.Getenv == nil && v != nil && strings.Contains(v.Path, "{vo}")
}

// wayWith gives the way to a cloud with one credential. Beside another way to the same cloud it goes by its connections, so
// that what the cloud may be asked per second is asked by both together.
func (a *App) wayWith(s config.Site, c config.Cloud, name string, use credential.For, beside way, writes bool) way {
	w, err := a.cloud(s, c, name, use, beside, writes)
	if err != nil {
		return &brokenWay{err}
	}
	return w
}

// cloudWay is the way to a cloud, with the client that it goes by.
type cloudWay struct {
	accounting.Source
	cloud  *openstack.Cloud
	client *transport.Client
	entry  openstack.Entry
}

// Who signs in, unless that was done, and tells as whom.
func (w *cloudWay) Who(ctx context.Context) (openstack.Identity, error) { return w.cloud.Who(ctx) }

// Inventory signs in to a project, to see what it is offered.
func (w *cloudWay) Inventory(ctx context.Context, id string) (discovery.Inventory, error) {
	i, err := w.cloud.Inventory(ctx, id)
	if err != nil {
		return nil, err // not i: a nil *Inventory in an interface is not nil
	}
	return i, nil
}

// Authorities tells whose certificate Keystone shows.
func (w *cloudWay) Authorities(ctx context.Context) (openstack.Authorities, error) {
	return w.cloud.Authorities(ctx)
}

// Store signs in to a project, for its images.
func (w *cloudWay) Store(ctx context.Context, id string) (*openstack.ImageStore, error) {
	return w.cloud.ImageStore(ctx, id)
}

// cloud makes the way to a cloud with one credential. One that does not write refuses to.
func (a *App) cloud(s config.Site, c config.Cloud, name string, use credential.For, beside way, writes bool) (*cloudWay, error) {
	entry, err := a.entry(name)
	if err != nil {
		return nil, err
	}
	made := &cloudWay{entry: entry}
	first, _ := beside.(*cloudWay)
	if first != nil {
		entry.AuthURL, entry.Region, entry.Interface = cmp.Or(first.entry.AuthURL, entry.AuthURL), cmp.Or(first.entry.Region, entry.Region), cmp.Or(first.entry.Interface, entry.Interface)
	}
	if first != nil && (entry.Roots == nil || entry.Roots.Equal(first.entry.Roots)) {
		made.client = first.client
	} else {
		made.client, err = a.client(c.Network, transport.Config{Roots: entry.Roots, Timeout: openstackTimeout, Answer: images.AnswerWithin, PerSecond: c.NovaPerSecond, Counter: a.opts.Requests, ReadOnly: !writes,
			Retry: transport.Retry{Attempts: openstackAttempts, Base: cmp.Or(a.opts.BackOff, backOff), Max: longestBackOff}})
	}
	if err != nil {
		return nil, configurationError(a, name, err)
	}
	authURL := cmp.Or(c.Cloud.AuthURL, entry.AuthURL)
	if u, err := url.Parse(authURL); err == nil {
		use.KeystoneHost = u.Hostname()
	}
	made.cloud, err = openstack.New(openstack.Config{
		AuthURL:   authURL,
		Region:    cmp.Or(c.Cloud.Region, entry.Region),
		Interface: cmp.Or(c.Interface, entry.Interface),
		Supply: func(ctx context.Context, refused *openstack.Credential) (openstack.Credential, error) {
			return a.supplyTo(ctx, c, name, use, refused)
		},
		HTTP: made.client.Client, Shake: made.client.Shake, Now: a.Now, MaxSkew: s.Accounting.Settle, Log: a.opts.Log,
	})
	if err != nil {
		return nil, configurationError(a, name, err)
	}
	made.Source = CloudSource(made.cloud)
	return made, nil
}

// configurationError says that a cloud cannot even be tried as it is configured.
func configurationError(a *App, name string, err error) error {
	if a.opts.Getenv != nil {
		return environmentError(err)
	}
	return &openstack.Error{Kind: openstack.ErrConfiguration, Message: err.Error(), Remedy: "mend the cloud, or credentials." + name + ", in " + a.cfg.File}
}

// supplyTo gives what signs in to a cloud, by the protocol that the cloud has for it.
func (a *App) supplyTo(ctx context.Context, c config.Cloud, name string, use credential.For, refused *openstack.Credential) (openstack.Credential, error) {
	oidc := a.cfg.Credentials[name].OIDC
	if c.Protocol == "" || oidc == nil || a.opts.Getenv != nil {
		return a.supply(ctx, name, use, refused)
	}
	if refused != nil { // it is told from a newer one by what the credential itself says
		was := *refused
		was.Protocol = oidc.Protocol
		refused = &was
	}
	cred, err := a.supply(ctx, name, use, refused)
	if err == nil {
		cred.Protocol = c.Protocol
	}
	return cred, err
}

// supply gives what signs in to a cloud, read anew: it may have been changed.
func (a *App) supply(ctx context.Context, name string, use credential.For, refused *openstack.Credential) (openstack.Credential, error) {
	if a.opts.Getenv != nil {
		e, err := openstack.FromEnvironment(a.opts.Getenv)
		if err != nil {
			return openstack.Credential{}, environmentError(err)
		}
		return e.Credential, nil
	}
	var (
		e   openstack.Entry
		err error
	)
	if refused == nil {
		e, err = a.credentials().OpenStack(ctx, name, use)
	} else {
		e, err = a.credentials().Renew(ctx, name, use, *refused)
	}
	if err != nil {
		return openstack.Credential{}, a.signInError(err)
	}
	return e.Credential, nil
}

// entry gives what a credential says of the cloud itself: an entry of clouds.yaml, or the OS_* variables, say much, the
// others nothing. Nobody is asked for it.
func (a *App) entry(name string) (openstack.Entry, error) {
	if a.opts.Getenv != nil {
		e, err := openstack.FromEnvironment(a.opts.Getenv)
		if err != nil {
			return e, environmentError(err)
		}
		return e, nil
	}
	if a.cfg.Credentials[name].Kind() != config.KindOSCloud {
		return openstack.Entry{}, nil
	}
	e, err := a.credentials().OpenStack(context.Background(), name, credential.For{})
	if err != nil {
		return e, a.signInError(err)
	}
	return e, nil
}

// client makes the HTTP client of one destination.
func (b *base) client(n config.Network, tc transport.Config) (*transport.Client, error) {
	tc.Proxy, tc.NoProxy, tc.CAFile, tc.SourceAddress = n.Proxy, n.NoProxy, n.CAFile, n.SourceAddress
	tc.UserAgent, tc.Now, tc.Log = "fedsite/"+b.opts.Version, b.Now, b.opts.Log
	return transport.New(tc)
}

// brokenWay is a cloud that cannot even be asked.
type brokenWay struct{ err error }

func (b *brokenWay) Projects(context.Context) ([]site.Project, error) { return nil, b.err }

func (b *brokenWay) Project(context.Context, string) (accounting.Compute, error) { return nil, b.err }

func (b *brokenWay) Inventory(context.Context, string) (discovery.Inventory, error) {
	return nil, b.err
}

func (b *brokenWay) Authorities(context.Context) (openstack.Authorities, error) {
	return openstack.Authorities{}, b.err
}

func (b *brokenWay) Store(context.Context, string) (*openstack.ImageStore, error) { return nil, b.err }

func (b *brokenWay) Lookup() accounting.Lookup { return nil }

func (b *brokenWay) Who(context.Context) (openstack.Identity, error) {
	return openstack.Identity{}, b.err
}

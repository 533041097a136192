package app

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/config"
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

// source gives the way to a cloud. What is wrong with it becomes a problem of that cloud when it is used, and spoils no
// other one.
func (a *App) source(s config.Site, c config.Cloud) accounting.Source {
	cloud, err := a.cloud(s, c)
	if err != nil {
		return brokenSource{a.credentialError(c, err)}
	}
	return CloudSource(cloud)
}

// credentialError says where a credential, or the rest of a cloud's configuration, is to be mended.
func (a *App) credentialError(c config.Cloud, err error) error {
	remedy := "mend credentials." + c.Credential + " in " + a.cfg.File
	switch k := a.cfg.Credentials[c.Credential]; {
	case a.opts.Getenv != nil:
		remedy = "set the OS_* variables, as openstack's clients want them"
	case k.OSCloud != "" && k.CloudsFile != "":
		remedy = fmt.Sprintf("add the entry %s to %s, or name another one in %s", k.OSCloud, k.CloudsFile, a.cfg.File)
	case k.OSCloud != "":
		remedy = fmt.Sprintf("add the entry %s to clouds.yaml (in the working directory, ~/.config/openstack or /etc/openstack), or say clouds_file in %s", k.OSCloud, a.cfg.File)
	}
	return &openstack.Error{Kind: openstack.ErrConfiguration, Message: err.Error(), Remedy: remedy}
}

func (a *App) cloud(s config.Site, c config.Cloud) (*openstack.Cloud, error) {
	entry, err := a.entry(c)
	if err != nil {
		return nil, err
	}
	client, err := a.client(c.Network, transport.Config{Roots: entry.Roots, Timeout: openstackTimeout, PerSecond: c.NovaPerSecond, Counter: a.opts.Requests, ReadOnly: true,
		Retry: transport.Retry{Attempts: openstackAttempts, Base: cmp.Or(a.opts.BackOff, backOff), Max: longestBackOff}})
	if err != nil {
		return nil, err
	}
	return openstack.New(openstack.Config{
		AuthURL:   cmp.Or(c.Cloud.AuthURL, entry.AuthURL),
		Region:    cmp.Or(c.Cloud.Region, entry.Region),
		Interface: cmp.Or(c.Interface, entry.Interface),
		Credential: func() (openstack.Credential, error) { // read anew: it may have been changed
			e, err := a.entry(c)
			return e.Credential, err
		},
		HTTP: client.Client, Now: a.Now, MaxSkew: s.Accounting.Settle, Log: a.opts.Log,
	})
}

// entry reads a cloud's credential: an entry of clouds.yaml, what the configuration says itself, or the OS_* variables of
// the shell.
func (a *App) entry(c config.Cloud) (openstack.Entry, error) {
	if a.opts.Getenv != nil {
		return openstack.FromEnvironment(a.opts.Getenv)
	}
	k, ok := a.cfg.Credentials[c.Credential]
	if !ok {
		return openstack.Entry{}, fmt.Errorf("no credential is called %q", c.Credential)
	}
	if k.OSCloud != "" {
		return openstack.FromCloudsYAML(k.CloudsFile, k.OSCloud)
	}
	cred := openstack.Credential{Username: k.Username, UserID: k.UserID, UserDomain: k.UserDomain, UserDomainID: k.UserDomainID,
		ApplicationID: k.ApplicationID, ApplicationName: k.ApplicationName}
	for _, secret := range []struct {
		from config.Secret
		to   *string
	}{{k.Password, &cred.Password}, {k.ApplicationSecret, &cred.ApplicationSecret}, {k.Token, &cred.Token}} {
		if !secret.from.IsSet() {
			continue
		}
		value, err := secret.from.Value()
		if err != nil {
			return openstack.Entry{}, fmt.Errorf("credential %s: %w", c.Credential, err)
		}
		*secret.to = value
	}
	return openstack.Entry{Credential: cred}, nil
}

// client makes the HTTP client of one destination.
func (a *App) client(n config.Network, tc transport.Config) (*transport.Client, error) {
	tc.Proxy, tc.NoProxy, tc.CAFile, tc.SourceAddress = n.Proxy, n.NoProxy, n.CAFile, n.SourceAddress
	tc.UserAgent, tc.Now, tc.Log = "fedsite/"+a.opts.Version, a.Now, a.opts.Log
	return transport.New(tc)
}

// brokenSource is a cloud that cannot even be asked.
type brokenSource struct{ err error }

func (b brokenSource) Projects(context.Context) ([]site.Project, error) { return nil, b.err }

func (b brokenSource) Project(context.Context, string) (accounting.Compute, error) {
	return nil, b.err
}

func (b brokenSource) Lookup() accounting.Lookup { return nil }

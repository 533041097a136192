package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

// published gives what discovery works on for a site.
func (a *App) published(s config.Site) *discovery.Target {
	t := &discovery.Target{Site: s.Site, Settings: a.offering(s), Registry: a.registry(s.Discovery.GOCDB)}
	for _, c := range s.Clouds {
		cloud := c.Cloud
		cloud.VOs = slices.Clone(cloud.VOs)
		for i := range cloud.VOs {
			cloud.VOs[i].Mode = cloud.VOs[i].Discovery
		}
		t.Clouds = append(t.Clouds, discovery.CloudTarget{Cloud: cloud, EP: a.endpointOf(c), Mode: c.ModeOf(site.Discovery), Source: a.way(s, c, site.Discovery),
			GOCDBKey: c.GOCDBKey, Parallel: c.Parallel, Authentication: a.authentication(c.CredentialFor(site.Discovery))})
	}
	for _, sink := range s.Discovery.Publish {
		t.Sinks = append(t.Sinks, a.sink(s, sink))
	}
	return t
}

// endpointOf gives Keystone's URL as the site has it: ids are made of it, to the letter. An entry of clouds.yaml says it
// where the configuration does not.
func (a *App) endpointOf(c config.Cloud) string {
	if c.Cloud.AuthURL != "" {
		return c.Cloud.AuthURL
	}
	entry, err := a.entry(c.CredentialFor(site.Discovery))
	if err != nil {
		return "" // signing in says what is wrong
	}
	return entry.AuthURL
}

func (a *App) offering(s config.Site) discovery.Settings {
	c := s.Discovery
	set := discovery.Settings{Mode: c.Mode, KeepFor: c.KeepFor, Rendering: discovery.Rendering{
		Images: discovery.ImageChoice(c.Images), Snapshots: c.Snapshots, Flavors: discovery.FlavorChoice(c.Flavors), Merged: c.Merged, Validity: c.Validity}}
	for _, x := range s.Accelerators {
		set.GPU = append(set.GPU, discovery.GPURule{Flavor: x.Flavor, Type: x.Type, Vendor: x.Vendor, Model: x.Model, Number: x.Number, Memory: int64(x.MemoryGB * 1024)})
	}
	return set
}

// authentication names the way of signing in as keystoneauth's plug-ins are called, which is what a document says.
func (a *App) authentication(name string) string {
	c := a.cfg.Credentials[name]
	switch kind := c.Kind(); {
	case a.opts.Getenv != nil, kind == config.KindOSCloud:
		if e, err := a.entry(name); err == nil {
			return e.Credential.Method()
		}
	case kind == config.KindOIDC:
		return openstack.Credential{AccessToken: "x"}.Method()
	case kind == config.KindToken:
		return openstack.Credential{Token: "x"}.Method()
	case kind == config.KindApplication, kind == config.KindVault, kind == config.KindExec: // what the latter hold shows when it is used
		return openstack.Credential{ApplicationID: "x"}.Method()
	}
	return openstack.Credential{}.Method()
}

// registry gives the way to GOCDB; nil when it is not asked. Sites that ask the same one share its answers.
func (a *App) registry(c config.GOCDB) discovery.Registry {
	if c.Off {
		return nil
	}
	key := fmt.Sprint(c.URL, c.Paged, c.Network.Proxy, c.Network.NoProxy, c.Network.CAFile, c.Network.SourceAddress)
	a.registries.Lock()
	defer a.registries.Unlock()
	if r, ok := a.registries.by[key]; ok {
		return r
	}
	var r discovery.Registry
	client, err := a.client(c.Network, transport.Config{Timeout: registryTimeout, ReadOnly: true, MaxBody: registryBytes, Retry: transport.Retry{Attempts: 2, Base: cmp.Or(a.opts.BackOff, backOff), Max: longestBackOff}})
	if err != nil {
		r = brokenRegistry{fmt.Errorf("discovery.gocdb: %w", err)}
	} else {
		r = discovery.SharedRegistry(&gocdb.Client{HTTP: client.Client, URL: c.URL, Paged: c.Paged}, registryFresh, a.Now)
	}
	if a.registries.by == nil {
		a.registries.by = map[string]discovery.Registry{}
	}
	a.registries.by[key] = r
	return r
}

// registries are those that the process has asked.
type registries struct {
	sync.Mutex
	by map[string]discovery.Registry
}

// Limits of one question to GOCDB, and for how long an answer serves all sites.
const (
	registryTimeout = 30 * time.Second
	registryBytes   = 64 << 20
	registryFresh   = 10 * time.Minute
)

// brokenRegistry is one that cannot even be asked.
type brokenRegistry struct{ err error }

func (b brokenRegistry) Services(context.Context, gocdb.Query) ([]gocdb.Service, []gocdb.Oddity, error) {
	return nil, nil, b.err
}

func (b brokenRegistry) Downtimes(context.Context, gocdb.Query, time.Time) ([]gocdb.Downtime, []gocdb.Oddity, error) {
	return nil, nil, b.err
}

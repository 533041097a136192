package config

import (
	"fmt"
	"path"
	"slices"

	"github.com/fedsite/fedsite/internal/site"
)

// site makes a site of what the file says, and checks what concerns more than one key.
func (l *loader) site(cfg *Config, f *fileSite) Site {
	s := Site{Site: site.Site{Name: f.GOCDB.V}, Accounting: l.accounting(cfg, f.Accounting), Discovery: l.discovery(cfg, f.Discovery), Images: l.images(cfg, f.Images),
		Privacy: Privacy{GlobalUserName: f.Privacy.GlobalUserName.V, MachineName: f.Privacy.MachineName.V}}
	if s.Privacy.MachineName == "send" {
		s.Privacy.MachineName = "name"
	}
	l.siteName(f.GOCDB)
	for _, was := range f.Formerly {
		l.siteName(was.Name)
		s.Site.Formerly = append(s.Site.Formerly, site.Former{Name: was.Name.V, Until: was.Until.V})
	}
	for _, e := range f.Flavors.entries {
		if _, err := path.Match(e.name, ""); err != nil {
			l.add(e.at.head(), e.at.where(), "is no shell pattern: write [[] for a bracket")
		}
		if b := e.value.Benchmark; b != nil {
			s.Benchmarks = append(s.Benchmarks, Benchmark{Flavor: e.name, Type: b.Type.V, Value: b.Value.V})
		}
		if a := e.value.Accelerator; a != nil {
			s.Accelerators = append(s.Accelerators, Accelerator{Flavor: e.name, Type: a.Type.V, Vendor: a.Vendor.V, Model: a.Model.V, Number: a.Number.V, MemoryGB: a.Memory.V})
		}
	}
	if len(f.Clouds) == 0 && !f.isPartly() {
		at, where := f.at.head(), "clouds"
		if f.at.path[0] == "sites" {
			where = f.at.where() + ".clouds"
		}
		l.add(at, where, "is required: name the site's OpenStack")
	}
	properties := values(f.Properties)
	for _, c := range f.Clouds {
		cloud := l.cloud(cfg, c)
		l.partCredentials(s, c, cloud)
		cloud.Cloud.Properties = properties
		s.Clouds = append(s.Clouds, cloud)
	}
	l.vos(cfg, f, s.Clouds)
	l.imageVOs(f)
	for _, c := range s.Clouds {
		s.Site.Clouds = append(s.Site.Clouds, c.Cloud)
	}
	return s
}

// isPartly tells whether the site says something that is not there yet, in place of what it lacks.
func (f *fileSite) isPartly() bool { return f.at.partly }

func values(all []text) []string {
	var out []string
	for _, t := range all {
		out = append(out, t.V)
	}
	return out
}

func (l *loader) cloud(cfg *Config, f fileCloud) Cloud {
	c := Cloud{
		Cloud:    site.Cloud{Name: f.Name.V, AuthURL: f.AuthURL.V, Region: f.Region.V, ServiceName: f.Service.V},
		GOCDBKey: f.GOCDBKey.V, Formerly: values(f.Formerly), Protocol: f.Protocol.V, Interface: f.Interface.V,
		Parallel: f.Limits.Parallel.V, NovaPerSecond: f.Limits.Nova.V, Network: l.network(f.Network, cfg.Network),
	}
	for _, p := range parts {
		if mode := f.Mode.of(p); mode.V != "" {
			c.Modes = with(c.Modes, p, site.Mode(mode.V))
		}
		if name := f.Credential.of(p); name.V != "" {
			c.Credentials = with(c.Credentials, p, name.V)
		}
	}
	l.signIn(cfg, f)
	return c
}

// network lays a destination's own settings over the general ones, key by key.
func (l *loader) network(f *fileNetwork, general Network) Network {
	n := general
	if f == nil {
		return n
	}
	if f.Proxy.isSet() {
		n.Proxy = l.proxy(f.Proxy)
	}
	if f.NoProxy != nil {
		n.NoProxy = values(f.NoProxy)
	}
	if f.CAFile.isSet() {
		n.CAFile = f.CAFile.V
	}
	if f.SourceAddress.isSet() {
		n.SourceAddress = f.SourceAddress.V
	}
	return n
}

// proxy reads a proxy's URL, which may stand elsewhere since it may hold a password.
func (l *loader) proxy(s secret) string {
	if s.at.kind == scalar {
		return s.at.text
	}
	if !s.V.IsSet() {
		return ""
	}
	value, err := s.V.Value()
	switch {
	case err != nil:
		l.fail(s.at, "%v", err)
	case !isProxy(value):
		l.fail(s.at, "%s must hold a URL like http://proxy.example.org:3128", s.V.Origin())
	}
	return value
}

func (l *loader) accounting(cfg *Config, f fileAccounting) Accounting {
	a := Accounting{
		Mode: site.Mode(f.Mode.V), Schedule: Schedule{Collect: f.Schedule.Collect.V, Send: f.Schedule.Send.V, Check: f.Schedule.Check.V}, Previously: f.Previously.V, Since: f.Since.V, ActiveFrom: f.ActiveFrom.V, Records: values(f.Records),
		Charge:  Charge{StoppedFree: f.Charge.Stopped.V == "none", ShelvedFree: f.Charge.Shelved.V == "none"},
		Overlap: f.Overlap.V, Settle: f.Settle.V, MaxRecords: f.MaxRecords.V,
	}
	if m := f.AMS; m != nil {
		a.AMS = &AMS{Host: m.Host.V, Port: m.Port.V, AuthnPort: m.AuthnPort.V, Project: m.Project.V, Topic: m.Topics.Cloud.V, Token: m.Token.V,
			Certificate: Certificate{Cert: m.Certificate.Cert.V, Key: m.Certificate.Key.V}, EncryptTo: m.EncryptTo.V,
			MaxBytes: m.MaxBytes.V, Copy: m.Copy.V, Network: l.network(m.Network, cfg.Network)}
	}
	if q := f.Dirq; q != nil {
		a.Dirq = &Dirq{Path: q.Path.V, Copy: q.Copy.V}
	}
	l.checkAccounting(f)
	return a
}

// vos gives each cloud its VOs, in the file's order, and the credentials of their projects.
func (l *loader) vos(cfg *Config, f *fileSite, clouds []Cloud) {
	var known []string
	for _, c := range clouds {
		known = append(known, c.Cloud.Name)
	}
	for _, v := range f.VOs {
		vo := site.VO{Name: v.Name.V, Project: v.Project.V, AccountAs: v.AccountAs.V, DefaultNetwork: v.DefaultNet.V, PublicNetwork: v.PublicNet.V, Since: v.Since.V, Until: v.Until.V}
		if v.Since.isSet() && v.Until.isSet() && !v.Since.V.IsZero() && !v.Until.V.IsZero() && !vo.Since.Before(vo.Until) {
			l.fail(v.Until.at, "must be later than since")
		}
		named := map[string]bool{}
		for _, c := range v.Clouds.V {
			switch {
			case !c.isSet() || c.at.kind != scalar:
			case !slices.Contains(known, c.V):
				l.fail(c.at, "no cloud of this site is called %q%s", c.V, suggest(c.V, known))
			case named[c.V]:
				l.fail(c.at, "names %s twice", c.V)
			}
			named[c.V] = true
		}
		for _, name := range v.Credential.texts() {
			l.credentialNamed(cfg, name, v.at)
		}
		for i := range clouds {
			c := &clouds[i]
			if v.Clouds.isSet() && !named[c.Cloud.Name] {
				continue
			}
			vo.Mode = site.Lowest(c.ModeOf(site.Accounting), site.Mode(v.Mode.of(site.Accounting).V))
			vo.Discovery = site.Lowest(c.ModeOf(site.Discovery), site.Mode(v.Mode.of(site.Discovery).V))
			vo.Images = site.Lowest(c.ModeOf(site.Images), site.Mode(v.Mode.of(site.Images).V))
			c.Cloud.VOs = append(c.Cloud.VOs, vo)
			for _, p := range parts {
				l.projectCredential(c, p, v)
			}
			l.projectOfToken(cfg, c, v, vo)
		}
	}
}

// projectOfToken checks that a VO without a project has a credential that is of one project only.
func (l *loader) projectOfToken(cfg *Config, c *Cloud, v fileVO, vo site.VO) {
	if v.at.kind != mapping || v.at.partly || v.at.get("project") != nil {
		return
	}
	for _, p := range parts {
		name := c.CredentialOfVO(p, vo)
		if cred, ok := cfg.Credentials[name]; ok && slices.Contains([]string{KindOIDC, KindPassword, KindOSCloud}, cred.Kind()) {
			l.missing(v.at, "project", fmt.Sprintf("is required: credential %s may sign in to more than one", name))
			return
		}
	}
}

// projectCredential notes the credential that a VO names for its project.
func (l *loader) projectCredential(c *Cloud, part site.Part, v fileVO) {
	own := v.Credential.of(part)
	if !own.isSet() || own.V == "" {
		return
	}
	if v.Project.V == "" {
		c.VOCredentials = with(c.VOCredentials, part, with(c.VOCredentials[part], v.Name.V, own.V))
		return
	}
	if other, ok := c.ProjectCredentials[part][v.Project.V]; ok && other != own.V {
		l.fail(own.at, "project %s is signed in to with %s, says another VO of it: one project has one credential", v.Project.V, other)
		return
	}
	c.ProjectCredentials = with(c.ProjectCredentials, part, with(c.ProjectCredentials[part], v.Project.V, own.V))
}

package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/site"
)

// nameSinks gives sinks that the file leaves without a name the one of their kind.
func nameSinks(publish *node) {
	nameByKind(publish, []string{SinkFile, SinkSwift, SinkAMS, SinkAPI, SinkLDAP})
}

// nameByKind gives entries of a list that have no name the one of their kind, which is a key of theirs.
func nameByKind(all *node, kinds []string) {
	if all == nil || all.kind != list {
		return
	}
	taken := map[string]bool{}
	for _, one := range all.items {
		taken[textOf(one.get("name"))] = true
	}
	for _, one := range all.items {
		if one.kind != mapping || one.get("name") != nil {
			continue
		}
		for _, kind := range kinds {
			if one.get(kind) == nil && one.get(kind+"_file") == nil {
				continue
			}
			name := kind
			for i := 2; taken[name]; i++ {
				name = fmt.Sprintf("%s-%d", kind, i)
			}
			taken[name] = true
			one.set("name", one.given("name", name))
			break
		}
	}
}

func (l *loader) discovery(cfg *Config, f fileDiscovery) Discovery {
	d := Discovery{Mode: site.Mode(f.Mode.V), Schedule: DiscoverySchedule{Publish: f.Schedule.publish.V, Check: f.Schedule.check.V}, KeepFor: f.KeepFor.V, Validity: f.Validity.V,
		Images: f.Images.V, Snapshots: f.Snapshots.V, Flavors: f.Flavors.V, Merged: f.Merged.V,
		GOCDB: GOCDB{Off: f.GOCDB.URL.V == "", URL: f.GOCDB.URL.V, Paged: f.GOCDB.Paged.V, Network: l.network(f.GOCDB.Network, cfg.Network)}}
	l.lasting(f)
	names := map[string]bool{}
	for _, s := range f.Publish {
		l.once(names, s.Name, "a sink of this site")
		d.Publish = append(d.Publish, l.sink(cfg, s))
	}
	if f.at != nil && f.at.kind == mapping && d.Mode == site.Active && len(d.Publish) == 0 && !f.at.partly {
		at := f.at.head()
		if f.Mode.at != nil {
			at = f.Mode.at.at
		}
		l.add(at, f.at.where()+".publish", "is required to be active: name where documents go")
	}
	return d
}

// usualGap is the time between two publications where no schedule is named, as internal/tasks has it.
const usualGap = 30 * time.Minute

// publishing is the time that a run may take until its documents stand in the place of those before.
const publishing = 5 * time.Minute

// lasting checks that documents count until the next ones are there: the information API and LDAP stop to give those that are over.
func (l *loader) lasting(f fileDiscovery) {
	gap, at := usualGap, f.Validity.at
	if when := f.Schedule.publish; when.isSet() {
		gap, at = longestGap(when.V), when.at
	}
	if f.at == nil || f.at.partly || at == nil || f.Mode.V == string(site.Disabled) || gap == 0 || f.Validity.V <= publishing || gap+publishing <= f.Validity.V {
		return
	}
	l.fail(at, "documents count for %s (validity), and up to %s lie between two publications: they would be gone in between; publish every %s at least, or let them count for longer",
		lasts(f.Validity.V), lasts(gap), lasts(f.Validity.V-publishing))
}

// lasts writes a time as the file has it: 30m, 12h, 1d12h.
func lasts(d time.Duration) string {
	text := ""
	if days := d / aDay; days > 0 {
		if text, d = fmt.Sprintf("%dd", days), d%aDay; d == 0 {
			return text
		}
	}
	rest := d.String()
	for _, none := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(rest, none) {
			rest = rest[:len(rest)-2]
		}
	}
	return text + rest
}

// sink makes a sink, and checks that it is of one kind.
func (l *loader) sink(cfg *Config, f fileSink) Sink {
	s := Sink{Name: f.Name.V, DeleteRemoved: f.DeleteRemoved.V}
	kinds := 0
	if f.File != nil {
		kinds++
		s.File = &FileSink{Path: f.File.Path.V, Format: f.File.Format.V}
	}
	if f.Swift != nil {
		kinds++
		s.Swift = l.swift(cfg, f.Swift)
	}
	if m := f.AMS; m != nil {
		kinds++
		s.AMS = &AMSSink{Host: m.Host.V, Port: m.Port.V, AuthnPort: m.AuthnPort.V, Project: m.Project.V, Topic: m.Topic.V, Token: m.Token.V,
			Certificate: Certificate{Cert: m.Certificate.Cert.V, Key: m.Certificate.Key.V}, Gzip: m.Gzip.V, Format: m.Format.V, MaxBytes: m.MaxBytes.V, Network: l.network(m.Network, cfg.Network)}
	}
	if a := f.API; a != nil {
		kinds++
		s.API = &APISink{Listen: a.Listen.V, OpsPortalKey: a.OpsPortalKey.V, Directory: a.Directory.V, Container: l.swift(cfg, a.Container), BaseURL: a.BaseURL.V, Disciplines: a.Disciplines.V}
		if a.TLS != nil {
			s.API.TLS = &Certificate{Cert: a.TLS.Cert.V, Key: a.TLS.Key.V}
		}
	}
	if f.LDAP != nil {
		kinds++
		s.LDAP = &LDAPSink{Listen: f.LDAP.Listen.V}
	}
	switch {
	case f.at == nil || f.at.kind != mapping || f.at.partly:
	case kinds != 1:
		l.fail(f.at, "must be of one kind, file, swift, ams, api or ldap, and is of %d", kinds)
	case f.DeleteRemoved.V && s.File == nil && s.Swift == nil:
		l.fail(f.DeleteRemoved.at, "goes with file and swift only")
	}
	return s
}

// swift checks that the credential says where Swift is: at a share, or at what clouds.yaml names.
func (l *loader) swift(cfg *Config, f *fileSwiftSink) *SwiftSink {
	if f == nil {
		return nil
	}
	if name := f.Credential; name.isSet() && name.V != "" && name.at.kind == scalar {
		c, ok := cfg.Credentials[name.V]
		switch {
		case !ok:
			l.fail(name.at, "no credential is called %q%s", name.V, suggest(name.V, l.main.rest.Credentials.names()))
		case l.isPartly(name.V):
		case c.Basic != nil || c.Certificate != nil:
			l.fail(name.at, "%s is of the kind %s, which OpenStack does not take", name.V, c.Kind())
		case c.Site == "" && c.OSCloud == "" && c.Kind() != KindApplication: // which is of a project by itself
			l.fail(name.at, "%s does not say at whose cloud: site and vo name the share there", name.V)
		}
	}
	return &SwiftSink{Credential: f.Credential.V, Container: f.Container.V}
}

// agree checks what a site says of addresses and files that it shares with others: an address is one server, and a file
// holds one document.
func (l *loader) agree(cfg *Config, s Site, f *fileSite) {
	for i, sink := range s.Discovery.Publish {
		at, listen := f.Discovery.Publish[i].at, sink.listen()
		if listen != "" && listen == cfg.Web.Listen {
			l.fail(at, "listens at %s, where the pages are: web.listen", listen)
			continue
		}
		for _, other := range cfg.Sites {
			if other.Site.Name == s.Site.Name {
				continue
			}
			for _, its := range other.Discovery.Publish {
				switch {
				case listen != "" && its.listen() == listen && !its.serves(sink):
					l.fail(at, "listens at %s, as does site %s, which says otherwise of it: one address is one server", listen, other.Site.Name)
				case sink.oneFile() != "" && sink.oneFile() == its.oneFile():
					l.fail(at, "writes %s, as does site %s: name a directory, which gets a file for each", sink.oneFile(), other.Site.Name)
				default:
					continue
				}
				return
			}
		}
		if slices.ContainsFunc(s.Discovery.Publish[:i], func(its Sink) bool { return listen != "" && its.listen() == listen }) {
			l.fail(at, "listens at %s, as does another sink of this site", listen)
		}
	}
}

// listen gives the address that a sink serves at; "" for those that serve nothing.
func (s Sink) listen() string {
	switch {
	case s.API != nil:
		return s.API.Listen
	case s.LDAP != nil:
		return s.LDAP.Listen
	}
	return ""
}

// serves tells whether two sinks at one address are the same server.
func (s Sink) serves(other Sink) bool {
	return reflect.DeepEqual(s.API, other.API) && reflect.DeepEqual(s.LDAP, other.LDAP)
}

// oneFile gives the path of a sink that is one file; "" for others.
func (s Sink) oneFile() string {
	if s.File != nil && slices.Contains([]string{".json", ".ldif"}, filepath.Ext(s.File.Path)) {
		return s.File.Path
	}
	return ""
}

package config

import (
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/site"
)

// images makes what a site says of images, and checks what concerns more than one key.
func (l *loader) images(cfg *Config, f fileImages) Images {
	i := Images{Mode: site.Mode(f.Mode.V), Schedule: ImageSchedule{Sync: f.Schedule.sync.V, Check: f.Schedule.check.V}, Instance: f.Instance.V, Formats: values(f.Formats), Sharing: f.Sharing.V, Owner: f.Owner.V,
		Visibility: f.Visibility.V, NamePrefix: f.NamePrefix.V, MinDisk: f.MinDisk.V, KeepLast: f.KeepLast.V, OnExpiredList: f.OnExpired.V, RemoveCount: f.MaxRemoval.Count.V, RemovePercent: f.MaxRemoval.Percent.V,
		Parallel: f.Parallel.V, MaxSize: f.MaxSize.V, MaxVirtualSize: f.MaxVirtual.V, Staging: f.Staging.V, StagingDir: f.StagingDir.V, StageAbove: f.StageAbove.V, QemuImg: f.QemuImg.V, CADir: f.CADir.V, CRL: f.CRL.V,
		AllowSHA1: f.AllowSHA1.V, StrictPurpose: f.StrictPurpose.V, SigningPolicy: f.SigningPolicy.V, Compressed: f.Compressed.V, Adopt: values(f.Adopt), Blocks: f.Blocks.V, StaleUpload: f.StaleUpload.V, GoneAfter: f.GoneAfter.V,
		Network: l.network(f.Network, cfg.Network), Properties: l.properties(f.Properties)}
	if f.Formats != nil && len(f.Formats) == 0 {
		l.fail(f.at.get("formats"), "names no format: for no images say mode: disabled")
	}
	if f.Owner.isSet() && i.Sharing != "members" {
		l.fail(f.Owner.at, "goes with sharing: members only")
	}
	if f.Hook != nil {
		i.Hook = f.Hook.Secret.V
	}
	names := map[string]bool{}
	for _, s := range f.Sources {
		l.once(names, s.Name, "a source of this site")
		i.Sources = append(i.Sources, l.imageSource(cfg, s))
	}
	if len(i.Sources) == 0 {
		if i.Mode == site.Active && f.at != nil && f.at.kind == mapping && !f.at.partly {
			at := f.at.head()
			if f.Mode.at != nil {
				at = f.Mode.at.at
			}
			l.add(at, f.at.where()+".sources", "is required to be active: name where images come from")
		}
		i.Mode = site.Disabled
	}
	return i
}

// Properties that fedsite sets on images of its own (images spec §6.2), and attributes that Glance has for itself: a property of
// such a name would be refused, or be something else.
var (
	ownProperties    = []string{"os_distro", "os_version", "architecture"}
	ownPrefixes      = []string{"fedsite_", "APPLIANCE_", "vmcatcher_event_"}
	glanceAttributes = []string{"id", "name", "owner", "status", "visibility", "is_public", "protected", "tags", "os_hidden", "min_ram", "min_disk", "disk_format", "container_format",
		"size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "created_at", "updated_at", "deleted", "deleted_at", "self", "file", "schema", "direct_url", "location", "locations", "stores"}
)

// properties checks that no property is one that images have of their source or of Glance.
func (d *decoder) properties(f dict[text]) map[string]string {
	var all map[string]string
	for _, e := range f.entries {
		prefixed := func(prefix string) bool { return strings.HasPrefix(e.name, prefix) }
		switch {
		case slices.Contains(ownProperties, e.name), slices.ContainsFunc(ownPrefixes, prefixed):
			d.add(e.at.head(), e.at.where(), "is set by fedsite itself")
		case slices.Contains(glanceAttributes, e.name), prefixed("os_glance_"):
			d.add(e.at.head(), e.at.where(), "is no property: Glance has it for itself")
		case len(e.name) > 255:
			d.add(e.at.head(), cutText(e.at.where(), 80), "has a name of more than 255 bytes, which Glance does not take")
		}
		all = with(all, e.name, e.value.V)
	}
	return all
}

// imageVOs tells of VOs that images are for and the site does not name. Projects may name theirs themselves, so that only a name
// that is nearly another one looks wrong, unless they are not asked. What stands at the top for several sites need not fit all.
func (l *loader) imageVOs(f *fileSite) {
	var known []string
	for _, v := range f.VOs {
		known = append(known, v.Name.V)
	}
	all := []text{f.Images.Owner}
	for _, s := range f.Images.Sources {
		all = append(all, s.VOs.V...)
	}
	for _, vo := range all {
		if !vo.isSet() || vo.at.kind != scalar || vo.V == "" || vo.V == "*" || slices.Contains(known, vo.V) || !l.ofOneSite(vo.at) {
			continue
		}
		near := slices.ContainsFunc(known, func(name string) bool { return edits(vo.V, name) <= len(vo.V)/4 })
		if near || len(f.Properties) == 0 {
			l.notice(vo.at, "no VO of the site is called %.80q here%s", vo.V, suggest(vo.V, known))
		}
	}
}

// ofOneSite tells whether what is said is said of a single site.
func (l *loader) ofOneSite(n *node) bool {
	return n.at.in != nil && n.at.in.unit || n.path[0] == "sites" || l.main.root.get("site") != nil
}

// fillSources gives sources that the file leaves without a name the one of their kind, and says what their kind leaves out.
func fillSources(sources *node) {
	nameByKind(sources, []string{"list", "oci", "own"})
	if sources == nil {
		return
	}
	for _, s := range sources.items {
		for kind, usual := range map[string][][2]string{"list": {{"insecure_unsigned", "false"}}, "oci": {{"project_is_vo", "false"}, {"tags", "^[^-]*$"}, {"annotation", "eu.egi.cloud.tag"}}} {
			if s.kind != mapping || s.get(kind) == nil && s.get(kind+"_file") == nil {
				continue
			}
			for _, u := range usual {
				if s.get(u[0]) == nil {
					s.set(u[0], s.given(u[0], u[1]))
				}
			}
		}
	}
}

// imageSource makes a source, and checks that it is of one kind.
func (l *loader) imageSource(cfg *Config, f fileImageSource) ImageSource {
	s := ImageSource{Name: f.Name.V, VOs: values(f.VOs.V), Images: values(f.Images.V), Own: f.Own.V}
	kinds := 0
	if f.List.isSet() {
		kinds++
		s.List = l.imageList(cfg, f)
	}
	if f.OCI.isSet() {
		kinds++
		s.Registry = l.registry(cfg, f)
	}
	if f.Own.isSet() {
		kinds++
		l.ownList(f.Own)
	}
	switch {
	case f.at == nil || f.at.kind != mapping || f.at.partly:
		return s
	case kinds != 1:
		l.fail(f.at, "must be of one kind, list, oci or own, and is of %d", kinds)
		return s
	case len(s.VOs) == 0 && s.List == nil && !f.ProjectIsVO.V:
		l.missing(f.at, "vos", "is required: only a list says for whom its images are; \"*\" is all VOs of the site")
	case len(s.VOs) > 0 && f.ProjectIsVO.V:
		l.fail(f.VOs.at, "goes not with project_is_vo: each project has its own")
	}
	l.goesWith(f.at, s.List != nil, "list", "token", "endorser", "insecure_unsigned", "server_credentials")
	l.goesWith(f.at, s.Registry != nil, "oci", "project", "project_is_vo", "repositories", "tags", "annotation", "credential")
	return s
}

// ownList checks where a site's own list is.
func (l *loader) ownList(f text) {
	if f.V == "" || filepath.IsAbs(f.V) {
		return
	}
	u, err := url.Parse(f.V)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		l.fail(f.at, "must be an absolute path, or a URL")
	case u.User != nil:
		hide(f.at)
		l.fail(f.at, "must not hold a user or password: a site's own list is a file, or is there for everybody")
	}
}

// goesWith refuses keys that go with another kind of source.
func (l *loader) goesWith(n *node, is bool, kind string, keys ...string) {
	for _, key := range keys {
		if value := n.get(key); !is && value != nil {
			l.fail(value, "goes with %s only", kind)
		}
	}
}

func (l *loader) imageList(cfg *Config, f fileImageSource) *ListSource {
	s := &ListSource{URL: f.List.V, Token: f.Token.V, InsecureUnsigned: f.Insecure.V}
	if e := f.Endorser; e != nil {
		s.EndorserDN, s.EndorserCA = e.DN.V, e.CA.V
	}
	if f.Token.isSet() && f.List.at.secret {
		l.fail(f.Token.at, "stands beside a token in the URL of list: keep one of them")
	}
	if s.EndorserDN == "" && !s.InsecureUnsigned {
		l.notice(f.List.at, "any holder of a certificate may sign it who is named in the list itself: endorser: {dn: …, ca: …} says who it must be")
	}
	for _, e := range f.Servers.entries {
		l.basic(cfg, *e.value)
		s.Servers = with(s.Servers, e.name, e.value.V)
	}
	return s
}

// basic checks that a credential is one of a user and a password.
func (l *loader) basic(cfg *Config, name text) {
	if !name.isSet() || name.V == "" || name.at.kind != scalar {
		return
	}
	switch c, ok := cfg.Credentials[name.V]; {
	case !ok:
		l.fail(name.at, "no credential is called %q%s", name.V, suggest(name.V, l.main.rest.Credentials.names()))
	case c.Basic == nil && !l.isPartly(name.V):
		l.fail(name.at, "%s is of the kind %s, and must be basic: a user and a password", name.V, c.Kind())
	}
}

func (l *loader) registry(cfg *Config, f fileImageSource) *RegistrySource {
	s := &RegistrySource{Project: f.Project.V, ProjectIsVO: f.ProjectIsVO.V, Repositories: values(f.Repositories.V), Tags: f.Tags.V, Annotation: f.Annotation.V, Credential: f.Credential.V}
	at := f.OCI.V
	if !strings.Contains(at, "://") {
		at = "https://" + at
	}
	u, err := url.Parse(at)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "":
		l.fail(f.OCI.at, "must be a registry like registry.egi.eu, or registry.egi.eu/project")
		return s
	case u.User != nil:
		hide(f.OCI.at)
		l.fail(f.OCI.at, "must not hold a user or password: those belong under credentials")
		return s
	}
	s.URL = u.Scheme + "://" + u.Host
	if project := strings.Trim(u.Path, "/"); project != "" {
		if s.Project != "" {
			l.fail(f.Project.at, "is said already, as a part of oci: %s", project)
		}
		s.Project = project
	}
	ways := 0
	for _, said := range []bool{s.Project != "", s.ProjectIsVO, len(s.Repositories) > 0} {
		if said {
			ways++
		}
	}
	if ways != 1 && f.at.kind == mapping && !f.at.partly {
		l.fail(f.at, "must have a project, project_is_vo or repositories, one of them, and has %d", ways)
	}
	if s.Annotation == "none" {
		s.Annotation = ""
	}
	if _, err := regexp.Compile(s.Tags); err != nil && f.Tags.at != nil {
		l.fail(f.Tags.at, "is no regular expression: %v", err)
	}
	l.basic(cfg, f.Credential)
	return s
}

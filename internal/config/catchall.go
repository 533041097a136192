package config

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/site"
)

// Forms of site files.
const (
	formOwn      = "fedsite"
	formCatchAll = "catch-all"
	accessToken  = "v3oidcaccesstoken" // what auth is when a file says nothing
)

// Notice is something of the configuration that is left out or looks wrong, and stops nothing.
type Notice Error

// String gives the notice in a line, with its place.
func (n Notice) String() string {
	e := Error(n)
	e.Source = ""
	return e.Error()
}

// catchAll reads a site's file of EGI's catch-all operations into the form that site files of fedsite have. Values keep
// their places, so that what is wrong is shown where the file says it.
type catchAll struct {
	*problems
	set     fileSites
	cfg     *Config
	notices []Notice
	file    fileCatchAll
	over    *node // what the main file says of the site instead
}

// setOf gives the set of files that a site's file belongs to.
func (c *Config) setOf(file string) fileSites {
	for i, set := range c.Includes {
		if fits, _ := filepath.Match(set.Pattern, file); fits && i < len(c.main.includes) {
			return c.main.includes[i]
		}
	}
	return fileSites{}
}

// read gives the site's name and parts; what it does not know goes out of the root.
func (c *catchAll) read(root *node) (name, parts *node) {
	c.known(root, reflect.TypeFor[fileCatchAll]())
	(&decoder{problems: c.problems, complete: true}).object(root.clone(), reflect.ValueOf(&c.file).Elem())
	name = &node{kind: mapping, path: []string{"site"}, at: root.at}
	gocdb := root.get("gocdb")
	if gocdb != nil {
		name.set("gocdb", gocdb)
	}
	parts = &node{kind: mapping, at: root.at, path: []string{}}
	endpoint := root.get("endpoint")
	if gocdb == nil || gocdb.kind != scalar || endpoint == nil || len(c.list) > 0 {
		return name, nil
	}
	c.over = c.overrides(gocdb.text, endpoint.text)
	if former := c.over.get("formerly"); former != nil {
		name.set("formerly", former.clone())
	}
	clouds := c.clouds(root, endpoint)
	if len(c.list) > 0 {
		return name, nil
	}
	parts.set("clouds", &node{kind: list, at: endpoint.at, key: endpoint.key, path: []string{"clouds"}, items: clouds})
	vos := c.vos(root, clouds)
	if len(vos) > 0 {
		parts.set("vos", &node{kind: list, at: root.get("vos").at, path: []string{"vos"}, items: vos})
	}
	if !c.accounted(root) {
		a := &node{kind: mapping, at: root.at, path: []string{"accounting"}}
		a.set("mode", c.made(root, string(site.Disabled), "accounting", "mode"))
		parts.set("accounting", a)
	}
	parts.set("images", c.imaged(root))
	return name, parts
}

// imaged says whether images are brought to the site, and in which formats: as for those who write these files, only if it
// says so.
func (c *catchAll) imaged(root *node) *node {
	n := &node{kind: mapping, at: root.at, path: []string{"images"}}
	if !c.synced() {
		n.set("mode", c.made(root, string(site.Disabled), "images", "mode"))
	} else if len(c.file.Images.Formats) > 0 {
		n.set("formats", root.get("images").get("formats").clone())
	}
	return n
}

// synced tells whether images are brought to the file's endpoint.
func (c *catchAll) synced() bool { return c.file.Images != nil && c.file.Images.Sync.V }

// known takes the keys that are not read out of a mapping, and tells of them; a value that is empty is none.
func (c *catchAll) known(n *node, t reflect.Type) {
	if n == nil || n.kind != mapping {
		return
	}
	all := fields(t)
	n.pairs = slices.DeleteFunc(n.pairs, func(p pair) bool {
		i := slices.IndexFunc(all, func(f field) bool { return f.key == p.key })
		if i < 0 {
			hide(p.value)
			var names []string
			for _, f := range all {
				names = append(names, f.key)
			}
			c.notice(p.value, "is left out: fedsite reads no such key%s", suggest(p.key, names))
			return true
		}
		if p.value.kind == null || p.value.kind == scalar && p.value.text == "" && !all[i].required() {
			return true
		}
		_, inner := step("", all[i].typ)
		if isObject(all[i].typ) {
			for _, item := range append([]*node{p.value}, p.value.items...) {
				c.known(item, inner)
			}
		}
		return false
	})
}

func (c *catchAll) notice(n *node, format string, args ...any) {
	at := n.key
	if at.line == 0 {
		at = n.at
	}
	c.notices = append(c.notices, Notice{File: c.document.file, Line: at.line, Column: at.column, Path: n.where(), Message: fmt.Sprintf(format, args...)})
}

// overrides gives what the main file says of a site, and of an endpoint, which wins.
func (c *catchAll) overrides(name, endpoint string) *node {
	var over *node
	for _, key := range []string{name, endpoint} {
		for _, e := range c.set.Overrides.entries {
			if e.name == key && e.at.kind == mapping {
				over = merge(over, e.at)
			}
		}
	}
	return over
}

// made is a value that is made of what the file says.
func (c *catchAll) made(of *node, text string, path ...string) *node {
	return &node{kind: scalar, text: text, path: path, at: of.at, key: of.key, origin: byDefault}
}

// clouds gives the file's cloud, and one more for each region that VOs say for themselves.
func (c *catchAll) clouds(root, endpoint *node) []*node {
	base := &node{kind: mapping, at: endpoint.at, key: endpoint.key}
	base.set("auth_url", endpoint)
	for _, key := range []string{"region", "protocol"} {
		if n := root.get(key); n != nil {
			base.set(key, n)
		}
	}
	if credential := c.credential(root); credential != nil {
		base.set("credential", credential.clone())
	}
	mode := &node{kind: mapping, at: root.at}
	if !c.accounted(root) {
		mode.set(string(site.Accounting), c.made(root, string(site.Disabled)))
	}
	if !c.synced() {
		mode.set(string(site.Images), c.made(root, string(site.Disabled)))
	}
	if len(mode.pairs) > 0 {
		base.set("mode", mode)
	}
	if n := c.set.Limits.PerSite; n.isSet() {
		limits := &node{kind: mapping, at: n.at.at}
		limits.set("parallel", n.at.clone())
		base.set("limits", limits)
	}
	if c.over != nil {
		base = merge(base, c.over.without("formerly", "cloud"))
		base.at, base.key = endpoint.at, endpoint.key
	}
	host := endpoint.text
	if u, err := url.Parse(endpoint.text); err == nil {
		host = strings.ToLower(u.Hostname())
	}
	if n := c.over.get("cloud"); n != nil {
		host = n.text
	}
	own := textOf(base.get("region"))
	regions := []string{}
	if vos := root.get("vos"); vos != nil {
		for _, vo := range vos.items {
			if r := c.regionOf(vo, own); !slices.Contains(regions, r) {
				regions = append(regions, r)
			}
		}
	}
	if len(regions) == 0 {
		regions = []string{own}
	}
	var all []*node
	for i, region := range regions {
		cloud, name := base.clone(), host
		if region != own {
			name = host + "/" + region
			cloud.set("region", c.made(endpoint, region))
		}
		cloud.set("name", c.made(endpoint, name))
		settle(cloud, []string{"clouds", fmt.Sprintf("[%d]", i)})
		all = append(all, cloud)
	}
	return all
}

// settle gives what was put together here its paths; what the files say keeps its own.
func settle(n *node, path []string) {
	if n.path == nil || n.at.line == 0 {
		n.path = path
	}
	for _, p := range n.pairs {
		settle(p.value, append(slices.Clip(path), p.key))
	}
}

// regionOf gives the region that a VO says for itself, else that of the file.
func (c *catchAll) regionOf(vo *node, own string) string {
	if r := vo.get("auth").get("region"); r != nil && r.text != "" {
		return r.text
	}
	return own
}

// credential gives the credential that the file's auth stands for; nil when the main file says none.
func (c *catchAll) credential(root *node) *node {
	auth := root.get("auth")
	if auth == nil || auth.text == accessToken {
		return c.set.Defaults.Credential.at
	}
	for _, e := range c.set.Defaults.CredentialFor.entries {
		if e.name == auth.text {
			return e.at
		}
	}
	if c.over.get("credential") == nil {
		c.add(auth.at, "auth", fmt.Sprintf("no credential signs in by %q: name one in defaults.credential_for of the main file", auth.text))
	}
	return nil
}

// vos gives the VOs, each with its cloud.
func (c *catchAll) vos(root *node, clouds []*node) []*node {
	vos := root.get("vos")
	if vos == nil {
		return nil
	}
	own := textOf(root.get("region"))
	if r := c.over.get("region"); r != nil {
		own = r.text
	}
	var all []*node
	for i, vo := range vos.items {
		at := []string{"vos", fmt.Sprintf("[%d]", i)}
		out := &node{kind: mapping, path: at, at: vo.at, key: vo.key}
		for _, key := range []struct {
			to string
			n  *node
		}{{"name", vo.get("name")}, {"project", vo.get("auth").get("project_id")}, {"default_network", vo.get("defaultNetwork")}, {"public_network", vo.get("publicNetwork")}} {
			if key.n != nil {
				out.set(key.to, key.n)
			}
		}
		region := c.regionOf(vo, own)
		for _, cloud := range clouds {
			if textOf(cloud.get("region")) == region {
				out.set("cloud", c.made(vo, cloud.get("name").text, append(slices.Clip(at), "cloud")...))
				c.project(vo, out, cloud.get("credential"))
			}
		}
		all = append(all, out)
	}
	return all
}

// project misses the project of a VO whose credential is of no single one.
func (c *catchAll) project(vo, out, credential *node) {
	if out.get("project") != nil || vo.kind != mapping {
		return
	}
	for _, n := range append([]*node{credential}, valuesOf(credential)...) {
		if name := textOf(n); slices.Contains([]string{KindOIDC, KindPassword, KindOSCloud}, c.cfg.Credentials[name].Kind()) {
			c.add(vo.head(), vo.where()+".auth.project_id", fmt.Sprintf("is required: credential %s may sign in to more than one", name))
			out.partly = true
			return
		}
	}
}

func valuesOf(n *node) []*node {
	var all []*node
	if n != nil {
		for _, p := range n.pairs {
			all = append(all, p.value)
		}
	}
	return all
}

// accounted tells whether the site is accounted from here: as for those who write these files, only if it says so.
func (c *catchAll) accounted(root *node) bool {
	a := c.file.Accounting
	if a == nil || !a.Enabled.V {
		return false
	}
	if name := a.Name; name.isSet() && name.V != c.file.GOCDB.V {
		c.once(root.get("accounting").get("site_name"), "records are named by gocdb, and by another name %s: the site is not accounted here", notYet)
		return false
	}
	return true
}

// once notes what would be noted at each look.
func (c *catchAll) once(n *node, format string, args ...any) {
	if !slices.ContainsFunc(c.notices, func(had Notice) bool { return had.Path == n.where() && had.Line == n.key.line }) {
		c.notice(n, format, args...)
	}
}

// includeCredentials checks the credentials that an include names for its sites.
func (l *loader) includeCredentials(cfg *Config, f fileSites) {
	all := []text{f.Defaults.Credential}
	for _, e := range f.Defaults.CredentialFor.entries {
		all = append(all, *e.value)
	}
	for _, e := range f.Overrides.entries {
		all = append(all, e.value.Credential.texts()...)
	}
	for _, name := range all {
		l.credentialNamed(cfg, name, f.at)
	}
}

// runsOf gives how much is done for the set of a site's file.
func (c *Config) runsOf(file string) Runs {
	set := c.setOf(file)
	if !set.Limits.Sites.isSet() && !set.Limits.Deadline.isSet() {
		return Runs{}
	}
	return Runs{Set: set.Include.V, Sites: set.Limits.Sites.V, Deadline: set.Limits.Deadline.V}
}

// lookAround tells of names that nothing has. Sites come and go with their files, so that none is an error of the main one.
func (c *Config) lookAround() {
	known := map[string]bool{}
	for _, s := range c.Sites {
		known[s.Site.Name] = true
		for _, cloud := range s.Clouds {
			known[cloud.Cloud.AuthURL] = true
		}
	}
	for _, b := range c.Broken {
		known[b.Site] = true
	}
	note := func(n *node, name string) {
		if !known[name] {
			c.Notices = append(c.Notices, Notice{File: c.File, Line: n.head().line, Column: n.head().column, Path: n.where(), Message: fmt.Sprintf("no site is called %q now%s", name, suggest(name, slices.Sorted(maps.Keys(known))))})
		}
	}
	for _, set := range c.main.includes {
		for _, e := range set.Overrides.entries {
			note(e.at, e.name)
		}
	}
	for _, e := range c.main.rest.Credentials.entries {
		if s := e.value.Site; s.isSet() && s.V != "" {
			note(s.at, s.V)
		}
	}
}

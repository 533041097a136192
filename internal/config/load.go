package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Load reads a configuration file. What is wrong in it comes as *Errors, everything at once.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, unreadable(err)
	}
	return Parse(path, data)
}

func unreadable(err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = ": write one with fedsite config init, or name another with --config"
	case errors.Is(err, fs.ErrPermission):
		hint = ": let fedsite's user read it, or name another with --config"
	}
	return fmt.Errorf("the configuration cannot be read: %w%s", err, hint)
}

// Parse reads a configuration and the site files that it names; name is its file, as errors call it. What is wrong in it
// comes as *Errors, everything at once; what is wrong in a site file is in Config.Broken.
func Parse(name string, data []byte) (*Config, error) {
	p, root := read(name, data)
	if root == nil {
		return nil, p.err()
	}
	// All of the file is held against its form as it stands; then each site as it is with the defaults of the file, and
	// what both find is one error.
	(&decoder{problems: p}).object(root.clone(), reflect.ValueOf(new(fileTop)).Elem())
	l := &loader{decoder: &decoder{problems: p, complete: true}, main: &mainFile{root: root}}
	cfg := l.load()
	files := l.files(cfg)
	if err := p.err(); err != nil {
		return nil, err
	}
	cfg.File = name
	cfg.units(files)
	cfg.lookAround()
	return cfg, nil
}

// read reads a file's text into nodes; nil when that cannot be done.
func read(name string, data []byte) (*problems, *node) {
	if len(data) > maxFile {
		p := newProblems(name, "")
		p.add(place{}, "", fmt.Sprintf("has more than %d MiB: no configuration is that large", maxFile>>20))
		return p, nil
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n") // of Windows' line ends the parser counts one twice after a comment
	p := newProblems(name, text)
	return p, parse(p, text)
}

// mainFile is what the main file says, for the site files that are laid over it.
type mainFile struct {
	root     *node
	rest     fileRest
	includes []fileSites
}

// loader makes a Config of a file's nodes.
type loader struct {
	*decoder
	main    *mainFile
	shown   *node
	notices []Notice
}

// notice tells of something that looks wrong, and stops nothing.
func (l *loader) notice(n *node, format string, args ...any) {
	at := n.head()
	file := l.document.file
	if at.in != nil {
		file = at.in.file
	}
	l.notices = also(l.notices, Notice{File: file, Line: at.line, Column: at.column, Path: n.where(), Message: fmt.Sprintf(format, args...)})
}

// also adds notices, each once: what stands at the top is read again for each site.
func also(all []Notice, more ...Notice) []Notice {
	for _, n := range more {
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// Keys of a site, in the file's order, and those among them that may stand at the top for all sites.
var (
	siteKeys    = []string{"clouds", "vos", "vo_properties", "flavors", "accounting", "discovery", "images", "privacy"}
	sharedKeys  = siteKeys[2:]
	includeKeys = []string{"include", "prune", "format", "defaults", "limits", "overrides"}
	restKeys    = []string{"credentials", "network", "store", "limits", "notify", "mute", "retention", "web", "demo"}
)

func (l *loader) load() *Config {
	rest := l.main.root.with(restKeys)
	l.shown = &node{kind: mapping}
	l.fillRest(rest)
	sites := l.sites(rest.get("credentials"))
	l.object(rest, reflect.ValueOf(&l.main.rest).Elem())
	l.shown.pairs = append(l.shown.pairs, rest.pairs...)
	cfg := &Config{Network: l.network(l.main.rest.Network, Network{}), shown: l.shown, main: l.main}
	l.credentials(cfg)
	l.service(cfg)
	for _, s := range sites {
		made := l.site(cfg, s)
		l.agree(cfg, made, s)
		cfg.Sites = append(cfg.Sites, made)
	}
	l.unique(sites)
	l.mutes(cfg)
	l.shareSites(cfg)
	cfg.Notices = l.notices
	return cfg
}

// with gives a mapping with only those keys of n, which it shares.
func (n *node) with(keys []string) *node {
	c := *n
	c.pairs = nil
	for _, p := range n.pairs {
		if slices.Contains(keys, p.key) {
			c.pairs = append(c.pairs, p)
		}
	}
	return &c
}

// sites gives the sites of the file, each with what it takes over from the top and from other clouds, and with defaults.
func (l *loader) sites(credentials *node) []*fileSite {
	one, several := l.main.root.get("site"), l.main.root.get("sites")
	switch {
	case one != nil && several != nil:
		l.fail(several, "stands beside site: put that site into the list, or leave the list out")
		return nil
	case one == nil && several == nil:
		l.add(l.main.root.at, "site", "is required: site: {gocdb: NAME}, or a list of sites")
		return nil
	case one != nil:
		return l.only(one, credentials)
	}
	for _, key := range siteKeys[:2] {
		if n := l.main.root.get(key); n != nil {
			l.fail(n, "stands beside sites: put it into the entry of its site")
		}
	}
	if several.kind != list {
		return nil
	}
	if len(several.items) == 0 {
		l.fail(several, "names no site")
	}
	shown := *several
	shown.items = nil
	var all []*fileSite
	for _, own := range several.items {
		if own.kind != mapping {
			continue
		}
		if own.get("include") != nil {
			l.include(own)
			continue
		}
		for _, key := range includeKeys[1:] {
			if n := own.get(key); n != nil {
				l.fail(n, "goes with include only")
				own = own.without(key)
			}
		}
		n := merge(l.main.root.with(sharedKeys), own)
		n.path, n.at, n.key = own.path, own.at, own.key
		l.fill(n, n.get("gocdb"), credentials)
		s := &fileSite{}
		l.value(n, reflect.ValueOf(s).Elem(), field{})
		shown.items = append(shown.items, n)
		all = append(all, s)
	}
	l.shown.set("sites", &shown)
	if len(l.main.includes) > 0 {
		l.defaults()
	}
	return all
}

// only gives the site of a file that has one.
func (l *loader) only(name, credentials *node) []*fileSite {
	if name.kind != mapping {
		return nil
	}
	n := l.main.root.with(siteKeys)
	s := l.one(name, n, credentials)
	l.shown.set("site", name)
	l.shown.pairs = append(l.shown.pairs, n.pairs...)
	return []*fileSite{s}
}

// one decodes a site whose name and parts stand beside each other.
func (l *loader) one(name, parts, credentials *node) *fileSite {
	s := &fileSite{}
	s.put(name)
	l.fill(parts, name.get("gocdb"), credentials)
	l.object(name, reflect.ValueOf(&s.fileName).Elem())
	l.object(parts, reflect.ValueOf(&s.fileParts).Elem())
	return s
}

// fillRest puts in what credentials take over from others, and what they and notices leave out and what is no constant.
func (l *loader) fillRest(rest *node) {
	if all := rest.get("credentials"); all != nil && all.kind == mapping {
		all = l.likeCredentials(all)
		for _, p := range all.pairs {
			fillOIDC(p.value.get("oidc"))
		}
		for i := range rest.pairs {
			if rest.pairs[i].key == "credentials" {
				rest.pairs[i].value = all
			}
		}
	}
	if n := rest.get("notify"); n != nil && n.kind == mapping {
		fillNotify(n)
	}
}

// fillOIDC says the grant.
func fillOIDC(n *node) {
	said := func(key string) bool { return n.get(key) != nil || n.get(key+"_file") != nil }
	switch {
	case n == nil || n.kind != mapping || said("grant") || said("access_token"):
	case said("refresh_token"):
		n.set("grant", n.given("grant", grantRefresh))
	default:
		n.set("grant", n.given("grant", grantClient))
	}
}

// fillNotify says how mail is taken.
func fillNotify(n *node) {
	smtp := n.get("smtp")
	if smtp == nil {
		smtp = n.fresh("smtp")
		n.set("smtp", smtp)
	}
	if smtp.kind != mapping {
		return
	}
	if smtp.get("tls") == nil {
		way := "starttls"
		if host := smtp.get("host"); host == nil || isLocal(host.text) {
			way = "none"
		}
		smtp.set("tls", smtp.given("tls", way))
	}
	if port, ok := map[string]string{"starttls": "587", "tls": "465", "none": "25"}[smtp.get("tls").text]; ok && smtp.get("port") == nil {
		smtp.set("port", smtp.given("port", port))
	}
}

// fill puts in what a site leaves out and what is no constant.
func (l *loader) fill(n, name, credentials *node) {
	if clouds := n.get("clouds"); clouds != nil && clouds.kind == list {
		clouds = l.like(clouds)
		n.set("clouds", clouds)
		for _, c := range clouds.items {
			if c.kind != mapping {
				continue
			}
			if name != nil && name.kind == scalar && c.get("service_name") == nil {
				c.set("service_name", c.given("service_name", name.text))
			}
			if credentials != nil && len(credentials.pairs) == 1 && c.get("credential") == nil {
				c.set("credential", c.given("credential", credentials.pairs[0].key))
			}
		}
	}
	nameSinks(n.get("discovery").get("publish"))
	fillSources(n.get("images").get("sources"))
	if n.get("accounting") == nil {
		n.set("accounting", n.fresh("accounting"))
	}
	a := n.get("accounting")
	if a.kind != mapping || a.get("ams") != nil || a.get("dirq") != nil {
		return
	}
	if mode := a.get("mode"); mode == nil || mode.text != "disabled" { // observing, too: it shows what would be sent
		a.set("ams", a.fresh("ams"))
	}
}

// given is a value that the file leaves out.
func (n *node) given(key, text string) *node {
	return &node{kind: scalar, text: text, path: append(slices.Clip(n.path), key), origin: byDefault}
}

// merge gives own laid over base, key by key; a secret is replaced as a whole, in whatever way it is said.
func merge(base, own *node) *node {
	if own == nil {
		return base.clone()
	}
	if base == nil || base.kind != mapping || own.kind != mapping {
		return own.clone()
	}
	out := *own
	out.pairs = nil
	for _, p := range own.pairs {
		value, under := p.value, base.get(p.key)
		if under != nil && !isSecretForm(under) && !isSecretForm(value) {
			value = merge(under, value)
		}
		out.pairs = append(out.pairs, pair{p.key, value.clone()})
	}
	for _, p := range base.pairs {
		if own.get(p.key) == nil && own.get(p.key+"_file") == nil && own.get(strings.TrimSuffix(p.key, "_file")) == nil {
			out.pairs = append(out.pairs, pair{p.key, p.value.clone()})
		}
	}
	return &out
}

func isSecretForm(n *node) bool {
	return len(n.pairs) > 0 && !slices.ContainsFunc(n.pairs, func(p pair) bool { return !slices.Contains(secretForms, p.key) })
}

// Database is the environment's variable that overrides store: a URL of PostgreSQL, or a directory.
const Database = "FEDSITE_DATABASE"

// FromEnvironment lets the environment override what it may: FEDSITE_DATABASE. Its value is never part of an error.
func FromEnvironment(c *Config, getenv func(string) string) error {
	value := getenv(Database)
	if value == "" {
		return nil
	}
	key, store := "path", Store{Path: value}
	if strings.Contains(value, "://") {
		if !isPostgres(value) {
			return fmt.Errorf("%s must be a URL like postgres://user@host/database, or the path of a directory", Database)
		}
		key, store = "url", Store{Path: c.Store.Path, URL: NewSecret(value)}
	} else if !filepath.IsAbs(value) {
		return fmt.Errorf("%s must be a URL like postgres://user@host/database, or the absolute path of a directory", Database)
	}
	store.Backup = c.Store.Backup
	c.Store = store
	if c.shown == nil {
		return nil
	}
	n := c.shown.get("store")
	if n == nil {
		n = c.shown.fresh("store")
		c.shown.set("store", n)
	}
	n.remove("url", "url_file")
	n.set(key, &node{kind: scalar, text: value, path: []string{"store", key}, origin: byEnvironment, secret: key == "url"})
	return nil
}

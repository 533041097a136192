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

// Parse reads a configuration; name is what errors call it. What is wrong comes as *Errors, everything at once.
func Parse(name string, data []byte) (*Config, error) {
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n") // of Windows' line ends the parser counts one twice after a comment
	p := newProblems(name, text)
	if len(data) > maxFile {
		p = newProblems(name, "")
		p.add(place{}, "", fmt.Sprintf("has more than %d MiB: no configuration is that large", maxFile>>20))
		return nil, p.err()
	}
	root := parse(p, text)
	if root == nil {
		return nil, p.err()
	}
	// All of the file is held against its form as it stands; then each site as it is with the defaults of the file, and
	// what both find is one error.
	(&decoder{problems: p}).object(root.clone(), reflect.ValueOf(new(fileTop)).Elem())
	l := &loader{decoder: &decoder{problems: p, complete: true}, root: root}
	cfg := l.load()
	if err := p.err(); err != nil {
		return nil, err
	}
	cfg.File = name
	return cfg, nil
}

// loader makes a Config of a file's nodes.
type loader struct {
	*decoder
	root  *node
	rest  fileRest
	shown *node
}

// Keys of a site, in the file's order, and those among them that may stand at the top for all sites.
var (
	siteKeys   = []string{"clouds", "vos", "vo_properties", "flavors", "accounting", "privacy"}
	sharedKeys = siteKeys[2:]
	restKeys   = []string{"credentials", "network", "store", "demo"}
)

func (l *loader) load() *Config {
	rest := l.root.with(restKeys)
	l.shown = &node{kind: mapping}
	sites := l.sites(rest.get("credentials"))
	l.object(rest, reflect.ValueOf(&l.rest).Elem())
	l.shown.pairs = append(l.shown.pairs, rest.pairs...)
	cfg := &Config{Network: l.network(l.rest.Network, Network{}), Store: Store{Path: l.rest.Store.Path.V, URL: l.rest.Store.URL.V}, shown: l.shown}
	l.credentials(cfg)
	for _, s := range sites {
		cfg.Sites = append(cfg.Sites, l.site(cfg, s))
	}
	l.unique(sites)
	if d := l.rest.Demo; d != nil {
		cfg.Demo = Demo{On: true, Offset: d.Offset.V}
	}
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
	one, several := l.root.get("site"), l.root.get("sites")
	switch {
	case one != nil && several != nil:
		l.fail(several, "stands beside site: put that site into the list, or leave the list out")
		return nil
	case one == nil && several == nil:
		l.add(l.root.at, "site", "is required: site: {gocdb: NAME}, or a list of sites")
		return nil
	case one != nil:
		return l.only(one, credentials)
	}
	for _, key := range siteKeys[:2] {
		if n := l.root.get(key); n != nil {
			l.fail(n, "stands beside sites: put it into the entry of its site")
		}
	}
	if several.kind != list {
		return nil
	}
	if len(several.items) == 0 {
		l.fail(several, "names no site")
	}
	shown := several.clone()
	shown.items = nil
	var all []*fileSite
	for _, own := range several.items {
		if own.kind != mapping {
			continue
		}
		n := merge(l.root.with(sharedKeys), own)
		n.path, n.at, n.key = own.path, own.at, own.key
		l.fill(n, n.get("gocdb"), credentials)
		s := &fileSite{}
		l.value(n, reflect.ValueOf(s).Elem(), field{})
		shown.items = append(shown.items, n)
		all = append(all, s)
	}
	l.shown.set("sites", shown)
	return all
}

// only gives the site of a file that has one.
func (l *loader) only(name, credentials *node) []*fileSite {
	if name.kind != mapping {
		return nil
	}
	s := &fileSite{}
	s.put(name)
	n := l.root.with(siteKeys)
	l.fill(n, name.get("gocdb"), credentials)
	l.object(name, reflect.ValueOf(&s.fileName).Elem())
	l.object(n, reflect.ValueOf(&s.fileParts).Elem())
	l.shown.set("site", name)
	l.shown.pairs = append(l.shown.pairs, n.pairs...)
	return []*fileSite{s}
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
	switch {
	case own == nil:
		return base.clone()
	case base == nil || base.kind != mapping || own.kind != mapping || isSecretForm(base) || isSecretForm(own):
		return own.clone()
	}
	out := *own
	out.pairs = nil
	for _, p := range own.pairs {
		out.pairs = append(out.pairs, pair{p.key, merge(base.get(p.key), p.value)})
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

// like gives clouds with the keys that they take over from others.
func (l *loader) like(clouds *node) *node {
	byName := map[string]*node{}
	var known []string
	for _, c := range clouds.items {
		if name := c.get("name"); name != nil && byName[name.text] == nil {
			byName[name.text] = c
			known = append(known, name.text)
		}
	}
	var resolve func(c *node, chain []string) *node
	resolve = func(c *node, chain []string) *node {
		ref := c.get("like")
		if ref == nil || ref.kind != scalar {
			return c.clone()
		}
		other := byName[ref.text]
		switch {
		case other == nil:
			l.fail(ref, "no cloud of this site is called %q%s", ref.text, suggest(ref.text, known))
			return c.withoutLike()
		case slices.Contains(chain, ref.text):
			l.fail(ref, "goes round in a circle: %s", strings.Join(append(chain, ref.text), " → "))
			return c.withoutLike()
		}
		base := resolve(other, append(slices.Clip(chain), ref.text)).without("name", "formerly")
		return merge(base, c.without("like"))
	}
	out := *clouds
	out.items = nil
	for _, c := range clouds.items {
		if c.kind != mapping {
			out.items = append(out.items, c)
			continue
		}
		var chain []string
		if name := c.get("name"); name != nil {
			chain = []string{name.text}
		}
		out.items = append(out.items, resolve(c, chain))
	}
	return &out
}

// withoutLike gives a cloud that should have had more keys.
func (n *node) withoutLike() *node {
	c := n.without("like")
	c.partly = true
	return c
}

func (n *node) without(keys ...string) *node {
	c := n.clone()
	c.remove(keys...)
	return c
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

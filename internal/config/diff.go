package config

import (
	"fmt"
	"slices"
	"strings"
)

// Change is one thing that another configuration says otherwise.
type Change struct {
	Site     string // "" = of the whole
	Path     string // of the key; "" = the site as a whole
	Kind     ChangeKind
	From, To string // what it was and is; "" where there is none, and for secrets always
	Restart  bool   // takes effect at the next start only
}

// ChangeKind says what became of a key or site.
type ChangeKind string

// Kinds of changes.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// String gives the change in a line: "site A: accounting.overlap: 15m → 30m".
func (c Change) String() string {
	var parts []string
	if c.Site != "" {
		parts = append(parts, "site "+c.Site)
	}
	if c.Path != "" {
		parts = append(parts, c.Path)
	}
	switch {
	case c.From != "" && c.To != "":
		parts = append(parts, c.From+" → "+c.To)
	case c.From+c.To != "":
		parts = append(parts, fmt.Sprintf("%s, %s", c.Kind, c.From+c.To))
	default:
		parts = append(parts, string(c.Kind))
	}
	text := strings.Join(parts, ": ")
	if c.Restart {
		text += " (from the next start on)"
	}
	return text
}

// Diff says what new says otherwise than old, defaults included: first of the whole, then site by site. Secrets are
// compared by where they are read, those that stand in the file by their value, and are never shown.
func Diff(old, new *Config) []Change {
	if old.shown == nil || new.shown == nil {
		return nil
	}
	d := differ{}
	a, b := old.shown.with(restKeys), new.shown.with(restKeys)
	d.mapping(a, b, "")
	if old.Network.Proxy != new.Network.Proxy && !slices.ContainsFunc(d.all, func(c Change) bool { return strings.HasPrefix(c.Path, "network") }) {
		d.put("network.proxy", Changed, "", "") // it stands in a file, which says another one now
	}
	for i := range d.all {
		c := &d.all[i]
		c.Restart = slices.Contains([]string{"store.path", "store.url", "web.listen", "demo", "demo.offset"}, c.Path)
	}
	d.sites(old.siteNodes(), new.siteNodes())
	return d.all
}

// siteNodes gives what is in effect for each site, by name.
func (c *Config) siteNodes() []pair {
	var all []pair
	if one := c.shown.get("site"); one != nil {
		n := c.shown.with(siteKeys)
		n.pairs = slices.Concat(one.pairs, n.pairs)
		return []pair{{textOf(one.get("gocdb")), n}}
	}
	if several := c.shown.get("sites"); several != nil {
		for _, n := range several.items {
			all = append(all, pair{textOf(n.get("gocdb")), n})
		}
	}
	return all
}

func textOf(n *node) string {
	if n == nil {
		return ""
	}
	return n.text
}

type differ struct {
	site string
	all  []Change
}

func (d *differ) put(path string, kind ChangeKind, from, to string) {
	d.all = append(d.all, Change{Site: d.site, Path: path, Kind: kind, From: from, To: to})
}

// sites compares sites by name; one that says under which name it was known is the same.
func (d *differ) sites(old, new []pair) {
	find := func(all []pair, name string) *node { return (&node{pairs: all}).get(name) }
	kept := map[string]bool{}
	for _, s := range new {
		d.site = s.key
		before, name := find(old, s.key), s.key
		if formerly := s.value.get("formerly"); before == nil && formerly != nil {
			for _, f := range formerly.items {
				if was := textOf(f.get("name")); find(new, was) == nil && find(old, was) != nil {
					before, name = find(old, was), was
				}
			}
		}
		kept[name] = true
		if before == nil {
			d.put("", Added, "", "")
			continue
		}
		d.mapping(before, s.value, "")
	}
	for _, s := range old {
		if d.site = s.key; !kept[s.key] {
			d.put("", Removed, "", "")
		}
	}
}

// value compares one value; nil is one that is not there.
func (d *differ) value(a, b *node, path string) {
	switch {
	case same(a, b) && path != ordered:
	case a == nil:
		d.put(path, Added, "", brief(b))
	case b == nil:
		d.put(path, Removed, brief(a), "")
	case sensitive(a) || sensitive(b):
		d.put(path, Changed, "", "")
	case a.kind == mapping && b.kind == mapping:
		d.mapping(a, b, path)
	case named(a) && named(b):
		d.items(a, b, path)
	default:
		from, to := brief(a), brief(b)
		if from == to { // passwords within
			from, to = "", ""
		}
		d.put(path, Changed, from, to)
	}
}

func (d *differ) mapping(a, b *node, path string) {
	a, b = whole(a), whole(b)
	for _, p := range b.pairs {
		d.value(a.get(p.key), p.value, pathTo(path, p.key))
	}
	for _, p := range a.pairs {
		if b.get(p.key) == nil {
			d.value(p.value, nil, pathTo(path, p.key))
		}
	}
	if path == ordered {
		d.order(a, b, path)
	}
}

// ordered is the mapping whose order counts.
const ordered = "flavors"

// items compares lists whose entries have names, as clouds and VOs.
func (d *differ) items(a, b *node, path string) {
	before, after := byName(a), byName(b)
	d.mapping(before, after, path)
	d.order(before, after, path)
}

// order compares the order of what both have.
func (d *differ) order(a, b *node, path string) {
	common := func(in, other *node) []string {
		var all []string
		for _, p := range in.pairs {
			if other.get(p.key) != nil {
				all = append(all, p.key)
			}
		}
		return all
	}
	if from, to := common(a, b), common(b, a); !slices.Equal(from, to) {
		d.put(path, Changed, "the order "+strings.Join(from, ", "), strings.Join(to, ", "))
	}
}

// byName gives a list of named entries as a mapping; entries of one name count: ops, ops#2.
func byName(n *node) *node {
	out := &node{kind: mapping}
	for _, item := range n.items {
		name := textOf(item.get("name"))
		for i := 2; out.get(name) != nil; i++ {
			name = fmt.Sprintf("%s#%d", textOf(item.get("name")), i)
		}
		out.pairs = append(out.pairs, pair{name, item})
	}
	return out
}

func named(n *node) bool {
	return n.kind == list && len(n.items) > 0 && !slices.ContainsFunc(n.items, func(i *node) bool { return i.kind != mapping || i.get("name") == nil })
}

// whole gives a mapping with x: {file: …} for x_file.
func whole(n *node) *node {
	out := *n
	out.pairs = slices.Clone(n.pairs)
	for i, p := range out.pairs {
		if p.value.sibling {
			file := *p.value
			file.sibling = false
			out.pairs[i] = pair{strings.TrimSuffix(p.key, "_file"), &node{kind: mapping, pairs: []pair{{fromFile, &file}}}}
		}
	}
	return &out
}

// sensitive tells whether a value is a secret, in whatever way it is said.
func sensitive(n *node) bool { return n.secret || n.proxy || n.kind == mapping && isSecretForm(n) }

// same tells whether two values say the same.
func same(a, b *node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.kind != b.kind || a.text != b.text || len(a.items) != len(b.items) {
		return false
	}
	a, b = whole(a), whole(b)
	if len(a.pairs) != len(b.pairs) {
		return false
	}
	for i := range a.items {
		if !same(a.items[i], b.items[i]) {
			return false
		}
	}
	for _, p := range a.pairs {
		if other := b.get(p.key); other == nil || !same(p.value, other) {
			return false
		}
	}
	return true
}

// brief gives a value as it may be shown in a line; "" for a mapping and for a secret.
func brief(n *node) string {
	switch {
	case n.kind == mapping || n.secret:
		return ""
	case n.kind == list:
		var all []string
		for _, item := range n.items {
			if item.kind == mapping {
				return count(len(n.items))
			}
			all = append(all, brief(item))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	return shown(n)
}

func count(entries int) string {
	if entries == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", entries)
}

func pathTo(path, key string) string {
	if path == "" {
		return join([]string{key})
	}
	if !plainKey.MatchString(key) {
		return path + join([]string{key})
	}
	return path + "." + key
}

package config

import (
	"slices"
	"strings"
)

// liked are the clouds of a site, or the credentials: what may take keys over from another of them.
type liked struct {
	*loader
	what   string   // "cloud of this site", "credential"
	own    []string // keys that are nobody else's
	byName map[string]*node
	known  []string
}

func (l *liked) put(name string, n *node) {
	if l.byName[name] == nil {
		l.byName[name] = n
		l.known = append(l.known, name)
	}
}

// resolve gives one with the keys that it takes over; chain are those that take over from it.
func (l *liked) resolve(n *node, chain []string) *node {
	ref := n.get("like")
	if ref == nil || ref.kind != scalar {
		return n.clone()
	}
	other := l.byName[ref.text]
	switch {
	case other == nil:
		l.fail(ref, "no %s is called %q%s", l.what, ref.text, suggest(ref.text, l.known))
		return n.withoutLike()
	case slices.Contains(chain, ref.text):
		l.fail(ref, "goes round in a circle: %s", strings.Join(append(chain, ref.text), " → "))
		return n.withoutLike()
	}
	base := l.resolve(other, append(slices.Clip(chain), ref.text))
	out := merge(base.without(l.own...), n.without("like"))
	out.partly = out.partly || base.partly
	return out
}

// like gives clouds with the keys that they take over from others.
func (l *loader) like(clouds *node) *node {
	all := liked{loader: l, what: "cloud of this site", own: []string{"name", "formerly"}, byName: map[string]*node{}}
	for _, c := range clouds.items {
		if name := c.get("name"); name != nil {
			all.put(name.text, c)
		}
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
		out.items = append(out.items, all.resolve(c, chain))
	}
	return &out
}

// likeCredentials does the same with credentials.
func (l *loader) likeCredentials(credentials *node) *node {
	all := liked{loader: l, what: "credential", byName: map[string]*node{}}
	for _, p := range credentials.pairs {
		all.put(p.key, p.value)
	}
	out := *credentials
	out.pairs = nil
	for _, p := range credentials.pairs {
		value := p.value
		if value.kind == mapping {
			value = all.resolve(value, []string{p.key})
		}
		out.pairs = append(out.pairs, pair{p.key, value})
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

package directory

import (
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/protocol/glue"
)

// cursor goes through the entries that a search is about, in the order of the tree.
type cursor struct {
	tree      *tree
	root      bool  // root DSE alone
	children  []int // set for scope one
	pos, end  int   // of children, or of nodes
	condition condition
	wanted    selection
}

// open begins a search.
func (t *tree) open(s searchRequest) (*cursor, result) {
	dn, err := glue.ParseDN(s.base)
	if err != nil || slices.ContainsFunc(dn, func(part glue.RDN) bool { return ruleOf(canonical(part.Name)) == unknown }) {
		return nil, result{code: InvalidDN, message: "the base is no DN"}
	}
	c := &cursor{tree: t, condition: s.filter.bind(t), wanted: t.choose(s.attributes)}
	if len(dn) == 0 {
		if s.scope != scopeBase {
			return nil, result{code: NoSuchObject}
		}
		c.root, c.end = true, 1
		return c, result{}
	}
	i, above := t.find(dn)
	if i < 0 {
		return nil, result{code: NoSuchObject, matched: above}
	}
	switch s.scope {
	case scopeBase:
		c.pos, c.end = i, i+1
	case scopeOne:
		c.children, c.end = t.nodes[i].children, len(t.nodes[i].children)
	case scopeSub:
		c.pos, c.end = i, t.nodes[i].end
	case scopeChildren:
		c.pos, c.end = i+1, t.nodes[i].end
	}
	return c, result{}
}

// next gives the next entry that the filter is true for; nil at the end, or after as many entries as are looked at between
// two looks at the clock.
func (c *cursor) next() *node {
	for range lookAtClock {
		if c.pos >= c.end {
			return nil
		}
		n := &c.tree.root
		switch {
		case c.root:
		case c.children != nil:
			n = &c.tree.nodes[c.children[c.pos]]
		default:
			n = &c.tree.nodes[c.pos]
		}
		c.pos++
		if c.condition.holds(n) == yes {
			return n
		}
	}
	return nil
}

const lookAtClock = 64

// done tells whether there are no more entries.
func (c *cursor) done() bool { return c.pos >= c.end }

// selection is which attributes of entries are wanted.
type selection struct {
	user, operational bool
	ids               []bool   // by id in the tree
	virtual           []string // those that are not kept
}

// choose reads a list of attributes.
func (t *tree) choose(attributes []string) selection {
	s := selection{user: len(attributes) == 0, ids: make([]bool, len(t.ids))}
	for _, a := range attributes {
		switch a {
		case "*":
			s.user = true
		case "+":
			s.operational = true
		case "1.1":
		default:
			name, _, options := describe(a)
			if id, ok := t.ids[name]; ok && !options {
				s.ids[id] = true
			}
			if virtual(name) && !options && !slices.Contains(s.virtual, name) {
				s.virtual = append(s.virtual, name)
			}
		}
	}
	if s.operational {
		s.virtual = []string{structuralClass, entryDN, hasSubordinates}
	}
	return s
}

// names are the attributes that are not kept as they are written.
var names = map[string]string{structuralClass: "structuralObjectClass", entryDN: "entryDN", hasSubordinates: "hasSubordinates"}

// appendEntry writes the message with an entry. Scratch is memory to use.
func (c *cursor) appendEntry(b, scratch []byte, id int, n *node, typesOnly bool) (out, used []byte) {
	whole := c.wanted.user && !typesOnly && len(c.wanted.virtual) == 0 && !c.root
	length := n.size
	if !whole {
		scratch = c.attributes(scratch[:0], n, typesOnly)
		length = len(scratch)
	}
	inner := len(n.encoded) + size(length)
	b = appendHeader(b, tagSequence, numberSize(id)+size(inner))
	b = appendNumber(b, tagInteger, id)
	b = appendHeader(b, opEntry, inner)
	b = append(b, n.encoded...)
	b = appendHeader(b, tagSequence, length)
	if !whole {
		return append(b, scratch...), scratch
	}
	for _, a := range n.attributes {
		b = append(b, a.encoded...)
	}
	return b, scratch
}

// attributes writes those that are wanted.
func (c *cursor) attributes(b []byte, n *node, typesOnly bool) []byte {
	for _, a := range n.attributes {
		if !(c.wanted.user && !a.operational || c.wanted.operational && a.operational || c.wanted.ids[a.id]) {
			continue
		}
		if typesOnly {
			b = appendAttribute(b, a.name, nil)
		} else {
			b = append(b, a.encoded...)
		}
	}
	if c.root {
		return b
	}
	for _, name := range c.wanted.virtual {
		values := []string{n.virtual(name)}
		if typesOnly {
			values = nil
		}
		b = appendAttribute(b, names[name], values)
	}
	return b
}

// search answers a search, and gives the entries that went out.
func (c *connection) search(r request) (result, int, error) {
	paged, wrong := pageOf(r.controls)
	s := searchRequest{}
	if wrong.code == Success {
		s, wrong = parseSearch(r.body, c.server.limits)
	}
	if wrong.code != Success {
		return wrong, 0, c.finish(r, opSearchDone, wrong, nil)
	}
	if s.sizeLimit > 0 && paged.size >= s.sizeLimit {
		paged.asked = paged.cookie != "" // RFC 2696: the control is to be ignored
	}
	cur, wrong := c.continued(r, s, &paged)
	if wrong.code != Success || cur == nil {
		return wrong, 0, c.finish(r, opSearchDone, wrong, paged.answer(""))
	}
	limit, final := c.server.limits.Entries, SizeLimitExceeded
	if s.sizeLimit > 0 {
		limit = min(limit, s.sizeLimit)
	}
	if paged.asked && paged.size <= limit {
		limit, final = paged.size, Success
	}
	patience := c.server.limits.Search
	if s.timeLimit > 0 {
		patience = min(patience, s.timeLimit)
	}
	end := time.Now().Add(patience)
	res, sent := result{}, 0
	for !cur.done() {
		n := cur.next()
		if n != nil && sent == limit {
			cur.pos-- // it comes first on the next page
			res.code = final
			break
		}
		if n != nil {
			sent++
			if err := c.entry(cur, r.id, n, s.typesOnly); err != nil {
				return res, sent, err
			}
		}
		if (n == nil || sent%lookAtClock == 0) && !time.Now().Before(end) && !cur.done() {
			res.code = TimeLimitExceeded
			break
		}
	}
	cookie := ""
	if paged.asked && res.code == Success && !cur.done() {
		cookie = c.keep(cur, r)
	}
	return res, sent, c.finish(r, opSearchDone, res, paged.answer(cookie))
}

// continued opens a search, or gives the one that a cookie stands for. It gives nil when there is nothing to look at.
func (c *connection) continued(r request, s searchRequest, p *page) (*cursor, result) {
	if p.cookie != "" {
		cur := c.kept.cursor
		if cur == nil || p.cookie != c.kept.cookie || string(r.body) != c.kept.body {
			c.kept = kept{}
			return nil, result{code: Unwilling, message: "the cookie of the paged search is of no search of this connection"}
		}
		c.kept = kept{}
		if p.size == 0 {
			return nil, result{} // the client has had enough
		}
		return cur, result{}
	}
	t := c.server.current.Load()
	if t == nil {
		if strings.TrimSpace(s.base) != "" {
			return nil, result{code: Unavailable, message: "nothing is known yet"}
		}
		t = c.server.empty
	}
	return t.open(s)
}

package directory

import "strings"

// Tags of filters (RFC 4511, section 4.5.1.7).
const (
	filterAnd        = 0xa0
	filterOr         = 0xa1
	filterNot        = 0xa2
	filterEqual      = 0xa3
	filterSubstrings = 0xa4
	filterAtLeast    = 0xa5
	filterAtMost     = 0xa6
	filterPresent    = 0x87
	filterApprox     = 0xa8
	filterExtensible = 0xa9

	partInitial = 0x80
	partAny     = 0x81
	partFinal   = 0x82
)

// filter is a condition as the client wrote it.
type filter struct {
	op          byte
	parts       []*filter // of and, or, not
	description string    // of the attribute
	value       string
	pieces      []element // of substrings
	rule        string    // of an extensible match
	inDN        bool      // it looks into the DN, too
}

// parseFilter reads the next element as a filter within the limits of depth and size.
func parseFilter(e *elements, limits Limits) (*filter, result) {
	p := filterParser{depth: limits.FilterDepth, size: limits.FilterSize}
	f := p.read(e, 0)
	switch {
	case p.over:
		return nil, result{code: AdminLimitExceeded, message: "the filter is larger than this server takes"}
	case e.bad || f == nil:
		return nil, result{code: ProtocolError, message: "the filter is malformed"}
	}
	return f, result{}
}

type filterParser struct {
	depth, size int
	over        bool
}

// read gives the next filter; nil when e is bad or a limit is passed.
func (p *filterParser) read(e *elements, depth int) *filter {
	n := e.next()
	if p.size--; p.size < 0 || depth >= p.depth {
		p.over = true
	}
	if e.bad || p.over {
		return nil
	}
	in := &elements{rest: n.body}
	f := &filter{op: n.tag}
	switch n.tag {
	case filterAnd, filterOr, filterNot:
		for in.more() && !p.over {
			if part := p.read(in, depth+1); part != nil {
				f.parts = append(f.parts, part)
			}
		}
		in.bad = in.bad || n.tag == filterNot && len(f.parts) != 1
	case filterEqual, filterAtLeast, filterAtMost, filterApprox:
		f.description, f.value = in.text(), in.text()
	case filterPresent:
		f.description, in.rest = string(n.body), nil
	case filterSubstrings:
		f.description = in.text()
		for list := in.within(tagSequence); list.more(); {
			piece := list.next()
			first, last := len(f.pieces) == 0, len(list.rest) == 0
			f.pieces = append(f.pieces, piece)
			p.size--
			in.bad = list.bad || piece.tag != partAny && !(piece.tag == partInitial && first) && !(piece.tag == partFinal && last)
			list.bad = in.bad
		}
		in.bad = in.bad || len(f.pieces) == 0
	case filterExtensible:
		f.extensible(in)
	default:
		in.bad = true
	}
	p.over = p.over || p.size < 0
	if e.bad = e.bad || in.bad || len(in.rest) > 0; e.bad || p.over {
		return nil
	}
	return f
}

// extensible reads a match by a rule: the rule, the attribute, the value, and whether the DN counts.
func (f *filter) extensible(in *elements) {
	have := byte(0)
	for in.more() {
		part := in.next()
		if part.tag <= have || part.tag > 0x84 {
			in.bad = true
			return
		}
		switch have = part.tag; part.tag {
		case 0x81:
			f.rule = string(part.body)
		case 0x82:
			f.description = string(part.body)
		case 0x83:
			f.value = string(part.body)
		case 0x84:
			f.inDN = len(part.body) == 1 && part.body[0] != 0
		}
	}
	in.bad = in.bad || f.rule == "" && f.description == ""
}

// truth is what a filter says of an entry: RFC 4511 knows a third answer, for what cannot be said.
type truth int8

const (
	no        truth = -1
	undefined truth = 0
	yes       truth = 1
)

func (t truth) String() string { return [...]string{"no", "undefined", "yes"}[t+1] }

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// condition is a filter over the entries of one tree.
type condition struct {
	op     byte
	parts  []condition
	never  bool // undefined whatever the entry
	absent bool // no entry has the attribute
	name   string
	id     int // of the attribute in the tree
	own    rule
	rule   rule
	value  string // normal by the rule
	pieces []piece
	inDN   bool
}

type piece struct {
	tag  byte
	text string
}

// bind makes a filter a condition over a tree.
func (f *filter) bind(t *tree) condition {
	c := condition{op: f.op, inDN: f.inDN}
	for _, p := range f.parts {
		c.parts = append(c.parts, p.bind(t))
	}
	if f.op <= filterNot && f.op >= filterAnd {
		return c
	}
	c.name, c.own, c.absent = describe(f.description)
	c.rule = c.own
	if id, ok := t.ids[c.name]; ok {
		c.id = id
	} else if !virtual(c.name) {
		c.absent = true
	}
	if f.op == filterExtensible && f.description == "" {
		c.absent = false
	} else if c.own == unknown {
		c.never = true
		return c
	}
	ok := true
	switch f.op {
	case filterPresent:
		return c
	case filterSubstrings:
		ok = (c.rule == exact || c.rule == ignore) && c.substrings(f.pieces)
	case filterAtLeast, filterAtMost:
		ok = c.rule == integer
	case filterExtensible:
		if f.rule != "" {
			c.rule = matchingRules[strings.ToLower(f.rule)]
			ok = c.rule != unknown && (f.description == "" || c.rule.fits(c.own))
		}
	}
	if f.op != filterSubstrings && ok {
		c.value, ok = c.rule.normal(f.value)
		ok = ok && (c.name != objectClass || knownClass(c.value))
	}
	c.never = !ok
	return c
}

// substrings makes the pieces normal; blanks stay where something may come before or after.
func (c *condition) substrings(pieces []element) bool {
	for _, p := range pieces {
		text := string(p.body)
		if c.rule == ignore {
			text = strings.ToLower(text)
		}
		if _, ok := c.rule.normal(text); !ok {
			return false
		}
		text = fold(text, p.tag != partInitial, p.tag != partFinal)
		c.pieces = append(c.pieces, piece{p.tag, text})
	}
	return true
}

// holds tells what the condition says of an entry.
func (c *condition) holds(n *node) truth {
	switch c.op {
	case filterAnd:
		out := yes
		for i := range c.parts {
			if out = min(out, c.parts[i].holds(n)); out == no {
				break
			}
		}
		return out
	case filterOr:
		out := no
		for i := range c.parts {
			if out = max(out, c.parts[i].holds(n)); out == yes {
				break
			}
		}
		return out
	case filterNot:
		return -c.parts[0].holds(n)
	}
	if c.never {
		return undefined
	}
	if c.name == "" {
		return truthOf(c.anywhere(n))
	}
	if c.inDN && c.inName(n) {
		return yes
	}
	if c.absent {
		return no
	}
	values := n.normal(c.id, c.name)
	if c.op == filterPresent {
		return truthOf(len(values) > 0)
	}
	return truthOf(c.any(values, c.own))
}

// anywhere tells whether the value is one of any attribute to which the rule can be applied.
func (c *condition) anywhere(n *node) bool {
	for _, a := range n.attributes {
		if c.rule.fits(a.rule) && c.any(a.normal, a.rule) {
			return true
		}
	}
	return c.inDN && c.inName(n)
}

// inName tells whether the value is in the DN.
func (c *condition) inName(n *node) bool {
	for _, part := range n.dn {
		name, own, _ := describe(part.Name)
		if c.name != "" && name != c.name || !c.rule.fits(own) {
			continue
		}
		if v, ok := c.rule.normal(part.Value); ok && v == c.value {
			return true
		}
	}
	return false
}

// any tells whether one of the values, which are normal by the rule own, is what is looked for.
func (c *condition) any(values []string, own rule) bool {
	for _, v := range values {
		if c.rule != own {
			v, _ = c.rule.normal(v)
		}
		if c.one(v) {
			return true
		}
	}
	return false
}

func (c *condition) one(v string) bool {
	switch c.op {
	case filterAtLeast:
		return compareNumbers(v, c.value) >= 0
	case filterAtMost:
		return compareNumbers(v, c.value) <= 0
	case filterSubstrings:
		return c.contains(v)
	}
	return v == c.value
}

// contains tells whether the pieces stand in a value one after the other.
func (c *condition) contains(v string) bool {
	for _, p := range c.pieces {
		var ok bool
		switch p.tag {
		case partInitial:
			v, ok = strings.CutPrefix(v, p.text)
		case partFinal:
			ok = strings.HasSuffix(v, p.text)
		default:
			_, v, ok = strings.Cut(v, p.text)
		}
		if !ok {
			return false
		}
	}
	return true
}

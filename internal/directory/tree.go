package directory

import (
	"slices"
	"strings"

	"github.com/fedsite/fedsite/protocol/glue"
)

// Document is what one cloud of a site publishes.
type Document struct {
	Site     string // its name in GOCDB
	Name     string // of the document, for the log
	Document glue.Document
}

// tree is all entries at one time. It never changes.
type tree struct {
	version   string
	documents int
	nodes     []node // each before what is beneath it, which follows at once
	byKey     map[string]int
	root      node           // root DSE
	ids       map[string]int // of attributes, by their names in small letters
}

// node is an entry in its place.
type node struct {
	dn         glue.DN
	encoded    []byte // the DN as it goes out
	attributes []*attribute
	size       int // of all attributes as they go out
	children   []int
	end        int // nodes up to here, its own index first, are its subtree
}

// attribute is an attribute with its values, shared by all entries that have the same: an image is much alike in each share.
type attribute struct {
	id          int
	name        string
	rule        rule
	operational bool
	values      []string
	normal      []string // values as they are compared
	encoded     []byte   // name and values as they go out
}

// Oddity is something of the documents that cannot be served.
type Oddity struct {
	Document string // its name
	Reason   string
}

// newTree makes a tree of documents; odd is told what is left out.
func newTree(documents []Document, version string, odd func(Oddity)) *tree {
	b := builder{
		t: &tree{version: version, documents: len(documents), ids: map[string]int{}}, odd: odd,
		placed: map[string]*leaf{}, shared: map[string]*attribute{}, known: map[string]attribute{}, classes: map[string][2][]string{},
	}
	b.t.root = b.node(rootDSE)
	b.t.root.encoded = appendOctets(nil, tagOctets, "")
	for _, a := range b.t.root.attributes {
		a.operational = !strings.EqualFold(a.name, objectClass)
	}
	b.base(glue.ResourceBase())
	for _, d := range documents {
		b.document(d)
	}
	b.t.byKey = make(map[string]int, len(b.placed))
	b.t.nodes = make([]node, 0, len(b.placed))
	for _, top := range b.tops {
		b.flatten(top)
	}
	return b.t
}

// builder makes a tree: leaves in any order first, then all of them in theirs.
type builder struct {
	t       *tree
	odd     func(Oddity)
	placed  map[string]*leaf // by key
	tops    []*leaf
	shared  map[string]*attribute  // by how they go out
	known   map[string]attribute   // id, name and rule of attributes, by their names as they are written
	classes map[string][2][]string // objectClass as it is written and compared, by the last class
	scratch []byte
}

type leaf struct {
	node
	key      string
	text     []byte // the DN, within encoded
	children []*leaf
}

// base adds the entries of a base that are not there yet, and gives the last.
func (b *builder) base(base glue.DN) *leaf {
	var at *leaf
	for _, e := range glue.BaseEntries(base) {
		at, _ = b.place(at, e.DN, b.node(e.Attributes))
	}
	return at
}

// document adds the entries of a document to both trees.
func (b *builder) document(d Document) {
	own := glue.ResourceBase()
	top := b.base(own)
	var cloud glue.DN
	twins := map[*leaf]*leaf{} // where the entries of the one tree stand in the other
	if strings.Trim(d.Site, " ") == "" {
		b.tell(d, "it has no site: it is served under "+own.String()+" only")
	} else {
		cloud = glue.CloudBase(d.Site)
		twins[top] = b.base(cloud)
	}
	lost := 0
	leaves := map[glue.RDN]*leaf{own[0]: top} // the last of each name: mostly the parents of what follows
	for e := range glue.Entries(d.Document, own, func(f glue.Finding) { b.tell(d, f.Class+" "+f.ID+": "+f.Reason) }) {
		parent := leaves[e.DN[1]]
		if parent == nil || !slices.Equal(parent.dn, e.DN[1:]) {
			parent = b.placed[key(e.DN[1:])]
		}
		n := b.node(e.Attributes)
		l, ok := b.place(parent, e.DN, n)
		if lost++; ok {
			lost--
		} else if lost == 1 {
			b.tell(d, e.DN.String()+": another document has an entry of that name, which is served")
		}
		leaves[e.DN[0]] = l
		if cloud != nil {
			twins[l], _ = b.place(twins[parent], slices.Concat(e.DN[:len(e.DN)-len(own)], cloud), n)
		}
	}
}

func (b *builder) tell(d Document, reason string) {
	if b.odd != nil {
		b.odd(Oddity{d.Name, reason})
	}
}

// place puts an entry beneath its parent and gives its leaf. When there is one of its name already, it gives that and false.
func (b *builder) place(parent *leaf, dn glue.DN, n node) (*leaf, bool) {
	own := key(dn[:1])
	if parent != nil {
		own += "," + parent.key
	}
	if l := b.placed[own]; l != nil {
		return l, false
	}
	l := &leaf{node: n, key: own}
	l.dn = dn
	text := dn[:1].String()
	length := len(text)
	if parent != nil {
		length += len(",") + len(parent.text)
	}
	l.encoded = append(appendHeader(make([]byte, 0, size(length)), tagOctets, length), text...)
	if parent != nil {
		l.encoded = append(append(l.encoded, ','), parent.text...)
		parent.children = append(parent.children, l)
	} else {
		b.tops = append(b.tops, l)
	}
	l.text = l.encoded[len(l.encoded)-length:]
	b.placed[own] = l
	return l, true
}

// flatten lays out an entry and all beneath it.
func (b *builder) flatten(l *leaf) {
	i := len(b.t.nodes)
	b.t.nodes = append(b.t.nodes, l.node)
	b.t.byKey[l.key] = i
	children := make([]int, 0, len(l.children))
	for _, c := range l.children {
		children = append(children, len(b.t.nodes))
		b.flatten(c)
	}
	b.t.nodes[i].children, b.t.nodes[i].end = children, len(b.t.nodes)
}

// node makes what is compared and what goes out of an entry's attributes; the DN is still to come.
func (b *builder) node(of []glue.Attribute) node {
	n := node{attributes: make([]*attribute, len(of))}
	for i, a := range of {
		b.scratch = appendAttribute(b.scratch[:0], a.Name, a.Values)
		shared := b.shared[string(b.scratch)]
		if shared == nil {
			made := b.attribute(a.Name)
			made.values, made.normal, made.encoded = a.Values, b.normal(made, a.Values), slices.Clone(b.scratch)
			shared = &made
			b.shared[string(b.scratch)] = shared
		}
		n.attributes[i] = shared
		n.size += len(b.scratch)
	}
	return n
}

// attribute gives an attribute without values.
func (b *builder) attribute(written string) attribute {
	a, ok := b.known[written]
	if !ok {
		name := strings.ToLower(written)
		a = attribute{id: len(b.t.ids), name: written, rule: ruleOf(name)}
		if id, ok := b.t.ids[name]; ok {
			a.id = id
		}
		b.t.ids[name] = a.id
		b.known[written] = a
	}
	return a
}

// normal gives values as they are compared: mostly as they are.
func (b *builder) normal(a attribute, values []string) []string {
	if a.id == b.t.ids[objectClass] {
		return b.class(values)
	}
	out, own := values, false
	for i, v := range values {
		if normal, _ := a.rule.normal(v); normal != v {
			if !own {
				out, own = slices.Clone(values), true
			}
			out[i] = normal
		}
	}
	return out
}

// class gives classes as they are compared, with those above them that are not written.
func (b *builder) class(values []string) []string {
	last := values[len(values)-1]
	if known, ok := b.classes[last]; ok && slices.Equal(known[0], values) {
		return known[1]
	}
	var normal []string
	for _, v := range values {
		v, _ = oid.normal(v)
		normal = append(normal, v)
	}
	if above, ok := superior[normal[0]]; ok {
		normal = append(normal, above)
	}
	b.classes[last] = [2][]string{values, normal}
	return normal
}

// appendAttribute writes an attribute with its values.
func appendAttribute(b []byte, name string, values []string) []byte {
	n := 0
	for _, v := range values {
		n += size(len(v))
	}
	b = appendHeader(b, tagSequence, size(len(name))+size(n))
	b = appendOctets(b, tagOctets, name)
	b = appendHeader(b, tagSet, n)
	for _, v := range values {
		b = appendOctets(b, tagOctets, v)
	}
	return b
}

// key is the same for DNs that mean the same entry.
func key(dn glue.DN) string {
	n := make(glue.DN, len(dn))
	for i, part := range dn {
		name, r, _ := describe(part.Name)
		if r == ignore {
			part.Value = strings.ToLower(part.Value)
		}
		n[i] = glue.RDN{Name: name, Value: part.Value}
	}
	return n.Key()
}

// find gives the index of an entry. When there is none, it gives -1 and the DN of the nearest that there is above it.
func (t *tree) find(dn glue.DN) (int, string) {
	for up := range dn {
		if i, ok := t.byKey[key(dn[up:])]; ok && up == 0 {
			return i, ""
		} else if ok {
			return -1, t.nodes[i].dn.String()
		}
	}
	return -1, ""
}

// virtual tells of attributes that every entry has without their being kept.
func virtual(name string) bool {
	return name == entryDN || name == hasSubordinates || name == structuralClass
}

// normal gives the values of an attribute as they are compared.
func (n *node) normal(id int, name string) []string {
	if virtual(name) {
		v, _ := ruleOf(name).normal(n.virtual(name))
		return []string{v}
	}
	for _, a := range n.attributes {
		if a.id == id {
			return a.normal
		}
	}
	return nil
}

// virtual gives the value of an attribute that is not kept.
func (n *node) virtual(name string) string {
	switch name {
	case entryDN:
		return n.dn.String()
	case hasSubordinates:
		if len(n.children) > 0 {
			return "TRUE"
		}
		return "FALSE"
	}
	return n.class()
}

// class is the structural class: the one that comes last.
func (n *node) class() string {
	classes := n.attributes[0].values
	return classes[len(classes)-1]
}

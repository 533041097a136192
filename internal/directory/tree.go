package directory

import (
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

// node is an entry in its place. Entries of the two trees share their attributes.
type node struct {
	dn         glue.DN
	encoded    []byte // the DN as it goes out
	attributes []attribute
	all        []byte // attributes as they go out
	children   []int
	end        int // nodes up to here, its own index first, are its subtree
}

// attribute is an attribute of an entry.
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
	b := builder{t: &tree{version: version, documents: len(documents), ids: map[string]int{}}, odd: odd, placed: map[string]*leaf{}}
	b.t.root = node{attributes: b.attributes(rootDSE, true)}
	b.t.root.encoded = appendOctets(nil, tagOctets, "")
	for _, a := range b.t.root.attributes {
		if !a.operational {
			b.t.root.all = append(b.t.root.all, a.encoded...)
		}
	}
	b.base(glue.ResourceBase())
	for _, d := range documents {
		b.document(d)
	}
	b.t.byKey = make(map[string]int, len(b.placed))
	for _, top := range b.tops {
		b.flatten(top)
	}
	return b.t
}

// builder makes a tree: leaves in any order first, then all of them in theirs.
type builder struct {
	t      *tree
	odd    func(Oddity)
	placed map[string]*leaf // by key
	tops   []*leaf
}

type leaf struct {
	node
	key      string
	children []*leaf
}

// base adds the entries of a base that are not there yet.
func (b *builder) base(base glue.DN) {
	for _, e := range glue.BaseEntries(base) {
		attributes, all := b.encode(e)
		b.place(e.DN, attributes, all)
	}
}

// document adds the entries of a document to both trees.
func (b *builder) document(d Document) {
	own := glue.ResourceBase()
	cloud := glue.CloudBase(d.Site)
	if strings.Trim(d.Site, " ") == "" {
		cloud = nil
		b.tell(d, "it has no site: it is served under "+own.String()+" only")
	} else {
		b.base(cloud)
	}
	lost := 0
	for e := range glue.Entries(d.Document, own, func(f glue.Finding) { b.tell(d, f.Class+" "+f.ID+": "+f.Reason) }) {
		attributes, all := b.encode(e)
		if !b.place(e.DN, attributes, all) {
			if lost++; lost == 1 {
				b.tell(d, e.DN.String()+": another document has an entry of that name, which is served")
			}
		}
		if cloud != nil {
			dn := append(e.DN[:len(e.DN)-len(own):len(e.DN)-len(own)], cloud...)
			b.place(dn, attributes, all)
		}
	}
}

func (b *builder) tell(d Document, reason string) {
	if b.odd != nil {
		b.odd(Oddity{d.Name, reason})
	}
}

// place puts an entry beneath its parent; false when there is one of its name already.
func (b *builder) place(dn glue.DN, attributes []attribute, all []byte) bool {
	k := key(dn)
	if b.placed[k] != nil {
		return false
	}
	l := &leaf{node: node{dn: dn, encoded: appendOctets(nil, tagOctets, dn.String()), attributes: attributes, all: all}, key: k}
	b.placed[k] = l
	if len(dn) == 1 {
		b.tops = append(b.tops, l)
		return true
	}
	parent := b.placed[key(dn[1:])] // Entries and base give it first
	parent.children = append(parent.children, l)
	return true
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

// encode makes what goes out of an entry.
func (b *builder) encode(e glue.Entry) (attributes []attribute, all []byte) {
	attributes = b.attributes(e.Attributes, false)
	n := 0
	for _, a := range attributes {
		n += len(a.encoded)
	}
	all = make([]byte, 0, n)
	for i := range attributes {
		a := &attributes[i]
		start := len(all)
		all = append(all, a.encoded...)
		a.encoded = all[start:]
	}
	return attributes, all
}

func (b *builder) attributes(of []glue.Attribute, root bool) []attribute {
	out := make([]attribute, len(of))
	for i, a := range of {
		name := strings.ToLower(a.Name)
		id, ok := b.t.ids[name]
		if !ok {
			id = len(b.t.ids)
			b.t.ids[name] = id
		}
		r := ruleOf(name)
		out[i] = attribute{
			id: id, name: a.Name, rule: r, operational: root && name != objectClass,
			values: a.Values, normal: make([]string, len(a.Values)), encoded: appendAttribute(nil, a.Name, a.Values),
		}
		for k, v := range a.Values {
			out[i].normal[k], _ = r.normal(v)
		}
		if above, ok := superior[out[i].normal[0]]; ok && name == objectClass {
			out[i].normal = append(out[i].normal, above)
		}
	}
	return out
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
	for i := range n.attributes {
		if n.attributes[i].id == id {
			return n.attributes[i].normal
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

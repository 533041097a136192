package glue

import (
	"bytes"
	"slices"
)

// Kind says what became of an object.
type Kind string

// The kinds of changes.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Change is an object that is in one document only, or differs.
type Change struct {
	Kind      Kind
	Class, ID string
	Share     string // the share whose object it is, where each share has its own
	Name      string // in the later document that has the object
	Values    []ChangedValue
}

// ChangedValue is an attribute of a changed object, as JSON before and after; "" where it is undefined. Associations are
// named "Associations.Share" and so on.
type ChangedValue struct{ Attribute, From, To string }

// Diff tells what changed from one document to another, object by object in the order of the second, and removed ones at
// the end. When objects were made and how long they count is no change, nor is whether they are Merged.
func Diff(from, to Document) []Change {
	before := index(&from)
	seen := make(map[place]bool, len(before))
	var out []Change
	for _, p := range places(&to) {
		if seen[p.place] {
			continue
		}
		seen[p.place] = true
		c := Change{Class: p.class, ID: p.id, Share: p.share, Name: nameOf(p.object)}
		old, ok := before[p.place]
		if !ok {
			c.Kind = Added
		} else if c.Values = compare(old, p.object); len(c.Values) > 0 {
			c.Kind = Changed
		}
		if c.Kind != "" {
			out = append(out, c)
		}
	}
	for _, p := range places(&from) {
		if !seen[p.place] {
			seen[p.place] = true
			out = append(out, Change{Kind: Removed, Class: p.class, ID: p.id, Share: p.share, Name: nameOf(p.object)})
		}
	}
	return out
}

// place is where an object belongs; no two are in one.
type place struct{ class, id, share string }

type placed struct {
	place
	object object
}

func index(d *Document) map[place]object {
	out := map[place]object{}
	for _, p := range places(d) {
		if _, ok := out[p.place]; !ok {
			out[p.place] = p.object
		}
	}
	return out
}

// places gives the objects, each once for every share that it belongs to.
func places(d *Document) []placed {
	var out []placed
	for _, c := range d.classes() {
		for i := range c.len {
			o := c.at(i)
			shares := []string{""}
			if c.mayRepeat {
				if l := shareLink(o); len(*l.ids) > 0 {
					shares = *l.ids
				}
			}
			for _, s := range shares {
				out = append(out, placed{place{c.name, o.entity().ID, s}, o})
			}
		}
	}
	return out
}

// shareLink is the association with shares of an object whose class may repeat.
func shareLink(o object) link {
	links := o.links(nil)
	return links[slices.IndexFunc(links, func(l link) bool { return l.to == shareClass })]
}

// compare gives the attributes that differ.
func compare(a, b object) []ChangedValue {
	x, y := attributeTexts(a), attributeTexts(b)
	var out []ChangedValue
	for i := range x {
		if !bytes.Equal(x[i].json, y[i].json) {
			out = append(out, ChangedValue{x[i].name, string(x[i].json), string(y[i].json)})
		}
	}
	return out
}

type attributeText struct {
	name string
	json []byte
}

// attributeTexts gives every attribute of an object as the JSON has it, in a fixed order, those that are undefined too.
func attributeTexts(o object) []attributeText {
	var out []attributeText
	e := encoder{}
	take := func(name string) {
		out = append(out, attributeText{name, bytes.Clone(e.buf)})
		e.buf = e.buf[:0]
	}
	if name := nameOf(o); name != "" {
		e.text(name)
	}
	take("Name")
	if info := infoOf(o); len(info) > 0 {
		e.value(info, maxDepth)
	}
	take("OtherInfo")
	for _, l := range o.links(nil) {
		if l.to == shareClass && o.class().mayRepeat {
			continue // it is part of the place
		}
		if len(*l.ids) > 0 {
			e.list(*l.ids)
		}
		take("Associations." + l.json)
	}
	for _, f := range o.fields(nil) {
		if f.json == "" {
			continue
		}
		if !f.empty() {
			e.field(&f)
		}
		take(f.json)
	}
	return out
}

package config

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// said is a value's node; nil when neither the file nor a default says it.
type said struct{ at *node }

func (s *said) put(n *node) { s.at = n }
func (s said) isSet() bool  { return s.at != nil }

// leaf is a value that is read as a whole.
type leaf interface {
	decode(*decoder, *node, field)
	schema(field) map[string]any
	kind(field) string // for the reference
}

// dictionary is a mapping whose keys the file names itself.
type dictionary interface {
	add(*node, string) any // what the value of that key is decoded into
	element() reflect.Type
}

// dict keeps a mapping in the file's order.
type dict[T any] struct {
	said
	entries []entry[T]
}

type entry[T any] struct {
	name  string
	at    *node
	value *T
}

func (d *dict[T]) add(n *node, name string) any {
	value := new(T)
	d.entries = append(d.entries, entry[T]{name, n, value})
	return value
}

func (d *dict[T]) element() reflect.Type { return reflect.TypeFor[T]() }

func (d *dict[T]) names() []string {
	var all []string
	for _, e := range d.entries {
		all = append(all, e.name)
	}
	return all
}

// field is a key of the file's form.
type field struct {
	key   string
	typ   reflect.Type
	index []int
	tag   reflect.StructTag
}

func (f field) get(name string) string { return f.tag.Get(name) }
func (f field) required() bool         { return f.get("required") == "true" }
func (f field) isSecret() bool         { return f.typ == reflect.TypeFor[secret]() }

func (f field) enum() []string {
	if f.get("enum") == "" {
		return nil
	}
	return strings.Split(f.get("enum"), "|")
}

// fields gives the keys of a struct, in its order, those of embedded structs in their place.
func fields(t reflect.Type) []field {
	var all []field
	for f := range structFields(t) {
		if f.Anonymous {
			for _, inner := range fields(f.Type) {
				inner.index = append(slices.Clone(f.Index), inner.index...)
				all = append(all, inner)
			}
		} else if key := f.Tag.Get("key"); key != "" {
			all = append(all, field{key, f.Type, f.Index, f.Tag})
		}
	}
	return all
}

// formWords gives every key of the form, there already or not yet.
func formWords() map[string]bool {
	known := map[string]bool{fromFile: true, fromEnv: true, fromCredential: true, off: true}
	for _, part := range parts {
		known[string(part)] = true
	}
	for _, path := range laterKeys {
		for _, key := range strings.Split(path, ".") {
			known[key] = true
		}
	}
	var within func(reflect.Type)
	within = func(t reflect.Type) {
		if _, t = step("", t); isObject(t) {
			for _, f := range fields(t) {
				known[f.key] = true
				within(f.typ)
			}
		}
	}
	within(reflect.TypeFor[fileTop]())
	return known
}

func structFields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// decoder fills the file's structs from nodes, strictly.
type decoder struct {
	*problems
	complete bool // fill in defaults, and miss what is required
}

// fail notes an error of a value. A default is right by itself, or made of a value that is reported where it stands.
func (d *decoder) fail(n *node, format string, args ...any) {
	if n.origin != byDefault {
		d.add(n.head(), n.where(), fmt.Sprintf(format, args...))
	}
}

// value decodes a node into v, which is settable.
func (d *decoder) value(n *node, v reflect.Value, f field) {
	if s, ok := v.Addr().Interface().(interface{ put(*node) }); ok {
		s.put(n)
	}
	switch n.kind {
	case null:
		d.fail(n, "has no value: give it one, or leave the key out")
		return
	case unread:
		return
	}
	switch to := v.Addr().Interface().(type) {
	case leaf:
		to.decode(d, n, f)
		return
	case dictionary:
		d.dictionary(n, to, f)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), f)
	case reflect.Slice:
		d.list(n, v, f)
	default:
		d.object(n, v)
	}
}

func (d *decoder) list(n *node, v reflect.Value, f field) {
	if n.kind != list {
		hide(n)
		d.fail(n, "must be a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		d.value(item, v.Index(i), f)
	}
}

func (d *decoder) dictionary(n *node, to dictionary, f field) {
	if n.kind != mapping {
		hide(n)
		d.fail(n, "must be a mapping")
		return
	}
	for _, p := range n.pairs {
		switch {
		case p.key == "":
			d.fail(p.value, "a name is empty")
			continue
		case to.element() == reflect.TypeFor[secret]() && (p.value.kind == null || !header(p.key)): // by a slip, it may hold the secret
			hide(p.value)
			hideKey(p)
			d.add(p.value.key, join(append(slices.Clip(n.path), hidden)), "must be the name of a header, of letters, digits and -, and its value")
			continue
		}
		d.value(p.value, reflect.ValueOf(to.add(p.value, p.key)).Elem(), f)
	}
}

// object decodes a mapping into a struct. When it is complete, the mapping's keys are put into the struct's order, with
// defaults among them, so that the node itself becomes what is in effect.
func (d *decoder) object(n *node, v reflect.Value) {
	if n.kind != mapping {
		hide(n)
		d.fail(n, "must be a mapping")
		return
	}
	all := fields(v.Type())
	order := map[string]int{}
	for i, f := range all {
		order[f.key] = i
		if f.isSecret() {
			order[f.key+"_file"] = i
		}
	}
	d.unknown(n, order, slices.ContainsFunc(all, field.isSecret))
	for _, f := range all {
		d.member(n, v.FieldByIndex(f.index), f)
	}
	if d.complete {
		slices.SortStableFunc(n.pairs, func(a, b pair) int { return cmp.Compare(order[a.key], order[b.key]) })
	}
}

// unknown reports and takes out the keys that a mapping doesn't have. What stands there by a slip may be a secret: a
// mapping, anything beside secrets, and there even a key that looks like none.
func (d *decoder) unknown(n *node, known map[string]int, secrets bool) {
	n.pairs = slices.DeleteFunc(n.pairs, func(p pair) bool {
		if _, ok := known[p.key]; ok {
			return false
		}
		at, path := p.value.key, p.value.path
		later := isLater(path)
		if later || secrets || p.value.kind != scalar {
			hide(p.value)
		}
		switch {
		case later:
			n.partly = true
			d.add(at, join(path), notYet)
		case secrets && (p.value.kind == null || !word.MatchString(p.key)):
			hideKey(p)
			d.add(at, join(append(slices.Clip(n.path), hidden)), "is no key here")
		case at.in != nil && at.in.unit && len(path) == 1 && slices.Contains(restKeys, p.key):
			d.add(at, join(path), "belongs into the main file: this one holds a site")
		default:
			d.add(at, join(path), "is no key here"+suggest(p.key, names(known)))
		}
		return true
	})
}

// hideKey masks a key.
func hideKey(p pair) {
	at := p.value.key
	mask(at, place{at.line, at.column + utf8.RuneCountInString(p.key) + len(`""`), at.in})
}

// word is what a key looks like.
var word = regexp.MustCompile(`^[A-Za-z_]+$`)

func names(known map[string]int) []string {
	var all []string
	for k := range known {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func (d *decoder) member(n *node, v reflect.Value, f field) {
	value := n.get(f.key)
	if f.isSecret() {
		value = d.sibling(n, f, value)
	}
	switch {
	case value != nil:
		d.value(value, v, f)
	case !d.complete:
	case f.get("default") != "":
		value = parseDefault(f)
		value.path = append(slices.Clip(n.path), f.key)
		n.pairs = append(n.pairs, pair{f.key, value})
		d.value(value, v, f)
	case f.required() && !n.partly:
		d.add(n.head(), join(append(slices.Clip(n.path), f.key)), "is required")
	case v.Kind() == reflect.Struct && !isLeaf(v) && !isDictionary(v):
		value = n.fresh(f.key)
		d.value(value, v, f)
		if len(value.pairs) > 0 {
			n.pairs = append(n.pairs, pair{f.key, value})
		}
	}
}

func isLeaf(v reflect.Value) bool       { _, ok := v.Addr().Interface().(leaf); return ok }
func isDictionary(v reflect.Value) bool { _, ok := v.Addr().Interface().(dictionary); return ok }

// sibling takes x_file for x: {file: …}.
func (d *decoder) sibling(n *node, f field, value *node) *node {
	file := n.get(f.key + "_file")
	if file == nil {
		return value
	}
	if value != nil {
		hide(value)
		d.fail(file, "stands beside %s: keep one of them", f.key)
		return value
	}
	if file.kind != scalar || file.text == "" {
		d.fail(file, "must be the path of a file")
		return nil
	}
	file.sibling = true
	return &node{kind: mapping, path: file.path, at: file.at, key: file.key, origin: file.origin, pairs: []pair{{fromFile, file}}}
}

// parseDefault reads the tag default.
func parseDefault(f field) *node {
	p := newProblems("", f.get("default"))
	file, err := parseYAML(f.get("default"))
	if err != nil {
		panic(fmt.Sprintf("config: default of %s: %v", f.key, err)) // a tag of ours
	}
	n := (&reader{p}).node(file.Docs[0].Body, nil, place{}, 0)
	n.asDefault()
	return n
}

func (n *node) asDefault() {
	n.origin, n.at, n.key, n.end = byDefault, place{}, place{}, place{}
	for _, item := range n.items {
		item.asDefault()
	}
	for _, p := range n.pairs {
		p.value.asDefault()
	}
}

// suggest gives the known word that is nearest to one that isn't, as the end of a message.
func suggest(word string, known []string) string {
	best, distance := "", max(2, len(word)/3)+1
	for _, k := range known {
		if n := edits(strings.ToLower(word), k); n < distance && n < len(k) {
			best, distance = k, n
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}

// edits counts the letters to put in, take out, change or swap with the next one to make b of a.
func edits(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

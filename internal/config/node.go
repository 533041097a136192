package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// node is a value of the file with its place. The loader works on nodes, and not on goccy's decoder, so that all errors
// come at once, each with its place, and each value's origin stays known.
type node struct {
	kind    kind
	text    string  // of a scalar
	quoted  bool    // the scalar stands in quotes, or is a block
	items   []*node // of a list
	pairs   []pair  // of a mapping, in file order
	path    []string
	at      place // of the value
	end     place // of a scalar: where the next thing begins
	key     place // of the mapping key before it
	origin  origin
	secret  bool // a literal that is never shown
	proxy   bool // a URL that may hold a password
	sibling bool // stands at x_file for x: {file: …}
	partly  bool // has keys that are not there yet, so nothing is missing in it
}

type kind int

const (
	scalar kind = iota
	list
	mapping
	null
	unread // reported already
)

type origin int

const (
	inFile origin = iota
	byDefault
	byEnvironment
)

type pair struct {
	key   string
	value *node
}

// get gives the value of a key, nil when there is none.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, p := range n.pairs {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// set gives a key a value, in place of the one it has.
func (n *node) set(key string, value *node) {
	for i := range n.pairs {
		if n.pairs[i].key == key {
			n.pairs[i].value = value
			return
		}
	}
	n.pairs = append(n.pairs, pair{key, value})
}

func (n *node) remove(keys ...string) {
	n.pairs = slices.DeleteFunc(n.pairs, func(p pair) bool { return slices.Contains(keys, p.key) })
}

func (n *node) clone() *node {
	if n == nil {
		return nil
	}
	c := *n
	c.items, c.pairs = nil, nil
	for _, item := range n.items {
		c.items = append(c.items, item.clone())
	}
	for _, p := range n.pairs {
		c.pairs = append(c.pairs, pair{p.key, p.value.clone()})
	}
	return &c
}

// head is where errors about the value as a whole are shown: at its key, or else where it begins.
func (n *node) head() place {
	if n.kind != scalar && n.key.line > 0 {
		return n.key
	}
	return n.at
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// where is the node's path as it is written in errors: accounting.ams.host, clouds[0].name, flavors["g1.*"].
func (n *node) where() string { return join(n.path) }

func join(path []string) string {
	var b strings.Builder
	for _, p := range path {
		switch {
		case strings.HasPrefix(p, "["):
			b.WriteString(p)
		case p != hidden && !plainKey.MatchString(p):
			fmt.Fprintf(&b, "[%q]", p)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(p)
		}
	}
	return b.String()
}

// fresh gives an empty mapping that the file doesn't have, for a key of n.
func (n *node) fresh(key string) *node {
	return &node{kind: mapping, path: append(slices.Clip(n.path), key), key: n.key, at: n.at, origin: byDefault}
}

// Limits of a file. The parser goes deeper with each bracket, dash or question mark, and a program whose stack is full
// cannot be saved; so text that opens very many is not given to it.
const (
	maxFile  = 4 << 20 // bytes
	maxDepth = 40      // of mappings and lists; the format itself needs 7
	maxOpen  = 1000    // brackets open at once, anywhere in the text; dashes, colons and question marks in a line
)

// parse reads the text of a file into nodes; nil when it cannot be read at all.
func parse(p *problems, text string) *node {
	if !legible(p) {
		return nil
	}
	file, err := parseYAML(text)
	if err != nil {
		p.syntax(err)
		return nil
	}
	var root ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if root != nil {
			p.add(p.placeOf(doc.Body.GetToken()), "", "a configuration file is one YAML document: take the --- lines out")
			break
		}
		root = doc.Body
	}
	if root == nil {
		p.add(place{}, "", "is empty: fedsite config init writes a first configuration")
		return nil
	}
	n := (&reader{p}).node(root, nil, place{}, 0)
	if n.kind != mapping {
		p.distrust(n.at, "", "must be a mapping of keys like site: and clouds:")
		return nil
	}
	return n
}

// legible refuses what the parser should not even see.
func legible(p *problems) bool {
	open := 0
	for i, line := range p.lines {
		at := p.at(i+1, 1)
		switch {
		case !utf8.ValidString(line):
			p.add(at, "", "is not UTF-8 text")
			return false
		case strings.IndexByte(line, 0) >= 0:
			p.add(at, "", "holds a NUL byte: it is no text file")
			return false
		case strings.Contains(strings.TrimSuffix(line, "\r"), "\r"):
			p.add(at, "", "holds a carriage return that ends no line: write line ends as LF")
			return false
		case !shallow(line, &open):
			p.add(at, "", fmt.Sprintf("is nested more than %d deep", maxDepth))
			return false
		}
	}
	return true
}

// shallow counts what a line opens. Text in quotes and comments counts too: nobody needs so many.
func shallow(line string, open *int) bool {
	marks := 0
	for _, r := range line {
		switch r {
		case '[', '{':
			*open++
		case ']', '}':
			*open = max(*open-1, 0)
		case '-', '?', ':':
			marks++
		}
		if *open > maxOpen || marks > maxOpen {
			return false
		}
	}
	return true
}

// parseYAML parses; a parser that gives up in panic is an error like others.
func parseYAML(text string) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("cannot be read as YAML: %v", r)
		}
	}()
	return parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
}

// syntax notes an error of the parser. It may quote the file in its message; that part is left out.
func (p *problems) syntax(err error) {
	at, message := place{}, err.Error()
	if e, ok := err.(interface {
		GetToken() *token.Token
		GetMessage() string
	}); ok {
		at, message = p.placeOf(e.GetToken()), e.GetMessage()
	}
	message, _, _ = strings.Cut(message, `"`)
	p.distrusted = true
	p.add(at, "", strings.TrimRight(message, " :"))
}

func (p *problems) placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return p.at(t.Position.Line, t.Position.Column)
}

// reader turns goccy's tree into nodes.
type reader struct{ p *problems }

func (r *reader) node(n ast.Node, path []string, key place, depth int) *node {
	out := &node{kind: unread, path: path, key: key}
	if n == nil {
		out.kind, out.at = null, key
		return out
	}
	out.at = r.p.placeOf(n.GetToken())
	if depth > maxDepth {
		r.p.add(out.at, join(path), fmt.Sprintf("is nested more than %d deep", maxDepth))
		return out
	}
	switch v := n.(type) {
	case *ast.MappingNode:
		out.kind = mapping
		r.mapping(out, v.Values, depth)
	case *ast.MappingValueNode:
		out.kind = mapping
		r.mapping(out, []*ast.MappingValueNode{v}, depth)
	case *ast.SequenceNode:
		out.kind = list
		for i, item := range v.Values {
			out.items = append(out.items, r.node(item, append(slices.Clip(path), "["+strconv.Itoa(i)+"]"), place{}, depth+1))
		}
	case *ast.NullNode:
		out.kind = null
		if key.line > 0 {
			out.at = key
		}
	case *ast.LiteralNode:
		out.kind, out.quoted = scalar, true
		if v.Value != nil {
			out.text = v.Value.Value
			out.end = r.p.after(v.Value.GetToken())
		}
	case *ast.StringNode:
		out.kind, out.text = scalar, v.Value
		out.quoted = v.Token.Type == token.DoubleQuoteType || v.Token.Type == token.SingleQuoteType
		out.end = r.p.after(v.Token)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = scalar, n.GetToken().Value
		out.end = r.p.after(n.GetToken())
	case *ast.AnchorNode, *ast.AliasNode:
		r.p.distrust(out.at, join(path), "anchors and aliases are not read: a cloud takes another's keys with like: <name>, and a value that begins with & or * stands in quotes")
	case *ast.TagNode:
		r.p.distrust(out.at, join(path), "tags are not read: a value that begins with ! stands in quotes")
	default:
		r.p.distrust(out.at, join(path), "cannot be read here")
	}
	return out
}

func (r *reader) mapping(out *node, values []*ast.MappingValueNode, depth int) {
	seen := map[string]place{}
	for i, v := range values {
		key, ok := keyOf(v.Key)
		at := r.p.placeOf(v.Key.GetToken())
		if i == 0 && !strings.HasPrefix(r.rest(out.at), "{") {
			out.at = at
		}
		if !ok {
			r.p.distrust(at, join(out.path), "a key must be a plain text")
			continue
		}
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			r.p.distrust(at, join(out.path), "anchors and aliases are not read: a cloud takes another's keys with like: <name>")
			continue
		}
		path := append(slices.Clip(out.path), key)
		if first, twice := seen[key]; twice {
			r.p.add(at, join(path), fmt.Sprintf("is there already, in line %d", first.line))
			hide(r.node(v.Value, path, at, depth+1))
			continue
		}
		seen[key] = at
		out.pairs = append(out.pairs, pair{key, r.node(v.Value, path, at, depth+1)})
	}
}

// hide masks a value that is not looked at further, as it may hold secrets.
func hide(n *node) {
	if n == nil {
		return
	}
	if n.kind == scalar {
		mask(n.at, n.end)
	}
	for _, item := range n.items {
		hide(item)
	}
	for _, pair := range n.pairs {
		hide(pair.value)
	}
}

// rest is the file's text from a place to the end of its line.
func (r *reader) rest(at place) string {
	if at.line < 1 || at.line > len(r.p.lines) {
		return ""
	}
	line := []rune(r.p.lines[at.line-1])
	if at.column < 1 || at.column > len(line) {
		return ""
	}
	return string(line[at.column-1:])
}

func keyOf(n ast.MapKeyNode) (string, bool) {
	switch k := n.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.MergeKeyNode:
		return "<<", true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return k.GetToken().Value, true
	case *ast.MappingKeyNode:
		if inner, ok := k.Value.(ast.MapKeyNode); ok {
			if _, again := inner.(*ast.MappingKeyNode); !again {
				return keyOf(inner)
			}
		}
	}
	return "", false
}

// after is where the token that follows begins.
func (p *problems) after(t *token.Token) place {
	if t == nil || t.Next == nil {
		return p.at(endOfLine, 1)
	}
	return p.placeOf(t.Next)
}

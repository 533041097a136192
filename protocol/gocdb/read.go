package gocdb

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// limits bound what an answer may hold. All of GOCDB's services are some 10 MB in some thousand records.
type limits struct {
	bytes   int64 // of all pages
	records int   // of all pages
	pages   int
	nodes   int // elements in one record
	field   int // bytes in one element
	depth   int // elements in each other
}

var usual = limits{bytes: 32 << 20, records: 50_000, pages: 1_000, nodes: 50_000, field: 16 << 10, depth: 16}

// element is one record, or a part of it.
type element struct {
	name  string
	attrs []xml.Attr
	text  strings.Builder
	kids  []*element
	odd   string // of a record: why it cannot be used
}

// child gives the text of the first element of that name, without space around it.
func (e *element) child(name string) string {
	for _, k := range e.kids {
		if k.name == name {
			return strings.TrimSpace(k.text.String())
		}
	}
	return ""
}

// list gives the elements of one name inside the element of another.
func (e *element) list(outer, inner string) []*element {
	var all []*element
	for _, k := range e.kids {
		if k.name != outer {
			continue
		}
		for _, i := range k.kids {
			if i.name == inner {
				all = append(all, i)
			}
		}
	}
	return all
}

func (e *element) attr(name string) string {
	for _, a := range e.attrs {
		if a.Name.Local == name {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// document reads an answer token by token. What it nests is checked here, because the decoder is told to let a bare "&"
// pass: GOCDB does not escape every name that it writes.
type document struct {
	dec  *xml.Decoder
	in   *meter
	left *limits
	open []xml.Name
}

// read reads an answer, hands its records over as they come, and gives its meta element, or nil. An answer counts only
// when it is read to its end without an error, which is an *Error or one of the connection.
func read(r io.Reader, left *limits, record func(*element)) (*element, error) {
	in := &meter{r: r, left: &left.bytes}
	d := &document{dec: xml.NewDecoder(in), in: in, left: left}
	d.dec.Strict = false
	if err := d.root(); err != nil {
		return nil, err
	}
	var meta *element
	for len(d.open) > 0 {
		t, err := d.token()
		if err != nil {
			return nil, err
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		e, err := d.element(start)
		if err != nil {
			return nil, err
		}
		if e.name == "meta" {
			meta = e
			continue
		}
		if d.left.records--; d.left.records < 0 {
			return nil, &Error{Message: "more records than any GOCDB has", kind: excess}
		}
		record(e)
	}
	return meta, d.rest()
}

// root reads up to the element that holds everything.
func (d *document) root() error {
	for {
		t, err := d.token()
		if errors.Is(err, io.EOF) {
			return d.foreign("an empty answer")
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "results":
				return nil
			case "error":
				return d.refusal()
			}
			return d.foreign("not what GOCDB answers")
		case xml.CharData:
			if text := strings.Trim(string(t), "\ufeff \t\r\n"); strings.HasPrefix(text, "Unable to find method") {
				return &Error{Message: shorten([]byte(text)), kind: refused}
			} else if text != "" {
				return d.foreign("not what GOCDB answers")
			}
		}
	}
}

// refusal reads why GOCDB does not answer the question. It puts parts of the question into that without escaping them.
func (d *document) refusal() error {
	var text strings.Builder
	for len(d.open) > 0 && text.Len() < 800 {
		t, err := d.token()
		if err != nil {
			break
		}
		if c, ok := t.(xml.CharData); ok {
			text.Write(c)
		}
	}
	return &Error{Message: shorten([]byte(text.String())), kind: refused}
}

// foreign is an answer of something else: it is quoted.
func (d *document) foreign(what string) error {
	if text := shorten(d.in.head); text != "" {
		what += ": " + text
	}
	return &Error{Message: what, kind: foreign}
}

// element reads one record with everything in it.
func (d *document) element(start xml.StartElement) (*element, error) {
	top := &element{name: start.Name.Local, attrs: start.Attr}
	path, nodes := []*element{top}, 1
	for len(path) > 0 {
		t, err := d.token()
		if err != nil {
			return nil, err
		}
		here := path[len(path)-1]
		switch t := t.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local, attrs: t.Attr}
			path = append(path, e)
			if nodes++; nodes > d.left.nodes {
				top.odd = fmt.Sprintf("it has more than %d parts", d.left.nodes)
				continue
			}
			here.kids = append(here.kids, e)
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if here.text.Len()+len(t) > d.left.field {
				top.odd = fmt.Sprintf("its %s is longer than %d bytes", here.name, d.left.field)
				continue
			}
			here.text.Write(t)
		}
	}
	return top, nil
}

// rest sees that nothing follows.
func (d *document) rest() error {
	for {
		t, err := d.token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text, ok := t.(xml.CharData)
		if _, start := t.(xml.StartElement); start || (ok && strings.TrimSpace(string(text)) != "") {
			return &Error{Message: "something follows GOCDB's answer", kind: broken}
		}
	}
}

// token gives the next token. io.EOF comes only where a document may end.
func (d *document) token() (xml.Token, error) {
	t, err := d.dec.RawToken()
	switch {
	case d.in.err != nil: // of the connection, whatever the decoder makes of it
		return nil, d.in.err
	case errors.Is(err, io.EOF) && len(d.open) == 0:
		return nil, io.EOF
	case errors.Is(err, io.EOF):
		return nil, &Error{Message: "an answer that ends in the middle", kind: broken}
	case err != nil:
		return nil, &Error{Message: "not XML: " + shorten([]byte(err.Error())), kind: broken}
	}
	switch t := t.(type) {
	case xml.StartElement:
		if len(d.open) == d.left.depth {
			return nil, &Error{Message: fmt.Sprintf("more than %d elements in each other", d.left.depth), kind: excess}
		}
		d.open = append(d.open, t.Name)
	case xml.EndElement:
		if len(d.open) == 0 || d.open[len(d.open)-1] != t.Name {
			return nil, &Error{Message: "not XML: an element ends that has not begun", kind: broken}
		}
		d.open = d.open[:len(d.open)-1]
	}
	return t, nil
}

// meter counts what is read, keeps its beginning, and remembers what the connection said.
type meter struct {
	r    io.Reader
	left *int64
	head []byte
	err  error
}

// Read reads, until there was more than the limit.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if *m.left -= int64(n); *m.left < 0 {
		m.err = &Error{Message: "a larger answer than any GOCDB gives", kind: excess}
		return 0, m.err
	}
	if room := 800 - len(m.head); room > 0 {
		m.head = append(m.head, p[:min(n, room)]...)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

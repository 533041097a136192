package glue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Limits bound what Parse takes. A zero value stands for the default.
type Limits struct {
	Bytes   int64 // of the document; 256 MiB: a hundred shares with 500 images each take 80 MB
	Depth   int   // of an object; what is nested deeper becomes null; 40
	Objects int   // of all classes together; 1,000,000
}

// ErrTooLarge is what Parse returns for a document beyond a limit.
var ErrTooLarge = errors.New("the document is too large")

// Parse reads a document: what WriteJSON writes, what cloud-info-provider writes from 1.0 on, and most of what its
// predecessors wrote (one object or one text where a list belongs, local times without a zone, older keys, classes that
// are missing). "UNKNOWN" and GLUE's words for undefined become undefined. Classes and attributes that are not of this
// package are passed over. A bad object or value spoils that only and becomes a finding; an error means that the document
// as a whole is not JSON, not an object, or beyond a limit.
func Parse(r io.Reader, limits Limits) (Document, []Finding, error) {
	return parse(r, limits, false)
}

// parse keeps the words for undefined when verbatim.
func parse(r io.Reader, limits Limits, verbatim bool) (Document, []Finding, error) {
	if limits.Bytes == 0 {
		limits.Bytes = 256 << 20
	}
	if limits.Depth == 0 {
		limits.Depth = maxDepth + 8
	}
	if limits.Objects == 0 {
		limits.Objects = 1_000_000
	}
	text, err := io.ReadAll(io.LimitReader(r, limits.Bytes+1))
	if err != nil {
		return Document{}, nil, err
	}
	if int64(len(text)) > limits.Bytes {
		return Document{}, nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limits.Bytes)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	nameNumbers(text)
	p := &parser{limits: limits, verbatim: verbatim, reader: reader{dec: newDecoder(text), skip: true}, texts: map[string]string{}}
	if err := p.document(); err != nil {
		return Document{}, nil, fmt.Errorf("GLUE document: %w", err)
	}
	return p.doc, p.found, nil
}

// parser fills a document.
type parser struct {
	limits   Limits
	verbatim bool
	reader
	doc     Document
	found   []Finding
	objects int
	texts   map[string]string // ids of which there are many, each kept once
}

func (p *parser) document() error {
	t, err := p.dec.Token()
	if err != nil {
		return unexpectedEnd(err)
	}
	if t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	for p.dec.More() {
		name, err := p.dec.Token()
		if err != nil {
			return unexpectedEnd(err)
		}
		if err := p.class(name.(string)); err != nil {
			return fmt.Errorf("%s: %w", strconv.QuoteToASCII(name.(string)), err)
		}
	}
	if _, err := p.dec.Token(); err != nil {
		return unexpectedEnd(err)
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something behind the JSON object")
	}
	return nil
}

// class reads the objects of one class.
func (p *parser) class(name string) error {
	switch name {
	case serviceClass.name:
		return objects(p, &p.doc.Services, serviceClass)
	case managerClass.name:
		return objects(p, &p.doc.Managers, managerClass)
	case endpointClass.name:
		return objects(p, &p.doc.Endpoints, endpointClass)
	case imageClass.name:
		return objects(p, &p.doc.Images, imageClass)
	case instanceTypeClass.name:
		return objects(p, &p.doc.InstanceTypes, instanceTypeClass)
	case acceleratorClass.name:
		return objects(p, &p.doc.VirtualAccelerators, acceleratorClass)
	case shareClass.name:
		return objects(p, &p.doc.Shares, shareClass)
	case mappingClass.name:
		return objects(p, &p.doc.MappingPolicies, mappingClass)
	case accessClass.name:
		return objects(p, &p.doc.AccessPolicies, accessClass)
	}
	return eachValue(p, func(any) {})
}

// objects reads a list of objects, or a single one.
func objects[T any, P interface {
	*T
	object
}](p *parser, to *[]T, c *class) error {
	*to = nil
	return eachValue(p, func(v any) {
		info, ok := v.(Info)
		if !ok {
			if v != nil {
				p.found = append(p.found, Finding{Level: LevelError, Class: c.name, Reason: "something that is no object"})
			}
			return
		}
		var o T
		if p.read(P(&o), info) {
			*to = append(*to, o)
		}
	})
}

// eachValue calls f with each value of a list, or with the value itself when it is none.
func eachValue(p *parser, f func(any)) error {
	one := func(v any) error {
		if p.objects++; p.objects > p.limits.Objects {
			return fmt.Errorf("%w: more than %d objects", ErrTooLarge, p.limits.Objects)
		}
		f(v)
		return nil
	}
	t, err := p.dec.Token()
	if err != nil {
		return unexpectedEnd(err)
	}
	if t == json.Delim('{') {
		v, err := p.object(p.limits.Depth - 1)
		if err != nil {
			return err
		}
		return one(v)
	}
	if t != json.Delim('[') {
		return one(t)
	}
	for p.dec.More() {
		v, err := p.value(p.limits.Depth)
		if err != nil {
			return err
		}
		if err := one(v); err != nil {
			return err
		}
	}
	_, err = p.dec.Token()
	return unexpectedEnd(err)
}

// read fills an object; false means that it cannot be used.
func (p *parser) read(o object, info Info) bool {
	values := make(map[string]any, len(info))
	for _, item := range info {
		values[item.Name] = item.Value
	}
	ent := o.entity()
	bad := func(attribute, reason string) {
		p.found = append(p.found, Finding{Level: LevelWarning, Class: o.class().name, ID: ent.ID, Attribute: attribute, Reason: reason})
	}
	ent.ID = p.intern(text(values["ID"]))
	if ent.ID == "" {
		p.found = append(p.found, Finding{Level: LevelError, Class: o.class().name, Reason: "an object without ID"})
		return false
	}
	ent.Name = text(values["Name"])
	if v, ok := values["OtherInfo"]; ok {
		if ent.OtherInfo, ok = v.(Info); !ok && v != nil {
			bad("OtherInfo", "not an object")
		}
	}
	if v, ok := values["Validity"]; ok {
		n, ok := whole(v)
		if !ok || n < 0 || n > math.MaxInt64/int64(time.Second) {
			bad("Validity", "not a number of seconds")
		} else {
			ent.Validity = time.Duration(n) * time.Second
		}
	}
	if v, ok := values["CreationTime"]; ok {
		if ent.CreationTime, ok = parseTime(text(v)); !ok {
			bad("CreationTime", "not a time")
		}
	}
	if links, ok := values["Associations"].(Info); ok {
		for _, l := range o.links(nil) {
			*l.ids = p.list(links.Get(l.json))
		}
	} else if values["Associations"] != nil {
		bad("Associations", "not an object")
	}
	for _, f := range o.fields(nil) {
		v, ok := values[f.json]
		if !ok && f.older != "" {
			v, ok = values[f.older]
		}
		if f.json != "" && ok && !p.fill(&f, v) {
			bad(f.json, "a value of another kind")
		}
	}
	return true
}

// fill sets an attribute; false means that the value is of another kind.
func (p *parser) fill(f *field, v any) bool {
	if v == nil {
		return true
	}
	switch to := f.value.(type) {
	case *string:
		s := text(v)
		if !p.undefined(s) {
			*to = s
		}
		return s != "" || v == ""
	case *[]string:
		*to = p.list(v)
	case *ExtendedBoolean:
		return p.boolean(to, v)
	case **int64:
		n, ok := whole(v)
		if ok && (p.verbatim || n != 999999999) {
			*to = &n
		}
		return ok || p.undefined(text(v))
	case **float64:
		x, err := strconv.ParseFloat(text(v), 64)
		if err == nil && !math.IsInf(x, 0) && !math.IsNaN(x) && (p.verbatim || x != 999999999) {
			*to = &x
		}
		return err == nil || p.undefined(text(v))
	}
	return true
}

func (p *parser) boolean(to *ExtendedBoolean, v any) bool {
	s, isText := v.(string)
	switch b, isBool := v.(bool); {
	case isBool && b, isText && strings.EqualFold(s, "true"):
		*to = True
	case isBool, isText && strings.EqualFold(s, "false"):
		*to = False
	case isText && p.verbatim:
		*to = ExtendedBoolean(s)
	case isText && (strings.EqualFold(s, "undefined") || p.undefined(s)):
		*to = Undefined
	default:
		return false
	}
	return true
}

// undefined tells whether a text is one of the words for it.
func (p *parser) undefined(s string) bool {
	return !p.verbatim && (s == "UNKNOWN" || s == undefinedText || strings.HasPrefix(s, undefinedText+":"))
}

// list gives the texts of a list, or of a single one.
func (p *parser) list(v any) []string {
	many, ok := v.([]any)
	if !ok {
		many = []any{v}
	}
	var out []string
	for _, one := range many {
		if s := text(one); s != "" && !p.undefined(s) {
			out = append(out, p.intern(s))
		}
	}
	return out
}

// intern keeps one copy of an id.
func (p *parser) intern(s string) string {
	if kept, ok := p.texts[s]; ok {
		return kept
	}
	p.texts[s] = s
	return s
}

// text gives a text, or a number as text; "" for anything else.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// whole gives a whole number, also one that is written as text or with a fraction of zero.
func whole(v any) (int64, bool) {
	s := text(v)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || x != math.Trunc(x) || math.Abs(x) > 1<<53 {
		return 0, false
	}
	return int64(x), true
}

// parseTime reads an ISO time; one without a zone is UTC.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// nameNumbers writes null, or an empty text where there is no room, in place of what Python reads and writes as numbers though JSON has none: NaN, Infinity and
// -Infinity. A tenant can put them into a document by an image's properties.
func nameNumbers(text []byte) {
	inText := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == 'N' && bytes.HasPrefix(text[i:], []byte("NaN")):
			copy(text[i:], `"" `)
			i += 2
		case c == '-' && bytes.HasPrefix(text[i:], []byte("-Infinity")):
			copy(text[i:], "     null")
			i += 8
		case c == 'I' && bytes.HasPrefix(text[i:], []byte("Infinity")):
			copy(text[i:], "    null")
			i += 7
		}
	}
}

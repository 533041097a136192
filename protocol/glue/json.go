package glue

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// WriteJSON writes the document as cloud-info-provider 1.2.0 does: one line, its keys in its order, everything outside
// printable ASCII escaped. The same document gives the same bytes. Other than that tool it writes every class, as the
// information API drops a site whose document lacks one; Differences lists the rest.
func WriteJSON(w io.Writer, d Document) error {
	out := bufio.NewWriterSize(w, 64<<10)
	e := encoder{}
	sep := byte('{')
	for _, c := range d.classes() {
		e.buf = append(e.buf, sep)
		if sep == ',' {
			e.buf = append(e.buf, ' ')
		}
		sep = ','
		e.text(c.name)
		e.buf = append(e.buf, ": ["...)
		for i := range c.len {
			if i > 0 {
				e.buf = append(e.buf, ", "...)
			}
			e.object(c.at(i))
			if _, err := out.Write(e.buf); err != nil {
				return err
			}
			e.buf = e.buf[:0]
		}
		e.buf = append(e.buf, ']')
	}
	e.buf = append(e.buf, "}\n"...)
	if _, err := out.Write(e.buf); err != nil {
		return err
	}
	return out.Flush()
}

// encoder appends JSON to a buffer, separated as Python's json.dumps does it.
type encoder struct {
	buf    []byte
	fields []field
	links  []link
}

func (e *encoder) key(first *bool, name string) {
	if !*first {
		e.buf = append(e.buf, ", "...)
	}
	*first = false
	e.text(name)
	e.buf = append(e.buf, ": "...)
}

// object appends one object of the document.
func (e *encoder) object(o object) {
	first := true
	e.buf = append(e.buf, '{')
	ent := o.entity()
	e.key(&first, "ID")
	e.text(ent.ID)
	if ent.Validity > 0 {
		e.key(&first, "Validity")
		e.buf = strconv.AppendInt(e.buf, int64(ent.Validity/time.Second), 10)
	}
	if !ent.CreationTime.IsZero() {
		e.key(&first, "CreationTime")
		e.text(pythonTime(ent.CreationTime))
	}
	if name := nameOf(o); name != "" {
		e.key(&first, "Name")
		e.text(name)
	}
	if info := infoOf(o); len(info) > 0 {
		e.key(&first, "OtherInfo")
		e.value(info, maxDepth)
	}
	e.associations(&first, o)
	e.fields = o.fields(e.fields[:0])
	for i := range e.fields {
		f := &e.fields[i]
		if f.json == "" || f.empty() && !f.always {
			continue
		}
		e.key(&first, f.json)
		e.field(f)
	}
	e.buf = append(e.buf, '}')
}

// associations appends the ids of other objects, always as lists. Where the information API looks into a list without
// asking whether it is there, it is written even if empty.
func (e *encoder) associations(first *bool, o object) {
	e.links = o.links(e.links[:0])
	none := true
	for i := range e.links {
		l := &e.links[i]
		if len(*l.ids) == 0 && !l.always {
			continue
		}
		if none {
			e.key(first, "Associations")
			e.buf = append(e.buf, '{')
		}
		e.key(&none, l.json)
		e.list(*l.ids)
	}
	if !none {
		e.buf = append(e.buf, '}')
	}
}

func (e *encoder) list(texts []string) {
	e.buf = append(e.buf, '[')
	for i, s := range texts {
		if i > 0 {
			e.buf = append(e.buf, ", "...)
		}
		e.text(s)
	}
	e.buf = append(e.buf, ']')
}

func (e *encoder) field(f *field) {
	switch v := f.value.(type) {
	case *string:
		e.text(*v)
	case *[]string:
		e.list(*v)
	case **int64:
		e.buf = strconv.AppendInt(e.buf, **v, 10)
	case **float64:
		e.value(**v, 1)
	case *ExtendedBoolean:
		switch *v {
		case True, False:
			e.buf = append(e.buf, *v...)
		default:
			e.text(string(*v))
		}
	}
}

// value appends a value of an Info.
func (e *encoder) value(v any, depth int) {
	if depth < 0 {
		e.buf = append(e.buf, "null"...)
		return
	}
	switch v := v.(type) {
	case bool:
		e.buf = strconv.AppendBool(e.buf, v)
	case string:
		e.text(v)
	case []string:
		e.list(v)
	case []any:
		e.buf = append(e.buf, '[')
		for i, x := range v {
			if i > 0 {
				e.buf = append(e.buf, ", "...)
			}
			e.value(x, depth-1)
		}
		e.buf = append(e.buf, ']')
	case Info:
		e.buf = append(e.buf, '{')
		first := true
		for _, item := range v.unique() {
			e.key(&first, item.Name)
			e.value(item.Value, depth-1)
		}
		e.buf = append(e.buf, '}')
	default:
		e.number(v)
	}
}

// number appends a number; one that not every reader takes goes as text, and what is none as null.
func (e *encoder) number(v any) {
	if n, ok := number(v); ok {
		e.buf = append(e.buf, n...)
		return
	}
	if n, ok := v.(json.Number); ok {
		e.text(string(n))
		return
	}
	e.buf = append(e.buf, "null"...)
}

const hexDigits = "0123456789abcdef"

// text appends a string in ASCII. Bytes that are no UTF-8 become U+FFFD.
func (e *encoder) text(s string) {
	b := append(e.buf, '"')
	for i := 0; i < len(s); {
		from := i
		for i < len(s) && s[i] >= ' ' && s[i] < 0x7f && s[i] != '"' && s[i] != '\\' {
			i++
		}
		if b = append(b, s[from:i]...); i == len(s) {
			break
		}
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case bytes.IndexByte([]byte("\b\t\n\f\r"), c) >= 0:
				b = append(b, '\\', "btn?fr"[c-'\b'])
			default:
				b = appendEscape(b, rune(c))
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if r > 0xffff {
			r -= 0x10000
			b = appendEscape(b, 0xd800+r>>10)
			r = 0xdc00 + r&0x3ff
		}
		b = appendEscape(b, r)
	}
	e.buf = append(b, '"')
}

func appendEscape(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// pythonTime is the instant as Python's isoformat writes it in UTC.
func pythonTime(t time.Time) string {
	t = t.UTC()
	if t.Nanosecond() < 1000 {
		return t.Format("2006-01-02T15:04:05+00:00")
	}
	return t.Format("2006-01-02T15:04:05.000000+00:00")
}

// nameOf is the name that the document gives an object: the information API drops a site with a share or an instance type
// that has none.
func nameOf(o object) string {
	if e := o.entity(); e.Name != "" {
		return e.Name
	}
	switch o := o.(type) {
	case *Share:
		return o.ID
	case *InstanceType:
		return o.ID
	}
	return ""
}

// apiTexts are the names in an image's OtherInfo that the information API takes for texts: with anything else it drops the
// whole site, and a tenant can write there what he likes.
var apiTexts = []string{"eu.egi.cloud.image_ref", "eu.egi.cloud.tag"}

// infoOf is the OtherInfo as the document has it.
func infoOf(o object) Info {
	info := o.entity().OtherInfo
	if _, ok := o.(*Image); !ok {
		return info
	}
	for _, name := range apiTexts {
		v, ok := info.find(name)
		if _, text := v.(string); text || !ok {
			continue
		}
		kept := make(Info, 0, len(info))
		for _, item := range info.unique() {
			switch {
			case item.Name != name:
				kept = append(kept, item)
			case v != nil:
				kept = append(kept, Item{Name: name, Value: compact(v)})
			}
		}
		info = kept
	}
	return info
}

// compact is a value that is no text, as text.
func compact(v any) string {
	e := encoder{}
	e.value(v, maxDepth)
	return string(e.buf)
}

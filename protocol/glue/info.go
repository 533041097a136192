package glue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Info is a JSON object that keeps its order: what an object says beside GLUE's attributes. Values are nil, bool, string,
// int, int64, float64, json.Number, []any, []string and Info; anything else is written as null. Of two items with one name
// the later value counts, at the earlier place.
type Info []Item

// Item is one name of an Info with its value.
type Item struct {
	Name  string
	Value any
}

// Get gives the value of a name, nil when there is none.
func (i Info) Get(name string) any {
	v, _ := i.find(name)
	return v
}

func (i Info) find(name string) (any, bool) {
	for k := len(i) - 1; k >= 0; k-- {
		if i[k].Name == name {
			return i[k].Value, true
		}
	}
	return nil, false
}

// Text gives the value of a name when it is a text, else "".
func (i Info) Text(name string) string {
	s, _ := i.Get(name).(string)
	return s
}

// Limits of what tenants put into properties. The depth is far below that at which Python's reader gives up.
const (
	maxInfoBytes = 1 << 20
	maxDepth     = 32
)

// errDepth tells of JSON that is nested too deeply.
var errDepth = errors.New("nested too deeply")

// ParseInfo reads a JSON object such as an image's APPLIANCE_ATTRIBUTES, at most 1 MiB and 32 levels.
func ParseInfo(text string) (Info, error) {
	if len(text) > maxInfoBytes {
		return nil, fmt.Errorf("%d bytes are more than %d", len(text), maxInfoBytes)
	}
	r := reader{dec: newDecoder([]byte(text))}
	v, err := r.value(maxDepth)
	if err != nil {
		return nil, err
	}
	info, ok := v.(Info)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something behind the JSON object")
	}
	return info, nil
}

func newDecoder(text []byte) *json.Decoder {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec
}

// reader reads values, with objects as Info.
type reader struct {
	dec  *json.Decoder
	skip bool // what is nested too deeply becomes null, else it is an error
}

// value reads the next value, of at most so many levels.
func (r *reader) value(depth int) (any, error) {
	t, err := r.dec.Token()
	if err != nil {
		return nil, unexpectedEnd(err)
	}
	open, ok := t.(json.Delim)
	switch {
	case !ok:
		return t, nil
	case depth == 0 && !r.skip:
		return nil, errDepth
	case depth == 0:
		return nil, r.pass()
	case open == '{':
		return r.object(depth - 1)
	}
	list := []any{}
	for r.dec.More() {
		v, err := r.value(depth - 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err = r.dec.Token()
	return list, unexpectedEnd(err)
}

// object reads the rest of an object whose brace has been read.
func (r *reader) object(depth int) (any, error) {
	info := Info{}
	for r.dec.More() {
		name, err := r.dec.Token()
		if err != nil {
			return nil, unexpectedEnd(err)
		}
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		info = append(info, Item{Name: name.(string), Value: v}) // the decoder lets only texts be names
	}
	_, err := r.dec.Token()
	return info, unexpectedEnd(err)
}

// pass reads the rest of a list or object, and keeps nothing.
func (r *reader) pass() error {
	for open := 1; open > 0; {
		t, err := r.dec.Token()
		if err != nil {
			return unexpectedEnd(err)
		}
		switch t {
		case json.Delim('['), json.Delim('{'):
			open++
		case json.Delim(']'), json.Delim('}'):
			open--
		}
	}
	return nil
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unique gives the items with the later value of a repeated name at the earlier place.
func (i Info) unique() Info {
	if len(i) < 2 {
		return i
	}
	place := make(map[string]int, len(i))
	out := make(Info, 0, len(i))
	for _, item := range i {
		if k, ok := place[item.Name]; ok {
			out[k].Value = item.Value
			continue
		}
		place[item.Name] = len(out)
		out = append(out, item)
	}
	return out
}

// number gives the text of a JSON number that every reader takes, and whether there is one: NaN and what overflows a double
// have none, and with that all integers that are too long for Python.
func number(v any) (string, bool) {
	switch v := v.(type) {
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", false
		}
		b, err := json.Marshal(v)
		return string(b), err == nil
	case json.Number:
		if _, err := v.Float64(); err != nil || !json.Valid([]byte(v)) {
			return "", false
		}
		return string(v), true
	}
	return "", false
}

package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Schema gives the JSON Schema of the configuration file, for editors. It says the form; rules between keys are Parse's.
func Schema() []byte {
	s := objectSchema(reflect.TypeFor[fileTop]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Configuration of fedsite"
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("config: schema: %v", err)) // made of our own values
	}
	return append(text, '\n')
}

// alternatives are the forms of a mapping that is one of several.
var alternatives = map[reflect.Type][]reflect.Type{reflect.TypeFor[fileEntry](): {reflect.TypeFor[fileSite](), reflect.TypeFor[fileSites]()}}

func objectSchema(t reflect.Type) map[string]any {
	if forms := alternatives[t]; forms != nil {
		all := []any{}
		for _, form := range forms {
			all = append(all, objectSchema(form))
		}
		return map[string]any{"oneOf": all}
	}
	properties := map[string]any{}
	var required []string
	for _, f := range fields(t) {
		s := typeSchema(f.typ, f)
		s["description"] = f.get("doc")
		if f.get("default") != "" {
			s["default"] = plain(parseDefault(f))
		}
		properties[f.key] = s
		switch {
		case f.isSecret():
			properties[f.key+"_file"] = map[string]any{"type": "string", "minLength": 1, "description": "File that holds " + f.key + "."}
		case f.required():
			required = append(required, f.key)
		}
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	// A cloud may take everything but its name over from another one, and a site from the top: only names are required
	// there, which no other key gives.
	if required != nil {
		s["required"] = required
	}
	return s
}

func typeSchema(t reflect.Type, f field) map[string]any {
	v := reflect.New(t).Interface()
	switch v := v.(type) {
	case leaf:
		return v.schema(f)
	case dictionary:
		return map[string]any{"type": "object", "additionalProperties": typeSchema(v.element(), field{})}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem(), f)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": typeSchema(t.Elem(), f)}
	}
	return objectSchema(t)
}

// plain gives a default as JSON has it.
func plain(n *node) any {
	if n.kind == list {
		all := []any{}
		for _, item := range n.items {
			all = append(all, plain(item))
		}
		return all
	}
	var v any
	if !n.quoted && json.Unmarshal([]byte(n.text), &v) == nil {
		return v
	}
	return n.text
}

func (t *text) schema(f field) map[string]any {
	if words := f.enum(); words != nil {
		return map[string]any{"enum": words}
	}
	s := map[string]any{"type": []string{"string", "number", "boolean"}, "minLength": 1} // a number is taken as it is written
	if f.get("pattern") != "" {
		s["pattern"] = f.get("pattern")
	}
	if n, err := strconv.Atoi(f.get("maxlen")); err == nil {
		s["maxLength"] = n
	}
	switch f.get("format") {
	case "email":
		s["pattern"] = "^[^@ ]+@[^@ ]+$"
	case "url":
		s["pattern"] = "^https?://[^/@]+(/.*)?$"
	case "path":
		s["pattern"] = "^/"
	}
	return s
}

func (w *words) schema(f field) map[string]any {
	one := (&text{}).schema(f)
	return map[string]any{"oneOf": []any{one, map[string]any{"type": "array", "minItems": 1, "items": one}}}
}

func (p *perPart) schema(f field) map[string]any {
	one := (&text{}).schema(f)
	own := map[string]any{}
	for _, part := range parts {
		own[string(part)] = one
	}
	return map[string]any{"oneOf": []any{one, map[string]any{"type": "object", "additionalProperties": false, "minProperties": 1, "properties": own}}}
}

func (v *number) schema(f field) map[string]any { return bounded("integer", f) }
func (v *real) schema(f field) map[string]any   { return bounded("number", f) }

func bounded(kind string, f field) map[string]any {
	s := map[string]any{"type": kind}
	for tag, word := range map[string]string{"min": "minimum", "max": "maximum", "below": "exclusiveMaximum"} {
		if x, err := strconv.ParseFloat(f.get(tag), 64); err == nil {
			s[word] = x
		}
	}
	return s
}

func (v *flag) schema(field) map[string]any { return map[string]any{"type": "boolean"} }

func (v *duration) schema(field) map[string]any {
	return map[string]any{"type": "string", "pattern": `^[+-]?(\d+d)?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))*$`, "minLength": 2}
}

func (v *date) schema(field) map[string]any {
	return map[string]any{"type": "string", "pattern": `^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2}))?$`}
}

func (v *period) schema(field) map[string]any {
	return map[string]any{"type": "string", "pattern": periods.String(), "minLength": 2}
}

func (v *daily) schema(field) map[string]any {
	return map[string]any{"type": "string", "pattern": `^(off|([01]\d|2[0-3]):[0-5]\d)$`}
}

func (v *cron) schema(field) map[string]any {
	return map[string]any{"type": "string", "pattern": `^(@[a-z]+( \S+)?|\S+( +\S+){4})$`}
}

func (v *listen) schema(field) map[string]any {
	return map[string]any{"type": "string", "pattern": `^(off|(localhost|127\.[0-9.]+|\[[0-9a-fA-F:.]+\]):\d+)$`}
}

func (v *secret) schema(f field) map[string]any {
	one := map[string]any{"type": []string{"string", "number", "boolean"}}
	if f.get("format") != "proxy" {
		one["minLength"] = 1
	}
	forms := map[string]any{}
	for _, form := range secretForms {
		forms[form] = map[string]any{"type": "string", "minLength": 1}
	}
	return map[string]any{"oneOf": []any{one,
		map[string]any{"type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1, "properties": forms}}}
}

func (t *text) kind(f field) string {
	switch {
	case f.enum() != nil:
		return either(f.enum())
	case f.get("format") == "url":
		return "URL"
	case f.get("format") == "email":
		return "mail address"
	case f.get("format") == "ip":
		return "IP address"
	case f.get("format") == "path":
		return "absolute path"
	case f.get("maxlen") != "":
		return "text, up to " + f.get("maxlen") + " characters"
	}
	return "text"
}

func (w *words) kind(f field) string { return (&text{}).kind(f) + ", or a list" }
func (p *perPart) kind(f field) string {
	return (&text{}).kind(f) + ", or {accounting: …, discovery: …, images: …}"
}
func (v *flag) kind(field) string       { return "true or false" }
func (v *date) kind(field) string       { return "date" }
func (v *secret) kind(field) string     { return "secret" }
func (v *number) kind(f field) string   { return "whole number" + within(f) }
func (v *real) kind(f field) string     { return "number" + within(f) }
func (v *duration) kind(f field) string { return "duration" + within(f) }
func (v *period) kind(f field) string   { return "period" + within(f) }
func (v *daily) kind(field) string      { return "time of day, or off" }
func (v *cron) kind(field) string       { return "cron expression" }
func (v *listen) kind(field) string     { return "address with port, or off" }

func within(f field) string {
	var parts []string
	for _, b := range []struct{ tag, words string }{{"min", "at least"}, {"max", "at most"}, {"below", "below"}} {
		if f.get(b.tag) != "" {
			parts = append(parts, b.words+" "+f.get(b.tag))
		}
	}
	if parts == nil {
		return ""
	}
	return ", " + strings.Join(parts, ", ")
}

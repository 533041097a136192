package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/site"
)

// validate holds a value against the words of JSON Schema that Schema uses, and fails on others.
func validate(t *testing.T, schema map[string]any, v any, at string) []string {
	t.Helper()
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	object, _ := v.(map[string]any)
	array, _ := v.([]any)
	text, isText := v.(string)
	number, isNumber := v.(float64)
	for word, arg := range schema {
		switch word {
		case "$schema", "title", "description", "default":
		case "type":
			if !slices.ContainsFunc(kinds(arg), func(k string) bool { return isOf(k, v) }) {
				bad("is no %v: %v", arg, v)
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				bad("is none of %v: %v", arg, v)
			}
		case "oneOf":
			fit := 0
			for _, one := range arg.([]any) {
				if validate(t, one.(map[string]any), v, at) == nil {
					fit++
				}
			}
			if fit != 1 {
				bad("fits %d of the forms", fit)
			}
		case "required":
			for _, key := range arg.([]any) {
				if _, ok := object[key.(string)]; object != nil && !ok {
					bad("lacks %s", key)
				}
			}
		case "properties":
			for key, value := range object {
				if s, ok := arg.(map[string]any)[key]; ok {
					wrong = append(wrong, validate(t, s.(map[string]any), value, at+"."+key)...)
				}
			}
		case "additionalProperties":
			known, _ := schema["properties"].(map[string]any)
			for key, value := range object {
				if _, ok := known[key]; ok {
					continue
				}
				if s, ok := arg.(map[string]any); ok {
					wrong = append(wrong, validate(t, s, value, at+"."+key)...)
				} else {
					bad("has the key %s", key)
				}
			}
		case "items":
			for i, item := range array {
				wrong = append(wrong, validate(t, arg.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		case "minItems":
			if array != nil && float64(len(array)) < arg.(float64) {
				bad("is too short")
			}
		case "minLength":
			if isText && float64(len([]rune(text))) < arg.(float64) {
				bad("is too short")
			}
		case "maxLength":
			if isText && float64(len([]rune(text))) > arg.(float64) {
				bad("is too long")
			}
		case "pattern":
			if isText && !regexp.MustCompile(arg.(string)).MatchString(text) {
				bad("does not match %s", arg)
			}
		case "minProperties", "maxProperties":
			n := float64(len(object))
			if object != nil && (word == "minProperties" && n < arg.(float64) || word == "maxProperties" && n > arg.(float64)) {
				bad("has %v keys", n)
			}
		case "minimum":
			if isNumber && number < arg.(float64) {
				bad("is below %v", arg)
			}
		case "maximum":
			if isNumber && number > arg.(float64) {
				bad("is above %v", arg)
			}
		case "exclusiveMaximum":
			if isNumber && number >= arg.(float64) {
				bad("is not below %v", arg)
			}
		default:
			t.Fatalf("%s: the schema uses %q, which this test does not know", at, word)
		}
	}
	return wrong
}

func kinds(arg any) []string {
	if one, ok := arg.(string); ok {
		return []string{one}
	}
	var all []string
	for _, k := range arg.([]any) {
		all = append(all, k.(string))
	}
	return all
}

func isOf(kind string, v any) bool {
	switch x := v.(type) {
	case string:
		return kind == "string"
	case bool:
		return kind == "boolean"
	case float64:
		return kind == "number" || kind == "integer" && x == float64(int64(x))
	case map[string]any:
		return kind == "object"
	case []any:
		return kind == "array"
	}
	return false
}

// asJSON gives a text of YAML as an editor sees it.
func asJSON(t *testing.T, text string) any {
	t.Helper()
	p := newProblems("text", text)
	n := parse(p, text)
	if err := p.err(); err != nil {
		t.Fatal(err)
	}
	var give func(*node) any
	give = func(n *node) any {
		switch n.kind {
		case mapping:
			m := map[string]any{}
			for _, pair := range n.pairs {
				m[pair.key] = give(pair.value)
			}
			return m
		case list:
			all := []any{}
			for _, item := range n.items {
				all = append(all, give(item))
			}
			return all
		}
		if x, err := strconv.ParseFloat(n.text, 64); err == nil && !n.quoted {
			return x
		}
		if !n.quoted && (n.text == "true" || n.text == "false") {
			return n.text == "true"
		}
		return n.text
	}
	return give(n)
}

func schemaOf(t *testing.T) map[string]any {
	t.Helper()
	var s map[string]any
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaFitsWhatLoads(t *testing.T) {
	s := schemaOf(t)
	if s["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %v", s["$schema"])
	}
	for name, text := range files(t) {
		if wrong := validate(t, s, asJSON(t, text), name); wrong != nil {
			t.Error(strings.Join(wrong, "\n"))
		}
		if wrong := validate(t, s, asJSON(t, shownText(t, parsed(t, text))), name+", shown"); wrong != nil {
			t.Error(strings.Join(wrong, "\n"))
		}
	}
}

func TestSchemaRefusesWrongForms(t *testing.T) {
	s := schemaOf(t)
	for _, text := range []string{
		"acounting: {}", "access: {}", "accounting: {mode: activ}", "accounting: {overlap: 15}", "accounting: {max_records: 101}", "accounting: {ams: {project: a b}}",
		"site: {}", "clouds: {}", "vos: [{project: p}]", "discovery: {publish: [{ldap: {listen: \":2170\"}}]}", "discovery: {schedule: {send: \"@hourly\"}}", "discovery: {gocdb: {url: no}}", "vos: [{name: a, project: p, cloud: []}]", "flavors: {a: {benchmark: {type: a, value: 9999999}}}",
		"credentials: {a: {token: {fil: a}}}", "credentials: {a: {token: {file: a, env: b}}}", "store: {path: [a]}", "clouds: [{name: a, auth_url: ftp://x}]",
		"web: {listen: \"0.0.0.0:80\"}", "retention: {runs: 90}", "notify: {email: a}", "notify: {digest: \"24:00\"}", "mute: [{}]", "accounting: {schedule: {send: \"* *\"}}",
		"sites: [{include: a, gocdb: b}]", "sites: [{}]", "clouds: [{name: a, mode: {access: active}}]", "credentials: {a: {vault: {kv: 3}}}", "credentials: {a: {exec: {command: x}}}",
	} {
		if validate(t, s, asJSON(t, text), "") == nil {
			t.Errorf("the schema takes %s", text)
		}
		if report(t, text) == nil {
			t.Errorf("the loader takes %s", text)
		}
	}
}

var tagName = regexp.MustCompile(`(?:^|" )([a-z]+):"`)

// TestFormIsWhole: every key has a meaning, the tags can be read, and reference and schema know each key.
func TestFormIsWhole(t *testing.T) {
	reference := string(Reference())
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		_, typ = step("", typ)
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for _, f := range fields(typ) {
			if f.get("doc") == "" || !strings.HasSuffix(f.get("doc"), ".") {
				t.Errorf("%s.%s has no sentence that says what it is", typ.Name(), f.key)
			}
			if !strings.Contains(reference, f.key+"`") && !strings.Contains(reference, "## "+f.key) {
				t.Errorf("the reference does not know %s.%s", typ.Name(), f.key)
			}
			if f.get("default") != "" {
				parseDefault(f)
			}
			if f.get("pattern") != "" && f.get("words") == "" {
				t.Errorf("%s.%s does not say its pattern in words", typ.Name(), f.key)
			}
			if f.get("pattern") != "" {
				regexp.MustCompile(f.get("pattern"))
			}
			for _, m := range tagName.FindAllStringSubmatch(string(f.tag), -1) {
				name := m[1]
				if !slices.Contains([]string{"key", "required", "default", "enum", "min", "max", "below", "pattern", "words", "format", "maxlen", "doc", "note"}, name) {
					t.Errorf("%s.%s has an unknown tag %q", typ.Name(), f.key, name)
				}
			}
			walk(f.typ)
		}
	}
	walk(reflect.TypeFor[fileTop]())
	for _, f := range fields(reflect.TypeFor[fileParts]()) {
		if f.key == "vo_properties" {
			var got []string
			for _, item := range parseDefault(f).items {
				got = append(got, item.text)
			}
			if d := cmp.Diff(site.DefaultProperties, got); d != "" {
				t.Errorf("the default of vo_properties is not site.DefaultProperties: %s", d)
			}
		}
	}
}

// TestReferenceNotesWhatIsSensitive: each secret and personal field is marked.
func TestReferenceNotesWhatIsSensitive(t *testing.T) {
	for _, want := range []string{"| `credentials.*.password` | secret |  | secret |", "| `store.url` | secret |  | secret |", "| `network.proxy` | secret |  | secret |",
		"| `accounting.ams.token` | secret |  | secret |", "| `privacy.global_user_name` | name, id or omit | `name` | personal |",
		"| `privacy.machine_name` | send or omit | `send` | personal |", "| `site.gocdb` | text |  | required |", "| `accounting.overlap` | duration, at least 1m, at most 24h | `15m` |"} {
		if !strings.Contains(string(Reference()), want) {
			t.Errorf("the reference lacks %s", want)
		}
	}
}

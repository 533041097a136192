package config

import (
	"fmt"
	"reflect"
	"strings"
)

// introduction opens the reference: what is true of all keys.
const introduction = `# The configuration file

Generated from the program.

The file is ` + "`/etc/fedsite/fedsite.yaml`" + `, unless ` + "`--config` or `FEDSITE_CONFIG`" + ` names another. It is YAML, read strictly: an unknown key or
one that is there twice is an error; all errors come at once. ` + "`fedsite config check`" + ` reads it, ` + "`fedsite config show`" + ` says what is
in effect and why. Anchors, aliases and tags are not read.

- **Site or sites.** ` + "`site`" + ` with ` + "`clouds`, `vos`" + ` and the rest beside it, or ` + "`sites`" + `, a list whose entries hold the same keys. Both load
  to the same.
- **Secrets** stand in the file, or are read anew each time from ` + "`{file: PATH}`, `{env: VARIABLE}` or `{credential: NAME}`" + ` (of the
  systemd unit); each secret ` + "`x` also takes `x_file: PATH`" + `. One newline at the end is cut. They are never shown.
- **Site files.** An entry of ` + "`sites`" + ` may be ` + "`{include: PATTERN}`" + `: files that hold one site each, with the keys that one site has at
  the top here. What is wrong in one concerns its site alone. They hold no secrets themselves, as their text is kept in the database.
  With ` + "`format: catch-all`" + ` they are those of EGI's catch-all operations, as they are: ` + "`gocdb`, `endpoint`, `auth`, `region`, `protocol`, `vos`" + ` (with
  ` + "`auth.project_id`, `auth.region`, `defaultNetwork`, `publicNetwork`), `accounting.enabled`" + `; a site whose file does not say the last one is not
  accounted. Other keys are left out, and ` + "`fedsite config check`" + ` tells of them. Files that share a name are one site, with a cloud for each,
  named after the host of its endpoint.
- **Durations** have a unit: ` + "`90s`, `15m`, `1h`, `2d`" + `; **periods** count calendar months too: ` + "`18mo`, `180d`" + `. **Dates** are days, or moments as ` + "`2026-11-01T00:00:00Z`" + `; UTC.
- **The environment** sets ` + "`FEDSITE_CONFIG`" + `; ` + "`FEDSITE_LOG`" + `, a level (debug, info, warn, error), ` + "`json`" + ` or both: ` + "`info,json`" + `; and
  ` + "`FEDSITE_DATABASE`" + `, which overrides ` + "`store`" + `: a URL of PostgreSQL, or a directory.

In paths, ` + "`[]`" + ` is each entry of a list, and ` + "`*`" + ` a name of your choice.
`

// Reference gives the reference of every key as Markdown.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(introduction)
	for _, f := range fields(reflect.TypeFor[fileTop]()) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", f.key, f.get("doc"))
		var rows []string
		if f.key != "sites" { // the same keys as at the top
			rows = keys(f.key, f.typ)
		} else {
			rows = keys("sites", reflect.TypeFor[[]fileName]())
			rows = append(rows, keys("sites", reflect.TypeFor[[]fileInclude]())...)
			rows = append(rows, row("sites[]."+strings.Join(siteKeys, ", "), "", "", "", "As at the top of the file."))
		}
		if !isObject(f.typ) {
			rows = append([]string{row(f.key, kindOf(f.typ, f), f.get("default"), note(f), "")}, rows...)
		}
		if len(rows) > 0 {
			b.WriteString("\n| key | type | default | note | meaning |\n| --- | --- | --- | --- | --- |\n" + strings.Join(rows, ""))
		}
	}
	return []byte(b.String())
}

// keys gives a row for each key beneath a path.
func keys(path string, t reflect.Type) []string {
	path, t = step(path, t)
	if t.Kind() != reflect.Struct {
		return nil
	}
	if _, ok := reflect.New(t).Interface().(leaf); ok {
		return nil
	}
	if t == reflect.TypeFor[fileNetwork]() && path != "network" {
		return []string{row(path+".*", "", "", "", "As under network.")}
	}
	var rows []string
	for _, f := range fields(t) {
		rows = append(rows, row(path+"."+f.key, kindOf(f.typ, f), f.get("default"), note(f), f.get("doc")))
		rows = append(rows, keys(path+"."+f.key, f.typ)...)
	}
	return rows
}

// step goes to what a list or mapping holds.
func step(path string, t reflect.Type) (string, reflect.Type) {
	for {
		if d, ok := reflect.New(t).Interface().(dictionary); ok {
			path, t = path+".*", d.element()
			continue
		}
		switch t.Kind() {
		case reflect.Pointer:
			t = t.Elem()
		case reflect.Slice:
			path, t = path+"[]", t.Elem()
		default:
			return path, t
		}
	}
}

// isObject tells whether a key holds further keys only.
func isObject(t reflect.Type) bool {
	_, t = step("", t)
	_, ok := reflect.New(t).Interface().(leaf)
	return !ok
}

func kindOf(t reflect.Type, f field) string {
	v := reflect.New(t).Interface()
	if l, ok := v.(leaf); ok {
		return l.kind(f)
	}
	if _, ok := v.(dictionary); ok {
		return "mapping"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem(), f)
	case reflect.Slice:
		if isObject(t) {
			return "list"
		}
		return "list of " + kindOf(t.Elem(), f)
	}
	return "mapping"
}

func note(f field) string {
	var all []string
	if f.required() {
		all = append(all, "required")
	}
	if f.isSecret() {
		all = append(all, "secret")
	}
	if f.get("note") != "" {
		all = append(all, f.get("note"))
	}
	return strings.Join(all, "; ")
}

func row(path, kind, def, note, doc string) string {
	if def != "" {
		def = "`" + def + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", path, cell(kind), def, cell(note), cell(doc))
}

// cell keeps a text within its cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

package glue

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/protocol/glue/slapdtest"
)

var (
	schemaComment = regexp.MustCompile(`(?m)^#.*$`)
	schemaName    = regexp.MustCompile(`NAME\s+'([^']+)'`)
)

// readSchema gives what an OpenLDAP schema says of its attributes: "integer" or "text", and whether there may be several.
func readSchema(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	text := schemaComment.ReplaceAllString(string(b), "")
	for _, part := range regexp.MustCompile(`(?i)\b(attributetype|objectclass)\s*\(`).Split(text, -1) {
		m := schemaName.FindStringSubmatch(part)
		if m == nil || !strings.Contains(part, "SYNTAX") {
			continue
		}
		kind := "text"
		if strings.Contains(part, "SYNTAX INT") || strings.Contains(part, "115.121.1.27") {
			kind = "integer"
		}
		if !strings.Contains(part, "SINGLE-VALUE") {
			kind += "s"
		}
		out[m[1]] = kind
	}
	return out
}

// TestAttributesAreTheSchemas: every attribute that we write is in the schema, with our kind, and takes several values if
// we may have several.
func TestAttributesAreTheSchemas(t *testing.T) {
	schema := readSchema(t, "testdata/glue21-cloud.schema")
	if len(schema) < 100 {
		t.Fatalf("%d attributes were read", len(schema))
	}
	base := map[string]string{}
	if _, err := os.Stat(slapdtest.GLUE20); err == nil {
		base = readSchema(t, slapdtest.GLUE20)
	}
	for _, o := range []object{&Service{}, &Manager{}, &Endpoint{}, &Image{}, &InstanceType{}, &VirtualAccelerator{}, &Share{}, &MappingPolicy{}, &AccessPolicy{}} {
		check := func(name string, want ...string) {
			got, ok := schema[name]
			if !ok && !strings.HasPrefix(name, "GLUE2Cloud") {
				if got, ok = base[name]; len(base) == 0 {
					return // the schema of GLUE 2.0 is not installed
				}
			}
			if !ok || !slices.Contains(want, got) {
				t.Errorf("%s %s: %q in the schema, want %q", o.class().name, name, got, want)
			}
		}
		check(o.class().id, "text")
		for _, f := range o.fields(nil) {
			switch f.value.(type) {
			case *[]string:
				check(f.ldap, "texts")
			case **int64, **float64:
				check(f.ldap, "integer")
			default:
				check(f.ldap, "text", "texts")
			}
		}
		for _, l := range o.links(nil) {
			for _, name := range l.ldap {
				if l.single {
					check(name, "text", "texts")
				} else {
					check(name, "texts")
				}
			}
		}
	}
}

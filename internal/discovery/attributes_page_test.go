package discovery

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/protocol/glue"
)

var update = flag.Bool("update", false, "write the generated part of the page anew")

// TestAttributesPage keeps docs/reference/discovery-attributes.md true: it has every attribute that a document can have, by
// class, no other, and the list of differences as the program has it.
func TestAttributesPage(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "reference", "discovery-attributes.md")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(s, "\n")
		sections[title] = text
	}
	for class, want := range possibleAttributes(t) {
		got := map[string]bool{}
		for _, line := range strings.Split(sections[class], "\n") {
			cells := strings.Split(line, " | ")
			if len(cells) != 5 {
				continue
			}
			for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[0]+" "+cells[1], -1) {
				got[name[1]] = true
			}
			for i, c := range cells {
				if strings.Trim(c, "| ") == "" && i != 3 {
					t.Errorf("%s: an empty cell: %s", class, line)
				}
			}
		}
		for name := range want {
			if !got[name] {
				t.Errorf("%s: the page does not have %s", class, name)
			}
		}
		for name := range got {
			if !want[name] {
				t.Errorf("%s: the page has %s, which no document does", class, name)
			}
		}
	}
	for _, p := range renderedProperties() {
		if !strings.Contains(sections["CloudComputingImage"]+sections["CloudComputingImageNetworkConfiguration"], p) && p != "CLOUDKEEPER_base_mpuri" {
			t.Errorf("the page does not have the property %s", p)
		}
	}
	const begin, end = "-update -->\n", "<!-- end -->"
	head, rest, ok := strings.Cut(string(page), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("the marks of the generated part are not there")
	}
	want := head + begin + differencesTable() + end + tail
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Errorf("%s is out of date: go test ./internal/discovery -run TestAttributesPage -update", file)
	}
}

func differencesTable() string {
	var b strings.Builder
	b.WriteString("\n| class | attributes | 1.2.0 | fedsite | why |\n| --- | --- | --- | --- | --- |\n")
	for _, d := range glue.Differences() {
		attributes := "the list itself"
		if d.Attributes != nil {
			attributes = strings.Join(d.Attributes, ", ")
		}
		class := d.Class
		if class == "*" {
			class = "every class"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", class, attributes, d.Peer, d.Ours, d.Reason)
	}
	b.WriteString("\n")
	return b.String()
}

// possibleAttributes gives, by class, the names that a document has in which everything is said.
func possibleAttributes(t *testing.T) map[string]map[string]bool {
	t.Helper()
	var d glue.Document
	fill(t, reflect.ValueOf(&d).Elem(), "x")
	out := map[string]map[string]bool{}
	add := func(class, name string) {
		if out[class] == nil {
			out[class] = map[string]bool{}
		}
		out[class][name] = true
	}
	general := []string{"ID", "Validity", "CreationTime", "Name", "OtherInfo"}
	for _, n := range general {
		add("Every class", n)
	}
	for _, n := range []string{"GLUE2ShareID", "GLUE2EntityValidity", "GLUE2EntityCreationTime", "GLUE2EntityName", "GLUE2EntityOtherInfo"} {
		add("Every class", n)
	}
	var written map[string][]map[string]any
	if err := json.Unmarshal(documentJSON(t, d), &written); err != nil {
		t.Fatal(err)
	}
	for class, objects := range written {
		for name, value := range objects[0] {
			if name == "Associations" {
				for _, to := range slices.Collect(maps.Keys(value.(map[string]any))) {
					add(class, "Associations."+to)
				}
			} else if !slices.Contains(general, name) {
				add(class, name)
			}
		}
	}
	classes := slices.Collect(maps.Keys(written))
	for e := range glue.Entries(d, glue.ResourceBase(), func(f glue.Finding) { t.Error(f) }) {
		own := e.DN[0].Name
		class := ""
		for _, oc := range e.Attributes[0].Values {
			if name := strings.TrimPrefix(oc, "GLUE2"); slices.Contains(classes, name) || name == "CloudComputingImageNetworkConfiguration" {
				class = name
			}
		}
		for _, a := range e.Attributes[1:] {
			if a.Name != own && !strings.HasPrefix(a.Name, "GLUE2Entity") {
				add(class, a.Name)
			}
		}
	}
	if len(out) != 11 {
		t.Fatalf("%d classes", len(out))
	}
	return out
}

// fill gives everything a value, and one object of each class, all named alike so that they find each other.
func fill(t *testing.T, v reflect.Value, text string) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(renderedAt))
		return
	case time.Duration:
		v.Set(reflect.ValueOf(time.Hour))
		return
	case glue.Info:
		v.Set(reflect.ValueOf(glue.Info{{Name: "a", Value: "b"}}))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := text
			if v.Type().Field(i).Name == "Rule" {
				name = "VO:x"
			}
			fill(t, v.Field(i), name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), text)
	case reflect.String:
		v.SetString(text)
	case reflect.Int64:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1)
	default:
		t.Fatal("a document has a ", v.Type())
	}
}

// TestAttributesPageNamesEveryState: the page says of every word of Nova what it means.
func TestAttributesPageNamesEveryState(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "discovery-attributes.md"))
	if err != nil {
		t.Fatal(err)
	}
	for word, state := range vmStates {
		row := regexp.MustCompile("(?im)^\\| `"+string(state)+"VM` .*$").FindAll(page, -1)
		if !bytes.Contains(bytes.Join(row, nil), []byte(word)) {
			t.Errorf("the page does not say that %s is %s", word, state)
		}
	}
}

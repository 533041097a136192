package directory

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/protocol/glue"
)

// TestTree: every entry stands where its DN says, in both trees with the same values, each once.
func TestTree(t *testing.T) {
	tree := newTree(some(), "1", func(o Oddity) { t.Error(o) })
	want := map[string]string{}
	for _, d := range some() {
		for _, base := range []glue.DN{glue.ResourceBase(), glue.CloudBase(d.Site)} {
			for _, e := range glue.BaseEntries(base) {
				want[key(e.DN)] = fmt.Sprintf("%q", e.Attributes)
			}
			for e := range glue.Entries(d.Document, base, nil) {
				want[key(e.DN)] = fmt.Sprintf("%q", e.Attributes)
			}
		}
	}
	if len(tree.nodes) != len(want) || len(tree.byKey) != len(want) {
		t.Errorf("%d entries, %d names, want %d", len(tree.nodes), len(tree.byKey), len(want))
	}
	for i, n := range tree.nodes {
		k := key(n.dn)
		if tree.byKey[k] != i {
			t.Errorf("%s is found elsewhere", k)
		}
		var attributes []glue.Attribute
		for _, a := range n.attributes {
			attributes = append(attributes, glue.Attribute{Name: a.name, Values: a.values})
		}
		if got := fmt.Sprintf("%q", attributes); got != want[k] {
			t.Errorf("%s: %s, want %s", k, got, want[k])
		}
		for j, other := range tree.nodes {
			under := len(other.dn) >= len(n.dn) && key(other.dn[len(other.dn)-len(n.dn):]) == k
			if in := j >= i && j < n.end; in != under {
				t.Errorf("%s in the subtree of %s: %v", other.dn, n.dn, in)
			}
			if child := slices.Contains(n.children, j); child != (under && len(other.dn) == len(n.dn)+1) {
				t.Errorf("%s is a child of %s: %v", other.dn, n.dn, child)
			}
		}
	}
}

// TestSameName: of two documents with one entry the first is served, and the other's own entries too; it is told once.
func TestSameName(t *testing.T) {
	first, second := cloud("https://x", "S", 1, 1, 0, "first "), cloud("https://x", "S", 2, 2, 0, "second ")
	var odd []Oddity
	tree := newTree([]Document{{"S", "one", first}, {"S", "two", second}, {" ", "three", cloud("https://y", "Y", 1, 0, 0, "")}}, "1", func(o Oddity) { odd = append(odd, o) })
	if len(odd) < 2 || odd[0].Document != "two" || !strings.Contains(odd[0].Reason, "another document") || !strings.Contains(odd[1].Reason, "no site") {
		t.Errorf("%q", odd)
	}
	for _, o := range odd[1:] { // one line for all that two has in vain
		if o.Document != "three" {
			t.Error(o)
		}
	}
	count := map[string]int{}
	for _, n := range tree.nodes {
		name := n.normal(tree.ids["glue2entityname"], "glue2entityname")
		base := n.dn[max(0, len(n.dn)-2)].Name
		if len(name) > 0 && n.class() == "GLUE2CloudComputingImage" {
			count[base+" "+name[0]]++
		}
	}
	want := map[string]int{
		"GLUE2GroupID first image 0": 1, "GLUE2GroupID second image 0": 1, "GLUE2GroupID second image 1": 2,
		"GLUE2DomainID first image 0": 1, "GLUE2DomainID second image 0": 1, "GLUE2DomainID second image 1": 2,
	}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", count, want)
	}
}

// TestSchema: cloud attributes are compared by the rules that the schema gives them.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile("../../protocol/glue/testdata/glue21-cloud.schema")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`attributetype \( \S+ NAME '(\S+)' EQUALITY (\S+) `).FindAllStringSubmatch(string(text), -1)
	if len(all) < 100 {
		t.Errorf("only %d attributes were read", len(all))
	}
	for _, a := range all {
		if _, got, _ := describe(a[1]); got != matchingRules[strings.ToLower(a[2])] {
			t.Errorf("%s: rule %d, want %s", a[1], got, a[2])
		}
	}
}

// TestNumbers: integers of any length are compared as numbers, and only those that are written as RFC 4517 says.
func TestNumbers(t *testing.T) {
	order := []string{"-100000000000000000000", "-99999999999999999999", "-10", "-9", "-1", "0", "1", "9", "10", "99999999999999999999", "100000000000000000000"}
	for i, a := range order {
		if _, ok := wholeNumber(a); !ok {
			t.Errorf("%s is no number", a)
		}
		for j, b := range order {
			if got := compareNumbers(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s to %s: %d", a, b, got)
			}
		}
	}
	for _, s := range []string{"", "-", "+1", "01", "-01", "-0", "1.5", " 1", "1 ", "0x1", "١"} {
		if _, ok := wholeNumber(s); ok {
			t.Errorf("%q is a number", s)
		}
	}
}

// TestFold: blanks count once, and at an end only where something may follow.
func TestFold(t *testing.T) {
	for _, c := range []struct {
		in          string
		left, right bool
		want        string
	}{
		{"", false, false, ""}, {"a", false, false, "a"}, {" a ", false, false, "a"}, {"  a   b  ", false, false, "a b"}, {"   ", false, false, ""},
		{" a ", true, false, " a"}, {"  a  ", false, true, "a "}, {"  a  ", true, true, " a "}, {"  ", true, true, " "}, {"a\t b", false, false, "a\t b"},
	} {
		if got := fold(c.in, c.left, c.right); got != c.want {
			t.Errorf("%q %v %v: %q, want %q", c.in, c.left, c.right, got, c.want)
		}
	}
}

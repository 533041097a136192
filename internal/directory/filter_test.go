package directory

import (
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/fedsite/fedsite/protocol/glue"
)

// parse reads a filter as people write it.
func parse(t testing.TB, text string) *filter {
	t.Helper()
	packet, err := ldap.CompileFilter(text)
	if err != nil {
		t.Fatal(text, err)
	}
	e := &elements{rest: packet.Bytes()}
	f, wrong := parseFilter(e, Limits{}.withDefaults())
	if wrong.code != Success || len(e.rest) > 0 {
		t.Fatal(text, wrong)
	}
	return f
}

// TestFilter: what filters say of one entry. TestSlapd holds the same against OpenLDAP.
func TestFilter(t *testing.T) {
	d := cloud("https://h", "S", 1, 1, 1, "")
	d.InstanceTypes[0].Name = "m1*(big)  \x00\\ Ünï"
	tree := newTree([]Document{{"S", "d", d}}, "1", nil)
	n := &tree.nodes[0]
	for i := range tree.nodes {
		if tree.nodes[i].class() == "GLUE2CloudComputingInstanceType" {
			n = &tree.nodes[i]
		}
	}
	for text, want := range map[string]truth{
		`(objectClass=glue2resource)`: yes, `(objectClass=GLUE2Share)`: no, `(objectClass=nonsense)`: undefined, `(objectClass=*)`: yes,
		`(GLUE2EntityName=m1\2a\28big\29 \00\5c Ünï)`: yes, `(GLUE2EntityName=M1\2a\28big\29 \00\5c Ünï)`: no,
		`(glue2EntityName=m1*\2a*big*)`: yes, `(GLUE2EntityName=*\00*ï)`: yes, `(GLUE2EntityName=*\00\5c)`: no, `(GLUE2EntityName=*1*1*)`: no, `(GLUE2EntityName=m1*m1*)`: no,
		`(GLUE2EntityName=*ï*ï)`: no, `(GLUE2EntityName=*\ff*)`: undefined, `(GLUE2EntityName>=a)`: undefined,
		`(GLUE2CloudComputingInstanceTypeCPU=1)`: yes, `(GLUE2CloudComputingInstanceTypeCPU>=2)`: no, `(GLUE2CloudComputingInstanceTypeRAM<=1000)`: yes,
		`(GLUE2CloudComputingInstanceTypeRAM>=1000)`: no, `(GLUE2CloudComputingInstanceTypeRAM=x)`: undefined, `(GLUE2CloudComputingInstanceTypeRAM=5*)`: undefined,
		`(GLUE2CloudComputingInstanceTypeNetworkInfo=ethernet)`: yes, `(GLUE2CloudComputingInstanceTypeNetworkInfo~=infiniband)`: yes,
		`(GLUE2ShareID=x)`: no, `(!(GLUE2ShareID=x))`: yes, `(cn=x)`: no, `(x=y)`: undefined, `(!(x=y))`: undefined,
		`(&)`: yes, `(|)`: no, `(&(x=y)(cn=x))`: no, `(&(x=y)(o=*)(objectClass=*))`: no, `(&(x=y)(objectClass=*))`: undefined, `(|(x=y)(cn=x))`: undefined, `(|(x=y)(objectClass=*))`: yes,
		`(!(|(x=y)(objectClass=*)))`: no, `(!(&(x=y)(objectClass=*)))`: undefined,
		`(o:dn:=GLUE)`: yes, `(o:=GLUE)`: no, `(:dn:caseIgnoreMatch:=glue)`: yes, `(:caseIgnoreMatch:=ETHERNET)`: yes, `(:caseExactMatch:=ETHERNET)`: no, `(:integerMatch:=80)`: yes,
		`(GLUE2EntityName:nonsense:=x)`: undefined, `(:nonsense:=x)`: undefined, `(GLUE2EntityName:integerMatch:=1)`: undefined,
	} {
		c := parse(t, text).bind(tree)
		if got := c.holds(n); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// FuzzFilter: whatever a filter is, it is read or refused, and what it says follows the rules of three answers.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{"(objectClass=*)", "(!(a=b))", "(&(o=glue)(|(x>=1)(y<=2)(z~=3)))", "(o=*l*u*)", "(o:dn:caseIgnoreMatch:=GLUE)", "(:2.5.13.5:=x)", `(o=\00\ff)`, "(&)", "(|)"} {
		packet, err := ldap.CompileFilter(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet.Bytes())
	}
	f.Add([]byte{0xa2, 0x84, 0xff, 0xff, 0xff, 0xff})
	tree := newTree([]Document{{"S", "d", cloud("https://h", "S", 1, 1, 1, "x")}}, "1", nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		parsed, wrong := parseFilter(&elements{rest: raw}, Limits{FilterDepth: 16, FilterSize: 100})
		if (parsed == nil) != (wrong.code != Success) {
			t.Fatal(parsed, wrong)
		}
		if parsed == nil {
			return
		}
		not := &filter{op: filterNot, parts: []*filter{parsed}}
		never := &filter{op: filterPresent, description: "no-such-attribute"}
		of := func(f *filter, n *node) truth {
			c := f.bind(tree)
			return c.holds(n)
		}
		for i := range tree.nodes {
			n := &tree.nodes[i]
			got := of(parsed, n)
			for what, c := range map[string]struct {
				f    *filter
				want truth
			}{
				"not":               {not, -got},
				"not not":           {&filter{op: filterNot, parts: []*filter{not}}, got},
				"and itself":        {&filter{op: filterAnd, parts: []*filter{parsed, parsed}}, got},
				"and its contrary":  {&filter{op: filterAnd, parts: []*filter{parsed, not}}, min(got, -got)},
				"or its contrary":   {&filter{op: filterOr, parts: []*filter{not, parsed}}, max(got, -got)},
				"and the undefined": {&filter{op: filterAnd, parts: []*filter{never, parsed}}, min(got, undefined)},
			} {
				if v := of(c.f, n); v != c.want {
					t.Errorf("%s: %s, want %s", what, v, c.want)
				}
			}
		}
	})
}

// FuzzFilterText: filters as people write them are read as go-ldap's library writes them.
func FuzzFilterText(f *testing.F) {
	for _, text := range []string{"(objectClass=*)", "(!(a=b))", "(&(o=glue)(|(x>=1)(y<=2)(z~=3)))", "(o=*l*u*)", "(o:dn:caseIgnoreMatch:=GLUE)", `(o=\00\ff)`} {
		f.Add(text)
	}
	tree := newTree([]Document{{"S", "d", glue.Document{}}}, "1", nil)
	f.Fuzz(func(t *testing.T, text string) {
		packet, err := ldap.CompileFilter(text)
		if err != nil {
			return
		}
		e := &elements{rest: packet.Bytes()}
		if parsed, wrong := parseFilter(e, Limits{FilterDepth: 1 << 10, FilterSize: 1 << 20}); wrong.code == Success {
			c := parsed.bind(tree)
			for i := range tree.nodes {
				c.holds(&tree.nodes[i])
			}
			if len(e.rest) > 0 {
				t.Errorf("%q is left", e.rest)
			}
		}
	})
}

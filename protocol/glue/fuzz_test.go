package glue

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzTexts puts a text into everything that a tenant can name, and reads back by readers of other hands what was written.
func FuzzTexts(f *testing.F) {
	for _, s := range hostileTexts {
		f.Add(s, `{"a": 1}`)
	}
	f.Add("x", `{"eu.egi.cloud.tag": {"a": [1e400, null, "\ud800"]}, "eu.egi.cloud.tag": 5, "": "", " ": [], "é=": true}`)
	f.Fuzz(func(t *testing.T, text, attributes string) {
		d := hostile(text)
		if info, err := ParseInfo(attributes); err == nil {
			d.Images[0].OtherInfo = info
		}
		Validate(d)
		var out bytes.Buffer
		if err := WriteJSON(&out, d); err != nil {
			t.Fatal(err)
		}
		var back struct {
			CloudComputingImage []struct{ ID, Description string }
		}
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back.CloudComputingImage) != len(d.Images) {
			t.Fatalf("%v: %s", err, out.Bytes())
		}
		if got := back.CloudComputingImage[0].Description; got != valid(text) {
			t.Errorf("JSON has %q, want %q", got, valid(text))
		}
		if err := apiLoads(out.Bytes()); err != nil {
			t.Error(err)
		}
		want := map[string][][2]string{}
		for e := range Entries(d, CloudBase(text), nil) {
			for _, a := range e.Attributes {
				for _, v := range a.Values {
					want[e.DN.String()] = append(want[e.DN.String()], [2]string{a.Name, v})
				}
			}
		}
		entries := renderLDIF(t, d, CloudBase(text))
		if len(entries) != len(want) {
			t.Fatalf("%d entries, want %d", len(entries), len(want))
		}
		for _, e := range entries {
			for i, a := range e.attributes {
				if a[1] == "" || i >= len(want[e.dn]) || a != want[e.dn][i] {
					t.Fatalf("%s: %q, want %q", e.dn, e.attributes, want[e.dn])
				}
			}
			if dn, err := ParseDN(e.dn); err != nil || dn.String() != e.dn {
				t.Errorf("%s: %s, %v", e.dn, dn, err)
			}
		}
	})
}

// FuzzParse reads anything; what it takes is written, and read and written again to the same bytes.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/v1.2.0*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err, files)
	}
	for _, name := range files[:3] {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{`{"Share":{"ID":1,"OtherInfo":{"a":NaN,"a":-Infinity},"Associations":{"CloudComputingService":"x"}}}`,
		`{"CloudComputingVirtualAccelerator":[{"ID":"a","Number":1e-7},{"ID":"a","Number":"0x1p3"}]}`,
		`{"CloudComputingInstanceType":[{"ID":"a","NetworkOut":true,"NetworkIn":"","CreationTime":"9999-12-31T23:59:59.999999999+23:59"}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, _, err := Parse(bytes.NewReader(text), Limits{Bytes: 1 << 20, Objects: 1000})
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := WriteJSON(&first, d); err != nil {
			t.Fatal(err)
		}
		again, found, err := Parse(bytes.NewReader(first.Bytes()), Limits{})
		if err != nil || len(found) > 0 {
			t.Fatalf("%v %v: %s", err, found, first.Bytes())
		}
		if err := WriteJSON(&second, again); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("%s\nand then\n%s", first.Bytes(), second.Bytes())
		}
		if changes := Diff(d, again); len(changes) > 0 {
			t.Fatal(changes)
		}
		if changes := Diff(d, d.Merged()); len(changes) > 0 {
			t.Fatal(changes)
		}
		Validate(d)
		d.Summarize()
		renderLDIF(t, d, ResourceBase())
	})
}

package glue

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/fedsite/fedsite/protocol/glue/slapdtest"
)

// held gives what a server has, by DN.
func held(t *testing.T, url string) map[string][]string {
	t.Helper()
	out, err := exec.Command("ldapsearch", "-x", "-LLL", "-H", url, "-b", "o=glue", "(objectClass=GLUE2Entity)").Output()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := readLDIF(string(out), 79)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, e := range entries {
		dn, err := ParseDN(e.dn)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range e.attributes {
			all[dn.Key()] = append(all[dn.Key()], a[0]+": "+a[1])
		}
	}
	return all
}

// longIDs is a document whose ids are as long as can be, and ones that are longer.
func longIDs() Document {
	d := exampleDocument()
	d.Images = nil
	for _, c := range []string{"i", ",", "é", "\n", " x"} {
		i := exampleDocument().Images[0]
		i.Network = nil
		for i.ID = c; (RDN{imageClass.id, i.ID + c}).size() <= maxRDN; {
			i.ID += c
		}
		more := i
		more.ID += c
		d.Images = append(d.Images, more, i)
	}
	return d
}

// TestSlapd loads documents into a real server with the schema, under both trees, and gets every value back as it was: the
// example, the clouds of the vectors, and hostile names.
func TestSlapd(t *testing.T) {
	url := slapdtest.Start(t)
	documents := []Document{exampleDocument(), exampleDocument().Merged(), longIDs()}
	for _, v := range variants {
		documents = append(documents, v.document(t, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)))
	}
	for _, text := range hostileTexts {
		documents = append(documents, hostile(text))
	}
	want := map[string][]string{}
	all := func(yield func(Entry) bool) {
		for i, d := range documents {
			base := ResourceBase()
			if i > 0 {
				base = CloudBase(fmt.Sprintf(`SITE %d, "of" <é>`, i))
			}
			before := len(want)
			for e := range Entries(d, base, nil) {
				if len(want) == before {
					for _, b := range BaseEntries(base) {
						if i == 0 || len(b.DN) > 1 {
							yield(b)
						}
					}
				}
				for _, a := range e.Attributes {
					for _, v := range a.Values {
						want[e.DN.Key()] = append(want[e.DN.Key()], a.Name+": "+v)
					}
				}
				yield(e)
			}
			if len(want) < before+3 {
				t.Errorf("document %d gave %d entries only", i, len(want)-before)
			}
		}
	}
	var ldif bytes.Buffer
	ldif.WriteString(LDIFVersion)
	if err := WriteLDIF(&ldif, all); err != nil {
		t.Fatal(err)
	}
	if err := slapdtest.Add(url, ldif.Bytes()); err != nil {
		t.Fatal(err)
	}
	got := held(t, url)
	if n := len(got) - len(documents) + 1; n != len(want) { // each site's own entry is a GLUE2Entity too
		t.Errorf("%d entries, want %d", n, len(want))
	}
	for dn, values := range want {
		slices.Sort(values)
		slices.Sort(got[dn])
		if !slices.Equal(values, got[dn]) {
			t.Errorf("%s: %.2000q, want %.2000q", dn, got[dn], values)
		}
	}
}

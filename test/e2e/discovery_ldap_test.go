//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/protocol/glue/slapdtest"
)

// load loads the LDIF into a real slapd that has the schema.
func (o *offering) load(t *testing.T) {
	if o.slapd = startSlapd(o.t); o.slapd == "" {
		t.FailNow()
	}
	if err := slapdtest.Add(o.slapd, o.read(t, discovery.LDIF, "ldif", siteName)); err != nil {
		t.Fatal(err)
	}
	shares := ldapsearch(t, o.slapd, "-b", resourceBase, "(objectClass=GLUE2CloudComputingShare)")
	if len(shares) != len(o.shares) {
		t.Errorf("slapd has %d shares, want %d", len(shares), len(o.shares))
	}
}

// The bases under which a cloud is asked for.
const (
	resourceBase = "GLUE2GroupID=resource,o=glue"
	cloudBase    = "GLUE2GroupID=cloud,GLUE2DomainID=" + siteName + ",o=glue"
)

func (o *offering) ldapURL() string { return fmt.Sprintf("ldap://127.0.0.1:%d", o.ldap) }

// search asks fedsite's own directory by the real ldapsearch, in the ways that the federation asks, and compares with what
// slapd answers, which got the document as LDIF.
func (o *offering) search(t *testing.T) {
	eventually(t, "the directory has not got the document", func() bool {
		return len(ldapsearch(t, o.ldapURL(), "-b", cloudBase, "(objectClass=GLUE2CloudComputingShare)")) == len(o.shares)
	})
	inCloud := strings.NewReplacer(resourceBase, cloudBase)
	for _, filter := range [][]string{
		{"(objectClass=GLUE2Entity)"},
		{"(objectClass=GLUE2CloudComputingShare)", "GLUE2ShareID", "GLUE2CloudComputingShareProjectID"},
		{"(&(objectClass=GLUE2CloudComputingInstanceType)(GLUE2CloudComputingInstanceTypeCPU>=16))", "GLUE2EntityName"},
		{"(GLUE2PolicyRule=VO:ops)"},
	} {
		theirs := ldapsearch(t, o.slapd, append([]string{"-b", resourceBase}, filter...)...)
		if len(theirs) == 0 {
			t.Errorf("slapd has nothing for %q", filter)
		}
		ours := ldapsearch(t, o.ldapURL(), append([]string{"-b", cloudBase}, filter...)...)
		want := map[string][]string{}
		for dn, lines := range theirs {
			want[inCloud.Replace(dn)] = lines
		}
		compareEntries(t, strings.Join(filter, " "), want, ours)
		all := ldapsearch(t, o.ldapURL(), append([]string{"-b", resourceBase}, filter...)...) // of both sites; of two alike the first
		for dn := range theirs {
			if all[dn] == nil {
				t.Errorf("%s is not below %s", dn, resourceBase)
			}
		}
	}
	for _, base := range []string{"o=glue", "GLUE2DomainID=" + goneName + ",o=glue"} {
		if len(ldapsearch(t, o.ldapURL(), "-b", base, "(objectClass=GLUE2Share)", "1.1")) == 0 {
			t.Errorf("nothing below %s", base)
		}
	}
}

// compareEntries compares entries, each with its values.
func compareEntries(t *testing.T, what string, want, got map[string][]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d entries, slapd has %d", what, len(got), len(want))
	}
	for dn, lines := range want {
		if !slices.Equal(lines, got[dn]) {
			t.Errorf("%s: %s is\n%.3000q\nslapd has\n%.3000q", what, dn, got[dn], lines)
		}
	}
}

// startSlapd starts a real server of the test's own that has the schema, and what is above published entries, and gives its URL.
func startSlapd(t *testing.T) string {
	t.Helper()
	url := slapdtest.Start(t)
	if err := slapdtest.Add(url, []byte(base)); err != nil {
		t.Fatal(err)
	}
	return url
}

// base is what is above the entries that are published, as a BDII has it.
const base = "dn: o=glue\nobjectClass: organization\no: glue\n\ndn: " + resourceBase + "\nobjectClass: GLUE2Group\nGLUE2GroupID: resource\n"

// ldapsearch gives the entries that a server answers with, by DN, each with its values as sorted lines "name: value". A
// base that is not there has none, nor has a server that does not know anything yet.
func ldapsearch(t *testing.T, url string, args ...string) map[string][]string {
	t.Helper()
	cmd := exec.Command("ldapsearch", append([]string{"-x", "-LLL", "-o", "ldif-wrap=no", "-H", url}, args...)...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if e, failed := errors.AsType[*exec.ExitError](err); failed && (e.ExitCode() == noSuchObject || e.ExitCode() == unavailable) {
		return nil
	}
	if err != nil {
		t.Fatalf("ldapsearch %q: %v: %s", args, err, &problems)
	}
	all := map[string][]string{}
	for text := range strings.SplitSeq(string(out), "\n\n") {
		dn := ""
		var values []string
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			if coded, is := strings.CutPrefix(value, ": "); is {
				raw, err := base64.StdEncoding.DecodeString(coded)
				if err != nil {
					t.Fatal(err)
				}
				value = " " + string(raw)
			}
			if value = strings.TrimPrefix(value, " "); name == "dn" {
				dn = value
			} else if name != "" {
				values = append(values, name+": "+value)
			}
		}
		if dn != "" {
			slices.Sort(values)
			all[dn] = values
		}
	}
	return all
}

// Exit codes of ldapsearch: for a base that is not there, and from a directory that has not looked yet.
const (
	noSuchObject = 32
	unavailable  = 52
)

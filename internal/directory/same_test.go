package directory

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/protocol/glue/slapdtest"
)

const (
	resource = "GLUE2GroupID=resource,o=glue"
	siteB    = `GLUE2DomainID=Site \22B\22\2c of \3c\c3\a9\3e,o=glue`
	serviceA = "GLUE2ServiceID=https://a.example.org:5000/v3_cloud.compute," + resource
	shareA   = "GLUE2ShareID=https://a.example.org:5000/v3_OpenStack_v3_share_vo0.example.org_p-0," + serviceA
)

// asked are searches that this server answers as slapd does: arguments of ldapsearch, "|" between them.
var asked = strings.Split(strings.TrimSpace(`
-b|GLUE2GroupID=resource,o=glue
-b|o=glue
-b|o=glue|(objectClass=GLUE2CloudComputingShare)|GLUE2ShareID
-b|o=glue|-s|base
-b|o=glue|-s|one
-b|o=glue|-s|sub
-b|o=glue|-s|children
-b|GLUE2GroupID=resource,o=glue|-s|one
-b|GLUE2GroupID=resource,o=glue|-s|base
-b|GLUE2GroupID=cloud,GLUE2DomainID=SITE-A,o=glue
-b|GLUE2DomainID=SITE-A,o=glue|-s|one
-b|SITEB
-b|GLUE2GroupID=cloud,SITEB
-b|SERVICEA
-b|SHAREA|-s|one
-b|SHAREA|-s|base
-b|SHAREA|-s|children|(objectClass=GLUE2Resource)
-b|O=GLUE|-s|one
-b|organizationName=glue|-s|base
-b|2.5.4.10=glue|-s|base
-b| o = glue |-s|base
-b|glue2groupid=resource , O=Glue
-b|GLUE2GroupName=resource,o=glue|-s|base
-b|GLUE2GroupID=\72\65source,o=glue|-s|base
-b|GLUE2GroupID=RESOURCE,o=glue
-b|GLUE2GroupID=nobody,o=glue
-b|GLUE2ShareID=x,GLUE2ServiceID=y,GLUE2GroupID=resource,o=glue
-b|GLUE2GroupID=resource,o=other
-b|o=grid
-b|c=de
-b|foo=bar,o=glue
-b|no DN
-b|o=glue,
-b|,o=glue
-b|=glue
-b||-s|one
-b||-s|sub
-b|o=glue|(objectClass=*)|1.1
-b|o=glue|(objectClass=*)|GLUE2EntityName
-b|o=glue|(objectClass=*)|glue2entityname|GLUE2ShareID|nothing
-b|o=glue|(objectClass=*)|*
-b|o=glue|(objectClass=*)|1.1|objectClass
-b|o=glue|(objectClass=*)|*|entryDN
-b|o=glue|(objectClass=*)|entryDN|hasSubordinates|structuralObjectClass
-b|o=glue|(objectClass=*)|2.5.4.0|organizationName
-b|o=glue|(objectClass=*)|GLUE2EntityName;lang-en
-b|o=glue|-A
-b|o=glue|-A|(objectClass=*)|GLUE2EntityName|entryDN
-b|o=glue|(objectClass=glue2share)
-b|o=glue|(2.5.4.0=GLUE2Share)|1.1
-b|o=glue|(objectClass=top)|1.1
-b|o=glue|(objectClass=nonsense)
-b|o=glue|(!(objectClass=nonsense))
-b|o=glue|(objectClass=GLUE2*)
-b|o=glue|(objectClass>=GLUE2)
-b|o=glue|(&(objectClass=GLUE2Share)(GLUE2ShareID=*vo1*))
-b|o=glue|(|(objectClass=GLUE2Manager)(objectClass=GLUE2Endpoint))
-b|o=glue|(!(objectClass=GLUE2Entity))
-b|o=glue|(&(!(objectClass=GLUE2Share))(GLUE2EntityName=*))
-b|o=glue|(&)
-b|o=glue|(|)
-b|o=glue|(!(&))
-b|o=glue|(GLUE2EntityName=m1.0)
-b|o=glue|(GLUE2EntityName=M1.0)
-b|o=glue|(glue2entityname=m1.*)
-b|o=glue|(GLUE2EntityName=*.0)
-b|o=glue|(GLUE2EntityName=m*1*0)
-b|o=glue|(GLUE2EntityName=*1.*)
-b|o=glue|(GLUE2EntityName=image 1)
-b|o=glue|(GLUE2EntityName=  image   1  )
-b|o=glue|(GLUE2EntityName=image *)
-b|o=glue|(GLUE2EntityName=image  *)
-b|o=glue|(GLUE2EntityName=image* 1)
-b|o=glue|(GLUE2EntityName=* *)
-b|o=glue|(GLUE2EntityName=*image  1)
-b|o=glue|(GLUE2EntityName=x\0a\2a\29\28ü\00 ﬁ image 1)
-b|o=glue|(GLUE2EntityName=x\0a\2a\29*\00*2)
-b|o=glue|(GLUE2EntityName=*\2a*)
-b|o=glue|(GLUE2EntityName=*\28*)
-b|o=glue|(GLUE2EntityName=*\00*)
-b|o=glue|(GLUE2EntityName=*ü*)
-b|o=glue|(GLUE2EntityName=*\c3\bc*)
-b|o=glue|(GLUE2EntityName=*\ff*)
-b|o=glue|(!(GLUE2EntityName=*\ff*))
-b|o=glue|(GLUE2EntityName=\ff)
-b|o=glue|(!(GLUE2EntityName=\ff))
-b|o=glue|(GLUE2EntityName=*\22*)
-b|o=glue|(GLUE2EntityName=*)
-b|o=glue|(!(GLUE2EntityName=*))|1.1
-b|o=glue|(GLUE2EntityName>=m)
-b|o=glue|(!(GLUE2EntityName>=m))
-b|o=glue|(GLUE2EntityName<=m)
-b|o=glue|(GLUE2CloudComputingImageOSVersion~=22.04)|1.1
-b|o=glue|(o=GLUE)
-b|o=glue|(o=*LU*)
-b|o=glue|(organizationName=Glue)
-b|o=glue|(GLUE2GroupLocalID=cloud)
-b|o=glue|(GLUE2DomainID=Site "B", of <é>)
-b|o=glue|(GLUE2EntityName;lang-en=m1.0)
-b|o=glue|(!(GLUE2EntityName;lang-en=m1.0))|1.1
-b|o=glue|(!(cn=x))|1.1
-b|o=glue|(cn=*)
-b|o=glue|(zzz=x)
-b|o=glue|(!(zzz=x))
-b|o=glue|(zzz=*)
-b|o=glue|(!(zzz=*))
-b|o=glue|(|(zzz=x)(objectClass=GLUE2Manager))
-b|o=glue|(&(!(zzz=x))(objectClass=GLUE2Manager))
-b|o=glue|(!(&(zzz=x)(objectClass=GLUE2Location)))
-b|o=glue|(!(|(zzz=x)(objectClass=GLUE2Manager)))
-b|o=glue|(GLUE2CloudComputingShareMaxVM=10)|GLUE2CloudComputingShareMaxVM
-b|o=glue|(GLUE2CloudComputingShareMaxVM=010)
-b|o=glue|(GLUE2CloudComputingShareMaxVM>=9)
-b|o=glue|(GLUE2CloudComputingShareMaxVM>=11)
-b|o=glue|(GLUE2CloudComputingShareMaxVM<=10)
-b|o=glue|(GLUE2CloudComputingShareMaxVM<=-1)
-b|o=glue|(GLUE2CloudComputingShareMaxVM>=-1)
-b|o=glue|(GLUE2CloudComputingShareMaxVM<=99999999999999999999999999)
-b|o=glue|(GLUE2CloudComputingShareMaxVM~=10)
-b|o=glue|(GLUE2CloudComputingShareMaxVM=ten)
-b|o=glue|(!(GLUE2CloudComputingShareMaxVM=ten))
-b|o=glue|(GLUE2CloudComputingShareMaxVM=1*)
-b|o=glue|(!(GLUE2CloudComputingShareMaxVM=1*))
-b|o=glue|(GLUE2CloudComputingShareTotalVM=-0)
-b|o=glue|(!(GLUE2CloudComputingShareTotalVM>=1))|GLUE2CloudComputingShareTotalVM
-b|o=glue|(GLUE2EntityValidity>=1)
-b|o=glue|(GLUE2EntityName:=m1.0)
-b|o=glue|(GLUE2EntityName:caseExactMatch:=m1.0)
-b|o=glue|(GLUE2EntityName:caseIgnoreMatch:=M1.0)
-b|o=glue|(GLUE2EntityName:2.5.13.2:=M1.0)
-b|o=glue|(GLUE2EntityName:integerMatch:=1)
-b|o=glue|(!(GLUE2EntityName:integerMatch:=1))
-b|o=glue|(!(GLUE2EntityName:nonsenseMatch:=1))
-b|o=glue|(GLUE2GroupID:dn:=resource)|1.1
-b|o=glue|(GLUE2DomainID:dn:=SITE-A)|1.1
-b|o=glue|(o:dn:=GLUE)|1.1
-b|o=glue|(GLUE2DomainID:dn:caseIgnoreMatch:=site-a)|1.1
-b|o=glue|(entryDN=glue2groupid=resource, O=GLUE)|1.1
-b|o=glue|(hasSubordinates=TRUE)|1.1
-b|o=glue|(hasSubordinates=FALSE)|1.1
-b|o=glue|(structuralObjectClass=GLUE2CloudComputingShare)|1.1
-b|o=glue|(GLUE2ShareID=https://a.example.org:5000/v3_OpenStack_v3_share_vo0.example.org_p-0)
-b|o=glue|(GLUE2CloudComputingInstanceTypeNetworkInfo=ethernet)|GLUE2CloudComputingInstanceTypeNetworkInfo
-b|o=glue|(GLUE2CloudComputingImageDescription=First line\0asecond line: é)|1.1
-b|o=glue|-z|1000|(objectClass=GLUE2Manager)
-b|o=glue|-z|4|(objectClass=GLUE2Manager)
-b|o=glue|-l|30|(objectClass=GLUE2Manager)
-b|o=glue|-a|always|(objectClass=GLUE2Manager)
-b|o=glue|-M|(objectClass=GLUE2Manager)
-b|o=glue|-MM|(objectClass=GLUE2Manager)
-b|o=glue|-E|pr=7/noprompt
-b|o=glue|-E|!pr=1/noprompt|(objectClass=GLUE2Share)
-b|o=glue|-E|!pr=100/noprompt
-b|o=glue|-E|!1.2.3.4
-b|o=glue|-E|1.2.3.4|(objectClass=GLUE2Manager)
-b|o=glue|-D|o=glue|-w|wrong
-b|o=glue|-D|cn=nobody,o=glue|-w|x
-b|o=glue|-D|no DN|-w|x
-b|o=glue|-w|x
-b|o=glue|-P|2
-b|o=glue|-ZZ
`), "\n")

// different are searches that this server answers otherwise than slapd, with the reason.
var different = map[string]string{
	`-b||-s|base`:                                  "the root's class is top: OpenLDAProotDSE would be a lie",
	`-b||-s|base|+`:                                "each names what it supports itself",
	`-b|cn=Subschema|-s|base`:                      "no schema is published: that of GLUE 2.1 has no registered numbers",
	`-b|GLUE2GroupID=a+o=b,o=glue`:                 "names of several parts are refused as no DN of GLUE; for slapd there is no such object",
	`-b|o=glue|-s|base|(name=glue)`:                "attributes above others in core's schema (name over o) are not known",
	`-b|o=glue|(GLUE2EntityName~=m1.0)`:            "approximately is equal here; slapd compares by sound",
	`-b|o=glue|(GLUE2EntityName=*fi*)|1.1`:         "characters are compared as they are written; slapd takes ﬁ for fi (NFKC)",
	`-b|o=glue|-s|base|+`:                          "who wrote an entry and when says nothing where all is made anew",
	`-b|o=glue|(!(objectClass=GLUE2Nonsense))|1.1`: "every class of the name GLUE2… is known; for slapd those of its schema",
	`-b|o=glue|(!(GLUE2Nonsense=x))|1.1`:           "every attribute of the name GLUE2… is known; for slapd those of its schema",
	`-b|o=glue|@organization`:                      "@class is no attribute here",
}

// TestSlapd asks a real server that holds the same documents the same as this one, with the real ldapsearch: entries, their
// values, the result and how far the base was found are the same, but for the list of differences, which all are some.
func TestSlapd(t *testing.T) {
	slapd := slapdtest.Start(t)
	load(t, slapd, some())
	_, address, _ := start(t, Options{}, some()...)
	both := func(line string) (theirs, ours outcome) {
		line = strings.NewReplacer("SITEB", siteB, "SERVICEA", serviceA, "SHAREA", shareA).Replace(line)
		arguments := split(line)
		return ldapsearch(t, slapd, arguments...), ldapsearch(t, "ldap://"+address, arguments...)
	}
	filled := 0
	for _, line := range asked {
		theirs, ours := both(line)
		if len(theirs.entries) > 0 {
			filled++
		}
		if d := apart(theirs, ours); d != "" {
			t.Errorf("%s: %s", line, d)
		}
	}
	if filled < len(asked)/2 {
		t.Errorf("only %d of %d searches find anything: they show little", filled, len(asked))
	}
	for line, reason := range different {
		theirs, ours := both(line)
		if apart(theirs, ours) == "" {
			t.Errorf("%s is answered as slapd does: take it from the list (%s)", line, reason)
		}
	}
	for _, c := range []struct {
		program     string
		arguments   []string
		slapd, here int
	}{
		{"ldapwhoami", nil, 0, 0},
		{"ldapcompare", []string{"o=glue", "o:GLUE"}, 6, 6},
		{"ldapcompare", []string{"o=glue", "o:x"}, 5, 5},
		{"ldapcompare", []string{"o=glue", "GLUE2EntityName:x"}, 16, 16},
		{"ldapcompare", []string{"o=x", "o:x"}, 32, 32},
		{"ldapdelete", []string{"o=glue"}, 8, 53}, // there it needs a password, here it cannot be done
	} {
		for url, want := range map[string]int{slapd: c.slapd, "ldap://" + address: c.here} {
			cmd := exec.Command(c.program, append([]string{"-x", "-H", url}, c.arguments...)...)
			cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != want {
				t.Errorf("%s %q at %s: %d, want %d", c.program, c.arguments, url, got, want)
			}
		}
	}
	// a limit that is passed: as many entries, whichever
	theirs, ours := both("-b|o=glue|-z|3")
	if theirs.code != ours.code || len(theirs.entries) != 3 || len(ours.entries) != 3 {
		t.Errorf("-z 3: %d with %d entries, slapd %d with %d", ours.code, len(ours.entries), theirs.code, len(theirs.entries))
	}
}

// split takes a line of asked apart; the | of a filter is none.
func split(line string) []string {
	line = strings.ReplaceAll(line, "(|", "(\x00")
	parts := strings.Split(line, "|")
	for i := range parts {
		parts[i] = strings.ReplaceAll(parts[i], "\x00", "|")
	}
	return parts
}

// apart says how two outcomes differ; "" = they don't.
func apart(theirs, ours outcome) string {
	if theirs.code != ours.code || theirs.matched != ours.matched {
		return fmt.Sprintf("result %d, found %q; slapd %d, %q", ours.code, ours.matched, theirs.code, theirs.matched)
	}
	var b strings.Builder
	if len(theirs.entries) != len(ours.entries) {
		fmt.Fprintf(&b, "%d entries, slapd %d", len(ours.entries), len(theirs.entries))
	}
	for _, dn := range slices.Sorted(maps.Keys(theirs.entries)) {
		if mine, ok := ours.entries[dn]; !ok {
			fmt.Fprintf(&b, "\n  without %s", dn)
		} else if !slices.Equal(mine, theirs.entries[dn]) {
			fmt.Fprintf(&b, "\n  %s:\n    %.1000q, slapd\n    %.1000q", dn, mine, theirs.entries[dn])
		}
	}
	for _, dn := range slices.Sorted(maps.Keys(ours.entries)) {
		if _, ok := theirs.entries[dn]; !ok {
			fmt.Fprintf(&b, "\n  with %s", dn)
		}
	}
	return b.String()[:min(b.Len(), 2_000)]
}

package vmlist

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/protocol/gridtrust"
	"github.com/fedsite/fedsite/protocol/smime"
)

var day = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const (
	endorserDN = "/DC=EU/DC=EGI/C=NL/O=Hosts/O=EGI.eu/CN=appdb.example.org"
	rootDN     = "/DC=org/DC=example-grid/CN=Example Grid Root CA"
	issuingDN  = "/DC=org/DC=example-grid/CN=Example Grid Issuing CA"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func read(name ...string) []byte {
	return must(os.ReadFile(filepath.Join(append([]string{"testdata"}, name...)...)))
}

var authorities = sync.OnceValue(func() *gridtrust.Trust {
	t, warnings, err := gridtrust.Read(os.DirFS("testdata/ca"))
	if len(warnings) > 0 {
		panic(warnings[0])
	}
	return must(t, err)
})

func identity(name string) smime.Identity {
	return must(smime.ParseIdentity(read(name+".pem"), read(name+".key")))
}

// rows gives the lines of a table of the vectors, by list.
func rows(name string) map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(string(read(name))) {
		if f := strings.Split(strings.TrimRight(line, "\n"), "\t"); !strings.HasPrefix(line, "#") {
			all[f[0]] = f[1:]
		}
	}
	return all
}

// refusals are what the lists of the vectors are refused for, by the reason that expected.tsv gives. What it accepts is
// not here, and what it leaves to a policy is refused by that policy's default.
var refusals = map[string]struct {
	err   error
	words string
}{
	"bad-tampered-detached.list":      {ErrSignature, "not what was signed"},
	"bad-tampered-opaque.list":        {ErrSignature, "not what was signed"},
	"bad-extra-part.list":             {ErrNotList, "not exactly two parts"},
	"bad-wrong-ca.list":               {ErrSigner, "unknown authority"},
	"bad-expired-cert.list":           {ErrSigner, "expired"},
	"bad-expired-cert-backdated.list": {ErrSigner, "expired"},
	"bad-revoked-cert.list":           {ErrRevoked, "revoked"},
	"bad-other-endorser.list":         {ErrEndorser, `signed by "/DC=EU/DC=EGI/C=NL/O=Hosts/O=EGI.eu/CN=other.example.org", but the list names as hv:dn "/DC=EU/DC=EGI/C=NL/O=Hosts/O=EGI.eu/CN=appdb.example.org"`},
	"nocerts.list":                    {ErrSignature, "certificate is missing"},
	"bad-unsigned.list":               {ErrUnsigned, "bare JSON"},
	"bad-html.list":                   {ErrNotList, `"<html>`},
	"bad-empty.list":                  {ErrNotList, "empty"},
	"sha1-detached.list":              {ErrSignature, "SHA-1"},
	"sem-dn-mismatch.list":            {ErrEndorser, "somebody-else.example.org"}, // the signature is good, the document names another
}

func TestEveryVector(t *testing.T) {
	table := rows("expected.tsv")
	if len(table) != 35 {
		t.Errorf("%d rows", len(table))
	}
	lists := must(os.ReadDir("testdata/lists"))
	for _, e := range lists {
		name := e.Name()
		row, known := table[name]
		if !known {
			t.Errorf("%s is in no row", name)
			continue
		}
		l, err := Verify(read("lists", name), Trust{Authorities: authorities(), Now: day})
		want, refused := refusals[name]
		if (row[0] == "reject") != refused && row[0] != "policy" && !strings.HasPrefix(name, "sem-") {
			t.Errorf("%s: the vectors say %s", name, row[0])
		}
		switch {
		case refused && (!errors.Is(err, want.err) || !strings.Contains(err.Error(), want.words)):
			t.Errorf("%s: %v, want %v: %s", name, err, want.err, want.words)
		case refused && l.ID != "":
			t.Errorf("%s is refused, and given", name)
		case !refused && err != nil:
			t.Errorf("%s: %v", name, err)
		case !refused && (l.Signed == nil || l.Signed.DN != l.Endorser.DN || l.Signed.NotAfter.Before(day)):
			t.Errorf("%s: signed by %+v", name, l.Signed)
		}
		if !refused && err == nil {
			if again, err := Parse(sameDocument(name)); err != nil || again.ID != l.ID || len(again.Images) != len(l.Images) {
				t.Errorf("%s: %d images, and its document %d, %v", name, len(l.Images), len(again.Images), err)
			}
		}
	}
	if len(lists) != len(table) {
		t.Errorf("%d lists, and %d rows", len(lists), len(table))
	}
}

// sameDocument gives the document that a list of the vectors signs.
func sameDocument(list string) []byte {
	name, found := strings.CutPrefix(strings.TrimSuffix(list, ".list"), "sem-")
	switch {
	case list == "ok-hepix-person.list":
		name = "hepix-plain"
	case !found:
		name = "vo-list-1"
	}
	return read("json", name+".json")
}

// Where openssl is found, the vectors' table of what it says is true, and ours differs from it where the reasons of
// expected.tsv say so.
func TestVectorsByOpenSSL(t *testing.T) {
	bin, err := exec.LookPath("openssl")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("FEDSITE_REQUIRE"), ","), "openssl") {
			t.Fatal("openssl is required and was not found")
		}
		t.Skip("openssl was not found: apt-get install openssl")
	}
	for name, row := range rows("openssl-says.tsv") {
		cmd := exec.CommandContext(t.Context(), bin, "cms", "-verify", "-in", filepath.Join("testdata", "lists", name), "-CAfile", "testdata/ca/example-grid-root.pem", "-purpose", "any", "-out", os.DevNull)
		err := cmd.Run()
		if says := err == nil; says != (row[1] == "ok") {
			t.Errorf("%s: openssl says %v, the table %s", name, err, row[1])
		}
		_, err = Verify(read("lists", name), Trust{Authorities: authorities(), Now: time.Now(), CRL: gridtrust.Off, AllowSHA1: true})
		ours := err == nil || errors.Is(err, ErrEndorser) || errors.Is(err, ErrDocument) // openssl looks at no document
		if ours != (row[1] == "ok") && name != "ok-detached-binary.list" {
			t.Errorf("%s: openssl %s, ours %v", name, row[1], err)
		}
	}
}

func TestTrustOptions(t *testing.T) {
	other := []*x509.Certificate{must(smime.ParseCertificate(read("endorser-other.pem")))}
	own := []*x509.Certificate{must(smime.ParseCertificate(read("endorser.pem")))}
	for name, c := range map[string]struct {
		list  string
		trust Trust
		err   error
		words string
	}{
		"SHA-1 allowed":                  {"sha1-detached.list", Trust{AllowSHA1: true}, nil, ""},
		"host certificate, strictly":     {"eku-serverauth.list", Trust{StrictPurpose: true}, ErrSigner, "key usage"},
		"a person's, strictly":           {"ok-hepix-person.list", Trust{StrictPurpose: true}, nil, ""},
		"certificate given":              {"nocerts.list", Trust{Certificates: own}, nil, ""},
		"another certificate given":      {"nocerts.list", Trust{Certificates: other}, ErrSignature, "missing"},
		"revoked, not looked at":         {"bad-revoked-cert.list", Trust{CRL: gridtrust.Off}, nil, ""},
		"lists of all required":          {"ok-detached.list", Trust{CRL: gridtrust.Require}, nil, ""},
		"and one is missing":             {"ok-detached-sub.list", Trust{CRL: gridtrust.Require}, gridtrust.ErrNoCRL, issuingDN},
		"names enforced":                 {"ok-detached.list", Trust{Names: gridtrust.Require}, nil, ""},
		"rules for names are missing":    {"ok-detached-sub.list", Trust{Names: gridtrust.Require}, gridtrust.ErrName, issuingDN},
		"the endorser configured":        {"ok-detached.list", Trust{DN: endorserDN, CA: rootDN}, nil, ""},
		"another endorser":               {"ok-detached.list", Trust{DN: endorserDN + "x"}, ErrEndorser, "but the configuration names as endorser"},
		"another authority":              {"ok-detached.list", Trust{CA: rootDN + "x"}, ErrEndorser, "but the configuration names as the endorser's authority"},
		"the authority that issued":      {"ok-detached-sub.list", Trust{CA: issuingDN}, nil, ""},
		"the one above it":               {"ok-detached-sub.list", Trust{CA: rootDN}, nil, ""},
		"one that is not above":          {"ok-detached.list", Trust{CA: issuingDN}, ErrEndorser, "authority"},
		"the name that signed otherwise": {"bad-other-endorser.list", Trust{DN: "/DC=EU/DC=EGI/C=NL/O=Hosts/O=EGI.eu/CN=other.example.org"}, ErrEndorser, "hv:dn"},
	} {
		c.trust.Authorities, c.trust.Now = authorities(), day
		l, err := Verify(read("lists", c.list), c.trust)
		if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %v: %s", name, err, c.err, c.words)
		}
		if err == nil && len(l.Images) == 0 {
			t.Errorf("%s: no images", name)
		}
	}
	l := must(Verify(read("lists", "ok-detached-sub.list"), Trust{Authorities: authorities(), Now: day}))
	if l.Signed.CA != issuingDN || len(l.Signed.Warnings) != 1 || !strings.Contains(l.Signed.Warnings[0].String(), issuingDN+": the directory has no revocation list") {
		t.Errorf("%+v", l.Signed)
	}
	for name, trust := range map[string]Trust{"authorities": {Now: day}, "time": {Authorities: authorities()}} {
		if _, err := Verify(nil, trust); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestVerifySigned(t *testing.T) {
	endorser := identity("endorser")
	base := string(read("json", "vo-list-1.json"))
	for name, c := range map[string]struct {
		document string
		by       smime.Identity
		err      error
		words    string
	}{
		"as it is":                     {base, endorser, nil, ""},
		"by another":                   {base, identity("endorser-other"), ErrEndorser, "hv:dn"},
		"by another, who says so":      {strings.ReplaceAll(base, "CN=appdb.example.org", "CN=other.example.org"), identity("endorser-other"), nil, ""},
		"of another authority":         {string(read("json", "ca-mismatch.json")), endorser, ErrEndorser, "hv:ca"},
		"by nobody":                    {strings.Replace(base, `"hv:dn"`, `"x"`, 1), endorser, ErrEndorser, `hv:dn ""`},
		"of no authority":              {strings.Replace(base, `"hv:ca"`, `"x"`, 1), endorser, ErrEndorser, `hv:ca ""`},
		"without endorser":             {strings.Replace(base, `"hv:endorser"`, `"x"`, 1), endorser, ErrEndorser, `hv:dn ""`},
		"of the future":                {strings.Replace(base, "2024-03-01T10:00:00Z", "2026-11-24T12:05:01Z", 1), endorser, ErrFuture, "2026-11-24T12:05:01Z"},
		"by a clock somewhat ahead":    {strings.Replace(base, "2024-03-01T10:00:00Z", "2026-11-24T12:05:00Z", 1), endorser, nil, ""},
		"no document":                  {"x", endorser, ErrDocument, "JSON"},
		"a name that only looks alike": {strings.Replace(base, endorserDN, strings.ReplaceAll(endorserDN, "/O=EGI.eu", `\\/O=EGI.eu`), 1), endorser, ErrEndorser, "hv:dn"},
	} {
		m := must(smime.Sign([]byte(c.document), c.by, day))
		l, err := Verify(m, Trust{Authorities: authorities(), Now: day})
		if !errors.Is(err, c.err) || err != nil && (!strings.Contains(err.Error(), c.words) || l.ID != "") {
			t.Errorf("%s: %v, want %v: %s", name, err, c.err, c.words)
		}
	}
}

// One of several signers must be the endorser, whichever.
func TestSeveralSigners(t *testing.T) {
	var verdicts []gridtrust.Verdict
	for _, name := range []string{"endorser-other.pem", "endorser.pem"} {
		verdicts = append(verdicts, must(authorities().Verify(must(smime.ParseCertificate(read(name))), nil, gridtrust.Options{Now: day})))
	}
	if s, err := (Trust{}).endorsed(Endorser{DN: endorserDN, CA: rootDN}, verdicts); err != nil || s.DN != endorserDN || s.CA != rootDN {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := (Trust{}).endorsed(Endorser{DN: "/CN=x", CA: rootDN}, verdicts); !errors.Is(err, ErrEndorser) || !strings.Contains(err.Error(), "other.example.org") {
		t.Errorf("%+v, %v", s, err)
	}
}

// Errors say what came instead of a list, without control characters and not at length.
func TestWhatIsNoList(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		err     error
	}{
		"blank":              {" \n", ErrNotList},
		"JSON after a mark":  {"\ufeff\n {}", ErrUnsigned},
		"for a terminal":     {"\x1b[31m" + strings.Repeat("x", 1000), ErrNotList},
		"bytes":              {strings.Repeat("\xff", 1000), ErrNotList},
		"a page":             {string(read("lists", "bad-html.list")), ErrNotList},
		"an encrypted thing": {"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\n\nAAAA\n", ErrNotList},
	} {
		_, err := Verify([]byte(c.message), Trust{Authorities: authorities(), Now: day})
		if !errors.Is(err, c.err) || len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\x1b\n\uFFFD") {
			t.Errorf("%s: %q, want %v", name, err, c.err)
		}
	}
	if _, err := Verify(bytes.Repeat([]byte("x"), MaxSize+1), Trust{Authorities: authorities(), Now: day}); !errors.Is(err, ErrNotList) {
		t.Errorf("too large: %v", err)
	}
}

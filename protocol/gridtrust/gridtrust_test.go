package gridtrust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fedsite/fedsite/protocol/smime"
)

var day = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// holder is a certificate with its key.
type holder struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

func (h holder) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Raw})
}

var serials = big.NewInt(100)

// issue makes a certificate; without an issuer it is self-signed. name is attributes such as "O=Grid", from the outermost.
func issue(issuer *holder, ca bool, name ...string) holder {
	var rdns pkix.RDNSequence
	for _, n := range name {
		attr, value, _ := strings.Cut(n, "=")
		oid := map[string]asn1.ObjectIdentifier{"O": {2, 5, 4, 10}, "CN": {2, 5, 4, 3}, "email": {1, 2, 840, 113549, 1, 9, 1}}[attr]
		rdns = append(rdns, pkix.RelativeDistinguishedNameSET{{Type: oid, Value: value}})
	}
	serials = new(big.Int).Add(serials, big.NewInt(1))
	tmpl := &x509.Certificate{SerialNumber: serials, RawSubject: must(asn1.Marshal(rdns)), NotBefore: day.AddDate(-1, 0, 0), NotAfter: day.AddDate(1, 0, 0),
		BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if ca {
		tmpl.KeyUsage, tmpl.ExtKeyUsage = x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
	}
	h := holder{key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	parent, key := tmpl, h.key
	if issuer != nil {
		parent, key = issuer.Certificate, issuer.key
	}
	h.Certificate = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, tmpl, parent, h.key.Public(), key))))
	return h
}

// list makes a revocation list, from a day before until a number of days after the tests' day.
func (h holder) list(days int, revoked []holder, extensions ...pkix.Extension) []byte {
	tmpl := &x509.RevocationList{Number: big.NewInt(int64(1000 + days)), ThisUpdate: day.AddDate(0, 0, -10+min(days, 0)), NextUpdate: day.AddDate(0, 0, days), ExtraExtensions: extensions}
	for _, r := range revoked {
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: day})
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: must(x509.CreateRevocationList(rand.Reader, tmpl, h.Certificate, h.key))})
}

// grid is a root with an authority beneath it, and certificates of both.
var grid = sync.OnceValue(func() (g struct{ root, sub, other, host, person, twin holder }) {
	g.root = issue(nil, true, "O=Grid", "CN=Root")
	g.sub = issue(&g.root, true, "O=Grid", "CN=Sub")
	g.other = issue(nil, true, "O=Other", "CN=Root")
	g.twin = issue(nil, true, "O=Grid", "CN=Root") // another key, the same name
	g.host = issue(&g.root, false, "O=Grid", "CN=host/a.example.org")
	g.person = issue(&g.sub, false, "O=Grid", "O=People", "CN=Jane", "email=jane@example.org")
	return g
})

type files map[string][]byte

func (f files) fs() fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range f {
		m[name] = &fstest.MapFile{Data: text, ModTime: day}
	}
	return m
}

func (f files) read(t *testing.T) *Trust {
	t.Helper()
	trust, warnings, err := Read(f.fs())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %v", warnings, err)
	}
	return trust
}

func TestReadAsIGTFLaysItOut(t *testing.T) {
	trust, warnings, err := Read(os.DirFS("testdata/ca"))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %v", warnings, err)
	}
	all := trust.Authorities()
	const name = "/DC=org/DC=example-grid/CN=Example Grid Root CA"
	if len(all) != 1 || all[0].DN != name || all[0].File != "55617add.0" || !all[0].Root || !all[0].CRL || all[0].NextUpdate.Year() != 2046 {
		t.Errorf("%+v", all)
	}
	for file, want := range map[string]error{"endorser": nil, "endorser-person": nil, "endorser-revoked": ErrRevoked, "endorser-rogue": ErrUntrusted} {
		c := must(smime.ParseCertificate(must(os.ReadFile("testdata/" + file + ".pem"))))
		v, err := trust.Verify(c, nil, Options{Now: day, CRL: Require, Names: Require})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", file, err, want)
		}
		if err == nil && (len(v.Chain) != 2 || !v.Chain[1].Equal(all[0].Certificate) || len(v.Warnings) > 0) {
			t.Errorf("%s: %v", file, v)
		}
	}
}

func TestVerify(t *testing.T) {
	g := grid()
	both := files{"root.pem": g.root.pem(), "sub.0": g.sub.pem()}
	alone := files{"root.pem": g.root.pem()}
	for name, c := range map[string]struct {
		dir    files
		cert   holder
		others []*x509.Certificate
		o      Options
		want   error
		chain  int
	}{
		"by the root":                 {alone, g.host, nil, Options{}, nil, 2},
		"by an authority beneath":     {both, g.person, nil, Options{}, nil, 3},
		"which is handed in":          {alone, g.person, []*x509.Certificate{g.sub.Certificate}, Options{}, nil, 3},
		"which is missing":            {alone, g.person, nil, Options{}, ErrUntrusted, 0},
		"a root that is handed in":    {files{"o.pem": g.other.pem()}, g.host, []*x509.Certificate{g.root.Certificate}, Options{}, ErrUntrusted, 0},
		"a root of the same name":     {files{"o.pem": g.twin.pem()}, g.host, nil, Options{}, ErrUntrusted, 0},
		"after its end":               {alone, g.host, nil, Options{Now: day.AddDate(2, 0, 0)}, ErrUntrusted, 0},
		"for what it may":             {alone, g.host, nil, Options{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, nil, 2},
		"for something else":          {alone, g.host, nil, Options{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ErrUntrusted, 0},
		"an authority revoked":        {with(both, "r.r0", g.root.list(9, []holder{g.sub})), g.person, nil, Options{}, ErrRevoked, 0},
		"one that is handed in, too":  {with(alone, "r.r0", g.root.list(9, []holder{g.sub})), g.person, []*x509.Certificate{g.sub.Certificate}, Options{}, ErrRevoked, 0},
		"by a list of one handed in":  {with(alone, "r.r0", g.sub.list(9, []holder{g.person})), g.person, []*x509.Certificate{g.sub.Certificate}, Options{}, ErrRevoked, 0},
		"somebody else revoked":       {with(alone, "r.r0", g.root.list(9, []holder{g.sub})), g.host, nil, Options{}, nil, 2},
		"revoked by another's number": {with(alone, "o.pem", g.other.pem(), "r.r0", g.other.list(9, []holder{g.host})), g.host, nil, Options{}, nil, 2},
	} {
		trust := c.dir.read(t)
		if c.o.Now.IsZero() {
			c.o.Now = day
		}
		v, err := trust.Verify(c.cert.Certificate, c.others, c.o)
		if !errors.Is(err, c.want) || len(v.Chain) != c.chain {
			t.Errorf("%s: chain of %d, %v, want %v", name, len(v.Chain), err, c.want)
		}
	}
	if _, err := alone.read(t).Verify(g.host.Certificate, nil, Options{}); err == nil || !strings.Contains(err.Error(), "time") {
		t.Errorf("without a time: %v", err)
	}
	if _, err := alone.read(t).Judge(nil, Options{Now: day}); !errors.Is(err, ErrUntrusted) {
		t.Errorf("no chain: %v", err)
	}
}

// with gives the files and more, as names and texts in turns.
func with(f files, more ...any) files {
	all := maps.Clone(f)
	for i := 0; i < len(more); i += 2 {
		all[more[i].(string)] = more[i+1].([]byte)
	}
	return all
}

// Of several chains one that holds is enough.
func TestJudgeTakesTheChainThatHolds(t *testing.T) {
	g := grid()
	trust := files{"root.pem": g.root.pem(), "o.pem": g.other.pem(), "r.r0": g.root.list(9, []holder{g.host})}.read(t)
	bad, good := []*x509.Certificate{g.host.Certificate, g.root.Certificate}, []*x509.Certificate{g.host.Certificate, g.other.Certificate}
	if v, err := trust.Judge([][]*x509.Certificate{bad, good}, Options{Now: day}); err != nil || !v.Chain[1].Equal(g.other.Certificate) {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := trust.Judge([][]*x509.Certificate{bad, good}, Options{Now: day, CRL: Require}); !errors.Is(err, ErrRevoked) {
		t.Errorf("not the first chain's problem: %v", err)
	}
}

func TestSameName(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"/O=Grid/CN=x", "/O=Grid/CN=x", true},
		{"/O=Grid/CN=x", "/O=Grid/CN=X", false},
		{"/O=Grid/CN=host\\/a.example.org", "/O=Grid/CN=host/a.example.org", true},
		{"/O=Grid\\/CN=x", "/O=Grid/CN=x", false}, // a value that would pass for two attributes
		{"/O=Grid/CN=x/emailAddress=a@b", "/O=Grid/CN=x/Email=a@b", true},
		{"/O=Grid/CN=x/E=a@b", "/O=Grid/CN=x/Email=a@b", true},
		{"/O=Grid/UID=x", "/O=Grid/USERID=x", true},
		{"/O=a\\+b", "/O=a+b", true},
		{"", "", false},
		{"/CN=a\\", "/CN=a", false},
	} {
		if got := SameName(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
		if got := SameName(c.b, c.a); got != c.want {
			t.Errorf("%q and %q: %v", c.b, c.a, got)
		}
	}
}

func TestStateTellsChanges(t *testing.T) {
	g := grid()
	base := files{"a.pem": g.root.pem(), "a.r0": g.root.list(9, nil), "a.info": []byte("x")}
	before := must(State(base.fs()))
	for name, c := range map[string]struct {
		change func(fstest.MapFS)
		same   bool
	}{
		"nothing":                {func(fstest.MapFS) {}, true},
		"a file of no interest":  {func(m fstest.MapFS) { m["a.info"].Data = []byte("yy"); m["b.crl_url"] = &fstest.MapFile{} }, true},
		"a list written anew":    {func(m fstest.MapFS) { m["a.r0"].ModTime = day.Add(time.Nanosecond) }, false},
		"a list of other length": {func(m fstest.MapFS) { m["a.r0"].Data = append(m["a.r0"].Data, '\n') }, false},
		"a new authority":        {func(m fstest.MapFS) { m["b.0"] = &fstest.MapFile{} }, false},
		"one that went":          {func(m fstest.MapFS) { delete(m, "a.pem") }, false},
		"rules for names":        {func(m fstest.MapFS) { m["a.namespaces"] = &fstest.MapFile{} }, false},
	} {
		m := base.fs()
		c.change(m)
		if after := must(State(m)); (after == before) != c.same {
			t.Errorf("%s: same %v", name, after == before)
		}
	}
	if _, err := State(os.DirFS("testdata/none")); err == nil {
		t.Error("a directory that is not there has a state")
	}
}

// On disk the hashed names are links, and a new file behind a link is a change.
func TestLinks(t *testing.T) {
	g := grid()
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "list")
	write := func(list []byte) {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "root.pem"), g.root.pem(), 0o600), os.WriteFile(elsewhere, list, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(g.root.list(9, nil))
	for name, target := range map[string]string{"a.0": "root.pem", "a.r0": elsewhere, "b.0": "gone"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	trust, warnings, err := Read(os.DirFS(dir))
	if err != nil || len(warnings) != 1 || warnings[0].Object != "b.0" {
		t.Fatalf("%v, %v", warnings, err)
	}
	if a := trust.Authorities(); len(a) != 1 || !a[0].CRL {
		t.Errorf("%+v", a)
	}
	before := must(State(os.DirFS(dir)))
	write(g.root.list(9, []holder{g.host}))
	if must(State(os.DirFS(dir))) == before {
		t.Error("a list written anew behind a link is no change")
	}
}

func TestReadFails(t *testing.T) {
	for name, c := range map[string]struct {
		dir   files
		words string
	}{
		"empty":        {files{}, "no certificate"},
		"no authority": {files{"a.info": nil, "a.pem": []byte("x")}, "no certificate"},
		"many, not ours": {func() files {
			f := files{}
			for i := range maxFiles + 1 {
				f[big.NewInt(int64(i)).String()] = nil
			}
			return f
		}(), "it is not one"},
	} {
		if _, _, err := Read(c.dir.fs()); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := Read(os.DirFS("testdata/none")); err == nil || !strings.Contains(err.Error(), "list the directory") {
		t.Errorf("not there: %v", err)
	}
}

// What cannot be used is told, and spoils nothing else.
func TestReadSpoilsNothing(t *testing.T) {
	g := grid()
	delta := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: must(asn1.Marshal(1))}
	point := func(tag int, value ...byte) pkix.Extension {
		inside := must(asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: tag == 0, Bytes: value}))
		return pkix.Extension{Id: oidIssuingPoint, Critical: true, Value: must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: inside}))}
	}
	noCRLs := issue(&g.root, false, "O=Grid", "CN=Root") // an end's certificate of the root's name
	for name, c := range map[string]struct {
		file  string
		text  []byte
		words string // "" = no warning
	}{
		"not PEM":                   {"b.pem", []byte("x"), "b.pem: no certificate"},
		"a link that is none":       {"b.0", []byte("a.pem"), "b.0: no certificate"},
		"a certificate cut off":     {"b.0", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.sub.Raw[:100]}), "certificate 1 cannot be used"},
		"a key beside":              {"b.pem", append([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), g.other.pem()...), ""},
		"twice":                     {"b.0", g.root.pem(), ""},
		"too large":                 {"b.pem", make([]byte, maxFile+1), "more than"},
		"an authority without root": {"b.pem", issue(&g.other, true, "CN=Lost").pem(), "/CN=Lost cannot be trusted: its issuer /O=Other/CN=Root is not in the directory"},
		"a name for a terminal":     {"\x1b[31m.pem", []byte("x"), `"\x1b[31m.pem": no certificate`},
		"no list":                   {"b.r0", []byte("x"), "no revocation list"},
		"another's list":            {"b.r0", g.twin.list(9, []holder{g.host}), "not signed by /O=Grid/CN=Root"},
		"a list by no authority":    {"b.r0", holder{noCRLs.Certificate, noCRLs.key}.forged(g.host), "not signed by"},
		"of nobody here":            {"b.r0", g.other.list(9, nil), ""},
		"a delta":                   {"b.r0", g.root.list(9, []holder{g.host}, delta), "extension 2.5.29.27"},
		"for users only":            {"b.r0", g.root.list(9, []holder{g.host}, point(1, 0xFF)), "some of its issuer's"},
		"says where it is":          {"b.r1", g.root.list(9, nil, point(0)), ""},
		"not one of ours":           {"b.crl_url", []byte("x"), ""},
		"no policy":                 {"b.signing_policy", []byte("x"), "line 1"},
		"no namespaces":             {"b.namespaces", []byte("x"), "line 1"},
	} {
		trust, warnings, err := Read(files{"a.pem": g.root.pem(), c.file: c.text}.fs())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.words == "" && len(warnings) > 0 || c.words != "" && (len(warnings) != 1 || !strings.Contains(warnings[0].String(), c.words)) {
			t.Errorf("%s: %q, want %q", name, warnings, c.words)
		}
		if _, err := trust.Verify(g.host.Certificate, nil, Options{Now: day}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	entries := fstest.MapFS{"a.pem": {Data: g.root.pem()}, "b.pem/x": {}, "c.pem": {Mode: os.ModeNamedPipe}}
	if _, warnings, err := Read(entries); err != nil || len(warnings) != 1 || warnings[0].String() != "c.pem: not a file" {
		t.Errorf("what is no file: %v, %v", warnings, err)
	}
}

// forged makes a revocation list in the root's name, signed by a certificate that may not sign any.
func (h holder) forged(revoked holder) []byte {
	may := *h.Certificate
	may.KeyUsage |= x509.KeyUsageCRLSign
	if may.SubjectKeyId == nil {
		may.SubjectKeyId = []byte{1}
	}
	return holder{&may, h.key}.list(9, []holder{revoked})
}

package gridtrust

import (
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestCRLPolicy(t *testing.T) {
	g := grid()
	alone := files{"a.pem": g.root.pem()}
	none := alone.read(t)
	current := with(alone, "a.r0", g.root.list(9, nil)).read(t)
	revoking := with(alone, "a.r0", g.root.list(9, []holder{g.host})).read(t)
	ended := with(alone, "a.r0", g.root.list(-1, nil)).read(t)
	endedRevoking := with(alone, "a.r0", g.root.list(-1, []holder{g.host})).read(t)
	renewed := with(alone, "a.r0", g.root.list(-1, []holder{g.host}), "a.r1", g.root.list(9, nil)).read(t)
	keys := files{"a.pem": g.root.pem(), "b.pem": g.twin.pem(), "b.r0": g.twin.list(9, []holder{g.host}), "a.r0": g.root.list(8, nil)}.read(t)
	for name, c := range map[string]struct {
		trust         *Trust
		off, ask, req error
		warning       string // if-present
	}{
		"none":                 {none, nil, nil, ErrNoCRL, "no revocation list"},
		"in force":             {current, nil, nil, nil, ""},
		"revoked":              {revoking, nil, ErrRevoked, ErrRevoked, ""},
		"ended":                {ended, nil, nil, ErrNoCRL, "ended 2026-11-23 12:00 UTC"},
		"ended, and revoked":   {endedRevoking, nil, ErrRevoked, ErrRevoked, ""},
		"the newest counts":    {renewed, nil, nil, nil, ""},
		"two keys of one name": {keys, nil, nil, nil, ""},
	} {
		for policy, want := range map[Policy]error{Off: c.off, IfPresent: c.ask, "": c.ask, Require: c.req} {
			v, err := c.trust.Verify(g.host.Certificate, nil, Options{Now: day, CRL: policy})
			if !errors.Is(err, want) {
				t.Errorf("%s, %q: %v, want %v", name, policy, err, want)
			}
			warned := len(v.Warnings) == 1 && v.Warnings[0].Object == "/O=Grid/CN=Root" && strings.Contains(v.Warnings[0].Text, c.warning)
			if want := c.warning != "" && (policy == IfPresent || policy == ""); warned != want || !want && len(v.Warnings) > 0 {
				t.Errorf("%s, %q: warnings %v", name, policy, v.Warnings)
			}
		}
	}
	if _, err := current.Verify(g.host.Certificate, nil, Options{Now: day.AddDate(0, 0, -11), CRL: Require}); !errors.Is(err, ErrNoCRL) || !strings.Contains(err.Error(), "future") {
		t.Errorf("a list of the future: %v", err)
	}
	if a := ended.Authorities()[0]; !a.CRL || !a.NextUpdate.Equal(day.AddDate(0, 0, -1)) {
		t.Errorf("%+v", a)
	}
	for p, want := range map[Policy]bool{Off: true, IfPresent: true, Require: true, "": false, "on": false} {
		if p.Valid() != want {
			t.Errorf("%q: %v", p, p.Valid())
		}
	}
}

const rootPolicy = "access_id_CA X509 '/O=Grid/CN=Root'\npos_rights globus CA:sign\ncond_subjects globus "

func TestNames(t *testing.T) {
	g := grid()
	odd := issue(&g.root, false, "O=Grid/CN=host", "CN=x") // a slash in a value is no border of attributes
	mail := issue(&g.root, false, "O=Grid", "CN=Jane", "email=jane@example.org")
	namespace := func(rules ...string) string { return strings.Join(rules, "\n") }
	for name, c := range map[string]struct {
		signing, namespaces string
		cert                holder
		want                error
	}{
		"permitted":                     {rootPolicy + `'"/O=Grid/*"'`, "", g.host, nil},
		"a slash in the name":           {rootPolicy + `'"/O=Grid/CN=host/*.example.org"'`, "", g.host, nil},
		"one of several":                {rootPolicy + `'"/O=A/*" "/O=Gri?/*"'`, "", g.host, nil},
		"without inner quotes":          {rootPolicy + `'/O=Grid/*'`, "", g.host, nil},
		"without outer quotes":          {rootPolicy + `"/O=Grid/*"`, "", g.host, nil},
		"comments, CRLF, tabs":          {"# x\r\n\r\n" + strings.ReplaceAll(strings.ReplaceAll(rootPolicy, "\n", "\r\n"), " globus", "\t globus") + "'\"/O=Grid/*\"'\r\n", "", g.host, nil},
		"the whole name":                {rootPolicy + `'"/O=Grid"'`, "", g.host, ErrName},
		"another name":                  {rootPolicy + `'"/O=Other/*"'`, "", g.host, ErrName},
		"no regular expression":         {rootPolicy + `'"/O=Gr.d/*"'`, "", g.host, ErrName},
		"a value is no border":          {rootPolicy + `'"/O=Grid/CN=host/*"'`, "", odd, ErrName},
		"e-mail by its old name":        {rootPolicy + `'"/O=Grid/CN=Jane/Email=*"'`, "", mail, nil},
		"rights to something else":      {strings.Replace(rootPolicy, "CA:sign", "other", 1) + `'"/O=Grid/*"'` + "\n" + rootPolicy + `'"/O=Other/*"'`, "", g.host, ErrName},
		"of another authority":          {strings.Replace(rootPolicy, "Root", "Sub", 1) + `'"/O=Other/*"'` + "\n" + rootPolicy + `'"/O=Grid/*"'`, "", g.host, nil},
		"namespaces":                    {"", `TO Issuer "/O=Grid/CN=Root" PERMIT Subject "/O=Grid/.*"`, g.host, nil},
		"in small letters, two lines":   {"", "to issuer \"/O=Grid/CN=Root\" \\\n permit subject \"/O=Grid/.*\"", g.host, nil},
		"namespaces of the whole name":  {"", `TO Issuer "/O=Grid/CN=Root" PERMIT Subject "/O=Grid"`, g.host, ErrName},
		"namespaces from the start":     {"", `TO Issuer "/O=Grid/CN=Root" PERMIT Subject "Grid/.*"`, g.host, ErrName},
		"a plus, escaped":               {"", `TO Issuer "/O=Grid/CN=Root" PERMIT Subject "/O=Grid\+.*"`, g.host, ErrName},
		"denied":                        {"", namespace(`TO Issuer "/O=Grid/CN=Root" PERMIT Subject "/O=Grid/.*"`, `TO Issuer "/O=Grid/CN=Root" DENY Subject ".*host.*"`), g.host, ErrName},
		"another is denied":             {"", namespace(`TO Issuer "/O=Grid/CN=Root" PERMIT Subject "/O=Grid/.*"`, `TO Issuer "/O=Grid/CN=Root" DENY Subject ".*user.*"`), g.host, nil},
		"both must permit":              {rootPolicy + `'"/O=Grid/*"'`, `TO Issuer "/O=Grid/CN=Root" PERMIT Subject "/O=Other/.*"`, g.host, ErrName},
		"one that says nothing of it":   {rootPolicy + `'"/O=Grid/*"'`, `TO Issuer "/O=Other/CN=Root" PERMIT Subject "/O=Other/.*"`, g.host, nil},
		"an authority beneath the root": {rootPolicy + `'"/O=Grid/CN=Sub"'`, `TO Issuer "/O=Grid/CN=Sub" PERMIT Subject "/O=Grid/O=People/.*"`, g.person, nil},
		"beneath it, another name":      {rootPolicy + `'"/O=Grid/CN=Sub"'`, `TO Issuer "/O=Grid/CN=Sub" PERMIT Subject "/O=Grid/O=Hosts/.*"`, g.person, ErrName},
		"the root may not give it":      {rootPolicy + `'"/O=Grid/CN=host/*"'`, `TO Issuer "/O=Grid/CN=Sub" PERMIT Subject "/O=Grid/.*"`, g.person, ErrName},
	} {
		dir := files{"a.pem": g.root.pem(), "s.pem": g.sub.pem()}
		if c.signing != "" {
			dir["a.signing_policy"] = []byte(c.signing)
		}
		if c.namespaces != "" {
			dir["a.namespaces"] = []byte(c.namespaces)
		}
		trust := dir.read(t)
		for _, policy := range []Policy{Require, IfPresent} {
			if _, err := trust.Verify(c.cert.Certificate, nil, Options{Now: day, CRL: Off, Names: policy}); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v, want %v", name, policy, err, c.want)
			}
		}
		for _, policy := range []Policy{Off, ""} {
			if _, err := trust.Verify(c.cert.Certificate, nil, Options{Now: day, CRL: Off, Names: policy}); err != nil {
				t.Errorf("%s, %q: %v", name, policy, err)
			}
		}
	}
	bare := files{"a.pem": g.root.pem()}.read(t)
	if _, err := bare.Verify(g.host.Certificate, nil, Options{Now: day, CRL: Off, Names: Require}); !errors.Is(err, ErrName) {
		t.Errorf("no rules, required: %v", err)
	}
	if v, err := bare.Verify(g.host.Certificate, nil, Options{Now: day, CRL: Off, Names: IfPresent}); err != nil || len(v.Warnings) != 1 {
		t.Errorf("no rules: %v, %v", v.Warnings, err)
	}
}

func TestRulesThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		parse func(string) ([]nameRule, error)
		text  string
		rules int
		words string
	}{
		{parseSigningPolicy, "", 0, "no rule"},
		{parseSigningPolicy, rootPolicy, 0, "line 3: 0 subjects"},
		{parseSigningPolicy, rootPolicy + "'\"/O=Grid/*\"'\nnonsense", 1, `line 4: "nonsense"`},
		{parseSigningPolicy, "access_id_CA X509 ''", 0, "line 1"},
		{parseSigningPolicy, "access_id_CA globus '/O=Grid'", 0, "line 1"},
		{parseSigningPolicy, "pos_rights globus CA:sign\ncond_subjects globus '/*'", 0, "no rule"}, // nobody's
		{parseNamespaces, "# x", 0, "no rule"},
		{parseNamespaces, "TO Issuer SELF PERMIT Subject \".*\"\nTO Issuer \"/O=Grid\" PERMIT Subject \".*\"", 1, "line 1: a rule for SELF"},
		{parseNamespaces, `TO Issuer "/O=Grid" PERMIT Subject "("`, 0, "line 1: subject"},
		{parseNamespaces, `TO Issuer "/O=Grid" DENY Subject "("`, 1, "line 1: subject"}, // denies all
		{parseNamespaces, `TO Issuer "/O=Grid" ALLOW Subject ".*"`, 0, "line 1"},
	} {
		rules, err := c.parse(c.text)
		if err == nil || !strings.Contains(err.Error(), c.words) || len(rules) != c.rules {
			t.Errorf("%q: %d rules, %v, want %q", c.text, len(rules), err, c.words)
		}
	}
	rules, _ := parseNamespaces(`TO Issuer "/O=Grid" DENY Subject "("`)
	if !rules[0].deny || !rules[0].matches("/O=Grid/CN=x") {
		t.Error("a rule that denies, and cannot be read, denies nothing")
	}
}

// FuzzDirectory reads a directory of two files, whatever is in them: nothing makes a stranger's certificate trusted.
func FuzzDirectory(f *testing.F) {
	read := func(name string) []byte { return must(os.ReadFile("testdata/" + name)) }
	root := read("ca/55617add.0")
	f.Add("a.pem", root)
	f.Add("a.r0", read("ca/55617add.r0"))
	f.Add("a.signing_policy", read("ca/55617add.signing_policy"))
	f.Add("a.namespaces", []byte("TO Issuer \"/DC=org/DC=example-grid/CN=Example Grid Root CA\" \\\n PERMIT Subject \"/DC=EU/.*\"\nTO Issuer \"/O=x\" DENY Subject \".*\"\n"))
	g := grid()
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		dir := fstest.MapFS{"good.0": {Data: root}}
		if !fstestName(name) {
			return
		}
		dir[name] = &fstest.MapFile{Data: text}
		trust, warnings, err := Read(dir)
		if err != nil {
			t.Fatalf("the good file is spoilt by %q: %v", name, err)
		}
		for _, w := range warnings {
			if strings.ContainsFunc(w.String(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("a warning on the wire: %q", w)
			}
		}
		if _, err := trust.Verify(g.host.Certificate, nil, Options{Now: day, Names: IfPresent}); !errors.Is(err, ErrUntrusted) {
			t.Errorf("a stranger is trusted: %v", err)
		}
		must(State(dir))
	})
}

func fstestName(name string) bool {
	return name != "good.0" && name != "." && !strings.Contains(name, "/") && name != ".." && name != "" && strings.ToValidUTF8(name, "") == name
}

// FuzzCRL: a list that is taken is complete, and its issuer has a name.
func FuzzCRL(f *testing.F) {
	trust := must2(Read(os.DirFS("testdata/ca")))
	root := trust.Authorities()[0].Certificate
	block, _ := pem.Decode(must(os.ReadFile("testdata/ca/55617add.r0")))
	f.Add(block.Bytes)
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := parseCRL(der)
		if err != nil {
			return
		}
		good := trust.crls[trust.Authorities()[0].DN][0]
		if c.list.CheckSignatureFrom(root) == nil && !slices.Equal(c.list.RawTBSRevocationList, good.list.RawTBSRevocationList) {
			t.Error("a list that the root did not sign is taken for its own")
		}
		_ = c.inForce(day)
	})
}

func must2(t *Trust, _ []Warning, err error) *Trust { return must(t, err) }

package glue

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// ldifEntry is an entry as an independent reader of RFC 2849 sees it.
type ldifEntry struct {
	dn         string
	attributes [][2]string
}

// readLDIF reads LDIF strictly: lines of at most so many characters of printable ASCII, SAFE-STRINGs, base64, folded lines.
func readLDIF(text string, width int) ([]ldifEntry, error) {
	var lines [][]byte
	for i, l := range strings.Split(text, "\n") {
		if len(l) > width {
			return nil, fmt.Errorf("line %d has %d characters", i+1, len(l))
		}
		for _, c := range []byte(l) {
			if c < ' ' || c > '~' {
				return nil, fmt.Errorf("line %d has the byte %#x", i+1, c)
			}
		}
		if more, ok := strings.CutPrefix(l, " "); ok {
			if len(lines) == 0 || len(lines[len(lines)-1]) == 0 {
				return nil, fmt.Errorf("line %d continues nothing", i+1)
			}
			lines[len(lines)-1] = append(lines[len(lines)-1], more...)
			continue
		}
		lines = append(lines, []byte(l))
	}
	var out []ldifEntry
	inside := false
	for _, line := range lines {
		l := string(line)
		if l == "" {
			inside = false
			continue
		}
		if l == "version: 1" && out == nil {
			continue
		}
		name, value, ok := strings.Cut(l, ":")
		if !ok || strings.ContainsAny(name, " ,") {
			return nil, fmt.Errorf("no attribute: %q", l)
		}
		if b64, ok := strings.CutPrefix(value, ":"); ok {
			b, err := base64.StdEncoding.DecodeString(strings.TrimLeft(b64, " "))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			value = string(b)
		} else {
			value = strings.TrimLeft(value, " ")
			if strings.HasPrefix(value, ":") || strings.HasPrefix(value, "<") || strings.HasSuffix(value, " ") {
				return nil, fmt.Errorf("%s: %q is no safe text", name, value)
			}
		}
		if !inside {
			if name != "dn" {
				return nil, fmt.Errorf("an entry begins with %q", l)
			}
			out = append(out, ldifEntry{dn: value})
			inside = true
			continue
		}
		if name == "dn" {
			return nil, errors.New("dn inside of an entry")
		}
		e := &out[len(out)-1]
		e.attributes = append(e.attributes, [2]string{name, value})
	}
	return out, nil
}

// renderLDIF is the document as LDIF, read back.
func renderLDIF(t testing.TB, d Document, base DN) []ldifEntry {
	t.Helper()
	var out bytes.Buffer
	if err := WriteLDIF(&out, Entries(d, base, nil)); err != nil {
		t.Fatal(err)
	}
	entries, err := readLDIF(out.String(), 76)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return entries
}

// exampleDocument is what example-good.ldif was written from.
func exampleDocument() Document {
	const ep, site = "https://ks.example.org:5000/v3", "LAB-SITE"
	n := func(i int64) *int64 { return &i }
	endpoint := EndpointID(ep, "")
	share := ShareID(endpoint, "ops", "p-ops")
	d := Document{
		Services:  []Service{NewService(ep, site)},
		Managers:  []Manager{NewManager(ep, "")},
		Endpoints: []Endpoint{NewEndpoint(ep, "", site)},
		Shares:    []Share{NewShare(ServiceID(ep), endpoint, "ops", "p-ops")},
		Images: []Image{{
			Entity: Entity{ID: "uni-1", Name: "Ünïcode image"}, Shares: []string{share}, Endpoints: []string{endpoint}, Managers: []string{ManagerID(ep, "")},
			MarketplaceURL: "registry.egi.eu/x/uni:1", OSPlatform: "x86_64", OSFamily: "linux", OSName: "ubuntu", OSVersion: "22.04",
			Description: "First line\nsecond line: é", AccessInfo: AccessNone, DiskSize: n(20),
			Network: []NetworkConfiguration{{Direction: "inbound", Protocol: "tcp", Port: "22", AddressRange: "0.0.0.0/0"}},
		}},
		InstanceTypes: []InstanceType{{
			Entity: Entity{ID: "gpu-1", Name: "g1.a100"}, Shares: []string{share}, Endpoints: []string{endpoint}, Managers: []string{ManagerID(ep, "")},
			VirtualAccelerators: []string{"gpu-1_gpu"}, Platform: "amd64", CPU: n(16), RAM: n(65536), Disk: n(80), NetworkIn: Undefined, NetworkOut: True,
			NetworkInfo: []string{"infiniband"},
		}},
		VirtualAccelerators: []VirtualAccelerator{{
			Entity: Entity{ID: "gpu-1_gpu", Name: "g1.a100_gpu"}, InstanceTypes: []string{"gpu-1"}, Type: "GPU", Number: new(2.0),
			Vendor: "NVIDIA", Model: "A100", Memory: n(40960), VirtualizationType: "hardware",
		}},
		MappingPolicies: []MappingPolicy{NewMappingPolicy(share, "ops")},
		AccessPolicies:  []AccessPolicy{NewAccessPolicy(endpoint)},
	}
	d.Services[0].OtherInfo = Info{{"gocdb_id", "16001G0"}, {"site_name", site}}
	d.Shares[0].OtherInfo = Info{{"project_name", "ops"}, {"project_domain_name", "Default"}}
	d.Shares[0].VMs = VMs{Total: n(1), Running: n(1), Suspended: n(0), Halted: n(0)}
	d.Shares[0].MaxVM = n(10)
	e := &d.Endpoints[0]
	e.InterfaceVersion, e.ImplementationVersion, e.Authentication, e.IssuerCA = "2.0", "2.95", "oidc", "/C=NL/O=Test CA Org/CN=Lab Test CA"
	d.Summarize()
	m := &d.Managers[0]
	m.InstanceMinCPU, m.InstanceMinRAM, m.Failover, m.VirtualDiskFormats = n(1), n(512), Undefined, []string{"qcow2", "raw"}
	for _, c := range d.classes() {
		for i := range c.len {
			ent := c.at(i).entity()
			ent.CreationTime, ent.Validity = time.Date(2026, 11, 23, 10, 58, 48, 302e6, time.UTC), 12*time.Hour
		}
	}
	return d
}

// TestExampleLDIF: the entries of the example, which loads into OpenLDAP, are ours, value by value.
func TestExampleLDIF(t *testing.T) {
	text, err := os.ReadFile("testdata/example-good.ldif")
	if err != nil {
		t.Fatal(err)
	}
	want, err := readLDIF(string(text), 76)
	if err != nil || len(want) != 10 {
		t.Fatal(err, len(want))
	}
	got := renderLDIF(t, exampleDocument(), ResourceBase())
	byDN := func(a, b ldifEntry) int { return strings.Compare(a.dn, b.dn) }
	slices.SortFunc(want, byDN)
	slices.SortFunc(got, byDN)
	for i := range max(len(want), len(got)) {
		if i >= len(got) || i >= len(want) || got[i].dn != want[i].dn {
			t.Fatalf("entries\n%q\nwant\n%q", got, want)
		}
		sort := func(a [][2]string) {
			slices.SortStableFunc(a, func(x, y [2]string) int { return strings.Compare(x[0], y[0]) })
		}
		sort(got[i].attributes)
		sort(want[i].attributes)
		if !slices.Equal(got[i].attributes, want[i].attributes) {
			t.Errorf("%s:\n%q\nwant\n%q", got[i].dn, got[i].attributes, want[i].attributes)
		}
	}
}

func TestLDIFLines(t *testing.T) {
	for value, want := range map[string]string{
		"":                             "a: ",
		"plain":                        "a: plain",
		" leading":                     "a:: IGxlYWRpbmc=",
		"trailing ":                    "a:: dHJhaWxpbmcg",
		":colon":                       "a:: OmNvbG9u",
		"<less":                        "a:: PGxlc3M=",
		"in: the < middle":             "a: in: the < middle",
		"#hash":                        "a: #hash",
		"é":                            "a:: w6k=",
		"a\nb: c":                      "a:: YQpiOiBj",
		"a\rb":                         "a:: YQ1i",
		"\x00":                         "a:: AA==",
		"\x1b[2J":                      "a:: G1sySg==",
		"\x7f":                         "a:: fw==",
		strings.Repeat("x", 73):        "a: " + strings.Repeat("x", 73),
		strings.Repeat("x", 74):        "a: " + strings.Repeat("x", 73) + "\n x",
		strings.Repeat("x", 73+75):     "a: " + strings.Repeat("x", 73) + "\n " + strings.Repeat("x", 75),
		strings.Repeat("x", 73+75+1):   "a: " + strings.Repeat("x", 73) + "\n " + strings.Repeat("x", 75) + "\n x",
		strings.Repeat("x", 73) + " y": "a: " + strings.Repeat("x", 73) + "\n  y",
	} {
		if got := string(appendLine(nil, "a", value)); got != want+"\n" {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

func TestDNText(t *testing.T) {
	for value, want := range map[string]string{
		"plain":                "plain",
		"https://h:5000/v3=,+": `https://h:5000/v3=\,\+`,
		` a b `:                `\ a b\ `,
		" ":                    `\ `,
		"#1":                   `\#1`,
		"a#1":                  `a#1`,
		`"\<>;`:                `\"\\\<\>\;`,
		"a\x00b\n\x7f":         `a\00b\0A\7F`,
		"Ünï":                  "Ünï",
		"a\xffb":               "a\ufffdb",
		"/VO=x/y":              "/VO=x/y",
	} {
		dn := DN{{"GLUE2ShareID", value}, {"o", "glue"}}
		if got := dn.String(); got != "GLUE2ShareID="+want+",o=glue" {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
		back, err := ParseDN(dn.String())
		if err != nil || len(back) != 2 || back[0].Value != valid(value) {
			t.Errorf("%q comes back as %q, %v", value, back, err)
		}
	}
}

func TestParseDN(t *testing.T) {
	same := CloudBase("LAB-SITE").Key()
	for _, text := range []string{
		"GLUE2GroupID=cloud,GLUE2DomainID=LAB-SITE,o=glue", "glue2groupid=cloud, GLUE2DomainID = LAB-SITE , O=glue",
		`GLUE2GroupID=\63loud;GLUE2DomainID=LAB\2dSITE,o=glue`,
	} {
		d, err := ParseDN(text)
		if err != nil || d.Key() != same || d[1].Value != "LAB-SITE" || d[2].Value != "glue" {
			t.Errorf("%s: %q, %v", text, d, err)
		}
	}
	if d, err := ParseDN(""); err != nil || len(d) != 0 {
		t.Errorf("the root: %q, %v", d, err)
	}
	for _, text := range []string{"o", "=x", "o=glue,", "a+b=c", "a=b+c=d", `a="b"`, `a=b\`, `a=b\zz`, `a=b\0`, "a=#04", `a=\ff`, "a=b,,c=d", "a=b<"} {
		if d, err := ParseDN(text); err == nil {
			t.Errorf("%s: %q", text, d)
		}
	}
}

// TestEntriesKeepToTheTree: both bases, parents first, base entries, an object for each share, and nothing twice.
func TestEntriesKeepToTheTree(t *testing.T) {
	for _, base := range []DN{ResourceBase(), CloudBase("A, B")} {
		d := exampleDocument()
		second := d.Shares[0]
		second.ID += "2"
		d.Shares = append(d.Shares, second)
		for _, own := range []*[]string{&d.Images[0].Shares, &d.InstanceTypes[0].Shares, &d.MappingPolicies[0].Shares} {
			*own = append(*own, second.ID)
		}
		known := map[string]bool{}
		for _, e := range BaseEntries(base) {
			known[e.DN.Key()] = true
		}
		if len(known) != len(base) {
			t.Errorf("%s: %d base entries", base, len(known))
		}
		n := 0
		for e := range Entries(d, base, func(f Finding) { t.Error(f) }) {
			n++
			if !known[e.DN[1:].Key()] {
				t.Errorf("%s: its parent was not there before", e.DN)
			}
			if known[e.DN.Key()] {
				t.Errorf("%s is there twice", e.DN)
			}
			known[e.DN.Key()] = true
			if !slices.ContainsFunc(e.Attributes, func(a Attribute) bool {
				return a.Name == e.DN[0].Name && slices.Equal(a.Values, []string{e.DN[0].Value})
			}) {
				t.Errorf("%s: its name is no attribute of it: %q", e.DN, e.Attributes)
			}
			if e.DN[1].Value == second.ID && strings.Contains(fmt.Sprint(e.Attributes), d.Shares[0].ID+"]") {
				t.Errorf("%s names the other share: %q", e.DN, e.Attributes)
			}
		}
		if want := 10 + 1 + 5; n != want {
			t.Errorf("%d entries, want %d", n, want)
		}
	}
}

func TestEntriesCanBeLeftEarly(t *testing.T) {
	n := 0
	for range Entries(exampleDocument(), ResourceBase(), nil) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Error(n)
	}
}

// TestLeftOut: what the tree cannot hold is named, and the rest is there.
func TestLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Document)
		want  []string
		left  int
	}{
		"nothing":                  {func(*Document) {}, nil, 10},
		"an image without a share": {func(d *Document) { d.Images[0].Shares = nil }, []string{`CloudComputingImage "uni-1": left out of LDAP: it belongs to no Share`}, 8},
		"a share that is not there": {func(d *Document) { d.Images[0].Shares = []string{"x"} },
			[]string{`CloudComputingImage "uni-1": left out of LDAP: its Share "x" is not in the document`}, 8},
		"an accelerator that is not there": {func(d *Document) { d.VirtualAccelerators = nil },
			[]string{`CloudComputingVirtualAccelerator "gpu-1_gpu": left out of LDAP: it is not in the document for the Share`}, 9},
		"an accelerator of another share": {func(d *Document) { d.VirtualAccelerators[0].Shares = []string{"x"} },
			[]string{`CloudComputingVirtualAccelerator "gpu-1_gpu": left out of LDAP: it is not in the document for the Share`}, 9},
		"an accelerator that nothing has": {func(d *Document) { d.InstanceTypes[0].VirtualAccelerators = nil },
			[]string{`CloudComputingVirtualAccelerator "gpu-1_gpu": left out of LDAP: no instance type has it`}, 9},
		"no manager for an image": {func(d *Document) { d.Images[0].Managers = nil }, []string{`CloudComputingImage "uni-1": left out of LDAP: it has no CloudComputingManager`}, 8},
		"no VO":                   {func(d *Document) { d.AccessPolicies[0].Rule = nil }, []string{`AccessPolicy "https://ks.example.org:5000/v3_OpenStack_v3_policy": left out of LDAP: it has no Rule`}, 9},
		"no id":                   {func(d *Document) { d.Images[0].ID = "  " }, []string{`CloudComputingImage "  ": left out of LDAP: it has no id`}, 8},
		"a long id": {func(d *Document) { d.Images[0].ID = strings.Repeat("i", 241-len("GLUE2CloudComputingImageID=")) },
			[]string{`left out of LDAP: its id is longer than LDAP servers hold`}, 8},
		"a long id of a network": {func(d *Document) { d.Images[0].ID = strings.Repeat("i", 240-len("GLUE2CloudComputingImageID=")) },
			[]string{`left out of LDAP: the id of what its network needs is longer than LDAP servers hold`}, 9},
		"an image twice": {func(d *Document) { d.Images = append(d.Images, d.Images[0]) }, []string{`CloudComputingImage "uni-1": left out of LDAP: another has the same id`}, 10},
		"ids that differ in blanks": {func(d *Document) {
			d.Images = append(d.Images, d.Images[0])
			d.Images[0].ID = "a b"
			d.Images[1].ID = " a  b"
		},
			[]string{`CloudComputingImage " a  b": left out of LDAP: another has the same id`}, 10},
		"no service": {func(d *Document) { d.Services = nil }, []string{"its CloudComputingService is not in the document"}, 0},
	} {
		d := exampleDocument()
		c.spoil(&d)
		var found []string
		n := 0
		for range Entries(d, ResourceBase(), func(f Finding) { found = append(found, f.String()) }) {
			n++
		}
		if n != c.left {
			t.Errorf("%s: %d entries, want %d", name, n, c.left)
		}
		for _, w := range c.want {
			if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, w) }) {
				t.Errorf("%s: %q, want %q", name, found, w)
			}
		}
		if len(c.want) == 0 && len(found) > 0 {
			t.Errorf("%s: %q", name, found)
		}
	}
}

// TestUndefinedInLDAP: what GLUE makes mandatory gets GLUE's word for undefined, all else is left out; a part of a GPU is
// rounded up and said exactly.
func TestUndefinedInLDAP(t *testing.T) {
	d := exampleDocument()
	i := &d.Images[0]
	i.OSFamily, i.OSPlatform, i.DiskSize, i.OSName, i.Name = "", "", nil, "", ""
	d.VirtualAccelerators[0].Number = new(0.5)
	d.VirtualAccelerators[0].InstanceTypes = []string{"other", "gpu-1"}
	i.Managers = append(i.Managers, "another")
	d.Endpoints[0].TrustedCAs = []string{"/CN=a b", "/CN=a  b", "", "/CN=c"}
	d.Shares[0].OtherInfo = Info{{"quotas", Info{{"cores", 20}}}, {"a=b c", "é"}, {"none", nil}, {"none", "later"}}
	text := map[string]string{}
	for e := range Entries(d, ResourceBase(), nil) {
		for _, a := range e.Attributes {
			text[e.DN[0].Value+" "+a.Name] = strings.Join(a.Values, "|")
		}
	}
	for name, want := range map[string]string{
		"uni-1 GLUE2CloudComputingImageOSFamily":                                              "UNDEFINEDVALUE",
		"uni-1 GLUE2CloudComputingImageOSPlatform":                                            "UNDEFINEDVALUE",
		"uni-1 GLUE2CloudComputingImageDiskSize":                                              "999999999",
		"uni-1 GLUE2CloudComputingImageOSName":                                                "",
		"uni-1 GLUE2EntityName":                                                               "",
		"gpu-1_gpu GLUE2CloudComputingVirtualAcceleratorNumber":                               "1",
		"gpu-1_gpu GLUE2CloudComputingVirtualAcceleratorCloudComputingInstanceTypeForeignKey": "gpu-1",
		"uni-1 GLUE2CloudComputingImageCloudComputingManagerForeignKey":                       d.Managers[0].ID,
		d.Endpoints[0].ID + " GLUE2EndpointTrustedCA":                                         "/CN=a b|/CN=c",
		"gpu-1_gpu GLUE2EntityOtherInfo":                                                      "Number=0.5",
		d.Shares[0].ID + " GLUE2EntityOtherInfo":                                              `quotas={"cores": 20}|a%3Db%20c=é|none=later`,
		d.Services[0].ID + " GLUE2EntityCreationTime":                                         "2026-11-23T10:58:48Z",
		d.AccessPolicies[0].ID + " GLUE2PolicyUserDomainForeignKey":                           "ops",
	} {
		if text[name] != want {
			t.Errorf("%s: %q, want %q", name, text[name], want)
		}
	}
}

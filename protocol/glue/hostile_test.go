package glue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// hostileTexts are names that a tenant might try.
var hostileTexts = []string{
	"a\nb", "a\r\n\r\nb", "\ndn: o=glue", "a\n\ndn: o=evil\nobjectClass: organization\n", "x\nGLUE2EntityName: y", "a\n b",
	`"`, `\`, `\"`, `"}]}`, `\u0022`, "'", "`$(id)`", "<script>alert(1)</script>", "</script>",
	"\x00", "a\x00b", "\x00\x00", "\x01\x02\x1f\x7f", "\x1b[2J\x1b]0;x\x07", "\t", "\v\f\u0085\u2028\u2029",
	"\xff", "a\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80", "\ufeff", "\ufffe\uffff", "\U0001f600", "\U0010ffff",
	" ", "   ", " a", "a ", "a  b", "\u00a0", "\u200b", "\u202etxt.exe", "e\u0301", "ﬁ", "K", "ß", "İ",
	":", "::", ": a", "<", "<file:///etc/passwd", "#", "#04024869", "-", "dn: x", "version: 1", "version",
	"*", "(*)", ")(objectClass=*", `\2a`, `a,o=glue`, `a+b`, `a;b`, `a=b`, "a,b\\", "=", "%0a", "%", "{}", "[]", "null", "NaN", "UNKNOWN", "UNDEFINEDVALUE",
	"topic/../x", "../../etc", "SITE_X_ENDPOINT_1", strings.Repeat("long ", 2_000), strings.Repeat("é", 300),
}

// hostile is the example document with a text wherever a tenant can put one, and in the ids too.
func hostile(text string) Document {
	d := exampleDocument()
	i, t, s := &d.Images[0], &d.InstanceTypes[0], &d.Shares[0]
	for _, to := range []*string{&i.Name, &i.MarketplaceURL, &i.OSPlatform, &i.OSFamily, &i.OSName, &i.OSVersion, &i.Version, &i.Description,
		&t.Name, &s.PublicNetworkName, &d.VirtualAccelerators[0].Model} {
		*to = text
	}
	i.OtherInfo = Info{{text, text}, {"nested", Info{{text, []any{text, Info{{text, nil}}}}}}, {"eu.egi.cloud.tag", json.Number("5")}, {"eu.egi.cloud.image_ref", nil}}
	s.OtherInfo = append(s.OtherInfo, Item{"project_name", text})
	d.Endpoints[0].TrustedCAs = []string{text, " " + text, text + "  x", text + " x", ""}
	i.Managers = append(i.Managers, text)
	n := i.Network[0]
	n.Port, n.AddressRange, n.Protocol = text, text, "tcp"
	i.Network = append(i.Network, n)
	if len(text) < 100 {
		other := *i
		other.ID = "id" + text
		d.Images = append(d.Images, other)
	}
	return d
}

func TestHostileJSON(t *testing.T) {
	for _, text := range hostileTexts {
		d := hostile(text)
		var out bytes.Buffer
		if err := WriteJSON(&out, d); err != nil {
			t.Fatal(err)
		}
		b := out.Bytes()
		if !json.Valid(b) || bytes.IndexByte(b, '\n') != len(b)-1 || bytes.ContainsFunc(b[:len(b)-1], func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q: not one line of JSON in ASCII: %s", text, b)
		}
		back := ordered(t, b)
		img := back.Get("CloudComputingImage").([]any)[0].(Info)
		if img.Text("Description") != valid(text) || img.Get("OtherInfo").(Info).Get(valid(text)) != valid(text) {
			t.Errorf("%q: it comes back as %q", text, img)
		}
		if info := img.Get("OtherInfo").(Info); info.Text("eu.egi.cloud.tag") != "5" || strings.Contains(string(b), `"eu.egi.cloud.image_ref"`) {
			t.Errorf("%q: OtherInfo is %v", text, info)
		}
		if err := apiLoads(b); err != nil {
			t.Errorf("%q: the information API: %v", text, err)
		}
		read, found, err := Parse(bytes.NewReader(b), Limits{})
		if err != nil || len(found) > 0 || len(read.Images) != len(d.Images) || len(read.Shares) != 1 {
			t.Errorf("%q: read back with %v, %v", text, err, found)
		}
	}
}

func TestHostileLDIF(t *testing.T) {
	for _, text := range hostileTexts {
		d := hostile(text)
		entries := renderLDIF(t, d, ResourceBase())
		if want := 11 + 3*(len(d.Images)-1); len(entries) != want {
			t.Errorf("%q: %d entries, want %d", text, len(entries), want)
		}
		for _, e := range entries {
			if _, err := ParseDN(e.dn); err != nil {
				t.Errorf("%q: %v", text, err)
			}
			for _, a := range e.attributes {
				if a[0] == "GLUE2CloudComputingImageDescription" && a[1] != valid(text) {
					t.Errorf("%q comes back as %q", text, a[1])
				}
				if a[1] == "" {
					t.Errorf("%q: %s of %s is empty", text, a[0], e.dn)
				}
			}
		}
	}
}

// apiLoads does with a document what cloud-info-api 4be48aa does, with its types: an error is a site that vanishes.
func apiLoads(document []byte) error {
	var doc struct {
		CloudComputingService []struct {
			CreationTime string
			Validity     int
			OtherInfo    struct {
				GOCDBID *string `json:"gocdb_id"`
			}
			Associations struct{ AdminDomain []string }
		}
		CloudComputingEndpoint           []struct{ URL *string }
		CloudComputingVirtualAccelerator *[]struct{ ID *string }
		Share                            *[]struct{ ID, Name, ProjectID *string }
		MappingPolicy                    *[]struct {
			Associations *struct{ Share, PolicyUserDomain []string }
		}
		CloudComputingImage *[]struct {
			ID, MarketplaceURL *string
			Name               string
			OtherInfo          map[string]any
			Associations       *struct{ Share *[]string }
		}
		CloudComputingInstanceType *[]struct {
			Name         *string
			Associations *struct{ Share *[]string }
		}
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		return err
	}
	if len(doc.CloudComputingService) == 0 || len(doc.CloudComputingEndpoint) == 0 || doc.CloudComputingEndpoint[0].URL == nil ||
		doc.Share == nil || doc.MappingPolicy == nil || doc.CloudComputingImage == nil || doc.CloudComputingInstanceType == nil || doc.CloudComputingVirtualAccelerator == nil {
		return errors.New("a class is missing")
	}
	s := doc.CloudComputingService[0]
	if len(s.Associations.AdminDomain) == 0 || s.OtherInfo.GOCDBID == nil || s.CreationTime == "" || s.Validity == 0 {
		return errors.New("AdminDomain, gocdb_id or CreationTime is missing")
	}
	for _, share := range *doc.Share {
		if share.ID == nil || share.Name == nil || share.ProjectID == nil {
			return errors.New("a share without ID, Name or ProjectID")
		}
		for _, p := range *doc.MappingPolicy {
			if p.Associations == nil || slices.Contains(p.Associations.Share, *share.ID) && len(p.Associations.PolicyUserDomain) == 0 {
				return errors.New("a policy without a VO")
			}
		}
	}
	for _, i := range *doc.CloudComputingImage {
		if i.ID == nil || i.Associations == nil || i.Associations.Share == nil {
			return errors.New("an image without ID or Share")
		}
		for _, name := range apiTexts {
			if v, ok := i.OtherInfo[name]; ok {
				if _, text := v.(string); !text {
					return fmt.Errorf("%s is %v", name, v)
				}
			}
		}
	}
	for _, i := range *doc.CloudComputingInstanceType {
		if i.Name == nil || i.Associations == nil || i.Associations.Share == nil {
			return errors.New("an instance type without Name or Share")
		}
	}
	return nil
}

// TestAPITakesWhatIsAlmostEmpty: every document that has a service, an endpoint and a gocdb_id loads.
func TestAPITakesWhatIsAlmostEmpty(t *testing.T) {
	s := exampleDocument().Services[0]
	full := hostile("x")
	full.Shares[0].Name, full.InstanceTypes[0].Name, full.Images[0].Shares, full.InstanceTypes[0].Shares = "", "", nil, nil
	for _, d := range []Document{{Services: []Service{s}, Endpoints: exampleDocument().Endpoints}, exampleDocument(), exampleDocument().Merged(), full} {
		var out bytes.Buffer
		if err := WriteJSON(&out, d); err != nil {
			t.Fatal(err)
		}
		if err := apiLoads(out.Bytes()); err != nil {
			t.Errorf("%v: %s", err, out.String())
		}
		if f := Validate(d); slices.ContainsFunc(f, func(f Finding) bool { return f.Level == LevelFatal }) {
			t.Error(f)
		}
	}
}

func TestTimes(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	for at, want := range map[time.Time]string{
		time.Date(2026, 11, 23, 12, 58, 44, 302_400_999, zone): "2026-11-23T10:58:44.302400+00:00",
		time.Date(2026, 11, 23, 12, 58, 44, 999, zone):         "2026-11-23T10:58:44+00:00",
	} {
		if got := pythonTime(at); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestNumbersThatReadersRefuse: what Python does not read as a number goes as text.
func TestNumbersThatReadersRefuse(t *testing.T) {
	for in, want := range map[string]string{
		`{"a": 1e999}`: `{"a": "1e999"}`,
		`{"a": ` + strings.Repeat("9", 5000) + `}`:  `{"a": "` + strings.Repeat("9", 5000) + `"}`,
		`{"a": -0.5e-3, "b": 12345678901234567890}`: `{"a": -0.5e-3, "b": 12345678901234567890}`,
		`{"a": 1, "b": 2, "a": [3]}`:                `{"a": [3], "b": 2}`,
		`{"\ud800": "\udc00x"}`:                     `{"\ufffd": "\ufffdx"}`,
		`{"a": {"b": []}, "c": null, "d": true}`:    `{"a": {"b": []}, "c": null, "d": true}`,
	} {
		info, err := ParseInfo(in)
		if err != nil {
			t.Fatal(in, err)
		}
		if got := compact(info); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	e := encoder{}
	e.value([]any{func() {}, struct{}{}, int64(1), 2, 0.25, []string{"x"}, Info(nil)}, 3)
	if got := string(e.buf); got != `[null, null, 1, 2, 0.25, ["x"], {}]` {
		t.Error(got)
	}
}

func TestParseInfoRefuses(t *testing.T) {
	for _, in := range []string{"", "{not json", "[]", "1", "null", `{"a":1} {}`, `{"a":1`, `{"a"`, `{"a":[1`, `{1:2}`, `{"a":NaN}`,
		strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), `{"a": "` + strings.Repeat("x", 1<<20) + `"}`} {
		if info, err := ParseInfo(in); err == nil {
			t.Errorf("%.40s: %v", in, info)
		}
	}
	if _, err := ParseInfo(strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32)); err != nil {
		t.Error(err)
	}
}

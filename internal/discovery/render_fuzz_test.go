package discovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/protocol/glue"
)

// hostile are texts by which tenants might break a document, an entry, a filter or a topic.
var hostile = []string{
	"a\nb\r\n\ndn: o=evil", `"},{"ID":"x`, `\",\\`, "\x00\x01\x7f", "\xff\xfe", "\u2028\u202e\U0001F600", " leading and trailing ", "  ", "#start,+\"\\<>;=*()",
	"UNKNOWN", "UNDEFINEDVALUE", "_underscore", "<script>alert(1)</script>", "%s%n{{.}}$(id)", strings.Repeat("long", 300), "a,GLUE2ShareID=b", "", "VO:ops",
}

// hostileCatalog is a cloud whose tenants and administrators choose the worst of names and properties.
func hostileCatalog(vos ...string) Catalog {
	c := sample(vos...)
	for k := range c.Regions[0].Shares {
		o := &c.Regions[0].Shares[k].Offer
		for i, text := range hostile {
			o.Images.Value = append(o.Images.Value,
				Image{ID: fmt.Sprint("text-", i), Name: text, File: text, Properties: map[string]string{"os_distro": text, "architecture": text, "os_type": text, "marketplace": text,
					"vmcatcher_event_dc_description": text, "APPLIANCE_ATTRIBUTES": text, "ad:traffic_in": `[{"net_port": "` + text + `"}]`}},
				Image{ID: text, Properties: map[string]string{"APPLIANCE_ATTRIBUTES": quoted(text)}})
			o.Flavors.Value = append(o.Flavors.Value,
				Flavor{ID: text, Name: text, VCPUs: int64(i), ExtraSpecs: map[string]string{text: text, "Accelerator:Number": "1", "Accelerator:Type": text, "Accelerator:Vendor": text, "Accelerator:Memory": text, "trait:HW_ARCH_" + text: "required"}},
				Flavor{ID: fmt.Sprint("text-", i), ExtraSpecs: map[string]string{"pci_passthrough:alias": "gpu-" + text + ":2," + text, "capabilities:cpu_info:arch": text, "resources:CUSTOM_GPU_" + text: "1"}})
		}
		o.Scope.Value.Name, o.Scope.Value.DomainName = hostile[k], hostile[k+1]
		o.Networks.Value = []openstack.Network{{Name: hostile[k+2], External: true}}
	}
	return c
}

func quoted(text string) string {
	b, _ := json.Marshal(map[string]any{"eu.egi.cloud.tag": text, text: []string{text}, "ad:traffic_out": text, "ad:base_mpuri": map[string]any{text: nil}})
	return string(b)
}

// TestRenderHostileNames: whatever names hold, the document is sound and complete for the rest.
func TestRenderHostileNames(t *testing.T) {
	c := hostileCatalog("ops", "bio\nmed")
	for _, merged := range []bool{false, true} {
		r := everything
		r.Merged = merged
		d, found := Render(c, r)
		if len(found) == 0 {
			t.Error("nothing was found")
		}
		sound(t, d)
		ids := map[string]bool{}
		for _, i := range d.Images {
			ids[i.ID] = true
		}
		for i := range hostile {
			if id := fmt.Sprint("text-", i); !ids[id] || !ids["i1"] {
				t.Errorf("image %s is not there", id)
			}
		}
	}
}

// sound fails when a document is not sound: rejected by readers, other than what was written, or no LDIF.
func sound(t *testing.T, d glue.Document) {
	t.Helper()
	for _, f := range glue.Validate(d) {
		if f.Level > glue.LevelWarning && !strings.HasSuffix(f.Reason, "more than LDAP servers hold") && f.Attribute != "Rule" {
			t.Error(f)
		}
	}
	text := documentJSON(t, d)
	back, found, err := glue.Parse(bytes.NewReader(text), glue.Limits{})
	if err != nil || len(found) > 0 {
		t.Fatalf("%v %v", err, found)
	}
	if a, b := len(back.Images), len(d.Images); a != b {
		t.Errorf("%d images, %d were written", a, b)
	}
	again, found, err := glue.Parse(bytes.NewReader(documentJSON(t, back)), glue.Limits{})
	if err != nil || len(found) > 0 || len(glue.Diff(back, again)) > 0 {
		t.Errorf("%v %v %v", err, found, glue.Diff(back, again))
	}
	entries := 0
	for range glue.Entries(d, glue.ResourceBase(), nil) {
		entries++
	}
	var ldif bytes.Buffer
	if err := glue.WriteLDIF(&ldif, glue.Entries(d, glue.ResourceBase(), nil)); err != nil {
		t.Fatal(err)
	}
	names := 0
	for line := range bytes.Lines(ldif.Bytes()) {
		if bytes.HasPrefix(line, []byte("dn:")) {
			names++
		}
		if i := bytes.IndexFunc(line, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }); i >= 0 || len(line) > 77 {
			t.Fatalf("no line of LDIF: %q", line)
		}
	}
	if names != entries {
		t.Errorf("%d entries in LDIF, want %d", names, entries)
	}
}

// FuzzRender offers anything.
func FuzzRender(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, text, "Accelerator:Number", text, text, int64(1), byte(0))
	}
	f.Add("1", "gpu", "pci_passthrough:alias", "a100:2,v100", `{"ad:traffic_in":"[{:a=>\"b\"}]"}`, int64(-1), byte(255))
	f.Add("1", "gpu", "Accelerator:Memory", "40GB", `{"ad:traffic_in":[{"net_port":[1]}],"eu.egi.cloud.tag":{}}`, int64(1)<<62, byte(7))
	f.Fuzz(func(t *testing.T, id, name, key, value, attributes string, n int64, flags byte) {
		at := Known[bool]{At: renderedAt}
		if flags&1 != 0 {
			at.Trouble = &Trouble{Stage: name, Status: int(n), RequestID: value, Since: renderedAt.Add(1)}
		}
		c := sample("ops", name)
		for i := range c.Regions[0].Shares {
			o := &c.Regions[0].Shares[i].Offer
			o.Images.Value = append(o.Images.Value, Image{ID: id, Name: name, Own: flags&2 != 0, Visibility: value, VirtualSize: n, MinDisk: n, MinRAM: n, File: value,
				Properties: map[string]string{key: value, "APPLIANCE_ATTRIBUTES": attributes, "os_distro": value}})
			o.Flavors.Value = append(o.Flavors.Value, Flavor{ID: id, Name: name, VCPUs: n, RAM: n, Disk: n, Ephemeral: n, ExtraSpecs: map[string]string{key: value, "Accelerator:Number": "1"}},
				Flavor{ID: name, ExtraSpecs: map[string]string{key: value}})
			o.Networks.Value = append(o.Networks.Value, openstack.Network{ID: id, Name: name, Default: true, External: true})
			o.Quotas.Value = map[string]int64{"instances": n}
			o.VMs.Value = openstack.VMCounts{Total: int(n % 1e6), ByStatus: map[string]int{"ACTIVE": int(n % 1e5), value: int(flags)}}
			o.Images.At, o.Images.Trouble, o.Flavors.At, o.Flavors.Trouble = at.At, at.Trouble, at.At, at.Trouble
		}
		if flags&4 != 0 {
			second := sample(value).Regions[0]
			second.Region = name
			c.Regions = append(c.Regions, second)
		}
		d, _ := Render(c, Rendering{Images: AllImages, Snapshots: flags&8 != 0, Merged: flags&16 != 0, Validity: everything.Validity, GPU: []GPURule{{Flavor: value, Number: float64(n), Memory: n}}})
		sound(t, d)
	})
}

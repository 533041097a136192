package glue

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestRoundTrip: what is written is read as it was, networks of images apart, which the JSON does not have.
func TestRoundTrip(t *testing.T) {
	for _, d := range []Document{exampleDocument(), exampleDocument().Merged(), {}} {
		for i := range d.Images {
			d.Images[i].Network = nil
		}
		for _, c := range d.classes() {
			for i := range c.len {
				e := c.at(i).entity()
				e.CreationTime = e.CreationTime.Truncate(time.Microsecond)
			}
		}
		var out bytes.Buffer
		if err := WriteJSON(&out, d); err != nil {
			t.Fatal(err)
		}
		got, found, err := Parse(&out, Limits{})
		if err != nil || len(found) > 0 {
			t.Fatal(err, found)
		}
		if !reflect.DeepEqual(got, d) {
			t.Errorf("%+v\nwant\n%+v", got, d)
		}
	}
}

// TestReadsOlderForms: what cloud-info-provider wrote before 1.0, and what others might.
func TestReadsOlderForms(t *testing.T) {
	text := "\ufeff" + ` {"x": {"y": [1]}, "z": 5,
	"CloudComputingManager": {"ID": "m", "Associations": {"CloudComputingService": "s"}, "TotalCPUs": "16", "TotalRAM": 2048.0, "InstanceMaxCPU": "UNKNOWN",
		"HypervisorName": "UNDEFINEDVALUE: not asked", "ManagerFailover": "True", "ManagerLiveMigration": false, "ManagerVMBackupRestore": "UNKNOWN", "ManagerVirtualdiskFormat": "qcow2"},
	"CloudComputingImage": [{"ID": 7, "Name": null, "MarketPlaceURL": "u", "OSName": "UNKNOWN", "CreationTime": "2024-05-01T10:00:00.5", "Validity": "3600",
		"OtherInfo": {"a": NaN, "b": -Infinity, "c": [Infinity, "NaN \" Infinity"]}}],
	"CloudComputingEndpoint": [{"ID": "e", "TrustedCA": ["UNKNOWN"], "IssuerCA": "UNKNOWN"}],
	"CloudComputingVirtualAccelerator": [{"ID": "g", "Number": "0.5"}, {"ID": "h", "Number": 2}],
	"CloudComputingInstanceType": [{"ID": "1", "NetworkIn": "UNKNOWN", "NetworkOut": true, "CPU": 999999999}],
	"MappingPolicy": [{"ID": "p", "PolicyRule": "VO:ops", "Associations": {"Share": "h", "PolicyUserDomain": "ops"}}],
	"Share": null}`
	d, found, err := Parse(strings.NewReader(text), Limits{})
	if err != nil || len(found) > 0 {
		t.Fatal(err, found)
	}
	m, i := d.Managers[0], d.Images[0]
	got := fmt.Sprint(m.Services, *m.TotalCPUs, *m.TotalRAM, m.InstanceMaxCPU == nil, m.HypervisorName == "", m.Failover, m.LiveMigration, m.VMBackupRestore, m.VirtualDiskFormats,
		i.ID, i.Name == "", i.MarketplaceURL, i.OSName == "", i.CreationTime, i.Validity, i.OtherInfo,
		d.Endpoints[0].TrustedCAs, d.Endpoints[0].IssuerCA == "", *d.VirtualAccelerators[0].Number, *d.VirtualAccelerators[1].Number,
		d.InstanceTypes[0].NetworkIn, d.InstanceTypes[0].NetworkOut, d.InstanceTypes[0].CPU == nil, d.MappingPolicies[0].Rule, d.MappingPolicies[0].Shares, d.MappingPolicies[0].UserDomains, len(d.Shares))
	want := `[s] 16 2048 true true true false undefined [qcow2]` + `7 true u true 2024-05-01 10:00:00.5 +0000 UTC 1h0m0s [{a } {b <nil>} {c [<nil> NaN " Infinity]}]` +
		`[] true 0.5 2 undefined true true [VO:ops] [h] [ops] 0`
	if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestOneBadObjectSpoilsOne: it is named, and the rest is read.
func TestOneBadObjectSpoilsOne(t *testing.T) {
	deep := strings.Repeat(`[`, 500) + strings.Repeat(`]`, 500)
	text := `{"Share": [5, {"Name": "no id"}, {"ID": "a", "MaxVM": {}, "Validity": -1, "CreationTime": "yesterday", "OtherInfo": [], "Associations": 3, "SLA": {}},
		{"ID": "b", "MaxVM": 1.5, "OtherInfo": {"deep": ` + deep + `, "x": 1}, "MaxVM": 7, "TotalVM": 99999999999999999999}]}`
	d, found, err := Parse(strings.NewReader(text), Limits{})
	if err != nil || len(d.Shares) != 2 || *d.Shares[1].MaxVM != 7 || fmt.Sprint(d.Shares[1].OtherInfo.Get("x")) != "1" {
		t.Fatal(err, d)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.String())
	}
	want := []string{
		"error: Share: something that is no object", "error: Share: an object without ID",
		`warning: Share "a" OtherInfo: not an object`, `warning: Share "a" Validity: not a number of seconds`, `warning: Share "a" CreationTime: not a time`,
		`warning: Share "a" Associations: not an object`, `warning: Share "a" SLA: a value of another kind`, `warning: Share "a" MaxVM: a value of another kind`,
		`warning: Share "b" TotalVM: a value of another kind`,
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "[]", "null", "{", `{"Share"`, `{"Share": [`, `{"Share": [{]}`, `{"Share": []} x`, `{"Share": []}{}`, "<html>", `{"x": [1, }`} {
		if d, _, err := Parse(strings.NewReader(text), Limits{}); err == nil {
			t.Errorf("%s: %v", text, d)
		}
	}
	for name, c := range map[string]struct {
		text   string
		limits Limits
	}{
		"bytes":            {`{"Share": []}      `, Limits{Bytes: 15}},
		"objects":          {`{"Share": [{"ID":"a"},{"ID":"b"},{"ID":"c"}]}`, Limits{Objects: 2}},
		"of other classes": {`{"x": [1,2,3]}`, Limits{Objects: 2}},
	} {
		if _, _, err := Parse(strings.NewReader(c.text), c.limits); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

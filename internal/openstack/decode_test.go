package openstack

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

var entries = []struct {
	name, raw string
	want      Server
	fails     bool
}{
	{name: "a current one", raw: `{"id":"v","name":"n","tenant_id":"p","user_id":"u","status":"ACTIVE","created":"2026-11-01T10:00:00Z","updated":"2026-11-01T10:00:05Z",
		"OS-SRV-USG:launched_at":"2026-11-01T10:00:04.000000","OS-SRV-USG:terminated_at":null,"image":{"id":"i","links":[]},
		"flavor":{"vcpus":2,"ram":4096,"disk":40,"ephemeral":10,"swap":0,"original_name":"m1","extra_specs":{"a":"b"}},
		"addresses":{"net":[{"addr":"10.0.0.1","OS-EXT-IPS:type":"fixed"},{"addr":"192.0.2.1","OS-EXT-IPS:type":"floating"}],"other":[{"OS-EXT-IPS:type":"floating"}]}}`,
		want: Server{ID: "v", Name: "n", ProjectID: "p", UserID: "u", Status: "ACTIVE", Created: at("2026-11-01T10:00:00Z"), Updated: at("2026-11-01T10:00:05Z"), Launched: at("2026-11-01T10:00:04Z"),
			ImageID: "i", Floating: 2, Flavor: Flavor{Known: true, Name: "m1", VCPUs: 2, RAM: 4096, Disk: 40, Ephemeral: 10, ExtraSpecs: map[string]string{"a": "b"}}}},
	{name: "an old one, from a volume", raw: `{"id":"v","tenant_id":"p","status":"ERROR","image":"","flavor":{"id":"7","links":[]},"addresses":{},"OS-SRV-USG:launched_at":null,"created":"2016-01-01T00:00:00Z"}`,
		want: Server{ID: "v", ProjectID: "p", Status: "ERROR", Flavor: Flavor{ID: "7"}, Created: at("2016-01-01T00:00:00Z")}},
	{name: "of an unreachable cell", raw: `{"id":"v","tenant_id":"p","status":"UNKNOWN","created":"2026-11-01T10:00:00Z","links":[]}`,
		want: Server{ID: "v", ProjectID: "p", Status: "UNKNOWN", Created: at("2026-11-01T10:00:00Z"), Partial: true}},
	{name: "of an unreachable cell, shown", raw: `{"id":"v","tenant_id":"p","status":"UNKNOWN","created":"2026-11-01T10:00:00Z","image":"","flavor":{"vcpus":1},"OS-EXT-STS:power_state":0}`,
		want: Server{ID: "v", ProjectID: "p", Status: "UNKNOWN", Created: at("2026-11-01T10:00:00Z"), Partial: true}},
	{name: "unknown to itself", raw: `{"id":"v","tenant_id":"p","user_id":"u","status":"UNKNOWN","updated":"2026-11-01T10:00:00Z"}`,
		want: Server{ID: "v", ProjectID: "p", UserID: "u", Status: "UNKNOWN", Updated: at("2026-11-01T10:00:00Z")}},
	{name: "times in other forms", raw: `{"id":"v","tenant_id":"p","created":"2026-11-01T12:00:00+02:00","updated":"2026-11-01 10:00:00","OS-SRV-USG:launched_at":"","OS-SRV-USG:terminated_at":"2026-11-01T10:00:00.5"}`,
		want: Server{ID: "v", ProjectID: "p", Created: at("2026-11-01T10:00:00Z"), Updated: at("2026-11-01T10:00:00Z"), Terminated: at("2026-11-01T10:00:00.5Z")}},
	{name: "without an id", raw: `{"tenant_id":"p"}`, fails: true},
	{name: "without a project", raw: `{"id":"v"}`, fails: true},
	{name: "a time that is none", raw: `{"id":"v","tenant_id":"p","created":"yesterday"}`, fails: true},
	{name: "a time that is a number", raw: `{"id":"v","tenant_id":"p","created":5}`, fails: true},
	{name: "a day that is none", raw: `{"id":"v","tenant_id":"p","created":"2026-02-30T00:00:00Z"}`, fails: true},
	{name: "half a CPU", raw: `{"id":"v","tenant_id":"p","flavor":{"vcpus":0.5}}`, fails: true},
	{name: "more memory than fits", raw: `{"id":"v","tenant_id":"p","flavor":{"ram":99999999999999999999}}`, fails: true},
	{name: "an image with a number for an id", raw: `{"id":"v","tenant_id":"p","image":{"id":3}}`, fails: true},
	{name: "null", raw: `null`, fails: true},
	{name: "a list", raw: `[]`, fails: true},
	{name: "cut", raw: `{"id":"v"`, fails: true},
}

func TestDecodeServer(t *testing.T) {
	for _, c := range entries {
		got, err := decodeServer(json.RawMessage(c.raw))
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", c.name, err)
		}
		if d := cmp.Diff(c.want, got); !c.fails && d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// FuzzDecodeServer: whatever the entry is, it is refused, or says whose it is; and its times are UTC.
func FuzzDecodeServer(f *testing.F) {
	for _, c := range entries {
		f.Add([]byte(c.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := decodeServer(raw)
		if err != nil {
			_ = idOf(raw)
			return
		}
		if s.ID == "" || s.ProjectID == "" || s.Floating < 0 {
			t.Errorf("%+v", s)
		}
		for _, at := range []time.Time{s.Created, s.Updated, s.Launched, s.Terminated} {
			if at.Location() != time.UTC {
				t.Errorf("%v is not UTC", at)
			}
		}
	})
}

package accounting

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
)

// TestChangesOfAreDatedWithinTheClocksDifference sees a VM that was large and stopped, with its actions and its last
// change dated around the sight; a clock may be five minutes ahead.
func TestChangesOfAreDatedWithinTheClocksDifference(t *testing.T) {
	small, large := Size{Flavor: "small", VCPUs: 2}, Size{Flavor: "large", VCPUs: 8}
	counted, seen := at(t, "2024-03-05"), at(t, "2024-03-05T01:00")
	for name, c := range map[string]struct {
		at, want int64 // as the cloud dates it, and as it counts
		doubt    bool
	}{
		"before the sight":          {seen - 60, seen - 60, false},
		"after it, by a clock":      {seen + 60, seen + 60, false},
		"as far as a clock may be":  {seen + 300, seen + 300, false},
		"farther":                   {seen + 301, counted, true},
		"before it was counted":     {counted - 60, counted, true},
		"the instant it is counted": {counted, counted, true},
	} {
		when := time.Unix(c.at, 0).UTC()
		m := Meter{StartedAt: counted - 86400, CountedTo: counted, Wall: 86400, Size: small, State: "ACTIVE"}
		for kind, actions := range map[string][]openstack.Action{
			"by its actions":     {{Name: "resize", Updated: when}, {Name: "stop", Updated: when}},
			"by its last change": {{Name: "resize", Updated: when}},
		} {
			o := Observation{Seen: seen * 1000, Actions: actions, Server: openstack.Server{Status: "SHUTOFF", Updated: when}}
			changes, doubt := changesOf(m, o, large, Charge{StoppedFree: true}, 300)
			if d := cmp.Diff([]Change{{At: c.want, Size: &large}, {At: c.want, State: "SHUTOFF"}}, changes); d != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, kind, d)
			}
			if (doubt != "") != c.doubt {
				t.Errorf("%s, %s: doubt %q", name, kind, doubt)
			}
		}
	}
}

//go:build e2e

package e2e

import (
	"regexp"
	"testing"
)

// intended are the differences that stay: in answers to the requests, the lines of features, and why.
var intended = []struct {
	requests, lines string // regular expressions; of the lines, the whole
	reason          string
	era             string // of which only; "" = of all
}{
	{`auth/tokens|auth/catalog`, `\$.*catalog\[\]\.(name|type): "placement"|.*catalog\[\]\.endpoints\[\]\.url: "http://[0-9.]+:\d+"`,
		"the emulator has no Placement", ""},
	{`identity`, `.*projects?(\[\])?\.description: .*`, "the world's projects have no description", ""},
	{`identity`, `.*users?(\[\])?\.(email|default_project_id): .*`, "the world's users have no mail address and no default project", ""},
	{`servers/detail|fed-suspended`, `.*OS-EXT-STS:power_state: [47]`, "a suspended server is shut down (4), as by libvirt; the lab's hypervisor is Nova's own for tests, which says suspended (7)", ""},
	{`compute|volume`, `.*(root_device_name|device): "/dev/[sv]d."`, "libvirt's names of disks; those of the lab's hypervisor are others", ""},
	{`compute.*servers/detail`, `\$\.servers\[\]\.(OS-EXT-STS:power_state: [01]|security_groups.*|scheduler_hints: null|image\.properties\..*)|\$\.servers\[\]\.addresses.*`,
		"what the lab's history wrote into the database has no ports, no power, and nothing to schedule by", ""},
	{`flavors/detail.*is_public=None`, `.*(is_public: false|name: "bio.scratch")`, "the world's flavors are public", ""},
	{`image`, `.*disk_format: .*`, "the world's images are qcow2, the lab's raw", ""},
	{`image`, `.*\.(locations|stores)\b.*`, "where an image lies: told where an administrator lets Glance tell it", ""},
	{`schemas/image`, `\$\.(properties|links)\b.*`, "the emulator's schema of images has the names only", ""},
	{`network`, `\$\.networks\[\]\.(qinq|vlan_transparent): .*`, "extensions of a site's Neutron", "current"},
	{`volume.*types`, `.*os-volume-type-access:is_public: true`, "said to administrators only", "current"},
	{`volume.*os-quota-sets`, `\$\.quota_set\.(volumes|gigabytes|snapshots)_(__DEFAULT__|standard|ssd|default)\b.*`, "quotas by the kind of volumes, of which the emulator has one", ""},
	{`object-store.*unchanged`, `header Content-Type = application/json`, "Go's server says no type where it says that nothing changed", ""},
	{`snapshots`, `\$\.snapshots\[\].*`, "the world has no snapshots", ""},
	{`volume.*types`, `\$\.volume_types\[\]\.(name|description): .*`, "the emulator has one kind of volumes", ""},
}

// without gives the lines that count.
func (p *comparison) without(name string, lines []string) []string {
	var left []string
lines:
	for _, line := range lines {
		for _, d := range intended {
			if (d.era == "" || d.era == p.era.Name) && regexp.MustCompile(d.requests).MatchString(name) && regexp.MustCompile(`^(?:`+d.lines+`)$`).MatchString(line) {
				p.seen[d.reason] = true
				continue lines
			}
		}
		left = append(left, line)
	}
	return left
}

// used fails the test for intended differences that no answer shows any more, and for too few requests.
func (p *comparison) used(t *testing.T) {
	t.Logf("%d requests compared", p.asked)
	if p.asked < 60 {
		t.Errorf("only %d requests were compared", p.asked)
	}
	for _, d := range intended {
		if !p.seen[d.reason] && (d.era == "" || d.era == p.era.Name) {
			t.Errorf("no answer has %s any more: %s", d.lines, d.reason)
		}
	}
}

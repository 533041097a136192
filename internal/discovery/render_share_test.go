package discovery

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/glue"
)

func TestCountVMs(t *testing.T) {
	cases := []struct {
		states                                     map[string]int
		total                                      int
		all, running, pending, suspended, notUsing int64
	}{
		{nil, 0, 0, 0, 0, 0, 0},
		{map[string]int{"ACTIVE": 2, "REBOOT": 1, "HARD_REBOOT": 1, "PASSWORD": 1, "RESCUE": 1, "MIGRATING": 1, "RESIZE": 1, "VERIFY_RESIZE": 1, "REVERT_RESIZE": 1}, 10, 10, 10, 0, 0, 0},
		{map[string]int{"BUILD": 2, "REBUILD": 1}, 3, 3, 0, 3, 0, 0},
		{map[string]int{"SUSPENDED": 2, "PAUSED": 1}, 3, 3, 0, 0, 3, 0},
		{map[string]int{"SHUTOFF": 1, "SHELVED": 1, "SHELVED_OFFLOADED": 1}, 3, 3, 0, 0, 0, 3},
		{map[string]int{"ERROR": 1, "DELETED": 1, "SOFT_DELETED": 1, "UNKNOWN": 1, "NEWS": 1}, 7, 7, 0, 0, 0, 0},
		{map[string]int{"ACTIVE": 3, "SHUTOFF": -5}, 1, 3, 3, 0, 0, 0}, // less in all than in one state
	}
	for _, c := range cases {
		got := countVMs(openstack.VMCounts{Total: c.total, ByStatus: c.states})
		if *got.Total != c.all || *got.Running != c.running || *got.Pending != c.pending || *got.Suspended != c.suspended || *got.Halted != c.notUsing {
			t.Errorf("%v: %d: %d running, %d pending, %d suspended, %d halted", c.states, *got.Total, *got.Running, *got.Pending, *got.Suspended, *got.Halted)
		}
	}
}

func TestMaxVM(t *testing.T) {
	for _, c := range []struct {
		quotas map[string]int64
		want   string
	}{
		{map[string]int64{"instances": 10}, "10"}, {map[string]int64{"instances": 0}, "0"},
		{map[string]int64{"instances": -1}, "none"}, {map[string]int64{"instances": -7}, "none"}, {map[string]int64{}, "none"}, {nil, "none"},
	} {
		catalog := sample("ops")
		catalog.Regions[0].Shares[0].Offer.Quotas.Value = c.quotas
		d, _ := render(t, catalog, everything)
		got := "none"
		if n := d.Shares[0].MaxVM; n != nil {
			got = fmt.Sprint(*n)
		}
		if got != c.want {
			t.Errorf("%v: %s, want %s", c.quotas, got, c.want)
		}
	}
}

// TestQuotas: Nova's words in the order of today's tool, then Neutron's and Cinder's; what is not known is not there.
func TestQuotas(t *testing.T) {
	o := &Offer{
		Quotas:        now(map[string]int64{"server_group_members": 1, "ram": -1, "instances": 2, "cores": 3, "class:VGPU": 4}),
		NetworkQuotas: now(map[string]int64{"port": 5, "network": 6}),
		VolumeQuotas:  now(map[string]int64{"gigabytes_fast": 7, "gigabytes": 8, "volumes": 9}),
	}
	var got []string
	for _, item := range quotas(o) {
		got = append(got, fmt.Sprint(item.Name, "=", item.Value))
	}
	if want := "instances=2 cores=3 ram=-1 server_group_members=1 network=6 port=5 volumes=9 gigabytes=8"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := quotas(&Offer{}); got == nil || len(got) > 0 {
		t.Errorf("%#v, want an empty object", got)
	}
}

func TestNetworks(t *testing.T) {
	outside, second := openstack.Network{ID: "1", Name: "ext", External: true, Status: "DOWN"}, openstack.Network{ID: "2", Name: "ext2", External: true, Status: "ACTIVE"}
	first := openstack.Network{ID: "3", Name: "main", External: true, Default: true, Status: "ACTIVE"}
	nameless := openstack.Network{ID: "4", External: true, Status: "ACTIVE"}
	own, shared := openstack.Network{ID: "5", Name: "own", ProjectID: "p1"}, openstack.Network{ID: "6", Name: "lan", Shared: true, ProjectID: "admin"}
	for _, c := range []struct {
		said, kind string
		all        []openstack.Network
		want       string
	}{
		{"", "", nil, "/"},
		{"", "", []openstack.Network{own, outside, second}, "ext2/private"},
		{"", "", []openstack.Network{outside, second, first}, "main/"},
		{"", "", []openstack.Network{nameless}, "4/"},
		{"", "", []openstack.Network{{External: true}}, "/"},
		{"", "", []openstack.Network{own}, "/private_only"},
		{"", "", []openstack.Network{own, shared, first}, "main/"},
		{"theirs", "public", []openstack.Network{own, first}, "theirs/public"},
	} {
		got := ""
		for _, known := range []bool{true, false} {
			s := Share{Project: "p1", PublicNetwork: c.said, DefaultNetworkType: c.kind, Offer: Offer{Networks: now(c.all)}}
			if !known {
				s.Offer.Networks.At = s.Offer.Networks.none().At
				if public, kind := networks(&s); public != c.said || kind != c.kind {
					t.Errorf("%v: %s and %s, though nothing is known", c.all, public, kind)
				}
				continue
			}
			public, kind := networks(&s)
			got = public + "/" + kind
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.all, got, c.want)
		}
	}
}

// TestHealth: how an endpoint is follows from what its shares got.
func TestHealth(t *testing.T) {
	refused, failed := &Trouble{Stage: "sign-in", Status: 401, Since: before}, &Trouble{Stage: "sign-in", Since: before}
	odd := &Trouble{Stage: "s\n", Status: 404, RequestID: "r\x00", Since: before}
	untried := &Trouble{Stage: "sign-in", Kind: openstack.ErrConfiguration.Error(), Since: before}
	nonsense := &Trouble{Stage: "sign-in", Kind: openstack.ErrBadAnswer.Error(), Status: 200, Since: before}
	none := func(vo string, why *Trouble) Share {
		return Share{VO: vo, Offer: Offer{Scope: Known[openstack.Scope]{Trouble: why}}}
	}
	good := sample("good").Regions[0].Shares[0]
	old := sample("old").Regions[0].Shares[0]
	age := func(k *Trouble) (at Known[int]) { at.At, at.Trouble = before.Add(-1), k; return at }
	for _, p := range []struct{ set func(Known[int]) }{
		{func(k Known[int]) { old.Offer.Flavors.At, old.Offer.Flavors.Trouble = k.At, k.Trouble }},
		{func(k Known[int]) { old.Offer.Images.At, old.Offer.Images.Trouble = k.At, k.Trouble }},
		{func(k Known[int]) { old.Offer.Networks.At, old.Offer.Networks.Trouble = k.At, k.Trouble }},
		{func(k Known[int]) { old.Offer.Quotas.At, old.Offer.Quotas.Trouble = k.At, k.Trouble }},
		{func(k Known[int]) { old.Offer.VMs.At, old.Offer.VMs.Trouble = k.At, k.Trouble }},
	} {
		p.set(age(failed))
	}
	old.Offer.NetworkQuotas, old.Offer.VolumeQuotas = now[map[string]int64](nil), now[map[string]int64](nil)
	bare := Share{VO: "bare", Project: "p", Offer: Offer{Scope: now(openstack.Scope{ID: "p"})}}
	for _, c := range []struct {
		name   string
		region *Trouble
		shares []Share
		state  glue.HealthState
		info   string
	}{
		{"all well", nil, []Share{good}, glue.HealthOK, "Endpoint functioning properly"},
		{"nothing to ask about", nil, nil, glue.HealthUnknown, "No working authentication configured"},
		{"one refused", nil, []Share{good, none("x", refused)}, glue.HealthWarning, "VO x: " + refused.String()},
		{"all refused", nil, []Share{none("x", refused)}, glue.HealthUnknown, "VO x: " + refused.String()},
		{"no answer", nil, []Share{none("x", failed)}, glue.HealthCritical, "VO x: " + failed.String()},
		{"a credential that cannot be tried", nil, []Share{none("x", untried)}, glue.HealthUnknown, "VO x: " + untried.String()},
		{"a proxy's page", nil, []Share{none("x", nonsense)}, glue.HealthCritical, "VO x: " + nonsense.String()},
		{"old data of a cloud that is down", nil, []Share{old}, glue.HealthCritical, "VO old: " + failed.String() + ", shown as of 2026-11-24T10:59:59Z"},
		{"shares not listed", failed, []Share{good}, glue.HealthWarning, failed.String()},
		{"shares not listed, none known", refused, nil, glue.HealthUnknown, refused.String()},
		{"a cloud that tells nothing", nil, []Share{bare}, glue.HealthOK, "Endpoint functioning properly"},
		{"line breaks", nil, []Share{good, none("a\nb\u2028c", odd)}, glue.HealthWarning, "VO a b c: " + run.Line(odd.String(), longestTrouble)},
	} {
		h := health{}
		h.region(c.region)
		for i := range c.shares {
			h.share(&c.shares[i])
		}
		if state, info := h.state(); state != c.state || info != c.info {
			t.Errorf("%s: %s %q, want %s %q", c.name, state, info, c.state, c.info)
		}
	}
}

// TestHealthIsBounded: a thousand shares that fail say so in a line that fits, and it says how many more there are.
func TestHealthIsBounded(t *testing.T) {
	h := health{}
	for i := range 1000 {
		h.share(&Share{VO: strings.Repeat("é", i%200+1) + fmt.Sprint(i), Offer: Offer{Scope: Known[openstack.Scope]{Trouble: &Trouble{Stage: strings.Repeat("long", 100), RequestID: strings.Repeat("q", 5000), Since: before}}}})
	}
	_, info := h.state()
	if len(info) > maxHealth || !strings.Contains(info, "more") || strings.ContainsAny(info, "\r\n") {
		t.Errorf("%d bytes: %s", len(info), info)
	}
	if text, err := json.Marshal(info); err != nil || strings.Contains(string(text), `\ufffd`) {
		t.Errorf("%v: cut within a character: %s", err, text)
	}
}

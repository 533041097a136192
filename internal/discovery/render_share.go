package discovery

import (
	"cmp"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/glue"
)

// share adds a share with what it is offered.
func (x *renderer) share(s *Share, to spot) {
	parts := offerParts(&s.Offer)
	if !slices.ContainsFunc(parts, func(p offerPart) bool { return p.known() }) {
		return // health says why
	}
	out := glue.NewShare(glue.ServiceID(x.c.EP), to.endpoint, s.VO, s.Project)
	if reason := x.unusable(s, out.ID); reason != "" {
		x.add(glue.Finding{Level: glue.LevelError, Class: "Share", ID: out.ID, Reason: "left out: " + reason})
		return
	}
	x.taken[fold(out.ID)] = true
	to.share = out.ID
	o := &s.Offer
	if !o.Scope.At.IsZero() {
		out.OtherInfo = append(out.OtherInfo, glue.Item{Name: "project_name", Value: o.Scope.Value.Name},
			glue.Item{Name: "project_domain_name", Value: o.Scope.Value.DomainName})
	}
	out.OtherInfo = append(out.OtherInfo, glue.Item{Name: "quotas", Value: quotas(o)})
	out.OtherInfo = append(out.OtherInfo, age(parts)...)
	if !o.VMs.At.IsZero() {
		out.VMs = countVMs(o.VMs.Value)
	}
	if n, ok := o.Quotas.Value["instances"]; ok && n >= 0 && !o.Quotas.At.IsZero() {
		out.MaxVM = &n
	}
	out.PublicNetworkName, out.DefaultNetworkType = networks(s)
	if !o.Flavors.At.IsZero() && x.instanceTypes(o.Flavors.Value, to) {
		out.NetworkInfo = []string{infiniband}
	}
	if !o.Images.At.IsZero() {
		x.shareImages(o.Images.Value, to)
	}
	x.doc.Shares = append(x.doc.Shares, out)
	x.doc.MappingPolicies = append(x.doc.MappingPolicies, glue.NewMappingPolicy(out.ID, s.VO))
}

// unusable says why there can be no share of an id.
func (x *renderer) unusable(s *Share, id string) string {
	switch {
	case fold(s.VO) == "":
		return "it has no VO"
	case fold(s.Project) == "":
		return "it has no project"
	case x.taken[fold(id)]:
		return "another has the same VO and project"
	}
	return ""
}

// The quotas that are shown, by the services' words. Those of Nova are the ones of cloud-info-provider 1.2.0 in its order;
// a cloud may have more, by the name of each type of volume for instance.
var (
	novaQuotas = []string{"instances", "cores", "ram", "floating_ips", "fixed_ips", "metadata_items", "injected_files",
		"injected_file_content_bytes", "injected_file_path_bytes", "key_pairs", "security_groups", "security_group_rules",
		"server_groups", "server_group_members"}
	neutronQuotas = []string{"network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule"}
	cinderQuotas  = []string{"volumes", "gigabytes", "per_volume_gigabytes", "snapshots", "backups", "backup_gigabytes", "groups"}
)

// quotas is empty when none is known, as today's tool has it.
func quotas(o *Offer) glue.Info {
	out := glue.Info{}
	add := func(of Known[map[string]int64], names []string) {
		for _, n := range names {
			if v, ok := of.Value[n]; ok && !of.At.IsZero() {
				out = append(out, glue.Item{Name: n, Value: v})
			}
		}
	}
	add(o.Quotas, novaQuotas)
	add(o.NetworkQuotas, neutronQuotas)
	add(o.VolumeQuotas, cinderQuotas)
	return out
}

// networks gives the name of the network to the outside and the kind of network that a VM gets where none is named.
func networks(s *Share) (public, kind string) {
	public, kind = s.PublicNetwork, s.DefaultNetworkType
	if s.Offer.Networks.At.IsZero() {
		return public, kind
	}
	all := s.Offer.Networks.Value
	external := slices.DeleteFunc(slices.Clone(all), func(n openstack.Network) bool { return !n.External || cmp.Or(n.Name, n.ID) == "" })
	slices.SortStableFunc(external, func(a, b openstack.Network) int {
		return cmp.Or(order(a.Default, b.Default), order(a.Status == "ACTIVE", b.Status == "ACTIVE"))
	})
	if public == "" && len(external) > 0 {
		public = cmp.Or(external[0].Name, external[0].ID)
	}
	if kind == "" {
		kind = networkType(all, s.Project)
	}
	return public, kind
}

// order puts what is true first.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// networkType tells what a share's networks leave no doubt about, in the words of the federation's site files: with networks
// of its own alone a VM has a private address, and a public one where there is a network to the outside. A shared network
// may have addresses of either kind.
func networkType(all []openstack.Network, project string) string {
	own, external := false, false
	for _, n := range all {
		switch {
		case n.External:
			external = true
		case n.Shared || n.ProjectID != project:
			return ""
		default:
			own = true
		}
	}
	switch {
	case own && external:
		return "private"
	case own:
		return "private_only"
	}
	return ""
}

// offerPart is a part of an offer without its value.
type offerPart struct {
	name    string
	at      time.Time
	told    bool // there is a value: a cloud that lacks a service, or shows nothing to the role, tells none
	trouble *Trouble
}

func (p offerPart) known() bool { return !p.at.IsZero() }

// stale tells whether it is from before the trouble began; else it was got in spite of it, a listing with gaps.
func (p offerPart) stale() bool { return p.known() && p.trouble != nil && p.at.Before(p.trouble.Since) }

// fresh tells whether something came of asking.
func (p offerPart) fresh() bool { return p.known() && p.told && !p.stale() }

// offerParts gives all parts, the signing in first.
func offerParts(o *Offer) []offerPart {
	return []offerPart{
		{"project", o.Scope.At, true, o.Scope.Trouble},
		{"flavors", o.Flavors.At, o.Flavors.Value != nil, o.Flavors.Trouble},
		{"images", o.Images.At, o.Images.Value != nil, o.Images.Trouble},
		{"networks", o.Networks.At, o.Networks.Value != nil, o.Networks.Trouble},
		{"quotas", o.Quotas.At, o.Quotas.Value != nil, o.Quotas.Trouble},
		{"network quotas", o.NetworkQuotas.At, o.NetworkQuotas.Value != nil, o.NetworkQuotas.Trouble},
		{"volume quotas", o.VolumeQuotas.At, o.VolumeQuotas.Value != nil, o.VolumeQuotas.Trouble},
		{"VMs", o.VMs.At, true, o.VMs.Trouble},
	}
}

// age marks what is old, has gaps or is missing: which parts, since when, and why.
func age(parts []offerPart) glue.Info {
	var stale, incomplete, missing []string
	var since time.Time
	var why []string
	for _, p := range parts {
		switch {
		case p.trouble == nil:
			continue
		case p.stale():
			stale = append(stale, p.name)
			if since.IsZero() || p.at.Before(since) {
				since = p.at
			}
		case p.known():
			incomplete = append(incomplete, p.name)
		default:
			missing = append(missing, p.name)
		}
		if t := run.Line(p.trouble.String(), longestTrouble); !slices.Contains(why, t) {
			why = append(why, t)
		}
	}
	var out glue.Info
	if stale != nil {
		out = append(out, glue.Item{Name: "stale_since", Value: instant(since)}, glue.Item{Name: "stale", Value: stale})
	}
	if incomplete != nil {
		out = append(out, glue.Item{Name: "incomplete", Value: incomplete})
	}
	if missing != nil {
		out = append(out, glue.Item{Name: "missing", Value: missing})
	}
	if why != nil {
		out = append(out, glue.Item{Name: "reason", Value: sentences(why, maxReason)})
	}
	return out
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

package glue

import (
	"fmt"
	"slices"
)

// Summarize fills in what follows from the other objects: a share's and a manager's largest and smallest instance types,
// a service's VMs and complexity, and the VOs of an access policy. A project that several VOs share counts once. What
// follows from nothing (the largest of no instance types) is undefined.
func (d *Document) Summarize() {
	byShare := map[string]*sizes{}
	byManager := map[string]*sizes{}
	for i := range d.InstanceTypes {
		t := &d.InstanceTypes[i]
		for _, id := range t.Shares {
			at(byShare, id).add(t)
		}
		for _, id := range t.Managers {
			at(byManager, id).add(t)
		}
	}
	for i := range d.Shares {
		s := at(byShare, d.Shares[i].ID)
		d.Shares[i].InstanceMaxCPU, d.Shares[i].InstanceMaxRAM = s.maxCPU, s.maxRAM
	}
	for i := range d.Managers {
		m, s := &d.Managers[i], at(byManager, d.Managers[i].ID)
		m.InstanceMaxCPU, m.InstanceMaxRAM, m.InstanceMinCPU, m.InstanceMinRAM = s.maxCPU, s.maxRAM, s.minCPU, s.minRAM
	}
	for i := range d.Services {
		d.summarizeService(&d.Services[i])
	}
	for i := range d.AccessPolicies {
		d.summarizePolicy(&d.AccessPolicies[i])
	}
}

// sizes are the bounds of some instance types.
type sizes struct{ maxCPU, maxRAM, minCPU, minRAM *int64 }

func (s *sizes) add(t *InstanceType) {
	s.maxCPU, s.maxRAM = pick(s.maxCPU, t.CPU, false), pick(s.maxRAM, t.RAM, false)
	s.minCPU, s.minRAM = pick(s.minCPU, t.CPU, true), pick(s.minRAM, t.RAM, true)
}

// pick gives the smaller or the larger of two numbers that may be undefined.
func pick(a, b *int64, smaller bool) *int64 {
	if a == nil || b != nil && (*b < *a) == smaller && *b != *a {
		return b
	}
	return a
}

func at(m map[string]*sizes, id string) *sizes {
	if m[id] == nil {
		m[id] = &sizes{}
	}
	return m[id]
}

func (d *Document) summarizeService(s *Service) {
	shares, endpoints := int64(0), 0
	total := [5]int64{}
	seen := map[string]bool{}
	pending := false
	for i := range d.Shares {
		share := &d.Shares[i]
		if !slices.Contains(share.Services, s.ID) {
			continue
		}
		shares++
		key := fmt.Sprintf("%q %q", share.Endpoints, share.ProjectID)
		if seen[key] {
			continue
		}
		seen[key] = true
		pending = pending || share.VMs.Pending != nil
		for k, n := range []*int64{share.VMs.Total, share.VMs.Running, share.VMs.Pending, share.VMs.Suspended, share.VMs.Halted} {
			if n != nil {
				total[k] += *n
			}
		}
	}
	kinds := map[string]bool{}
	for i := range d.Endpoints {
		if slices.Contains(d.Endpoints[i].Services, s.ID) {
			kinds[d.Endpoints[i].InterfaceName] = true
		}
	}
	endpoints = len(kinds)
	s.Complexity = fmt.Sprintf("endpointType=%d,share=%d", endpoints, shares)
	s.VMs = VMs{Total: &total[0], Running: &total[1], Suspended: &total[3], Halted: &total[4]}
	if pending {
		s.VMs.Pending = &total[2]
	}
}

// summarizePolicy lists the rules of the mapping policies of the shares of the policy's endpoints, each once.
func (d *Document) summarizePolicy(p *AccessPolicy) {
	shares := map[string]bool{}
	for i := range d.Shares {
		for _, e := range d.Shares[i].Endpoints {
			if slices.Contains(p.Endpoints, e) {
				shares[d.Shares[i].ID] = true
			}
		}
	}
	p.Rule = nil
	for i := range d.MappingPolicies {
		m := &d.MappingPolicies[i]
		if !slices.ContainsFunc(m.Shares, func(id string) bool { return shares[id] }) {
			continue
		}
		for _, r := range m.Rule {
			if !slices.Contains(p.Rule, r) {
				p.Rule = append(p.Rule, r)
			}
		}
	}
}

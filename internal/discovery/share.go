package discovery

import (
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/site"
)

// tenant is a project with shares: it is signed in to and asked once, however many VOs it has.
type tenant struct {
	project site.Project
	said    string   // VOs that the project names itself, separated by commas
	refused *refusal // why it is not asked now; nil = it is
}

// refusal is why projects are not even asked.
type refusal struct {
	stage string
	err   error
}

// chosen gives the shares that discovery works for at an instant, each VO and project once, and the projects that they
// stand in: in file order first, then by project, because Keystone promises no order. A project that is disabled offers
// nothing to anybody.
func chosen(all []site.Share, at time.Time) (shares []site.Share, tenants []tenant) {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b site.Share) int {
		switch {
		case a.Origin == site.FromFile && b.Origin == site.FromFile:
			return 0
		case a.Origin == site.FromFile:
			return -1
		case b.Origin == site.FromFile:
			return 1
		}
		return strings.Compare(a.Project.ID, b.Project.ID)
	})
	for _, s := range all {
		if !s.Allows(site.Discovery) || !s.At(at) || s.Mode == site.Disabled || !s.Project.Enabled {
			continue
		}
		same := func(o site.Share) bool { return o.VO == s.VO && o.Project.ID == s.Project.ID }
		if slices.ContainsFunc(shares, same) {
			continue
		}
		shares = append(shares, s)
		i := slices.IndexFunc(tenants, func(p tenant) bool { return p.project.ID == s.Project.ID })
		if i < 0 {
			i = len(tenants)
			tenants = append(tenants, tenant{project: s.Project})
		}
		if s.Origin != site.FromFile {
			tenants[i].said = strings.TrimPrefix(tenants[i].said+","+s.VO, ",")
		}
	}
	return shares, tenants
}

// remembered makes of what is kept of a cloud's projects a listing of them, in which each names the VOs that it did when it
// was listed. Those that the file names it are the file's to say.
func remembered(c site.Cloud, kept []keptProject) []site.Project {
	keys := c.Properties
	if len(keys) == 0 {
		keys = site.DefaultProperties
	}
	projects := make([]site.Project, len(kept))
	for i, k := range kept {
		projects[i] = site.Project{ID: k.id, Name: k.name, Enabled: true, Of: k.own, Properties: map[string]string{keys[0]: k.said}}
	}
	return projects
}

// lost gives the shares that the file names in projects that are kept, but were not listed: the credential has lost its
// role there, or Keystone has lost the project. A project that named its VOs itself is not asked for any more.
func lost(c site.Cloud, listed site.Merged, projects []site.Project, kept []keptProject) []site.Share {
	kept = slices.DeleteFunc(slices.Clone(kept), func(k keptProject) bool {
		return slices.ContainsFunc(projects, func(p site.Project) bool { return p.ID == k.id })
	})
	for i := range kept {
		kept[i].said = ""
	}
	c.VOs = slices.DeleteFunc(slices.Clone(c.VOs), func(v site.VO) bool {
		return slices.ContainsFunc(listed.Shares, func(s site.Share) bool {
			return s.Origin == site.FromFile && s.VO == v.Name && (s.Project.ID == v.Project || s.Project.Name == v.Project || v.Project == "" && slices.Contains(s.Project.Of, v.Name))
		})
	})
	return site.Merge(c, remembered(c, kept)).Shares
}

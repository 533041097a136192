package images

import (
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/site"
)

// Place is a project at a cloud that owns images.
type Place struct {
	Cloud   string // id of the cloud
	Project string // id of the project
}

// Member is a project that has its share at a cloud, for the plan.
type Member struct {
	Place
	Name string // of the project
	VO   string
	Mode site.Mode // the lowest of site's, cloud's and VO's
}

// members gives the projects of a cloud that get images, by VO, in file order.
func members(c CloudTarget, shares []site.Share, mode site.Mode, at time.Time) []Member {
	var all []Member
	for _, s := range shares {
		m := Member{Place: Place{c.Cloud.ID, s.Project.ID}, Name: s.Project.Name, VO: s.VO, Mode: site.Lowest(mode, c.Mode, s.Mode)}
		if !s.Allows(site.Images) || !s.At(at) || m.Mode == site.Disabled || !s.Project.Enabled || slices.Contains(all, m) {
			continue
		}
		all = append(all, m)
	}
	return all
}

// want is an image that is to be at a place.
type want struct {
	place   Place
	entry   Entry
	also    []Entry // sharing: the same disk under other names
	members []guest // sharing: projects beside the owner that are to use it
	mode    site.Mode
}

// guest is a project that is to use an image of another one.
type guest struct {
	project string
	mode    site.Mode
}

// keys are those of all that the image stands for.
func (w want) keys() []Key {
	all := []Key{w.entry.Key}
	for _, e := range w.also {
		all = append(all, e.Key)
	}
	return all
}

// wants gives what is to be at a cloud's places, in the order of the sources and their entries. An entry of VOs that the
// cloud has no project for is not wanted there. Holder gives the project that has a shared image already.
func wants(entries []Entry, projects []Member, s Settings, holder func([]Entry, []Member) (Place, bool)) []want {
	if s.Sharing == Share {
		return shared(entries, projects, s, holder)
	}
	type one struct {
		Place
		Key
	}
	var all []want
	known := map[one]int{}
	for _, e := range entries {
		for _, m := range projects {
			if !slices.Contains(e.VOs, m.VO) {
				continue
			}
			i, there := known[one{m.Place, e.Key}]
			if !there {
				known[one{m.Place, e.Key}] = len(all)
				all = append(all, want{place: m.Place, entry: e, mode: m.Mode})
			} else if m.Mode == site.Active { // two VOs in one project: the one that is active counts
				all[i].mode = m.Mode
			}
		}
	}
	return all
}

// ownerless tells whether nobody is there who is to own images: to have another project own them would bring all of them again.
func (s Settings) ownerless(projects []Member) bool {
	return s.Sharing == Share && s.Owner != "" && !slices.ContainsFunc(projects, func(m Member) bool { return m.VO == s.Owner })
}

// disks puts the entries of one disk together, in the order of the first ones.
func disks(entries []Entry) [][]Entry {
	var all [][]Entry
	known := map[Digest]int{}
	for _, e := range entries {
		i, there := known[e.Digest]
		if !there {
			i = len(all)
			known[e.Digest], all = i, append(all, nil)
		}
		all[i] = append(all[i], e)
	}
	return all
}

// shared gives one image for the entries of one disk, whose owner's project shares it with the others. Without a VO that is to
// own all images, one that is there stays where it is, and a new one is that of the first VO that is active.
func shared(entries []Entry, projects []Member, s Settings, holder func([]Entry, []Member) (Place, bool)) []want {
	var all []want
	named := slices.IndexFunc(projects, func(o Member) bool { return s.Owner != "" && o.VO == s.Owner })
	for _, disk := range disks(entries) {
		gets := func(m Member) bool {
			return slices.ContainsFunc(disk, func(e Entry) bool { return slices.Contains(e.VOs, m.VO) })
		}
		entitled := slices.DeleteFunc(slices.Clone(projects), func(m Member) bool { return !gets(m) })
		disk = slices.DeleteFunc(disk, func(e Entry) bool {
			return !slices.ContainsFunc(projects, func(m Member) bool { return slices.Contains(e.VOs, m.VO) })
		})
		if len(entitled) == 0 {
			continue
		}
		w := want{entry: disk[0], mode: entitled[0].Mode}
		if named >= 0 {
			w.place = projects[named].Place
		} else if at, there := holder(disk, entitled); there {
			w.place = at
		} else {
			w.place = firstOwner(disk, entitled).Place
		}
		for _, e := range disk[1:] {
			if !slices.Contains(w.keys(), e.Key) {
				w.also = append(w.also, e)
			}
		}
		for _, m := range entitled {
			if m.Mode == site.Active {
				w.mode = site.Active
			}
			if m.Project != w.place.Project && !slices.ContainsFunc(w.members, func(g guest) bool { return g.project == m.Project }) {
				w.members = append(w.members, guest{m.Project, m.Mode})
			}
		}
		all = append(all, w)
	}
	return all
}

// firstOwner gives whose project a new shared image is brought to: of the first entry's VOs the first one, but one that only
// observes keeps no other one waiting.
func firstOwner(disk []Entry, entitled []Member) Member {
	for _, only := range []bool{true, false} {
		for _, e := range disk {
			for _, m := range entitled {
				if slices.Contains(e.VOs, m.VO) && (m.Mode == site.Active || !only) {
					return m
				}
			}
		}
	}
	return entitled[0]
}

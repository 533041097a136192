package images

import (
	"cmp"
	"slices"
	"strings"
)

// shelf is what a project has, the oldest first: a thousand images in each of a hundred projects are read once.
type shelf struct {
	all []present
	by  map[Key][]int // where in all those are that their marks name so
	sum map[Digest][]int
}

// of gives the images with the mark of a digest, the oldest first.
func (s *shelf) of(d Digest) []present {
	all := make([]present, 0, len(s.sum[d]))
	for _, n := range s.sum[d] {
		all = append(all, s.all[n])
	}
	return all
}

func (p *planner) shelf(project string) *shelf {
	if s, there := p.shelves[project]; there {
		return s
	}
	s := &shelf{by: map[Key][]int{}, sum: map[Digest][]int{}}
	for _, i := range p.cloud.Places[project].Images {
		s.all = append(s.all, present{i, readMarks(i)})
	}
	slices.SortStableFunc(s.all, func(a, b present) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	for n, x := range s.all {
		s.sum[x.m.Digest] = append(s.sum[x.m.Digest], n)
		for _, k := range append([]Key{x.m.Key}, x.m.Also...) {
			s.by[k] = append(s.by[k], n)
		}
	}
	if p.shelves == nil {
		p.shelves = map[string]*shelf{}
	}
	p.shelves[project] = s
	return s
}

// at gives the images at a place that fit and are not spoken for, the oldest first.
func (p *planner) at(place Place, fits func(present) bool) []present {
	var all []present
	for _, x := range p.shelf(place.Project).all {
		if !p.done[x.ID] && fits(x) {
			all = append(all, x)
		}
	}
	return all
}

// named is at, of those that are named by one of the keys.
func (p *planner) named(place Place, keys []Key, fits func(present) bool) []present {
	s := p.shelf(place.Project)
	var places []int
	for _, k := range keys {
		places = append(places, s.by[k]...)
	}
	slices.Sort(places)
	var all []present
	for _, n := range slices.Compact(places) {
		if x := s.all[n]; !p.done[x.ID] && fits(x) {
			all = append(all, x)
		}
	}
	return all
}

package apelserver

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// groupKey is what the server groups usage by, without regard to letter case.
type groupKey struct {
	site, service, user, vo, group, role, status, image, benchmarkType string
	month, year                                                        int
	cpus, benchmark                                                    float64
}

// Summary is the use of one group in one month, in seconds.
type Summary struct {
	Site, Service, User, VO, VOGroup, VORole, Status, Image, BenchmarkType string
	Month, Year                                                            int
	CPUCount, Benchmark                                                    float64
	Wall, CPU                                                              int64
	WallNull, CPUNull                                                      bool
	Memory, Disk, VMs                                                      int64
	Updated                                                                time.Time
}

// fold makes names equal that the database's collation takes for equal: letter case, and accents of Latin letters.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		r = unicode.ToLower(r)
		if base, ok := accents[r]; ok {
			return base
		}
		return r
	}, s)
}

// accents gives the plain letter of the accented ones that occur in names.
var accents = func() map[rune]rune {
	m := map[rune]rune{}
	for base, variants := range map[rune]string{'a': "àáâãäåā", 'c': "çćč", 'e': "èéêëēę", 'i': "ìíîïī", 'n': "ñńň", 'o': "òóôõöōø", 'u': "ùúûüūů", 'y': "ýÿ", 's': "śš", 'z': "źżž"} {
		for _, v := range variants {
			m[v] = base
		}
	}
	return m
}()

// Summarise makes the monthly summaries from the kept rows at the given clock, and removes stale ones of recent months,
// as the server's summariser does with its shipped configuration: Month ≥ m and Year ≥ y of the day two days before.
func (s *Server) Summarise(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, m := range s.reckon(now) {
		s.summaries[key] = m
	}
	day := now.UTC().AddDate(0, 0, -2)
	for key, m := range s.summaries {
		if m.Updated.Before(now) && m.Month >= int(day.Month()) && m.Year >= day.Year() {
			delete(s.summaries, key)
		}
	}
}

// reckon gives each row's difference to the VM's row before it, summed by group.
func (s *Server) reckon(now time.Time) map[groupKey]Summary {
	byVM := map[string][]Row{}
	for _, key := range s.order {
		vm := key.vm
		if key.month == 0 { // a row without a date stands for itself, and nothing is subtracted from it
			vm += "\x00undated"
		}
		byVM[vm] = append(byVM[vm], s.rows[key])
	}
	sums := map[groupKey]Summary{}
	for _, rows := range byVM {
		slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.Measured, b.Measured) })
		var wall, cpu int64
		for _, r := range rows {
			key := groupKey{fold(r.SiteName), fold(r.Service), fold(r.GlobalUserName), fold(r.VO), fold(r.VOGroup), fold(r.VORole), fold(r.Status), fold(r.ImageID), fold(r.BenchmarkType),
				r.Month, r.Year, r.CPUCount, r.Benchmark}
			m, ok := sums[key]
			if !ok {
				m = Summary{Site: r.SiteName, Service: r.Service, User: r.GlobalUserName, VO: r.VO, VOGroup: r.VOGroup, VORole: r.VORole, Status: r.Status, Image: r.ImageID,
					BenchmarkType: r.BenchmarkType, Month: r.Month, Year: r.Year, CPUCount: r.CPUCount, Benchmark: r.Benchmark, WallNull: true, CPUNull: true, Updated: now}
			}
			add := func(total *int64, null *bool, value *int64, before *int64) {
				if value == nil {
					*before = 0
					return
				}
				*total, *null = *total+*value-*before, false
				*before = *value
			}
			add(&m.Wall, &m.WallNull, r.Wall, &wall)
			add(&m.CPU, &m.CPUNull, r.CPU, &cpu)
			if r.Memory != nil {
				m.Memory += *r.Memory
			}
			if r.Disk != nil {
				m.Disk += *r.Disk
			}
			m.VMs++
			sums[key] = m
		}
	}
	return sums
}

// Summaries gives the summary rows, in order of month, site and VO.
func (s *Server) Summaries() []Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Summary
	for _, m := range s.summaries {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Summary) int {
		return cmp.Or(cmp.Compare(a.Year, b.Year), cmp.Compare(a.Month, b.Month), cmp.Compare(a.Site, b.Site), cmp.Compare(a.VO, b.VO), cmp.Compare(a.Status, b.Status))
	})
	return all
}

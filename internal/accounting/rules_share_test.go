package accounting_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// withProject adds a second project to a world, whose users have the same roles there.
func withProject(w *world.World, properties map[string]string) *world.World {
	w.Projects = append(w.Projects, world.Project{ID: project2, Name: "second", Properties: properties})
	for i := range w.Users {
		if roles, ok := w.Users[i].Roles[project]; ok {
			w.Users[i].Roles[project2] = slices.Clone(roles)
		}
	}
	return w
}

// vmOf adds a VM of a project, that ends where an end is given; all at whole hours.
func vmOf(w *world.World, project, id string, created time.Time, end time.Time) {
	events := []world.Event{{At: created.Add(time.Minute), Kind: world.Launch}}
	if !end.IsZero() {
		events = append(events, world.Event{At: end, Asked: end, Kind: world.Delete})
	}
	w.Add(world.VM{ID: id, Project: project, User: "u-one", Name: "vm-" + id, Flavor: "1", Image: "image-1", Created: created, Events: events})
}

// owed reckons hour by hour, in seconds by "VO month", what VOs owe up to the instant: an hour in which a project is some
// VO's counts, for the VO that was the first one there in that month of the VM's life.
func owed(w *world.World, vos []site.VO, from, to time.Time) map[string]int64 {
	sums, whose := map[string]int64{}, map[string]string{}
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		for _, p := range w.AllProjects() {
			i := slices.IndexFunc(vos, func(v site.VO) bool {
				return v.Project == p.ID && !at.Before(v.Since) && (v.Until.IsZero() || at.Before(v.Until))
			})
			if i < 0 {
				continue
			}
			for _, u := range w.Usage(p.ID, at, at.Add(time.Hour), world.Charge{}) {
				month := at.Format("2006-01")
				if whose[u.VM+month] == "" {
					whose[u.VM+month] = vos[i].Name
					if vos[i].AccountAs != "" {
						whose[u.VM+month] = vos[i].AccountAs
					}
				}
				sums[whose[u.VM+month]+" "+month] += u.Wall
			}
		}
	}
	return sums
}

// owing sums, in seconds by "VO month", what follows from the rows that the server keeps; by "site VO month" when asked.
func (b *bed) owing(sites bool) map[string]int64 {
	rows := b.fed.Server.Kept()
	slices.SortStableFunc(rows, func(x, y apelserver.Row) int { return int(x.Measured - y.Measured) })
	sums, before := map[string]int64{}, map[string]int64{}
	for _, r := range rows {
		key := fmt.Sprintf("%s %04d-%02d", r.VO, r.Year, r.Month)
		if sites {
			key = r.SiteName + " " + key
		}
		sums[key] += *r.Wall - before[r.VMUUID]
		before[r.VMUUID] = *r.Wall
	}
	return sums
}

// near compares sums; a VM's row of a month is a second short of it, and the next one has that second.
func near(t *testing.T, got, want map[string]int64, slack int64) {
	t.Helper()
	for key := range got {
		if _, ok := want[key]; !ok && abs(got[key]) > slack {
			t.Errorf("%s: the server counts %d s, the truth is nothing", key, got[key])
		}
	}
	for key, n := range want {
		if abs(got[key]-n) > slack {
			t.Errorf("%s: the server counts %d s, the truth is %d (%+d)", key, got[key], n, got[key]-n)
		}
	}
}

// TestRule08SeveralVOsOnAProject: each VM is accounted once, to the first VO: in file order, else in property order.
func TestRule08SeveralVOsOnAProject(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		for name, c := range map[string]struct {
			file       []site.VO
			properties map[string]string // of the first project; the second one's is fusion
			keys       []string
			want       [2]string // VOs of the projects
			told       string
		}{
			"file order":                   {file: []site.VO{{Name: "biomed", Project: project}, {Name: "ops", Project: project}}, properties: map[string]string{"VO": "ops,biomed"}, keys: []string{"VO"}, want: [2]string{"biomed", "fusion"}},
			"the file against a property":  {file: []site.VO{{Name: "biomed", Project: "vo-ops"}}, properties: map[string]string{"VO": "ops"}, keys: []string{"VO"}, want: [2]string{"biomed", "fusion"}, told: "the file wins"},
			"property order":               {properties: map[string]string{"VO": "ops", "accounting:VO": "dteam", "egi.VO": " biomed , ops"}, want: [2]string{"biomed", "fusion"}},
			"a list in a property":         {properties: map[string]string{"VO": ",ops,,fusion,ops"}, want: [2]string{"ops", "fusion"}},
			"account_as":                   {file: []site.VO{{Name: "ops", AccountAs: "dteam", Project: project}, {Name: "biomed", Project: project}}, want: [2]string{"dteam", "fusion"}},
			"account_as another's VO":      {file: []site.VO{{Name: "ops", AccountAs: "fusion", Project: project}}, want: [2]string{"fusion", "fusion"}},
			"one VO on two projects":       {file: []site.VO{{Name: "ops", Project: project}, {Name: "ops", Project: project2}, {Name: "biomed", Project: project}}, want: [2]string{"ops", "ops"}, told: "the file wins"},
			"a first one that left before": {file: []site.VO{{Name: "ops", Project: project, Until: moment("2024-03-01")}, {Name: "biomed", Project: project}}, want: [2]string{"biomed", "fusion"}},
			"a group":                      {file: []site.VO{{Name: "/biomed/eu/Role=none", Project: project}, {Name: "ops", Project: project}}, want: [2]string{"biomed", "fusion"}},
		} {
			t.Run(name, func(t *testing.T) {
				w := withProject(small(), map[string]string{"VO": "fusion"})
				w.Projects[0].Properties = c.properties
				for i, p := range []string{project, project, project2} {
					vmOf(w, p, id(i), moment("2024-03-02"), time.Time{})
				}
				into := cfg
				if cfg.Path != "" {
					into = onDisk(t)
				}
				b := newBed(t, w, into, "2024-03-10T00:05:00Z", "2024-03-01")
				b.target.Clouds[0].Cloud.VOs, b.target.Clouds[0].Cloud.Properties = c.file, c.keys
				b.collect("")
				if c.told != "" {
					b.told("project ", c.told)
				} else {
					b.clean(b.last)
				}
				b.clean(b.send())
				want := map[string]int64{c.want[0] + " 2024-03": 2 * 8 * 86400}
				want[c.want[1]+" 2024-03"] += 8 * 86400
				if d := cmp.Diff(want, b.owing(false)); d != "" {
					t.Errorf("seconds by VO (-truth +server):\n%s", d)
				}
			})
			if cfg.Path == "" {
				break // one of them shows that the other store does the same
			}
		}
	})
}

// comings makes a list of VOs of two projects at random that come and go at whole hours, some at the same time, some after
// a while without any.
func comings(r *rand.Rand) []site.VO {
	hour := func() time.Time { return moment("2024-01-20").Add(time.Duration(r.IntN(100*24)) * time.Hour) }
	var all []site.VO
	for _, p := range []string{project, project2} {
		for range 1 + r.IntN(3) {
			v := site.VO{Name: []string{"ops", "biomed", "fusion"}[r.IntN(3)], Project: p}
			if r.IntN(4) == 0 {
				v.AccountAs = "dteam"
			}
			if r.IntN(3) > 0 {
				v.Since = hour()
			}
			if until := hour(); r.IntN(3) > 0 && until.After(v.Since) {
				v.Until = until
			}
			if r.IntN(5) == 0 { // exactly with a month
				v.Since = moment("2024-03-01")
			}
			if !v.Until.IsZero() && !v.Until.After(v.Since) {
				v.Until = time.Time{}
			}
			all = append(all, v)
		}
	}
	return all
}

// asOf gives the list as a file has it that is edited only when the time has come.
func asOf(list []site.VO, now time.Time) []site.VO {
	var known []site.VO
	for _, v := range list {
		if v.Since.After(now) {
			continue
		}
		if v.Until.After(now) {
			v.Until = time.Time{}
		}
		known = append(known, v)
	}
	return known
}

// TestRule08VOsThatComeAndGo has VOs come and go at random hours in the middle of months, over VMs that begin and end, at
// random times of collecting and sending: the server counts for each VO what is its, whether the file said it long before
// or in time.
func TestRule08VOsThatComeAndGo(t *testing.T) {
	seeds := 6
	if testing.Short() {
		seeds = 2
	}
	each(t, func(t *testing.T, cfg store.Config) {
		for seed := range seeds {
			if cfg.Path == "" && seed > 0 {
				return
			}
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(seed), 8))
				w := withProject(small(), nil)
				const vms = 6
				for i := range vms {
					created := moment("2024-01-10").Add(time.Duration(r.IntN(90*24)) * time.Hour)
					var end time.Time
					if r.IntN(2) == 0 {
						end = created.Add(time.Duration(1+r.IntN(80*24)) * time.Hour)
					}
					vmOf(w, []string{project, project2}[i%2], id(i), created, end)
				}
				into := cfg
				if cfg.Path != "" {
					into = onDisk(t)
				}
				since := "2024-01-01"
				if seed%3 == 2 { // with VMs from before that
					since = "2024-02-05"
				}
				b := newBed(t, w, into, "2024-01-11T00:05:00Z", since)
				b.target.Settings.Previously = accounting.Nothing
				list := comings(r)
				b.target.Clouds[0].Cloud.VOs = list
				at := moment("2024-01-11")
				w.Projects[0].Properties = nil // a property would give the project a VO for all time
				for last := moment("2024-05-03"); at.Before(last); {
					if at = at.Add(time.Duration(1+r.IntN(30*24)) * time.Hour); at.After(last) {
						at = last
					}
					if seed%2 == 1 {
						b.target.Clouds[0].Cloud.VOs = asOf(list, at)
					}
					b.collect(at.Add(5 * time.Minute).Format("2006-01-02T15:04:05Z"))
					if r.IntN(3) > 0 {
						b.clean(b.send())
					}
				}
				b.clean(b.send())
				near(t, b.owing(false), owed(w, list, moment(since), at), vms)
				for key, e := range b.records() {
					if rec := b.parse(e); rec.StartTime+rec.SuspendDuration+rec.WallDuration != e.Measured.Unix() || rec.CPUDuration != 2*rec.WallDuration {
						t.Errorf("%s, measured %s: %+v", key, e.Measured, rec)
					}
				}
				if t.Failed() {
					t.Logf("VOs: %+v", list)
				}
			})
		}
	})
}

// TestRule08AVOThatMoves: a VO leaves one project for another in the middle of a month; the VMs that it leaves behind are
// nobody's, which is said, and go on as somebody's when their project gets a VO again.
func TestRule08AVOThatMoves(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := withProject(small(), nil)
		w.Projects[0].Properties = nil
		vmOf(w, project, id(1), moment("2024-02-10"), time.Time{})
		vmOf(w, project, id(2), moment("2024-02-10"), moment("2024-03-25"))
		vmOf(w, project2, id(3), moment("2024-02-20"), time.Time{})
		vmOf(w, project2, id(4), moment("2024-03-20"), moment("2024-04-05"))
		b := newBed(t, w, cfg, "2024-02-20T00:05:00Z", "2024-02-01")
		list := []site.VO{{Name: "ops", Project: project, Until: moment("2024-03-15T06:00")}, {Name: "ops", Project: project2, Since: moment("2024-03-15T06:00")},
			{Name: "biomed", Project: project, Since: moment("2024-04-10")}}
		b.target.Clouds[0].Cloud.VOs = list
		b.clean(b.collect(""))
		for _, at := range []string{"2024-02-22T00:05:00Z", "2024-03-12T00:05:00Z"} {
			b.collect(at)
			b.told("project "+project2, "1 VMs are not accounted", "belongs to no VO now")
			b.clean(b.send())
		}
		b.collect("2024-03-28T00:05:00Z")
		b.told("project "+project, "1 VMs are not accounted", "belongs to no VO now")
		b.clean(b.send())
		for _, at := range []string{"2024-04-12T00:05:00Z", "2024-05-03T00:05:00Z"} {
			b.clean(b.collect(at))
			b.clean(b.send())
		}
		near(t, b.owing(false), owed(w, list, moment("2024-02-01"), moment("2024-05-03")), 4)
		if r := b.row(id(2), "2024-03"); r.EndTime != seconds("2024-03-25") || r.WallDuration != seconds("2024-03-15T06:00")-seconds("2024-02-10") {
			t.Errorf("ended while its project was nobody's: %+v", r)
		}
	})
}

// excess gives, in seconds by "VO month", what the server's summaries count more than follows from its records.
func (b *bed) excess() map[string]int64 {
	b.fed.Server.Summarise(b.clock.now())
	sums := map[string]int64{}
	for _, m := range b.fed.Server.Monthly() {
		sums[m.VO+" "+m.Period] += m.Wall
	}
	for key, n := range b.owing(false) {
		sums[key] -= n
	}
	for key, n := range sums {
		if n == 0 {
			delete(sums, key)
		}
	}
	return sums
}

// reported gives, in the same way, what a report says that needs clean-up.
func reported(t *testing.T, r run.Report) map[string]int64 {
	t.Helper()
	sums := map[string]int64{}
	for _, p := range r.Problems {
		if _, text, ok := strings.Cut(p.Reason, "needs clean-up at APEL: "); ok {
			var (
				month, vo string
				hours     float64
			)
			if n, err := fmt.Sscanf(text, "%7s, VO %s %f h,", &month, &vo, &hours); n != 3 {
				t.Fatalf("%q: %v", text, err)
			}
			if !p.Notice || !strings.HasPrefix(p.Object, "VM ") || p.Hint == "" {
				t.Errorf("%+v", p)
			}
			sums[strings.TrimSuffix(vo, ",")+" "+month] += int64(hours * 3600)
		}
	}
	return sums
}

// TestRule08ARenamedSite renames a site: months before keep the old name, revisions of theirs too; what a revision leaves
// behind in the server's summaries is reported, no more and no less.
func TestRule08ARenamedSite(t *testing.T) {
	former := []site.Former{{Name: "SITE-A", Until: moment("2024-04-01")}}
	for name, c := range map[string]struct {
		formerly []site.Former
		march    string // the site of March's row when it is revised in April
	}{
		"said":     {former, "SITE-A"},
		"not said": {nil, "SITE-NEW"},
		"twice":    {append([]site.Former{{Name: "SITE-0", Until: moment("2024-03-01")}}, former...), "SITE-A"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, cfg store.Config) {
				w := small()
				vmOf(w, project, id(1), moment("2024-03-10"), time.Time{})
				w.Add(world.VM{ID: id(2), Project: project, User: "u-one", Flavor: "1", Image: "image-2", Created: moment("2024-03-10"), // another summary at the server
					Events: []world.Event{{At: moment("2024-03-10"), Kind: world.Launch}}})
				b := newBed(t, w, cfg, "2024-03-20T00:05:00Z", "2024-03-01")
				for _, at := range []string{"2024-03-20T00:05:00Z", "2024-04-08T00:05:00Z"} {
					b.clean(b.collect(at))
					b.clean(b.send())
				}
				b.target.Site.Name, b.target.Site.Formerly = "SITE-NEW", c.formerly
				b.clean(b.collect("2024-04-10T00:05:00Z"))
				b.clean(b.send())
				if n := len(reported(t, b.last)); n != 0 { // April's summaries are cleaned still
					t.Errorf("%d reported: %+v", n, b.last.Problems)
				}
				march := int64(22*86400 - 1)
				want := map[string]int64{"SITE-A ops 2024-03": 2 * march, "SITE-NEW ops 2024-04": 2 * (9*86400 + 1)}
				if d := cmp.Diff(want, b.owing(true)); d != "" || len(b.excess()) > 0 {
					t.Errorf("seconds by site (-truth +server):\n%s, stale: %v", d, b.excess())
				}
				b.answers(func(s map[string]any) bool {
					if s["id"] == id(2) {
						s["status"], s["OS-SRV-USG:terminated_at"] = "DELETED", "2024-03-30T00:00:00.000000"
					}
					return true
				})
				b.clean(b.collect("2024-04-11T00:05:00Z"))
				b.clean(b.send())
				ended := int64(20 * 86400)
				want = map[string]int64{"SITE-A ops 2024-03": march, "SITE-NEW ops 2024-04": 10*86400 + 1}
				want[c.march+" ops 2024-03"] += ended
				if d := cmp.Diff(want, b.owing(true)); d != "" {
					t.Errorf("a late end: seconds by site (-truth +server):\n%s", d)
				}
				near(t, reported(t, b.last), b.excess(), 360) // hours have one decimal
				if n := b.excess()["ops 2024-03"]; n != march {
					t.Errorf("%d s are stale, want %d", n, march)
				}
				b.clean(b.collect("2024-04-12T00:05:00Z"))
				if b.clean(b.send()); len(reported(t, b.last)) != 0 {
					t.Errorf("reported again: %+v", b.last.Problems)
				}
			})
		})
	}
}

//go:build bench

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

const siteName = "BENCH-SITE"

// shape is how large the world is, and what happens in it.
type shape struct {
	era                                   string
	pageLimit                             int
	vms, projects, large                  int
	users, flavors, images                int
	endedBefore, endedAfter, changedAfter int
	months                                int
	offers                                bool
}

// check refuses a shape that cannot be, and puts in what was not said.
func (s *shape) check() error {
	if s.large == 0 {
		s.large = s.vms * 6 / 10
	}
	if s.offers && s.projects > 0 {
		s.large = s.vms / s.projects
	}
	if s.projects == 1 {
		s.large = s.vms
	}
	switch _, known := openstack.EraNamed(s.era); {
	case !known:
		return fmt.Errorf("-era %q is none of mitaka, zed, current", s.era)
	case s.projects < 1, s.users < 1, s.flavors < 1, s.images < 1, s.months < 1, s.pageLimit < 1:
		return errors.New("projects, users, flavors, images, months and page limit are at least 1")
	case s.large > s.vms:
		return fmt.Errorf("-large %d is more than all VMs, %d", s.large, s.vms)
	case s.endedAfter+s.changedAfter > s.vms:
		return fmt.Errorf("%d VMs end or change, of %d", s.endedAfter+s.changedAfter, s.vms)
	}
	return nil
}

// since is from when on the site is accounted: the first day of the oldest month.
func (s *shape) since(at time.Time) time.Time {
	return time.Date(at.Year(), at.Month()-time.Month(s.months-1), 1, 0, 0, 0, 0, time.UTC)
}

// world makes the world whose present is at: the same for the same shape and present, ids included. It gives how many
// distinct users the VMs have, too: with few VMs not every user has one.
func (s *shape) world(at time.Time) (*world.World, int) {
	w, owners := &world.World{Region: "RegionOne"}, map[string]bool{}
	s.tenants(w)
	s.catalog(w)
	s.accounts(w)
	for n := range s.vms + s.endedBefore {
		vm := s.vm(w, n, at)
		owners[vm.User] = true
		w.Add(vm)
	}
	return w, len(owners)
}

func (s *shape) catalog(w *world.World) {
	if s.offers {
		s.offer(w)
		return
	}
	for n := range s.flavors {
		w.Flavors = append(w.Flavors, world.Flavor{ID: uuid("flavor", n), Name: fmt.Sprintf("m1.size%d", n), VCPUs: int64(1 + n%16), RAM: int64(2048 * (1 + n%16)), Disk: int64(20 + n),
			Extra: map[string]string{"accounting:benchmark_type": "HEPscore23", "accounting:benchmark_value": fmt.Sprint(10 + n)}})
	}
	for n := range s.images {
		i := world.Image{ID: uuid("image", n), Name: fmt.Sprintf("image %d", n), Visibility: "public"}
		if n%2 == 0 {
			i.Properties = map[string]string{"vmcatcher_event_ad_mpuri": fmt.Sprintf("https://appdb.egi.eu/store/vo/image/%s/", uuid("uri", n))}
		}
		w.Images = append(w.Images, i)
	}
}

func (s *shape) tenants(w *world.World) {
	for n := range s.projects {
		w.Projects = append(w.Projects, world.Project{ID: hex(uuid("project", n)), Name: fmt.Sprintf("vo-%d", n), Properties: map[string]string{"egi.VO": fmt.Sprintf("vo%d.example.eu", n)}})
	}
}

func (s *shape) accounts(w *world.World) {
	roles := func(role string) map[string][]string {
		m := map[string][]string{}
		for _, p := range w.Projects {
			m[p.ID] = []string{role}
		}
		return m
	}
	w.Users = []world.User{
		{ID: hex(uuid("account", 0)), Name: world.Reader, Password: world.ReaderPass, Roles: roles("reader"), System: []string{"reader"}},
		{ID: hex(uuid("account", 1)), Name: world.Admin, Password: world.AdminPass, Roles: roles("admin")},
	}
	for n := range s.users {
		w.Users = append(w.Users, world.User{ID: hex(uuid("user", n)), Name: fmt.Sprintf("user-%d@egi.eu", n), Roles: map[string][]string{w.Projects[n%s.projects].ID: {"member"}}})
	}
}

// vm makes the n-th VM. It belongs to the first project as long as that is not full; those that end or change lie evenly
// among all.
func (s *shape) vm(w *world.World, n int, at time.Time) world.VM {
	r := rand.New(rand.NewPCG(uint64(n), 0xbe7c4))
	within := func(from, to time.Time) time.Time { // a whole second in [from, to)
		return from.Add(time.Duration(r.Int64N(max(int64(to.Sub(from)/time.Second), 1))) * time.Second)
	}
	project := 0
	if n >= s.large && s.projects > 1 {
		project = 1 + n%(s.projects-1)
	}
	users := (s.users + s.projects - 1) / s.projects // of each project; a user is a member of one
	user := (project + s.projects*r.IntN(users)) % s.users
	if project == 0 {
		user = r.IntN(s.users)
	}
	vm := world.VM{ID: uuid("vm", n), Project: w.Projects[project].ID, User: hex(uuid("user", user)), Name: fmt.Sprintf("node-%06d", n),
		Flavor: w.Flavors[r.IntN(s.flavors)].ID, Image: w.Images[r.IntN(s.images)].ID}
	newest := at.Add(-2 * time.Hour)
	vm.Created = within(s.since(at).AddDate(0, 0, -10), newest)
	vm.Events = []world.Event{{At: vm.Created.Add(30 * time.Second), Kind: world.Launch}}
	soon := within(at.Add(time.Minute), at.Add(50*time.Minute)) // in the window of a collection an hour later, less settle
	switch {
	case n >= s.vms:
		vm.Events = append(vm.Events, world.Event{At: within(at.Add(-time.Hour), at.Add(-10*time.Minute)), Kind: world.Delete})
	case picked(n, s.vms, s.endedAfter):
		vm.Events = append(vm.Events, world.Event{At: soon, Kind: world.Delete})
	case picked(n-n*s.endedAfter/s.vms, s.vms-s.endedAfter, s.changedAfter): // of those that do not end
		vm.Events = append(vm.Events, world.Event{At: soon, Kind: world.Stop})
	}
	return vm
}

// picked tells whether the n-th of all is one of some that are spread evenly.
func picked(n, all, some int) bool { return (n+1)*some/max(all, 1) != n*some/max(all, 1) }

// uuid makes an id that depends on kind and number only.
func uuid(kind string, n int) string {
	h := fnv.New128a()
	h.Write([]byte(kind))
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(n)*0x9e3779b97f4a7c15)
	h.Write(number[:])
	b := h.Sum(nil)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// hex gives an id the form that Keystone's have.
func hex(id string) string {
	return id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:]
}

package world

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Options size and date a generated world.
type Options struct {
	Seed     uint64
	At       time.Time // the world's present; history lies before it
	Projects int       // with a VO each
	VMs      int
	Site     string // part of the ids, so that two sites differ
	SameIDs  bool   // ids of projects do not depend on Site
}

// The accounts of a generated world. The passwords are for the emulator only.
const (
	Reader       = "accounting" // reader on every project and on the system
	ReaderPass   = "reader-secret"
	PlainReader  = "plain-reader" // reader on every project, not on the system
	Member       = "images"       // member on every project
	MemberPass   = "images-secret"
	Admin        = "admin" // admin on every project
	AdminPass    = "admin-secret"
	SystemAdmin  = "system-admin" // admin on every project and on the system
	SystemReader = "system-only"  // reader on the system alone
)

var vos = []string{"ops", "vo.access.egi.eu", "biomed", "enmr.eu", "training.egi.eu", "vo.emso-eric.eu", "eosc-synergy.eu", "fusion"}

// Generate makes a believable site: the same for the same options.
func Generate(o Options) *World {
	g := &generator{o: o, r: rand.New(rand.NewPCG(o.Seed, 0x5eed)), w: &World{Region: "RegionOne"}}
	if o.At.IsZero() {
		panic("world: Options.At is required")
	}
	g.o.At = o.At.UTC().Truncate(time.Second)
	g.catalog()
	g.accounts()
	for i := range o.VMs {
		g.vm(i)
	}
	return g.w
}

type generator struct {
	o     Options
	r     *rand.Rand
	w     *World
	users []string
}

// id makes a UUID that depends on the options, what it is for and its number only.
func (g *generator) id(kind string, n int) string {
	r := rand.New(rand.NewPCG(g.o.Seed^hash(kind+g.o.Site), uint64(n)+1))
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}

func (g *generator) hexID(kind string, n int) string {
	r := rand.New(rand.NewPCG(g.o.Seed^hash(kind+g.o.Site), uint64(n)+7))
	return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
}

func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range []byte(s) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

func (g *generator) catalog() {
	g.w.Flavors = []Flavor{
		{ID: "1", Name: "m1.small", VCPUs: 1, RAM: 2048, Disk: 20, Extra: map[string]string{"accounting:benchmark_type": "HEPscore23", "accounting:benchmark_value": "15.2"}},
		{ID: "2", Name: "m1.medium", VCPUs: 2, RAM: 4096, Disk: 40, Extra: map[string]string{"accounting:benchmark_type": "HEPscore23", "accounting:benchmark_value": "15.2"}},
		{ID: "3", Name: "m1.large", VCPUs: 4, RAM: 8192, Disk: 80},
		{ID: "4", Name: "m1.xlarge", VCPUs: 8, RAM: 16384, Disk: 160, Ephemeral: 100},
		{ID: "5", Name: "g1.gpu", VCPUs: 8, RAM: 65536, Disk: 40, Extra: map[string]string{"Accelerator:Type": "GPU", "Accelerator:Vendor": "NVIDIA", "Accelerator:Model": "A100", "Accelerator:Number": "1", "Accelerator:Memory": "80", "Accelerator:VirtualizationType": "pass-through"}},
		{ID: "6", Name: "old.retired", VCPUs: 4, RAM: 4096, Disk: 10, Deleted: true},
	}
	g.w.Images = []Image{
		{ID: g.id("image", 0), Name: "ubuntu-26.04", Visibility: "public", Properties: federated("ubuntu", "26.04")},
		{ID: g.id("image", 1), Name: "alma-9", Visibility: "public", Properties: runs("almalinux", "9")},
		{ID: g.id("image", 2), Name: "debian-13", Visibility: "public", Properties: federated("debian", "13")},
	}
	for i := range g.o.Projects {
		vo := vos[i%len(vos)]
		if i >= len(vos) {
			vo = fmt.Sprintf("vo%d.example.eu", i)
		}
		id := g.hexID("project", i)
		if g.o.SameIDs {
			id = fmt.Sprintf("%032x", 0x1111*(i+1))
		}
		if i == 0 {
			g.w.Images = append(g.w.Images, Image{ID: g.id("image", 3), Name: "before the upgrade", Visibility: "private", Owner: id,
				Properties: map[string]string{"image_type": "snapshot", "architecture": "x86_64", "os_type": "linux", "os_distro": "debian", "os_version": "13"}})
		}
		g.w.Projects = append(g.w.Projects, Project{ID: id, Name: fmt.Sprintf("vo-%d", i+1), Properties: map[string]string{"egi.VO": vo}})
	}
	g.w.Projects = append(g.w.Projects, Project{ID: g.hexID("project", 9999), Name: "staff"}) // belongs to no VO
}

// runs gives the properties of an image that say what runs in it.
func runs(distro, version string) map[string]string {
	return map[string]string{"architecture": "x86_64", "os_type": "linux", "os_distro": distro, "os_version": version}
}

// federated gives the properties of an image that came through the federation's marketplace.
func federated(distro, version string) map[string]string {
	all := runs(distro, version)
	ref := fmt.Sprintf("egi_vm_images/%s:%s", distro, version)
	all["vmcatcher_event_ad_mpuri"] = fmt.Sprintf("https://appdb.egi.eu/store/vo/image/%s:%s/", distro, version)
	all["vmcatcher_event_dc_description"] = fmt.Sprintf("EGI image of %s %s", distro, version)
	all["appdb_id"] = all["vmcatcher_event_ad_mpuri"]
	all["APPLIANCE_ATTRIBUTES"] = fmt.Sprintf(`{"eu.egi.cloud.image_ref": %q, "eu.egi.cloud.tag": "2026-09-04-4d7122d6", "eu.egi.cloud.description": %q, "org.opencontainers.image.title": %q, "org.openstack.glance.architecture": "x86_64"}`,
		ref, all["vmcatcher_event_dc_description"], ref)
	return all
}

func (g *generator) accounts() {
	roles := func(role string) map[string][]string {
		m := map[string][]string{}
		for _, p := range g.w.Projects {
			m[p.ID] = []string{role}
		}
		return m
	}
	app := Application{ID: g.hexID("application", 1), Name: "fedsite", Secret: "application-secret", Project: g.w.Projects[0].ID}
	g.w.Users = []User{
		{ID: g.hexID("user", 1), Name: Reader, Password: ReaderPass, Roles: roles("reader"), System: []string{"reader"}, Applications: []Application{app}},
		{ID: g.hexID("user", 2), Name: PlainReader, Password: ReaderPass, Roles: roles("reader")},
		{ID: g.hexID("user", 3), Name: Admin, Password: AdminPass, Roles: roles("admin")},
		{ID: g.hexID("user", 4), Name: SystemAdmin, Password: AdminPass, Roles: roles("admin"), System: []string{"admin"}},
		{ID: g.hexID("user", 5), Name: SystemReader, Password: ReaderPass, System: []string{"reader"}},
	}
	for i := range max(4, g.o.Projects*2) {
		name := fmt.Sprintf("%08x@egi.eu", g.r.Uint32())
		if i == 1 {
			name = "usér-twö@egi.eu"
		}
		u := User{ID: g.hexID("user", 100+i), Name: name, Password: "member-secret", Roles: map[string][]string{g.w.Projects[i%g.o.Projects].ID: {"member"}}}
		g.w.Users = append(g.w.Users, u)
		g.users = append(g.users, u.ID)
	}
	g.w.Users = append(g.w.Users, User{ID: g.hexID("user", 6), Name: Member, Password: MemberPass, Roles: roles("member")})
}

// resizedAfter is how old a VM is at least that was resized in the middle of its life.
const resizedAfter = 40 * 24 * time.Hour

// vm makes one VM with a life.
func (g *generator) vm(i int) {
	p := i % g.o.Projects
	vm := VM{ID: g.id("vm", i), Project: g.w.Projects[p].ID, User: g.users[(p+g.o.Projects*(i%2))%len(g.users)], Name: fmt.Sprintf("vm-%03d", i),
		Flavor: fmt.Sprint(1 + g.r.IntN(4)), Image: g.w.Images[g.r.IntN(3)].ID}
	age := time.Duration(g.r.Int64N(int64(100 * 24 * time.Hour)))
	vm.Created = g.o.At.Add(-age - time.Hour).Truncate(time.Second)
	launch := vm.Created.Add(time.Duration(20+g.r.IntN(60)) * time.Second)
	vm.Events = []Event{{At: launch, Kind: Launch}}
	after := func(share float64) time.Time { // an instant at this share of the life up to now
		return launch.Add(time.Duration(float64(g.o.At.Sub(launch)) * share)).Truncate(time.Second)
	}
	switch i % 12 {
	case 1:
		vm.Events = append(vm.Events, Event{At: after(0.4), Kind: Delete})
	case 2:
		if age > resizedAfter { // before a VM is first seen nobody can know what it was
			vm.Events = append(vm.Events, Event{At: after(0.5), Kind: Resize, Value: "4"}, Event{At: after(0.51), Kind: Confirm})
		}
	case 3:
		vm.Events = append(vm.Events, Event{At: after(0.3), Kind: Stop})
	case 4:
		vm.Events = append(vm.Events, Event{At: after(0.3), Kind: Shelve}, Event{At: after(0.31), Kind: Offload})
	case 5: // never ran
		vm.Events = []Event{{At: launch, Kind: Fail}}
	case 6:
		vm.Image = ""
		vm.Events = append(vm.Events, Event{At: launch.Add(time.Minute), Kind: Float, Value: fmt.Sprintf("192.0.2.%d", 1+i%250)})
	case 7:
		vm.Name = "máquina-ñ"
		vm.Events = append(vm.Events, Event{At: after(0.6), Kind: Delete})
	case 8:
		vm.Name = "a%%b\nVMUUID: evil"
		vm.Flavor = "6"
	case 9:
		vm.Events = append(vm.Events, Event{At: after(0.2), Kind: Suspend}, Event{At: after(0.4), Kind: Resume}, Event{At: after(0.9), Kind: Rebuild})
	case 10:
		vm.Flavor = "5"
	}
	if i%5 == 4 {
		vm.Cell = SecondCell
	}
	g.w.Add(vm)
}

package discovery

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fedsite/fedsite/protocol/glue"
)

// Render makes the document of a catalog, and tells what of it could not be shown as it is: entries without a usable id,
// attributes that cannot be read. What [glue.Validate] finds beyond that is not among the findings. The same catalog gives
// the same document; order is that of the catalog. docs/reference/discovery-attributes.md says what each attribute is computed from.
//
// A share of which nothing is known is left out, and so is each part that is not known. The catalog stays as it is; objects
// of the document may share what they point to.
func Render(c Catalog, r Rendering) (glue.Document, []glue.Finding) {
	x := &renderer{
		c: &c, r: &r, found: map[glue.Finding]bool{}, taken: map[string]bool{}, attributes: map[string]*attributes{},
		images: map[string]renderedImage{}, flavors: map[string]renderedFlavor{},
	}
	x.service()
	x.grow()
	for _, g := range groupRegions(c.Regions) {
		x.region(g)
	}
	x.doc.Summarize()
	x.forgetUncounted()
	x.placeAccelerators()
	x.stamp()
	if r.Merged {
		x.doc = x.doc.Merged()
	}
	return x.doc, x.findings
}

// renderer is one rendering under way.
type renderer struct {
	c          *Catalog
	r          *Rendering
	doc        glue.Document
	findings   []glue.Finding
	found      map[glue.Finding]bool // those that are among the findings
	taken      map[string]bool       // ids of shares
	attributes map[string]*attributes
	images     map[string]renderedImage // by id; most shares have the same ones
	flavors    map[string]renderedFlavor
}

// add adds a finding, once for all shares that have it.
func (x *renderer) add(f glue.Finding) {
	if !x.found[f] {
		x.found[f] = true
		x.findings = append(x.findings, f)
	}
}

func (x *renderer) service() {
	s := glue.NewService(x.c.EP, x.c.Site)
	if r := x.c.Registration.Value; r.Key != "" {
		s.OtherInfo = glue.Info{{Name: "gocdb_id", Value: r.Key}, {Name: "site_name", Value: cmp.Or(r.Site, x.c.Site)}}
	}
	x.doc.Services = []glue.Service{s}
}

// grow makes room for all objects at once: of a large site there are a hundred thousand.
func (x *renderer) grow() {
	images, flavors := 0, 0
	for i := range x.c.Regions {
		for k := range x.c.Regions[i].Shares {
			o := &x.c.Regions[i].Shares[k].Offer
			images, flavors = images+len(o.Images.Value), flavors+len(o.Flavors.Value)
		}
	}
	x.doc.Images, x.doc.InstanceTypes = slices.Grow(x.doc.Images, images), slices.Grow(x.doc.InstanceTypes, flavors)
}

// regionGroup is the clouds of one region: several when several credentials reach it.
type regionGroup struct {
	suffix string // of its ids; the first region has none, so that its ids are those of today's tool
	region string
	clouds []Region
}

// groupRegions gives the regions in file order.
func groupRegions(all []Region) []*regionGroup {
	var out []*regionGroup
	for _, r := range all {
		k := slices.IndexFunc(out, func(g *regionGroup) bool { return g.region == r.Region })
		if k < 0 {
			out = append(out, &regionGroup{region: r.Region})
			k = len(out) - 1
		}
		out[k].clouds = append(out[k].clouds, r)
	}
	if len(out) == 0 {
		out = []*regionGroup{{}} // the endpoint is there, whoever may use it
	}
	suffixes := map[string]bool{"": true}
	for i, g := range out[1:] {
		name := cmp.Or(g.region, g.clouds[0].Name, g.clouds[0].Cloud)
		if g.suffix = name; suffixes[name] {
			g.suffix = fmt.Sprintf("%s_%d", name, i+2)
		}
		suffixes[g.suffix] = true
	}
	if len(out) == 1 {
		out[0].region = "" // nobody has to choose
	}
	return out
}

// region adds a region: manager, endpoint, access policy, and what each share is offered.
func (x *renderer) region(g *regionGroup) {
	e := glue.NewEndpoint(x.c.EP, g.suffix, x.c.Site)
	e.Authentication = x.c.Authentication
	if a := x.c.Authorities; !a.At.IsZero() && !a.Value.Plain {
		e.IssuerCA, e.TrustedCAs = a.Value.Issuer, a.Value.ClientCAs
	}
	if g.region != "" {
		e.OtherInfo = glue.Info{{Name: "region", Value: g.region}}
	}
	for _, c := range g.clouds {
		if !c.Version.At.IsZero() && c.Version.Value != "" {
			e.InterfaceVersion, e.ImplementationVersion = "2.0", c.Version.Value
			break
		}
	}
	to := spot{endpoint: e.ID, manager: glue.ManagerID(x.c.EP, g.suffix)}
	h := health{}
	for i := range g.clouds {
		c := &g.clouds[i]
		h.region(c.Trouble)
		for k := range c.Shares {
			s := &c.Shares[k]
			h.share(s)
			x.share(s, to)
		}
	}
	e.HealthState, e.HealthStateInfo = h.state()
	x.doc.Managers = append(x.doc.Managers, glue.NewManager(x.c.EP, g.suffix))
	x.doc.Endpoints = append(x.doc.Endpoints, e)
	x.doc.AccessPolicies = append(x.doc.AccessPolicies, glue.NewAccessPolicy(e.ID))
}

// spot is where objects belong.
type spot struct {
	share, endpoint, manager string
}

// forgetUncounted leaves the VMs of the service undefined when no share's are known: 0 would say that there are none.
func (x *renderer) forgetUncounted() {
	known := func(s glue.Share) bool { return s.VMs.Total != nil }
	if len(x.doc.Shares) > 0 && !slices.ContainsFunc(x.doc.Shares, known) {
		x.doc.Services[0].VMs = glue.VMs{}
	}
}

// placeAccelerators says whose an accelerator is where its id stands for different things at different shares. Else it does
// not, as today's tool.
func (x *renderer) placeAccelerators() {
	first := map[string]*glue.VirtualAccelerator{}
	differ := map[string]bool{}
	for i := range x.doc.VirtualAccelerators {
		a := &x.doc.VirtualAccelerators[i]
		if b := first[a.ID]; b == nil {
			first[a.ID] = a
		} else if !sameAccelerator(a, b) {
			differ[a.ID] = true
		}
	}
	for i := range x.doc.VirtualAccelerators {
		if a := &x.doc.VirtualAccelerators[i]; !differ[a.ID] {
			a.Shares = nil
		}
	}
}

// stamp tells every object when it was made and how long it counts.
func (x *renderer) stamp() {
	d := &x.doc
	stamp(x, d.Services, func(o *glue.Service) *glue.Entity { return &o.Entity })
	stamp(x, d.Managers, func(o *glue.Manager) *glue.Entity { return &o.Entity })
	stamp(x, d.Endpoints, func(o *glue.Endpoint) *glue.Entity { return &o.Entity })
	stamp(x, d.Images, func(o *glue.Image) *glue.Entity { return &o.Entity })
	stamp(x, d.InstanceTypes, func(o *glue.InstanceType) *glue.Entity { return &o.Entity })
	stamp(x, d.VirtualAccelerators, func(o *glue.VirtualAccelerator) *glue.Entity { return &o.Entity })
	stamp(x, d.Shares, func(o *glue.Share) *glue.Entity { return &o.Entity })
	stamp(x, d.MappingPolicies, func(o *glue.MappingPolicy) *glue.Entity { return &o.Entity })
	stamp(x, d.AccessPolicies, func(o *glue.AccessPolicy) *glue.Entity { return &o.Entity })
}

func stamp[T any](x *renderer, all []T, entity func(*T) *glue.Entity) {
	for i := range all {
		e := entity(&all[i])
		e.CreationTime, e.Validity = x.c.Made, x.r.Validity
	}
}

// fold gives the form in which two ids are one to LDAP: without blanks that do not count, and what is no UTF-8 as U+FFFD.
func fold(id string) string {
	if !utf8.ValidString(id) {
		id = string([]rune(id))
	}
	if !strings.Contains(id, " ") {
		return id
	}
	return strings.Join(strings.FieldsFunc(id, func(r rune) bool { return r == ' ' }), " ")
}

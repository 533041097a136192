package discovery

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fedsite/fedsite/protocol/glue"
)

// infiniband is GLUE's word for such a network.
const infiniband = "infiniband"

// renderedFlavor is a flavor as it was rendered for the first share that has it.
type renderedFlavor struct {
	from         Flavor
	instanceType glue.InstanceType
	accelerators []glue.VirtualAccelerator
}

// instanceTypes adds the flavors of a share, and tells whether one of them has InfiniBand.
func (x *renderer) instanceTypes(all []Flavor, to spot) (fast bool) {
	shares, endpoints, managers := []string{to.share}, []string{to.endpoint}, []string{to.manager}
	seen := make(map[string]bool, len(all))
	for i := range all {
		f := &all[i]
		if x.r.Flavors == PublicFlavors && !f.Public || x.r.Flavors == PrivateFlavors && f.Public {
			continue
		}
		if !x.usableID(seen, "CloudComputingInstanceType", f.ID) {
			continue
		}
		r := x.flavor(f)
		t := r.instanceType
		t.Shares, t.Endpoints, t.Managers = shares, endpoints, managers
		fast = fast || len(t.NetworkInfo) > 0
		x.doc.InstanceTypes = append(x.doc.InstanceTypes, t)
		for _, a := range r.accelerators {
			a.Shares = shares
			x.doc.VirtualAccelerators = append(x.doc.VirtualAccelerators, a)
		}
	}
	return fast
}

// usableID tells whether an object of an id can stand beside the others of its share.
func (x *renderer) usableID(seen map[string]bool, class, id string) bool {
	key := fold(id)
	switch {
	case key == "":
		x.add(glue.Finding{Level: glue.LevelError, Class: class, ID: id, Reason: "left out: it has no id"})
		return false
	case seen[key]:
		x.add(glue.Finding{Level: glue.LevelError, Class: class, ID: id, Reason: "left out: another of the same share has this id"})
		return false
	}
	seen[key] = true
	return true
}

// flavor renders a flavor, once for all shares that see it alike.
func (x *renderer) flavor(f *Flavor) renderedFlavor {
	if r, ok := x.flavors[f.ID]; ok && sameFlavor(&r.from, f) {
		return r
	}
	t := glue.InstanceType{
		Entity: glue.Entity{ID: f.ID, Name: f.Name}, Platform: platform(f.ExtraSpecs),
		CPU: x.size(f.ID, "CPU", f.VCPUs), RAM: x.size(f.ID, "RAM", f.RAM), Disk: x.size(f.ID, "Disk", f.Disk),
		NetworkIn: glue.Undefined, NetworkOut: glue.True,
	}
	if f.Ephemeral != 0 {
		t.EphemeralStorage = x.size(f.ID, "EphemeralStorage", f.Ephemeral)
	}
	if hasInfiniband(f.ExtraSpecs) {
		t.NetworkInfo = []string{infiniband}
	}
	r := renderedFlavor{from: *f}
	for i, a := range x.accelerators(f) {
		id := glue.VirtualAcceleratorID(f.ID)
		name := cmp.Or(f.Name, f.ID) + "_gpu"
		if i > 0 {
			suffix := "_" + strconv.Itoa(i+1)
			id, name = id+suffix, name+suffix
		}
		a.Entity = glue.Entity{ID: id, Name: name}
		a.InstanceTypes = []string{f.ID}
		t.VirtualAccelerators = append(t.VirtualAccelerators, id)
		r.accelerators = append(r.accelerators, a)
	}
	r.instanceType = t
	x.flavors[f.ID] = r
	return r
}

func sameFlavor(a, b *Flavor) bool {
	return a.Name == b.Name && a.VCPUs == b.VCPUs && a.RAM == b.RAM && a.Disk == b.Disk && a.Ephemeral == b.Ephemeral &&
		maps.Equal(a.ExtraSpecs, b.ExtraSpecs)
}

// size is a size that cannot be negative.
func (x *renderer) size(id, attribute string, n int64) *int64 {
	if n < 0 {
		x.add(glue.Finding{Level: glue.LevelWarning, Class: "CloudComputingInstanceType", ID: id, Attribute: attribute,
			Reason: "left out: " + strconv.FormatInt(n, 10) + " is negative"})
		return nil
	}
	return &n
}

// hasInfiniband looks for the extra spec that today's tool looks for, and for the scheduler's form of it.
func hasInfiniband(specs map[string]string) bool {
	for _, k := range []string{infiniband, "aggregate_instance_extra_specs:" + infiniband} {
		if slices.Contains([]string{"true", "yes", "1"}, strings.ToLower(operand(specs[k]))) {
			return true
		}
	}
	return false
}

package glue

import (
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Entry is an LDAP entry. Attributes are in a fixed order, objectClass first.
type Entry struct {
	DN         DN
	Attributes []Attribute
}

// Attribute is one attribute of an entry with its values, which are UTF-8 and not empty.
type Attribute struct {
	Name   string
	Values []string
}

// What GLUE writes for an attribute that is mandatory and undefined.
const (
	undefinedText   = "UNDEFINEDVALUE"
	undefinedNumber = "999999999"
)

// BaseEntries gives the entries that a base stands for itself, the uppermost first: a server that holds nothing needs them
// before Entries.
func BaseEntries(base DN) []Entry {
	var out []Entry
	for i := len(base) - 1; i >= 0; i-- {
		e := Entry{DN: base[i:]}
		switch strings.ToLower(base[i].Name) {
		case "o":
			e.add("objectClass", "organization")
		case "glue2domainid":
			e.add("objectClass", "GLUE2Entity", "GLUE2Domain", "GLUE2AdminDomain")
		default:
			e.add("objectClass", "GLUE2Group")
		}
		e.add(base[i].Name, valid(base[i].Value))
		out = append(out, e)
	}
	return out
}

// Entries gives the document as LDAP entries under a base, a parent always before its children. Images, instance types and
// accelerators stand under each of their shares. What the schema or the tree cannot hold is left out and told to leftOut,
// which may be nil; a missing value that GLUE makes mandatory becomes GLUE's word for undefined.
func Entries(d Document, base DN, leftOut func(Finding)) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		t := tree{
			base: base, yield: yield, leftOut: leftOut,
			dns: map[string]DN{}, taken: map[string]bool{}, accelerators: map[string][]*VirtualAccelerator{},
		}
		t.document(&d)
	}
}

// tree hands out entries.
type tree struct {
	base         DN
	yield        func(Entry) bool
	leftOut      func(Finding)
	stopped      bool
	dns          map[string]DN // of services, endpoints and shares that have been handed out, by class and id
	taken        map[string]bool
	accelerators map[string][]*VirtualAccelerator
	fields       []field
	links        []link
}

func (t *tree) document(d *Document) {
	for i := range d.VirtualAccelerators {
		a := &d.VirtualAccelerators[i]
		t.accelerators[a.ID] = append(t.accelerators[a.ID], a)
	}
	used := map[string]bool{}
	for _, c := range []list{
		listOf(serviceClass, d.Services), listOf(managerClass, d.Managers), listOf(endpointClass, d.Endpoints),
		listOf(shareClass, d.Shares), listOf(imageClass, d.Images), listOf(instanceTypeClass, d.InstanceTypes),
		listOf(accessClass, d.AccessPolicies), listOf(mappingClass, d.MappingPolicies),
	} {
		for i := 0; i < c.len && !t.stopped; i++ {
			o := c.at(i)
			if it, ok := o.(*InstanceType); ok {
				for _, id := range it.VirtualAccelerators {
					used[id] = true
				}
			}
			t.object(o)
		}
	}
	for i := range d.VirtualAccelerators {
		if a := &d.VirtualAccelerators[i]; !used[a.ID] && !t.stopped {
			t.omit(a, "no instance type has it")
		}
	}
}

// object hands out the entries of one object: one, or one for each share.
func (t *tree) object(o object) {
	switch o := o.(type) {
	case *Service:
		t.put(o, t.base, nil, "")
	case *Manager:
		t.under(o, serviceClass, o.Services)
	case *Endpoint:
		t.under(o, serviceClass, o.Services)
	case *Share:
		t.under(o, serviceClass, o.Services)
	case *AccessPolicy:
		for _, id := range o.Endpoints {
			t.under(o, endpointClass, []string{id})
		}
	case *MappingPolicy:
		t.perShare(o, o.Shares, func(DN, string) {})
	case *Image:
		t.perShare(o, o.Shares, func(dn DN, _ string) { t.network(o, dn) })
	case *InstanceType:
		t.perShare(o, o.Shares, func(_ DN, share string) { t.accelerate(o, share) })
	}
}

// under hands out an object beneath the first of its owners.
func (t *tree) under(o object, owner *class, ids []string) {
	for _, id := range ids {
		if dn, ok := t.dns[owner.name+"\x00"+id]; ok {
			t.put(o, dn, owner, id)
			return
		}
	}
	t.omit(o, "its "+owner.name+" is not in the document")
}

// perShare hands out an object beneath each of its shares, and then what follows from it.
func (t *tree) perShare(o object, shares []string, then func(DN, string)) {
	if len(shares) == 0 {
		t.omit(o, "it belongs to no Share")
	}
	for _, id := range shares {
		dn, ok := t.dns[shareClass.name+"\x00"+id]
		if !ok {
			t.omit(o, "its Share "+strconv.Quote(id)+" is not in the document")
			continue
		}
		if own := t.put(o, dn, shareClass, id); own != nil && !t.stopped {
			then(own, id)
		}
	}
}

// accelerate hands out the accelerators of an instance type beneath one share.
func (t *tree) accelerate(it *InstanceType, share string) {
	for _, id := range it.VirtualAccelerators {
		var found *VirtualAccelerator
		for _, a := range t.accelerators[id] {
			if slices.Contains(a.Shares, share) || found == nil && len(a.Shares) == 0 {
				found = a
			}
		}
		if found == nil {
			t.omit(&VirtualAccelerator{Entity: Entity{ID: id}}, "it is not in the document for the Share "+strconv.Quote(share))
			continue
		}
		one := *found
		one.InstanceTypes = []string{it.ID}
		t.put(&one, t.dns[shareClass.name+"\x00"+share], shareClass, share)
	}
}

// network hands out the traffic that an image needs.
func (t *tree) network(i *Image, dn DN) {
	const p = "GLUE2CloudComputingImageNetworkConfiguration"
	for k, n := range i.Network {
		id := networkID(i, k)
		if (RDN{networkClass.id, id}).size() > maxRDN {
			t.omit(i, "the id of what its network needs is longer than LDAP servers hold")
			continue
		}
		e := Entry{DN: dn.child(networkClass.id, valid(id))}
		e.add("objectClass", append([]string{"GLUE2Entity"}, networkClass.ldap...)...)
		e.add(networkClass.id, id)
		e.times(&i.Entity)
		e.add(p+"CloudComputingImageForeignKey", i.ID)
		for _, a := range []struct{ name, value string }{{"Direction", n.Direction}, {"Protocol", n.Protocol}, {"Port", n.Port}, {"AddressRange", n.AddressRange}} {
			e.mandatory(p+a.name, a.value, undefinedText)
		}
		t.hand(e)
	}
}

func networkID(i *Image, k int) string {
	return i.ID + "_" + i.Network[k].Direction + "_" + i.Network[k].Protocol + "_" + strconv.Itoa(k)
}

// put hands out the entry of an object under a parent, which is the one of owner's objects that the entry names. It returns
// the entry's DN, nil when there is none.
func (t *tree) put(o object, parent DN, owner *class, id string) DN {
	c, ent := o.class(), o.entity()
	if fold(ent.ID) == "" {
		t.omit(o, "it has no id")
		return nil
	}
	dn := parent.child(c.id, valid(ent.ID))
	if dn[0].size() > maxRDN {
		t.omit(o, "its id is longer than LDAP servers hold")
		return nil
	}
	key := dn.Key()
	if t.taken[key] {
		t.omit(o, "another has the same id")
		return nil
	}
	t.taken[key] = true
	e := Entry{DN: dn}
	e.add("objectClass", append([]string{"GLUE2Entity"}, c.ldap...)...)
	e.add(c.id, ent.ID)
	e.add("GLUE2EntityName", ent.Name)
	e.times(ent)
	if missing := t.attributes(&e, o, owner, id); missing != "" {
		t.omit(o, "it has no "+missing)
		return nil
	}
	if c == serviceClass || c == endpointClass || c == shareClass {
		t.dns[c.name+"\x00"+ent.ID] = dn
	}
	t.hand(e)
	return dn
}

func (t *tree) hand(e Entry) {
	if !t.stopped && !t.yield(e) {
		t.stopped = true
	}
}

func (t *tree) omit(o object, why string) {
	if t.leftOut != nil && !t.stopped {
		t.leftOut(Finding{Level: LevelError, Class: o.class().name, ID: o.entity().ID, Reason: "left out of LDAP: " + why})
	}
}

// attributes adds foreign keys, attributes and what else the object says. It names what is missing and has no word for
// being undefined.
func (t *tree) attributes(e *Entry, o object, owner *class, id string) (missing string) {
	t.links = o.links(t.links[:0])
	for _, l := range t.links {
		values := *l.ids
		if l.to == owner && owner != nil {
			values = []string{id}
		}
		if l.single && len(values) > 1 {
			values = values[:1]
		}
		if l.must && strings.Join(values, "") == "" {
			return l.json
		}
		for _, name := range l.ldap {
			e.add(name, values...)
		}
	}
	t.fields = o.fields(t.fields[:0])
	var more []string
	for i := range t.fields {
		f := &t.fields[i]
		switch v := f.value.(type) {
		case *[]string:
			if f.must && strings.Join(*v, "") == "" {
				return f.json
			}
			e.add(f.ldap, *v...)
		case *string:
			e.optional(f, *v, undefinedText)
		case *ExtendedBoolean:
			e.optional(f, string(*v), string(Undefined))
		case **int64:
			e.optional(f, integer(*v), undefinedNumber)
		case **float64:
			whole, exact := roundUp(*v)
			e.optional(f, whole, undefinedNumber)
			if exact != "" {
				more = append(more, f.json+"="+exact)
			}
		}
	}
	switch o := o.(type) {
	case *Image:
		networks := make([]string, len(o.Network))
		for k := range o.Network {
			if id := networkID(o, k); (RDN{networkClass.id, id}).size() <= maxRDN {
				networks[k] = id
			}
		}
		e.add("GLUE2CloudComputingImageCloudComputingImageNetworkConfigurationForeignKey", networks...)
	case *AccessPolicy:
		e.add("GLUE2PolicyUserDomainForeignKey", domains(o.Rule)...)
	}
	e.add("GLUE2EntityOtherInfo", append(infoLines(o.entity().OtherInfo), more...)...)
	return ""
}

// domains are the VOs that rules name.
func domains(rules []string) []string {
	var out []string
	for _, r := range rules {
		if vo, ok := strings.CutPrefix(r, "VO:"); ok {
			out = append(out, vo)
		}
	}
	return out
}

func integer(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

// roundUp gives a number as LDAP's integer, and as it is when that is not the same.
func roundUp(n *float64) (whole, exact string) {
	if n == nil || math.IsNaN(*n) || math.Abs(*n) > 1<<53 {
		return "", ""
	}
	whole = strconv.FormatInt(int64(math.Ceil(*n)), 10)
	if *n != math.Ceil(*n) {
		exact = strconv.FormatFloat(*n, 'f', -1, 64)
	}
	return whole, exact
}

// add adds an attribute with the values that are not empty, and no two that a server takes for the same.
func (e *Entry) add(name string, values ...string) {
	var kept []string
	seen := map[string]bool{}
	for _, v := range values {
		v = valid(v)
		if len(values) > 1 {
			key := fold(v)
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		if v != "" {
			kept = append(kept, v)
		}
	}
	if name != "" && len(kept) > 0 {
		e.Attributes = append(e.Attributes, Attribute{name, kept})
	}
}

func (e *Entry) mandatory(name, value, undefined string) {
	if value == "" {
		value = undefined
	}
	e.add(name, value)
}

func (e *Entry) optional(f *field, value, undefined string) {
	if value == "" && f.must {
		value = undefined
	}
	e.add(f.ldap, value)
}

// times adds when the object was made and how long it counts.
func (e *Entry) times(ent *Entity) {
	if !ent.CreationTime.IsZero() {
		e.add("GLUE2EntityCreationTime", ent.CreationTime.UTC().Format("2006-01-02T15:04:05Z"))
	}
	if ent.Validity > 0 {
		e.add("GLUE2EntityValidity", strconv.FormatInt(int64(ent.Validity/time.Second), 10))
	}
}

// infoLines are the items as "name=value", nested values as JSON. Names are escaped so that no two items can become the
// same value to a server, which would refuse the entry.
func infoLines(info Info) []string {
	var out []string
	for _, item := range info.unique() {
		value, ok := item.Value.(string)
		if !ok && item.Value != nil {
			value = compact(item.Value)
		}
		out = append(out, escapeName(item.Name)+"="+value)
	}
	return out
}

// escapeName leaves letters, digits and the marks that names have, and writes all else as %XX.
func escapeName(name string) string {
	var b strings.Builder
	for _, c := range []byte(valid(name)) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.:-/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte("0123456789ABCDEF"[c>>4])
		b.WriteByte("0123456789ABCDEF"[c&15])
	}
	return b.String()
}

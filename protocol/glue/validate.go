package glue

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Level says how bad a finding is.
type Level int

// The levels of findings, the least first.
const (
	LevelWarning Level = iota // GLUE or a profile wants it otherwise; everybody reads it
	LevelError                // the object is left out of LDAP, or not found by those who look for it
	LevelFatal                // the information API drops the whole document
)

// String is the level as a word.
func (l Level) String() string {
	switch l {
	case LevelWarning:
		return "warning"
	case LevelError:
		return "error"
	}
	return "fatal"
}

// Finding is something that is wrong with a document. Texts of tenants in it are quoted.
type Finding struct {
	Level     Level
	Class, ID string // of the object; both empty for the document as a whole
	Attribute string // in the JSON's words; "" = the object as a whole
	Reason    string
}

// String is the finding in one line.
func (f Finding) String() string {
	at := f.Class
	if f.ID != "" {
		at = fmt.Sprintf("%s %q", f.Class, f.ID)
	}
	if f.Attribute != "" {
		at = strings.TrimSpace(at + " " + f.Attribute)
	}
	return fmt.Sprintf("%s: %s: %s", f.Level, at, f.Reason)
}

// Validate tells what is wrong with a document: what the information API drops it for, what LDAP refuses, ids that are not
// unique or name nothing, and values that GLUE does not know. In order of the document; nil means nothing.
func Validate(d Document) []Finding {
	v := &validator{ids: map[*class]map[string]bool{}, held: map[holding]bool{}, accelerators: map[holding]string{}}
	v.api(&d)
	all := d.classes()
	for _, c := range all {
		v.ids[c.class] = make(map[string]bool, c.len)
		for i := range c.len {
			v.ids[c.class][c.at(i).entity().ID] = true
		}
	}
	for _, c := range all {
		for i := range c.len {
			v.object(c.at(i))
		}
	}
	return v.found
}

// validator collects findings.
type validator struct {
	found        []Finding
	ids          map[*class]map[string]bool
	held         map[holding]bool
	accelerators map[holding]string // what they are
	now          object
	fields       []field
	links        []link
}

// holding is an id of a class, of one share where each may have its own.
type holding struct {
	class     *class
	id, share string
}

func (v *validator) add(l Level, attribute, format string, args ...any) {
	f := Finding{Level: l, Attribute: attribute, Reason: fmt.Sprintf(format, args...)}
	if v.now != nil {
		f.Class, f.ID = v.now.class().name, v.now.entity().ID
	}
	v.found = append(v.found, f)
}

// api tells for what the information API drops the document.
func (v *validator) api(d *Document) {
	if len(d.Endpoints) == 0 || d.Endpoints[0].URL == "" {
		v.add(LevelFatal, "CloudComputingEndpoint", "the information API needs an endpoint with a URL")
	}
	if len(d.Services) == 0 {
		v.add(LevelFatal, "CloudComputingService", "the information API needs a service")
	} else {
		v.now = &d.Services[0]
		if strings.Join(d.Services[0].AdminDomains, "") == "" {
			v.add(LevelFatal, "AdminDomain", "the information API needs the site's name")
		}
		if d.Services[0].OtherInfo.Text("gocdb_id") == "" {
			v.add(LevelFatal, "OtherInfo", "the information API needs gocdb_id, as text")
		}
		if d.Services[0].CreationTime.IsZero() || d.Services[0].Validity <= 0 {
			v.add(LevelFatal, "CreationTime", "the information API may ask how old the document is")
		}
	}
	vo := map[string]bool{}
	for i := range d.MappingPolicies {
		p := &d.MappingPolicies[i]
		v.now = p
		if len(p.UserDomains) == 0 {
			v.add(LevelFatal, "PolicyUserDomain", "the information API needs the VO")
		}
		for _, id := range p.Shares {
			vo[id] = true
		}
	}
	for i := range d.Shares {
		v.now = &d.Shares[i]
		if d.Shares[i].ProjectID == "" {
			v.add(LevelFatal, "ProjectID", "the information API needs it")
		}
		if !vo[d.Shares[i].ID] {
			v.add(LevelError, "", "no MappingPolicy says which VO it is for, so nobody finds it")
		}
	}
	v.now = nil
}

func (v *validator) object(o object) {
	v.now = o
	ent := o.entity()
	switch {
	case fold(ent.ID) == "":
		v.add(LevelError, "ID", "it has none")
	case (RDN{o.class().id, ent.ID}).size() > maxRDN:
		v.add(LevelError, "ID", "%d bytes are more than LDAP servers hold", len(ent.ID))
	case ent.ID[0] == '_':
		v.add(LevelWarning, "ID", "EGI's profile has no id begin with _")
	}
	if ent.Validity < 0 || ent.Validity%time.Second != 0 {
		v.add(LevelWarning, "Validity", "%s is not a number of seconds", ent.Validity)
	}
	if y := ent.CreationTime.UTC().Year(); y > 9999 || y < 1 {
		v.add(LevelError, "CreationTime", "the year %d cannot be written", y)
	}
	v.text("ID", ent.ID)
	v.text("Name", ent.Name)
	if _, ok := o.(*InstanceType); ok && ent.Name == "" {
		v.add(LevelWarning, "Name", "it has none; the JSON shows the id")
	}
	v.uniqueness(o)
	v.associations(o)
	v.fields = o.fields(v.fields[:0])
	for i := range v.fields {
		v.attribute(&v.fields[i])
	}
	v.special(o)
}

// uniqueness finds objects of one class and id; where each share has its own, of one share too.
func (v *validator) uniqueness(o object) {
	c := o.class()
	shares := []string{""}
	if c.mayRepeat {
		v.links = o.links(v.links[:0])
		for _, l := range v.links {
			if l.to == shareClass && len(*l.ids) > 0 {
				shares = *l.ids
			}
		}
	}
	if a, ok := o.(*VirtualAccelerator); ok {
		v.sameAccelerator(a, shares)
		return
	}
	id := fold(o.entity().ID)
	for _, s := range shares {
		key := holding{c, id, s}
		if v.held[key] {
			v.add(LevelError, "ID", "another %s has it", c.name)
		}
		v.held[key] = true
	}
}

// sameAccelerator lets accelerators repeat that are the same: today's tool writes one for each share without saying so.
func (v *validator) sameAccelerator(a *VirtualAccelerator, shares []string) {
	one := *a
	one.Shares = nil
	e := encoder{}
	e.object(&one)
	this := string(e.buf)
	for _, s := range shares {
		key := holding{acceleratorClass, a.ID, s}
		if what, ok := v.accelerators[key]; ok && what != this {
			v.add(LevelError, "ID", "another CloudComputingVirtualAccelerator has it and is different")
		}
		v.accelerators[key] = this
	}
}

func (v *validator) associations(o object) {
	v.links = o.links(v.links[:0])
	for _, l := range v.links {
		if l.must && len(*l.ids) == 0 {
			v.add(LevelError, l.json, "GLUE makes it mandatory")
		}
		if l.single && len(*l.ids) > 1 {
			v.add(LevelWarning, l.json, "LDAP holds the first of %d only", len(*l.ids))
		}
		for i, id := range *l.ids {
			if l.to != nil && !v.ids[l.to][id] {
				v.add(LevelError, l.json, "%q is not in the document", id)
			}
			if slices.Contains((*l.ids)[:i], id) {
				v.add(LevelWarning, l.json, "%q is there twice", id)
			}
			v.text(l.json, id)
		}
	}
}

// attribute looks at one attribute: whether it is there, in range, and text that LDAP takes.
func (v *validator) attribute(f *field) {
	if f.json == "" {
		return
	}
	if f.must && f.empty() {
		l := LevelWarning
		if _, ok := f.value.(*[]string); ok {
			l = LevelError // nothing can stand for an undefined list
		}
		v.add(l, f.json, "GLUE makes it mandatory")
	}
	switch p := f.value.(type) {
	case *string:
		v.text(f.json, *p)
		v.enumeration(f.json, *p)
	case *[]string:
		for _, s := range *p {
			if s == "" {
				v.add(LevelWarning, f.json, "an empty value, which LDAP does not hold")
			}
			v.text(f.json, s)
		}
	case *ExtendedBoolean:
		if *p != "" && *p != True && *p != False && *p != Undefined {
			v.add(LevelWarning, f.json, "%q is not true, false or undefined", string(*p))
		}
	case **int64:
		if *p != nil && **p < 0 {
			v.add(LevelError, f.json, "%d is negative", **p)
		}
	case **float64:
		if *p != nil && !(**p > 0 && **p < 1<<53) {
			v.add(LevelError, f.json, "%v is not a number of things", **p)
		}
	}
}

// enumerations are GLUE's closed lists.
var enumerations = map[string][]string{
	"QualityLevel": {"development", "pre-production", "production", "testing"},
	"ServingState": {"closed", "draining", "production", "queueing"},
	"HealthState":  {"critical", "ok", "other", "unknown", "warning", "downtime"},
	"AccessInfo":   {"none", "passwd", "rsa"},
}

func (v *validator) enumeration(attribute, value string) {
	if words, ok := enumerations[attribute]; ok && value != "" && !slices.Contains(words, value) {
		v.add(LevelWarning, attribute, "%q is none of %s", value, strings.Join(words, ", "))
	}
}

// text finds what cannot be written as it is, and what may surprise a reader.
func (v *validator) text(attribute, s string) {
	plain := isPrintable(s) // as nearly all are
	if !plain && !utf8.ValidString(s) {
		v.add(LevelWarning, attribute, "%q is no UTF-8; what is not becomes U+FFFD", s)
	}
	if !plain && strings.ContainsFunc(s, unicode.IsControl) {
		v.add(LevelWarning, attribute, "%q has control characters", s)
	}
	switch {
	case s == "UNKNOWN" || strings.HasPrefix(s, undefinedText):
		v.add(LevelWarning, attribute, "%q says that it is undefined: leave it out", s)
	case !plain && s != "" && fold(s) == "":
		v.add(LevelWarning, attribute, "nothing but blanks")
	}
}

// isPrintable tells whether a text is of printable ASCII and does not begin with a blank.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && s[0] != ' '
}

// special looks at what only one class has.
func (v *validator) special(o object) {
	switch o := o.(type) {
	case *Image:
		for _, name := range apiTexts {
			value, ok := o.OtherInfo.find(name)
			if _, text := value.(string); ok && !text {
				v.add(LevelWarning, "OtherInfo", "%s is no text; the JSON shows it as one", name)
			}
		}
	case *InstanceType:
		v.positive("CPU", o.CPU)
		v.positive("RAM", o.RAM)
	case *Share:
		v.states(o.VMs)
	case *Service:
		v.states(o.VMs)
	case *MappingPolicy:
		for _, vo := range o.UserDomains {
			if !slices.Contains(o.Rule, "VO:"+vo) && !strings.HasPrefix(strings.Join(o.Rule, ""), "VOMS:") {
				v.add(LevelWarning, "Rule", "none is for the VO %q", vo)
			}
		}
	}
}

func (v *validator) positive(attribute string, n *int64) {
	if n != nil && *n == 0 {
		v.add(LevelWarning, attribute, "it is 0")
	}
}

// states finds more VMs in states than there are.
func (v *validator) states(c VMs) {
	sum := int64(0)
	for _, n := range []*int64{c.Running, c.Pending, c.Suspended, c.Halted} {
		if n != nil {
			sum += *n
		}
	}
	if c.Total != nil && sum > *c.Total {
		v.add(LevelError, "TotalVM", "%d are less than the %d in some state", *c.Total, sum)
	}
}

package site

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Origin says where a share comes from.
type Origin string

// Origins of a share: the configuration file, a project's property, a project's tag.
const (
	FromFile     Origin = "file"
	FromProperty Origin = "property"
	FromTag      Origin = "tag"
)

// DefaultProperties are the project properties that name VOs, tried in this order (design §4, VOs).
var DefaultProperties = []string{"egi.VO", "egi.eu:VO", "accounting:VO", "VO"}

// Share is a VO's place at a site: VO, cloud and project.
type Share struct {
	VO        string
	AccountAs string // what records say: VO, or the name the file gives instead
	Project   Project
	Origin    Origin
	Mode      Mode      // of the part that asks: the lower of cloud's and VO's; "" = the site's
	Since     time.Time // zero = always
	Until     time.Time // zero = open

	DefaultNetwork string // as the VO's entry in the file says
	PublicNetwork  string // likewise
}

// At tells whether the share exists at the instant t.
func (s Share) At(t time.Time) bool {
	return !t.Before(s.Since) && (s.Until.IsZero() || t.Before(s.Until))
}

// Allows tells whether the share gives the part anything to do: a property or tag may add shares for accounting,
// discovery and images, never for access (design §4, VOs).
func (s Share) Allows(p Part) bool { return p != Access || s.Origin == FromFile }

// Difference is something the file and the cloud disagree on, or that is missing; it is reported, and never stops the
// rest.
type Difference struct {
	Object string // "project P" or "VO V"
	Reason string
	Hint   string
}

// Merged is what Merge gives for one cloud.
type Merged struct {
	Shares      []Share // file order first, then project order with property order
	Unnamed     []Project
	Differences []Difference
	Odd         []Difference // names that projects give themselves and the federation writes otherwise; they count as they are
}

// Merge joins the VOs that the file names for a cloud with what the cloud's projects say of themselves. The file wins:
// a project that the file names takes its VOs from the file alone. Projects are those the credential can sign in to;
// a project of the file that is not among them becomes a Difference, and so does a name that a project gives itself and
// that cannot be a VO's: too long, or not printable. Projects that belong to no VO are returned as Unnamed.
func Merge(c Cloud, projects []Project) Merged {
	var m Merged
	byFile := map[string][]string{}
	for _, vo := range c.VOs {
		p, diff := resolve(vo, projects)
		if diff != nil {
			m.Differences = append(m.Differences, *diff)
			continue
		}
		byFile[p.ID] = append(byFile[p.ID], vo.Name)
		m.Shares = append(m.Shares, Share{VO: vo.Name, AccountAs: accountAs(vo), Project: p, Origin: FromFile, Mode: vo.Mode, Since: vo.Since, Until: vo.Until,
			DefaultNetwork: vo.DefaultNetwork, PublicNetwork: vo.PublicNetwork})
	}
	for _, p := range projects {
		names, origin := said(p, c.Properties)
		names, refused := usable(p, names, origin)
		m.Differences = append(m.Differences, refused...)
		if own, ok := byFile[p.ID]; ok {
			if d := disagreement(p, own, names); d != nil {
				m.Differences = append(m.Differences, *d)
			}
			continue
		}
		if len(names) == 0 {
			m.Unnamed = append(m.Unnamed, p)
		}
		for _, n := range names {
			if !VOName(n) {
				m.Odd = append(m.Odd, Difference{Object: p.Object(), Reason: fmt.Sprintf("its %s names the VO %.80q: no name of a VO as the federation writes it", origin, n), Hint: nameHint})
			}
			m.Shares = append(m.Shares, Share{VO: n, AccountAs: n, Project: p, Origin: origin})
		}
	}
	return m
}

// Unowned says of a project that it belongs to no VO.
func Unowned(p Project) Difference {
	return Difference{Object: p.Object(), Reason: "belongs to no VO: skipped",
		Hint: "openstack project set --property egi.VO=<vo> " + p.ID + ", or name it under vos: in the configuration"}
}

// Accounted gives the share whose VO is accounted for the project at the instant t: the first one, in file order, else
// in property order (design §7, "Who loops over what").
func Accounted(shares []Share, projectID string, t time.Time) (Share, bool) {
	for _, s := range shares {
		if s.Project.ID == projectID && s.At(t) {
			return s, true
		}
	}
	return Share{}, false
}

func accountAs(vo VO) string {
	if vo.AccountAs != "" {
		return vo.AccountAs
	}
	return vo.Name
}

func resolve(vo VO, projects []Project) (Project, *Difference) {
	if vo.Project == "" {
		return resolveOwn(vo, projects)
	}
	var named []Project
	for _, p := range projects {
		if p.ID == vo.Project {
			return p, nil
		}
		if p.Name == vo.Project {
			named = append(named, p)
		}
	}
	object := fmt.Sprintf("project %s", vo.Project)
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return Project{}, &Difference{
			Object: object,
			Reason: fmt.Sprintf("VO %s: the credential has no role on this project, or it does not exist", vo.Name),
			Hint:   fmt.Sprintf("openstack role add --user <the credential's user> --project %s reader", vo.Project),
		}
	}
	ids := make([]string, len(named))
	for i, p := range named {
		ids[i] = p.ID
	}
	return Project{}, &Difference{
		Object: object,
		Reason: fmt.Sprintf("VO %s: %d projects have this name (%s)", vo.Name, len(named), strings.Join(ids, ", ")),
		Hint:   "name the project by its id",
	}
}

// resolveOwn gives the project that the VO's own credential is of.
func resolveOwn(vo VO, projects []Project) (Project, *Difference) {
	var own []string
	var project Project
	for _, p := range projects {
		if slices.Contains(p.Of, vo.Name) {
			project, own = p, append(own, p.ID)
		}
	}
	object := fmt.Sprintf("VO %s", vo.Name)
	switch len(own) {
	case 1:
		return project, nil
	case 0:
		return Project{}, &Difference{Object: object, Reason: "no project is named for it, and its credential signs in to none", Hint: "name its project, or mend its credential"}
	}
	return Project{}, &Difference{Object: object, Reason: fmt.Sprintf("no project is named for it, and its credential signs in to %d (%s)", len(own), strings.Join(own, ", ")), Hint: "name its project by the id"}
}

// said gives the VOs a project names itself: the first property with a value, else tags written "key=VO".
func said(p Project, keys []string) ([]string, Origin) {
	if len(keys) == 0 {
		keys = DefaultProperties
	}
	for _, k := range keys {
		if names := split(p.Properties[k]); len(names) > 0 {
			return names, FromProperty
		}
	}
	for _, k := range keys {
		var names []string
		for _, tag := range p.Tags {
			if v, ok := strings.CutPrefix(tag, k+"="); ok {
				names = append(names, split(v)...)
			}
		}
		if len(names) > 0 {
			return names, FromTag
		}
	}
	return nil, ""
}

// longestVO is how many bytes the name of a VO may have.
const longestVO = 255

// nameHint is what to do about a name that is none.
const nameHint = "write the name as in the Operations Portal, or an FQAN such as /vo/group"

// VOName tells whether a name has the form of a VO's: "biomed", "vo.access.egi.eu", or an FQAN.
func VOName(name string) bool {
	if name == "" || len(name) > longestVO {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		case (c == '/' || c == '=') && name[0] == '/': // an FQAN with its role
		default:
			return false
		}
	}
	return true
}

// usable gives the names that can be VOs', and says which cannot: whoever may write a property would else put line breaks, and
// texts without end, into records, documents and topics.
func usable(p Project, names []string, origin Origin) (fine []string, refused []Difference) {
	for _, n := range names {
		wrong := ""
		switch {
		case len(n) > longestVO:
			wrong = fmt.Sprintf("has %d bytes, and a VO's name at most %d", len(n), longestVO)
		case !utf8.ValidString(n) || strings.ContainsFunc(n, func(r rune) bool { return !unicode.IsPrint(r) }):
			wrong = "has characters that cannot be printed"
		}
		if wrong == "" {
			fine = append(fine, n)
			continue
		}
		refused = append(refused, Difference{Object: p.Object(), Reason: fmt.Sprintf("its %s names the VO %.80q, which %s: that VO is refused", origin, n, wrong), Hint: nameHint})
	}
	return fine, refused
}

func split(value string) []string {
	var names []string
	for _, n := range strings.Split(value, ",") {
		if n = strings.TrimSpace(n); n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

func disagreement(p Project, file, said []string) *Difference {
	if len(said) == 0 {
		return nil
	}
	a, b := slices.Clone(file), slices.Clone(said)
	slices.Sort(a)
	slices.Sort(b)
	if slices.Equal(slices.Compact(a), slices.Compact(b)) {
		return nil
	}
	return &Difference{
		Object: fmt.Sprintf("project %s (%s)", p.ID, p.Name),
		Reason: fmt.Sprintf("the file says VO %s, the project's property says %s: the file wins", strings.Join(file, ", "), strings.Join(said, ", ")),
		Hint:   "make both say the same, or leave the project out of vos:",
	}
}

package site

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func day(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }

// shares gives them as "VO[=account as] project origin".
func shares(all []Share) []string {
	var lines []string
	for _, s := range all {
		as := ""
		if s.AccountAs != s.VO {
			as = "=" + s.AccountAs
		}
		lines = append(lines, fmt.Sprintf("%s%s %s %s", s.VO, as, s.Project.ID, s.Origin))
	}
	return lines
}

func props(id string, kv ...string) Project {
	p := Project{ID: id, Name: "name of " + id, Enabled: true, Properties: map[string]string{}}
	for i := 0; i < len(kv); i += 2 {
		p.Properties[kv[i]] = kv[i+1]
	}
	return p
}

func tagged(id string, tags ...string) Project {
	return Project{ID: id, Name: "name of " + id, Tags: tags}
}

// TestMerge: which shares file and projects make together, what belongs to no VO, and what is told.
func TestMerge(t *testing.T) {
	cases := []struct {
		name     string
		vos      []VO
		keys     []string
		projects []Project
		shares   []string
		unnamed  []string
		told     []string // objects of the differences
		odd      []string // and of odd names
	}{
		{name: "nothing"},
		{name: "a property", projects: []Project{props("p", "egi.VO", "ops")}, shares: []string{"ops p property"}},
		{name: "properties are tried in order", projects: []Project{props("p", "VO", "last", "accounting:VO", "third", "egi.eu:VO", "second", "egi.VO", "first"), props("q", "VO", "last", "egi.eu:VO", "second")},
			shares: []string{"first p property", "second q property"}},
		{name: "an empty property does not count", projects: []Project{props("p", "egi.VO", " , ", "VO", "ops")}, shares: []string{"ops p property"}},
		{name: "the configured properties only", keys: []string{"VO"}, projects: []Project{props("p", "egi.VO", "other", "VO", "ops"), props("q", "egi.VO", "other")},
			shares: []string{"ops p property"}, unnamed: []string{"q"}},
		{name: "a comma list, in its order, each once", projects: []Project{props("p", "egi.VO", "ops, biomed,ops , ,/vo/group")}, shares: []string{"ops p property", "biomed p property", "/vo/group p property"}},
		{name: "tags", projects: []Project{tagged("p", "other", "egi.VO=ops", "egi.VO=biomed", "VO=last"), tagged("q", "VO=ops,fusion")},
			shares: []string{"ops p tag", "biomed p tag", "ops q tag", "fusion q tag"}},
		{name: "a property goes before a tag", projects: []Project{{ID: "p", Properties: map[string]string{"VO": "ops"}, Tags: []string{"egi.VO=biomed"}}}, shares: []string{"ops p property"}},
		{name: "without a VO", projects: []Project{props("p"), tagged("q", "egi.VO", "novo=ops"), props("r", "egi.VO", "")}, unnamed: []string{"p", "q", "r"}},
		{name: "the file alone", vos: []VO{{Name: "ops", Project: "p"}}, projects: []Project{props("p")}, shares: []string{"ops p file"}},
		{name: "the file wins, and tells", vos: []VO{{Name: "ops", Project: "p"}}, projects: []Project{props("p", "egi.VO", "biomed"), props("q", "egi.VO", "fusion")},
			shares: []string{"ops p file", "fusion q property"}, told: []string{"project p (name of p)"}},
		{name: "file and property agree, in any order", vos: []VO{{Name: "ops", Project: "p"}, {Name: "biomed", Project: "p"}}, projects: []Project{props("p", "egi.VO", "biomed,ops")},
			shares: []string{"ops p file", "biomed p file"}},
		{name: "file order first, then projects' order", vos: []VO{{Name: "z", Project: "q"}, {Name: "a", Project: "p"}}, projects: []Project{props("p"), props("r", "VO", "r"), props("q"), props("b", "VO", "b")},
			shares: []string{"z q file", "a p file", "r r property", "b b property"}},
		{name: "accounted under another name", vos: []VO{{Name: "ops", Project: "p", AccountAs: "dteam"}}, projects: []Project{props("p")}, shares: []string{"ops=dteam p file"}},
		{name: "by the project's name", vos: []VO{{Name: "ops", Project: "name of p"}}, projects: []Project{props("p"), props("q", "VO", "x")}, shares: []string{"ops p file", "x q property"}},
		{name: "an id goes before a name", vos: []VO{{Name: "ops", Project: "p"}}, projects: []Project{{ID: "q", Name: "p"}, props("p")}, shares: []string{"ops p file"}, unnamed: []string{"q"}},
		{name: "two projects with one name", vos: []VO{{Name: "ops", Project: "same"}, {Name: "biomed", Project: "p"}}, projects: []Project{{ID: "q", Name: "same"}, {ID: "r", Name: "same"}, props("p")},
			shares: []string{"biomed p file"}, unnamed: []string{"q", "r"}, told: []string{"project same"}},
		{name: "of the VO's own credential", vos: []VO{{Name: "ops"}, {Name: "biomed"}}, projects: []Project{{ID: "p", Of: []string{"ops"}}, {ID: "q", Of: []string{"biomed", "other"}}, props("r")},
			shares: []string{"ops p file", "biomed q file"}, unnamed: []string{"r"}},
		{name: "of a credential that signs in to none, or to several", vos: []VO{{Name: "ops"}, {Name: "biomed"}}, projects: []Project{{ID: "p", Of: []string{"biomed"}}, {ID: "q", Of: []string{"biomed"}}, props("r")},
			unnamed: []string{"p", "q", "r"}, told: []string{"VO ops", "VO biomed"}},
		{name: "a project that is not there", vos: []VO{{Name: "ops", Project: "gone"}, {Name: "biomed", Project: "p"}}, projects: []Project{props("p")},
			shares: []string{"biomed p file"}, told: []string{"project gone"}},
		{name: "names that cannot be", projects: []Project{props("p", "VO", "bio\nmed, ops,\x1b[2J,\u202eops"), tagged("q", "VO=a\xff", "VO=fusion\n"), props("r", "VO", "a\u2028b"), props("s", "VO", strings.Repeat("a", 256)+","+strings.Repeat("b", 255))},
			shares: []string{"ops p property", "fusion q tag", strings.Repeat("b", 255) + " s property"}, unnamed: []string{"r"},
			told: []string{"project p (name of p)", "project p (name of p)", "project p (name of p)", "project q (name of q)", "project r (name of r)", "project s (name of s)"}},
		{name: "the same where the file wins", vos: []VO{{Name: "ops", Project: "p"}}, projects: []Project{props("p", "VO", "ops,bio\nmed")}, shares: []string{"ops p file"}, told: []string{"project p (name of p)"}},
		{name: "odd names count", vos: []VO{{Name: "of the file", Project: "r"}}, projects: []Project{props("p", "VO", "my VO,v\u00f6,/vo/Role=x,a/b"), tagged("q", "VO=a b"), props("r")},
			shares: []string{"of the file r file", "my VO p property", "v\u00f6 p property", "/vo/Role=x p property", "a/b p property", "a b q tag"},
			odd:    []string{"project p (name of p)", "project p (name of p)", "project p (name of p)", "project q (name of q)"}},
	}
	for _, c := range cases {
		m := Merge(Cloud{VOs: c.vos, Properties: c.keys}, c.projects)
		var unnamed, told, odd []string
		for _, p := range m.Unnamed {
			unnamed = append(unnamed, p.ID)
		}
		for _, d := range m.Differences {
			told = append(told, d.Object)
			if d.Reason == "" || d.Hint == "" {
				t.Errorf("%s: %+v says not enough", c.name, d)
			}
			if len(d.Reason) > 400 || strings.ContainsFunc(d.Reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: %q is no line to show", c.name, d.Reason)
			}
		}
		for _, d := range m.Odd {
			if odd = append(odd, d.Object); d.Reason == "" || d.Hint == "" {
				t.Errorf("%s: %+v says not enough", c.name, d)
			}
		}
		if d := cmp.Diff([][]string{c.shares, c.unnamed, c.told, c.odd}, [][]string{shares(m.Shares), unnamed, told, odd}); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// TestMergeKeepsWhatIsSaid: mode, networks and times of a VO are those of its share.
func TestMergeKeepsWhatIsSaid(t *testing.T) {
	vo := VO{Name: "ops", Project: "p", AccountAs: "a", Mode: Observe, Since: day(1), Until: day(9), DefaultNetwork: "private", PublicNetwork: "out"}
	got := Merge(Cloud{VOs: []VO{vo}}, []Project{props("p")}).Shares[0]
	want := Share{VO: "ops", AccountAs: "a", Project: props("p"), Origin: FromFile, Mode: Observe, Since: day(1), Until: day(9), DefaultNetwork: "private", PublicNetwork: "out"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestAccounted: the VO that a project's VMs are accounted to at an instant.
func TestAccounted(t *testing.T) {
	m := Merge(Cloud{VOs: []VO{
		{Name: "old", Project: "p", Until: day(10)}, {Name: "new", Project: "p", Since: day(15)}, {Name: "second", Project: "p", Since: day(12)},
	}}, []Project{props("p"), props("q", "VO", "first,other")})
	for _, c := range []struct {
		project string
		at      time.Time
		want    string
	}{
		{"p", day(1), "old"}, {"p", day(10).Add(-time.Second), "old"}, {"p", day(10), ""}, {"p", day(12), "second"}, {"p", day(14), "second"}, {"p", day(15), "new"},
		{"q", day(1), "first"}, {"none", day(1), ""},
	} {
		s, ok := Accounted(m.Shares, c.project, c.at)
		if s.VO != c.want || ok != (c.want != "") {
			t.Errorf("%s at %v: %q, want %q", c.project, c.at, s.VO, c.want)
		}
	}
}

// TestAllows: what a tenant writes on a project never opens the door to it.
func TestAllows(t *testing.T) {
	for _, o := range []Origin{FromFile, FromProperty, FromTag} {
		for _, p := range []Part{Accounting, Discovery, Images, Access} {
			if got, want := (Share{Origin: o}).Allows(p), p != Access || o == FromFile; got != want {
				t.Errorf("a share of %s allows %s: %v", o, p, got)
			}
		}
	}
}

func TestNameAt(t *testing.T) {
	s := Site{Name: "C", Formerly: []Former{{"B", day(20)}, {"A", day(10)}}}
	for d, want := range map[int]string{1: "A", 9: "A", 10: "B", 19: "B", 20: "C", 30: "C"} {
		if got := s.NameAt(day(d)); got != want {
			t.Errorf("day %d: %s, want %s", d, got, want)
		}
	}
	if got := (Site{Name: "only"}).NameAt(day(1)); got != "only" {
		t.Errorf("%s", got)
	}
}

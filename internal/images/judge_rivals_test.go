package images

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
)

// TestRivals: a list that calls itself as another source's list is not believed, whoever comes first, and one list may be
// configured twice.
func TestRivals(t *testing.T) {
	good := func(source string, kind Kind, list, signer string) Verdict {
		return Verdict{Source: source, Kind: kind, List: list, Signer: signer, Entries: []Entry{{Key: Key{list, "i"}}}}
	}
	failed := func(source, list string) Verdict {
		return Verdict{Source: source, Kind: List, List: list, Failed: &Failure{Kind: Unreachable}}
	}
	for name, c := range map[string]struct {
		verdicts []Verdict
		memories map[string]Memory
		want     []string // sources that are refused
	}{
		"two lists":                                 {verdicts: []Verdict{good("a", List, "A", "x"), good("b", List, "B", "y")}},
		"one list twice":                            {verdicts: []Verdict{good("a", List, "A", "x"), good("b", List, "A", "x")}},
		"another signer":                            {verdicts: []Verdict{good("a", List, "A", "x"), good("b", List, "A", "y")}, want: []string{"b"}},
		"another signer, first in the file":         {verdicts: []Verdict{good("b", List, "A", "y"), good("a", List, "A", "x")}, memories: map[string]Memory{"a": {List: "A", Signer: "x"}}, want: []string{"b"}},
		"the owner fails":                           {verdicts: []Verdict{good("b", List, "A", "y"), failed("a", "A")}, memories: map[string]Memory{"a": {List: "A", Signer: "x"}}, want: []string{"b"}},
		"the owner fails, and it is its list":       {verdicts: []Verdict{good("b", List, "A", "x"), failed("a", "A")}, memories: map[string]Memory{"a": {List: "A", Signer: "x"}}},
		"the owner has a new signer, and so has it": {verdicts: []Verdict{good("a", List, "A", "z"), good("b", List, "A", "z")}, memories: map[string]Memory{"a": {List: "A", Signer: "x"}}},
		"a list that calls itself as a registry":    {verdicts: []Verdict{good("a", Registry, "registry.egi.eu", ""), good("b", List, "registry.egi.eu", "y")}, want: []string{"b"}},
		"two projects of a registry":                {verdicts: []Verdict{good("a", Registry, "registry.egi.eu", ""), good("b", Registry, "registry.egi.eu", "")}},
		"unsigned":                                  {verdicts: []Verdict{good("a", List, "A", "x"), good("b", List, "A", "")}, want: []string{"b"}},
	} {
		next := make([]Memory, len(c.verdicts))
		rivals(c.verdicts, c.memories, next)
		var refused []string
		for _, v := range c.verdicts {
			if v.Failed != nil && v.Failed.Kind == Forged {
				refused = append(refused, v.Source)
				if len(v.Entries) > 0 || !strings.Contains(v.Failed.Reason, "of source a") {
					t.Errorf("%s: %+v", name, v)
				}
			}
		}
		if !slices.Equal(refused, c.want) {
			t.Errorf("%s: refused are %v, want %v", name, refused, c.want)
		}
	}
}

// TestJudgeOtherVO: a list that names another VO than before chooses nobody's images anew; where the configuration says who gets
// them, it may name whom it likes.
func TestJudgeOtherVO(t *testing.T) {
	last := Memory{List: "L", Version: "1", Created: at, VO: "vo.example.eu"}
	for name, c := range map[string]struct {
		says, configured string
		fails            bool
	}{
		"the same":                       {says: "vo.example.eu"},
		"another":                        {says: "other.example.eu", fails: true},
		"none":                           {fails: true},
		"another, and the site says who": {says: "other.example.eu", configured: "vo.example.eu"},
	} {
		a := answer("2", at, "i")
		a.VO, a.Entries[0].VOs = c.says, []string{c.says}
		src := SourceTarget{Source: &ListSource{Label: "s"}}
		if c.configured != "" {
			src.VOs = []string{c.configured}
		}
		v, next := judge(src, last, Memory{}, a, nil, nil, at)
		if failed := v.Failed != nil; failed != c.fails || failed && (v.Failed.Kind != NoVO || next.VO != last.VO) {
			t.Errorf("%s: %+v, remembered is %q", name, v.Failed, next.VO)
		}
	}
}

// TestPlanHolder: a shared image stays in the project that has it when another VO comes first, and so does its successor.
func TestPlanHolder(t *testing.T) {
	s := policy()
	s.Sharing = Share
	v := vectorList(t, "vo-list-1", nil)
	v.Entries = v.Entries[1:2]
	v.Entries[0].VOs = []string{"vo.example.eu", "other.example.eu"}
	e := v.Entries[0]
	newer := v
	newer.Entries = slices.Clone(v.Entries)
	newer.Entries[0].Digest = SHA512 + ":" + Digest(strings.Repeat("1", 128))
	renamed := v
	renamed.Entries = slices.Clone(v.Entries)
	renamed.Entries[0].ID = "another"
	state := func(images ...openstack.StoredImage) CloudState { // in the project of the second VO
		c := cloudOf()
		for i := range images {
			images[i].Owner, images[i].Visibility = "P2", "shared"
		}
		c.Places["P2"] = PlaceState{Name: "other", Images: images, Hides: true, Members: map[string][]string{"g": {"P1"}}}
		return c
	}
	looked := Notes{At: map[Place][]string{{"c1", "P1"}: nil, {"c1", "P2"}: nil}}
	for name, c := range map[string]struct {
		source Verdict
		cloud  CloudState
		owner  string
		notes  Notes
		want   []string
	}{
		"nobody has it":              {source: v, cloud: state(), want: []string{"add U2", "share U2 with P2"}},
		"the second VO's project":    {source: v, cloud: state(held("g", e, s)), want: []string{"keep g in P2"}},
		"a successor":                {source: newer, cloud: state(held("g", e, s)), want: []string{"replace U2 old=g in P2", "share U2 with P1 in P2"}},
		"under another name":         {source: renamed, cloud: state(held("g", e, s)), want: []string{"add another in P2", "hold g in P2", "share another with P1 in P2"}},
		"it was configured":          {source: v, cloud: state(held("g", e, s)), owner: "vo.example.eu", want: []string{"add U2", "keep g in P2", "share U2 with P2"}},
		"somebody marked it as ours": {source: v, cloud: state(held("g", e, s, func(i *openstack.StoredImage) { i.HashValue = strings.Repeat("e", 128) })), notes: looked, want: []string{"add U2", "keep g in P2", "share U2 with P2"}},
	} {
		settings := s
		settings.Owner = c.owner
		if d := cmp.Diff(c.want, lines(MakePlan(Observed{At: at, Sources: []Verdict{c.source}, Clouds: []CloudState{c.cloud}, Notes: c.notes}, settings, nil))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestPlanWaits: what one place refused says nothing of others, and what one URL did not give nothing of another URL.
func TestPlanWaits(t *testing.T) {
	s := policy()
	v := vectorList(t, "vo-list-1", nil)
	v.Entries = v.Entries[1:2]
	v.Entries[0].VOs = []string{"vo.example.eu", "other.example.eu"}
	e := v.Entries[0]
	later := Attempt{Failed: 1, Next: at.Add(10 * time.Minute), Reason: "test"}
	for name, c := range map[string]struct {
		attempts map[Trial]Attempt
		want     []string
	}{
		"nothing failed":          {want: []string{"add U2", "add U2 in P2"}},
		"a project refused it":    {attempts: map[Trial]Attempt{e.target(Place{"c1", "P1"}): later}, want: []string{"add U2 in P2", "fail U2"}},
		"another cloud's project": {attempts: map[Trial]Attempt{e.target(Place{"c2", "P1"}): later}, want: []string{"add U2", "add U2 in P2"}},
		"its URL":                 {attempts: map[Trial]Attempt{e.source(): later}, want: []string{"fail U2", "fail U2 in P2"}},
		"another URL":             {attempts: map[Trial]Attempt{{e.Digest, "https://elsewhere/"}: later}, want: []string{"add U2", "add U2 in P2"}},
		"it is due":               {attempts: map[Trial]Attempt{e.source(): {Failed: 1, Next: at}}, want: []string{"add U2", "add U2 in P2"}},
	} {
		if d := cmp.Diff(c.want, lines(MakePlan(Observed{At: at, Sources: []Verdict{v}, Clouds: []CloudState{cloudOf()}, Attempts: c.attempts}, s, nil))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

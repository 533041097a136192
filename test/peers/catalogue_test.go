package peers_test

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/protocol/apel"
	"github.com/fedsite/fedsite/test/peers"
)

// TestNarrow changes each line of each record that cASO wrote of a recorded cloud, drops each line and each record: not
// one such difference may be explained.
func TestNarrow(t *testing.T) {
	c := recorded[0]
	scenario := read(t, "../../internal/emulator/world/testdata/scenarios", c.scenario+".json")
	message := read(t, "../../protocol/apel/testdata/caso", c.messages+"-cloud.txt")
	c.run.Program = "fedsite/test (OpenStack)"
	ours, vms := collected(t, scenario, c.since, at(c.to)), truth(t, scenario)
	bodies := apel.SplitCloud(message)
	changed := func(bodies []string) []string {
		caso := peers.Server{}
		if _, err := caso.Take([]string{string(apel.JoinCloud(bodies))}, nil); err != nil {
			return []string{err.Error()}
		}
		return peers.Compare(caso, ours, vms, c.run).Unexplained
	}
	if all := changed(bodies); len(all) > 0 {
		t.Fatalf("before anything is changed: %q", all)
	}
	tried := 0
	for i, body := range bodies {
		never := !strings.Contains(body, "vm-V08") && !strings.Contains(body, "vm-V20") && !strings.Contains(body, "vm-V23") // they have no record of ours
		if never && len(changed(slices.Delete(slices.Clone(bodies), i, i+1))) == 0 {
			t.Errorf("explained, though cASO has no such record:\n%s", body)
		}
		for line := range strings.Lines(body) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			for _, other := range []string{name + ": " + another(value) + "\n", ""} {
				if !never && !slices.Contains([]string{"Status", "EndTime", "WallDuration"}, name) {
					continue // of such a record the catalogue looks at these only
				}
				if name == "VMUUID" && other == "" {
					continue // it is no record any more
				}
				tried++
				altered := slices.Clone(bodies)
				altered[i] = strings.Replace(body, line, other, 1)
				if len(changed(altered)) == 0 {
					t.Errorf("explained: %q in place of %q in\n%s", other, line, body)
				}
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d changes were tried", tried)
	}
	for key := range ours {
		rest := maps.Clone(ours)
		delete(rest, key)
		caso := peers.Server{}
		if _, err := caso.Take([]string{string(message)}, nil); err != nil {
			t.Fatal(err)
		}
		if len(peers.Compare(caso, rest, vms, c.run).Unexplained) != 1 {
			t.Errorf("explained, though fedsite has no record %v", key)
		}
	}
}

// another gives a value that no rule makes of it.
func another(value string) string {
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		return strconv.FormatFloat(n+7, 'f', -1, 64)
	}
	if value == "" {
		return "7"
	}
	return value + "x"
}

// TestHeadings finds the reason of each entry under a heading of the page for site administrators, and no heading of a
// difference without an entry.
func TestHeadings(t *testing.T) {
	page, err := os.ReadFile("../../docs/explanation/caso.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			there[strings.TrimSpace(heading)] = true
		}
	}
	named := map[string]bool{}
	for _, d := range peers.Catalogue {
		named[d.Heading] = true
		if !there[d.Heading] {
			t.Errorf("%q: the page has no heading %q", d.Name, d.Heading)
		}
	}
	for heading := range there {
		if !named[heading] {
			t.Errorf("%q is the reason of no entry of the catalogue", heading)
		}
	}
}

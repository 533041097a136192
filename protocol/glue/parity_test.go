package glue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestParity holds our documents against those of cloud-info-provider 1.2.0 from the same cloud: same objects, ids, keys,
// order and values, but for what Differences lists.
func TestParity(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range variants {
		if v.folder == "34-gpu-number-fraction" {
			continue // nothing was recorded: the run ended
		}
		t.Run(strings.TrimSuffix(v.folder+" "+v.flavors, " "), func(t *testing.T) {
			recorded := ordered(t, v.recorded(t))
			created, _ := recorded.Get("CloudComputingService").([]any)[0].(Info)
			at, ok := parseTime(created.Text("CreationTime"))
			if !ok {
				t.Fatal("no CreationTime")
			}
			var out bytes.Buffer
			if err := WriteJSON(&out, v.document(t, at)); err != nil {
				t.Fatal(err)
			}
			for _, d := range differ(t, recorded, ordered(t, out.Bytes())) {
				seen[d.what] = true
				if !slices.Contains(listed(), d.what) {
					t.Errorf("%s: %s, want %s; it is not in Differences", d.what, d.ours, d.theirs)
				}
			}
		})
	}
	// What no recorded document can show: the fake cloud has no such thing, or it is the catalog that decides.
	unseen := []string{
		"CloudComputingEndpoint/OtherInfo", "CloudComputingImage/MarketplaceURL", "CloudComputingImage/MinCPU", "CloudComputingImage/MinRAM", "CloudComputingImage/OtherInfo",
		"CloudComputingInstanceType/NetworkInfo", "CloudComputingInstanceType/Platform",
		"CloudComputingVirtualAccelerator/Type", "CloudComputingVirtualAccelerator/Number", "CloudComputingVirtualAccelerator/Vendor",
		"CloudComputingVirtualAccelerator/Version", "CloudComputingVirtualAccelerator/ClockSpeed", "CloudComputingVirtualAccelerator/Memory",
		"CloudComputingVirtualAccelerator/ComputeCapability", "CloudComputingVirtualAccelerator/VirtualizationType",
		"CloudComputingVirtualAccelerator/Share", "CloudComputingService/TotalVM", "Share/MaxVM", "Share/OtherInfo", "Share/TotalVM",
		"Share/PublicNetworkName", "Share/NetworkInfo", "Share/DefaultNetworkType", "Share/SLA", "AccessPolicy/Rule",
	}
	for _, l := range listed() {
		if seen[l] == slices.Contains(unseen, l) {
			t.Errorf("%s: seen: %v, in the test's list of what is not: %v", l, seen[l], !seen[l])
		}
	}
}

// listed is what Differences lists, as "class/attribute".
func listed() []string {
	var out []string
	for _, d := range Differences() {
		for _, a := range d.Attributes {
			out = append(out, d.Class+"/"+a)
		}
		if d.Attributes == nil {
			out = append(out, d.Class)
		}
	}
	return out
}

type difference struct{ what, theirs, ours string }

// differ compares two documents.
func differ(t *testing.T, theirs, ours Info) []difference {
	t.Helper()
	sameOrder(t, "the document", theirs, ours)
	var out []difference
	for _, c := range ours {
		mine := c.Value.([]any)
		v, ok := theirs.find(c.Name)
		if !ok {
			out = append(out, difference{"*", "nothing", c.Name})
			v = []any{}
		}
		their := v.([]any)
		if len(their) != len(mine) {
			t.Errorf("%s: %d objects, want %d", c.Name, len(mine), len(their))
			continue
		}
		for i := range mine {
			out = append(out, differObjects(t, c.Name, their[i].(Info), mine[i].(Info))...)
		}
	}
	return out
}

func differObjects(t *testing.T, class string, theirs, ours Info) []difference {
	sameOrder(t, class, theirs, ours)
	theirs, ours = flat(theirs), flat(ours)
	names := map[string]bool{}
	for _, item := range slices.Concat(theirs, ours) {
		names[item.Name] = true
	}
	var out []difference
	for _, n := range slices.Sorted(maps.Keys(names)) {
		a, b := fmt.Sprintf("%#v", theirs.Get(n)), fmt.Sprintf("%#v", ours.Get(n))
		if a != b {
			out = append(out, difference{class + "/" + n, a, b})
		}
	}
	return out
}

// flat lists associations beside attributes.
func flat(o Info) Info {
	var out Info
	for _, item := range o {
		if links, ok := item.Value.(Info); ok && item.Name == "Associations" {
			out = append(out, links...)
			continue
		}
		out = append(out, item)
	}
	return out
}

// sameOrder fails when names that both have are in another order.
func sameOrder(t *testing.T, what string, theirs, ours Info) {
	t.Helper()
	common := func(a, b Info) (names []string) {
		for _, item := range a {
			if _, ok := b.find(item.Name); ok {
				names = append(names, item.Name)
			}
		}
		return names
	}
	if a, b := common(theirs, ours), common(ours, theirs); !slices.Equal(a, b) {
		t.Errorf("%s: order %q, want %q", what, b, a)
	}
}

func ordered(t *testing.T, text []byte) Info {
	t.Helper()
	if !json.Valid(text) {
		t.Fatalf("no JSON: %s", text)
	}
	r := reader{dec: newDecoder(text)}
	v, err := r.value(100)
	if err != nil {
		t.Fatal(err)
	}
	return v.(Info)
}

var (
	afterOpening  = regexp.MustCompile(`([\[{])\n *`)
	afterComma    = regexp.MustCompile(`,\n *`)
	beforeClosing = regexp.MustCompile(`\n *([\]}])`)
)

// TestSameBytes reads the recorded documents and writes them: the bytes are those of 1.2.0, but for the lists of classes
// without objects.
func TestSameBytes(t *testing.T) {
	for _, v := range variants {
		if v.folder == "34-gpu-number-fraction" {
			continue
		}
		want := string(v.recorded(t))
		d, findings, err := parse(strings.NewReader(want), Limits{}, true)
		if err != nil || len(findings) > 0 {
			t.Fatal(v.folder, err, findings)
		}
		want = afterOpening.ReplaceAllString(want, "$1")
		want = beforeClosing.ReplaceAllString(want, "$1")
		want = afterComma.ReplaceAllString(want, ", ") + "\n"
		var out bytes.Buffer
		if err := WriteJSON(&out, d); err != nil {
			t.Fatal(err)
		}
		got := out.String()
		for _, c := range d.classes() {
			if c.len == 0 {
				empty := `"` + c.name + `": [], `
				if strings.Count(got, empty) != 1 {
					t.Errorf("%s: %s is not there as an empty list", v.folder, c.name)
				}
				got = strings.Replace(got, empty, "", 1)
			}
		}
		if got != want {
			t.Errorf("%s %s:\n%s\nwant\n%s", v.folder, v.file, got, want)
		}
	}
}

// TestDocumentsFromTheVectorsAreSound: nothing to find but what the clouds themselves lack.
func TestDocumentsFromTheVectorsAreSound(t *testing.T) {
	for _, v := range variants {
		for _, f := range Validate(v.document(t, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))) {
			expected := f.Level == LevelWarning && f.Class == "CloudComputingImage" && f.Reason == "GLUE makes it mandatory" ||
				strings.Contains(f.Reason, `\n`) ||
				f.Attribute == "Rule" && len(v.document(t, time.Time{}).Shares) == 0 ||
				f.Attribute == "OtherInfo" && v.folder == "11-gocdb-not-found"
			if !expected {
				t.Errorf("%s: %s", v.folder, f)
			}
		}
	}
}

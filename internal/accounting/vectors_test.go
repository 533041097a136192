package accounting_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

// scenario is the world of a case of the test vectors, with the accounts of small.
func scenario(t *testing.T, name string) *world.World {
	t.Helper()
	data, err := os.ReadFile("../emulator/world/testdata/scenarios/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	w, err := world.LoadScenario(data)
	if err != nil {
		t.Fatal(err)
	}
	w.Users = append(w.Users, small().Users...)
	return w
}

// base is the world of V01 to V24.
func base(t *testing.T) *world.World { return scenario(t, "base_utc") }

// vector is the id of a VM of the test vectors.
func vector(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-%012d", n, n) }

// reading are what a record of March says.
type reading struct {
	Status     string
	Start, End int64
	Wall, CPU  int64
}

// vectors are the right values: cASO's where its column "right?" says yes, else what that column says instead.
var vectors = map[int]reading{
	1: {"started", 1705312800, 0, 4716000, 9432000}, 2: {"started", 1709640000, 0, 388800, 777600},
	3: {"completed", 1709337600, 1709533800, 196200, 392400}, 4: {"completed", 1707552000, 1709254800, 1702800, 3405600},
	5: {"started", 1709596800, 0, 432000, 864000},
	9: {"stopped", 1709424000, 0, 604800, 1209600}, 10: {"completed", 1709380800, 1709402400, 21600, 43200},
	11: {"suspended", 1709424000, 0, 604800, 1209600}, 12: {"paused", 1709424000, 0, 604800, 1209600}, 13: {"suspended", 1709424000, 0, 604800, 1209600},
	14: {"started", 1705708800, 0, 4320000, 34560000}, 15: {"started", 1709856000, 0, 172800, 691200}, 16: {"completed", 1709856000, 1709892000, 36000, 144000},
	17: {"started", 1709856000, 0, 172800, 345600}, 18: {"started", 1707955200, 0, 2073600, 2073600},
	21: {"completed", 1709251200, 1710028800, 777600, 1555200}, 22: {"completed", 1706745600, 1709251200, 2505600, 5011200},
	24: {"completed", 1708387200, 1709596800, 1209600, 9676800},
}

// collected collects the vectors' window, from 2024-03-01 to 2024-03-10.
func collected(t *testing.T, edit func(*bed)) *bed {
	t.Helper()
	b := newCloudBed(t, base(t), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	if edit != nil {
		edit(b)
	}
	b.clean(b.collect(""))
	return b
}

// inEra serves the bed's world as the clouds of an era do.
func (b *bed) inEra(e emulated.Era) {
	b.t.Helper()
	b.cloud = b.serve(b.world, emulated.Options{Era: e, Middleware: b.faults.Middleware})
	b.target.Clouds[0].Source = b.source("reader")
}

// TestVectors checks V01 to V24, in every era.
func TestVectors(t *testing.T) {
	for _, e := range emulated.Eras() {
		t.Run(e.Name, func(t *testing.T) {
			got := map[int]reading{}
			b := collected(t, func(b *bed) { b.inEra(e) })
			for key, e := range b.records() {
				var n int
				if _, err := fmt.Sscanf(key, "%08d-", &n); err != nil {
					t.Fatal(err)
				}
				r := b.parse(e)
				got[n] = reading{r.Status, r.StartTime, r.EndTime, r.WallDuration, r.CPUDuration}
			}
			if d := cmp.Diff(vectors, got); d != "" {
				t.Errorf("(-right +got):\n%s", d)
			}
		})
	}
}

// TestRepublishedWindow collects the vectors' window weeks later, as V05 has it: what ended meanwhile was still running.
func TestRepublishedWindow(t *testing.T) {
	b := newCloudBed(t, base(t), onDisk(t), "2024-03-25T00:00:00Z", "2024-03-01")
	b.clean(b.collectFor(b.target, "", between("2024-03-01", "2024-03-10")))
	if r := b.row(vector(5), "2024-03"); r.EndTime != 0 || r.Status != "started" || r.WallDuration != 432000 {
		t.Errorf("%+v", r)
	}
	if _, ok := b.records()[vector(6)+" 2024-03"]; ok {
		t.Error("V06 was created after the window")
	}
}

// difference is one between a record of cASO and ours that is meant.
type difference struct{ vm, field, caso, ours, why string }

const absent = "(absent)"

// intended are the differences in the world of V01 to V24 (spec accounting §5, column "right?", and design §7).
var intended = []difference{
	{"V08", "record", "there", absent, "it never ran: there is nothing to account"},
	{"V20", "record", "there", absent, "not launched yet"},
	{"V23", "record", "there", absent, "created at the window's end: no second of it lies in the window"},
	{"V09", "Status", "started", "stopped", "SHUTOFF is not running"},
	{"V13", "Status", "unknown", "suspended", "SHELVED_OFFLOADED is a state that is known"},
	{"V15", "CpuDuration", "1", "691200", "cASO forgets what a deleted flavor gave"},
	{"V17", "MachineName", "mquina-", "m%C3%A1quina-%C3%B1", "cASO drops letters that are not ASCII"},
	{"V17", "GlobalUserName", "usr-tw@egi.eu", "us%C3%A9r-tw%C3%B6@egi.eu", "the same"},
}

// TestRecordsOfCASO runs each case whose records are right through the pipeline, and compares every field of every record
// with the message that cASO made of the same cloud and window. Of the other cases cASO's records are wrong or it made
// none; what is right there the other tests of this file say.
func TestRecordsOfCASO(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		intended       []difference
	}{
		{"base_utc", "2024-03-01", "2024-03-10", intended},
		{"nullvol", "2024-03-01", "2024-03-10", intended}, // its message is that of base_utc
		{"gap1", "2024-03-01", "2024-03-10", []difference{
			{"V30", "Status", "started", "completed", "it ended half a second after the window, which in the record's whole seconds is the window's end"},
			{"V30", "EndTime", "0", "1710028800", "the same"},
		}},
		{"gpu", "2024-01-15", "2024-03-10", nil},
		{"pct", "2024-03-01", "2024-03-10", []difference{{"V01", "MachineName", "a%%b", "a%25%25b", "as it is it would end the record, and the server would reject the whole message"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := casoBed(t, c.name, c.from, c.to)
			b.clean(b.collect(""))
			text, err := os.ReadFile("testdata/vectors/" + strings.Replace(c.name, "nullvol", "base_utc", 1) + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			theirs := map[string]map[string]string{}
			_, body, _ := strings.Cut(string(text), "\n")
			for _, record := range strings.Split(body, "\n%%\n") {
				r := fields(record)
				theirs[r["VMUUID"]] = r
			}
			ours := map[string]map[string]string{}
			for _, e := range b.records() {
				if e.Period == "2024-03" { // cASO has one record per VM, measured at its end or at the window's
					ours[e.VM] = fields(e.Wire)
				}
			}
			if len(theirs) == 0 {
				t.Fatal("the message has no record")
			}
			var got, want []string
			for vm := range theirs {
				got = append(got, differences(vm, theirs[vm], ours[vm])...)
			}
			for vm := range ours {
				if theirs[vm] == nil {
					got = append(got, fmt.Sprintf("V%s record: %s → there", vm[6:8], absent))
				}
			}
			for _, d := range c.intended {
				want = append(want, fmt.Sprintf("%s %s: %s → %s", d.vm, d.field, d.caso, d.ours))
			}
			slices.Sort(got)
			slices.Sort(want)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("cASO → ours (-intended +got):\n%s", d)
			}
		})
	}
}

// casoBed is a bed that names site, service and program as the vectors' cASO did.
func casoBed(t *testing.T, name, from, to string) *bed {
	t.Helper()
	b := newCloudBed(t, scenario(t, name), onDisk(t), to+"T00:05:00Z", from)
	b.target.Site.Name, b.target.Settings.CloudType = "TEST-SITE", "caso/5.2.2 (OpenStack)"
	b.target.Site.Clouds[0].ServiceName, b.target.Clouds[0].Cloud.ServiceName = "TEST-SITE-CLOUD", "TEST-SITE-CLOUD"
	return b
}

func fields(record string) map[string]string {
	m := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(record), "\n") {
		key, value, _ := strings.Cut(line, ": ")
		m[key] = value
	}
	return m
}

func differences(vm string, theirs, ours map[string]string) []string {
	name := "V" + vm[6:8]
	if ours == nil {
		return []string{fmt.Sprintf("%s record: there → %s", name, absent)}
	}
	var all []string
	for key := range theirs {
		if value, there := ours[key]; !there {
			all = append(all, fmt.Sprintf("%s %s: %s → %s", name, key, theirs[key], absent))
		} else if value != theirs[key] {
			all = append(all, fmt.Sprintf("%s %s: %s → %s", name, key, theirs[key], value))
		}
	}
	for key, value := range ours {
		if _, there := theirs[key]; !there {
			all = append(all, fmt.Sprintf("%s %s: %s → %s", name, key, absent, value))
		}
	}
	return all
}

// TestCasesThatCASOGetsWrong says what is right where cASO made no record or a wrong one: a VM that ends in the second
// between two windows (gap1, gap2), one that is known to be dead to the half only (halfdel1), a project without a VO
// (novo), two projects beside one that does not exist (unk1), a window that ends before it begins (h_inv).
func TestCasesThatCASOGetsWrong(t *testing.T) {
	t.Run("gap2", func(t *testing.T) {
		b := casoBed(t, "gap1", "2024-03-01", "2024-03-10")
		b.clean(b.collect(""))
		b.clean(b.collect("2024-03-11T00:05:00Z"))
		if r := b.row(vector(30), "2024-03"); r.Status != "completed" || r.EndTime != 1710028800 || r.WallDuration != 432000 || r.CPUDuration != 864000 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("halfdel1", func(t *testing.T) {
		b := casoBed(t, "halfdel1", "2024-03-01", "2024-03-10")
		b.clean(b.collect(""))
		if r := b.row(vector(99), "2024-03"); r.EndTime != 1709254800 || r.WallDuration != 1702800 || r.CPUDuration != 3405600 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("novo", func(t *testing.T) {
		b := casoBed(t, "novo", "2024-03-01", "2024-03-10")
		b.collect("")
		if n := len(b.records()); n != 0 {
			t.Errorf("%d records of nobody's", n)
		}
		if len(b.last.Problems) == 0 && b.last.Counts["projects_without_vo"] == 0 {
			t.Errorf("nothing is said: %+v", b.last)
		}
	})
	t.Run("unk1", func(t *testing.T) {
		b := casoBed(t, "unk1", "2024-03-01", "2024-03-10")
		b.clean(b.collect(""))
		if n := len(b.records()); n != len(vectors) {
			t.Errorf("%d records, want %d", n, len(vectors))
		}
	})
	t.Run("h_inv", func(t *testing.T) {
		b := casoBed(t, "base_utc", "2024-03-01", "2024-03-10")
		b.collectFor(b.target, "", between("2024-03-10", "2024-03-01"))
		if n := len(b.records()); n != 0 {
			t.Errorf("%d records of a window that ends before it begins", n)
		}
		b.clean(b.collect(""))
		if n := len(b.records()); n != len(vectors) {
			t.Errorf("the next run has %d records, want %d", n, len(vectors))
		}
	})
}

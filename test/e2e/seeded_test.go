//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// seeded are the lab's servers by name, with what each stands for: literal lines of its record of this month, a name with
// a minus for a line that must not be there. A name alone has no record.
var seeded = map[string][]string{
	"ops-probe":         {"Status: started", "FQAN: ops", "PublicIPCount: 1", "GlobalUserName: ops-user", "ImageId: https://appdb.example.org/store/vm/image/f8b2b1f0-5bd6-4a1e-9c1e-1f0a4f0b0001:42/"},
	"fed-web":           {"Status: started", "FQAN: fedcloud.egi.eu", "PublicIPCount: 1", "CpuCount: 2", "Memory: 4096", "Disk: 40"},
	"fed-stopped":       {"Status: stopped", "EndTime: 0", "PublicIPCount: 0"},
	"fed-suspended":     {"Status: suspended"},
	"fed-paused":        {"Status: paused"},
	"fed-shelved":       {"Status: suspended", "CpuCount: 4"},
	"fed-deleted":       {"Status: completed", "CpuCount: 4"},
	"fed-soft-deleted":  {"Status: started", "EndTime: 0"},
	"fed-rescued":       {"Status: started"},
	"fed-rebuilt":       {"Status: started"},
	"fed-verify-resize": {"Status: started", "CpuCount: 2"},
	"fed-a%%b":          {"MachineName: fed-a%25%25b"},
	"bio-máquina-ñ":     {"MachineName: bio-m%C3%A1quina-%C3%B1", "FQAN: biomed"},
	"bio-gpu":           {"CpuCount: 16"},
	"bio-hpc":           {"CpuCount: 32", "Memory: 131072", "Disk: 300"},
	"bio-resized":       {"CpuCount: 4"},
	"bio-reverted":      {"CpuCount: 1"},
	"bio-flavor-gone":   {"CpuCount: 4", "Memory: 4096", "Disk: 10"},
	"bio-error":         {"Status: error", "EndTime: 0"},
	"bio-no-host":       nil,
	"bio-from-volume":   {"Status: started", "-ImageId"},
}

// hold compares the records with the table, so that what is read from the databases cannot be wrong in the same way as
// the product.
func (s *stage) hold(t *testing.T) {
	ledger := s.reader.ledger(t)
	byName := map[string][]instance{}
	w := readTruth(t, s.l)
	for _, i := range w.instances {
		byName[i.Name] = append(byName[i.Name], i)
	}
	for name, lines := range seeded {
		if len(byName[name]) != 1 {
			t.Errorf("%s: %d servers of that name", name, len(byName[name]))
			continue
		}
		i := byName[name][0]
		if lines != nil {
			w.succeeded(t, name, i.ID, past[name])
		}
		last := s.to.Unix()
		if i.Ended != nil {
			last = *i.Ended
		}
		e, found := ledger[key{i.ID, month(last)}]
		if found != (lines != nil) {
			t.Errorf("%s: record: %v, want %v", name, found, lines != nil)
		}
		for _, line := range lines {
			absent, not := strings.CutPrefix(line, "-")
			if has := strings.Contains("\n"+e.Wire, "\n"+absent); has == not || !not && !strings.Contains("\n"+e.Wire, "\n"+line+"\n") {
				t.Errorf("%s: want %q in\n%s", name, line, e.Wire)
			}
		}
	}
}

// changes checks that all was done to the servers of our own, with success, and that their records changed as they should
// have, so that the comparison was of something.
func (s *stage) changes(t *testing.T) {
	w := readTruth(t, s.l)
	states := map[string]string{}
	for _, i := range w.instances {
		states[i.ID] = i.State
	}
	ledger, free := s.reader.ledger(t), s.free.ledger(t)
	for name, one := range lives {
		id := s.own[name]
		w.succeeded(t, name, id, one.actions)
		if states[id] != one.state {
			t.Errorf("%s is %s, not %s", name, states[id], one.state)
		}
	}
	record := func(ledger map[key]entry, name string) (f fields, wall, suspended, cpu int64) {
		f = parse(t, ledger[key{s.own[name], month(s.to.Unix())}].Wire)
		if f["SuspendDuration"] != "" {
			suspended = number(t, f["SuspendDuration"])
		}
		return f, number(t, f["WallDuration"]), suspended, number(t, f["CpuDuration"])
	}
	if f, wall, _, cpu := record(ledger, "e2e-grows"); f["CpuCount"] != "4" || cpu <= wall || cpu >= 4*wall {
		t.Errorf("resized from 1 to 4 vCPUs in between: %v", f)
	}
	if f, wall, _, cpu := record(ledger, "e2e-reverts"); f["CpuCount"] != "1" || cpu <= wall || cpu >= 4*wall {
		t.Errorf("back from 4 to 1 vCPU in between: %v", f)
	}
	if f, wall, _, cpu := record(ledger, "e2e-ends"); f["Status"] != "completed" || f["EndTime"] == "0" || cpu != wall {
		t.Errorf("deleted in between: %v", f)
	}
	if f, wall, _, cpu := record(ledger, "e2e-stops"); f["Status"] != "stopped" || cpu != wall {
		t.Errorf("stopped in between: %v", f)
	}
	for _, name := range []string{"e2e-stops", "e2e-starts", "e2e-cycles", "e2e-rebuilt", "e2e-unseen", "e2e-last", "e2e-shelves", "e2e-unshelves"} {
		_, wall, none, _ := record(ledger, name)
		if f, charged, suspended, cpu := record(free, name); none != 0 || suspended <= 0 || charged+suspended != wall || cpu != charged {
			t.Errorf("%s: not charged while it was stopped or shelved: %v", name, f)
		}
	}
	if f, _, suspended, _ := record(free, "e2e-pauses"); suspended != 0 {
		t.Errorf("paused and suspended, it is charged: %v", f)
	}
}

// wavers checks a server that was resized from 1 to 4 vCPUs and back between two collections. OpenStack does not tell what it
// had in between: the record may be wrong by that, no more, and the collection says so.
func (s *stage) wavers(t *testing.T) {
	id := s.own["e2e-wavers"]
	var resized, reverted int64
	for _, d := range readTruth(t, s.l).histories[id] {
		switch d.Action {
		case "resize":
			resized = d.Updated
		case "revertResize":
			reverted = d.Updated
		}
	}
	f := parse(t, s.reader.ledger(t)[key{id, month(s.to.Unix())}].Wire)
	least := number(t, f["WallDuration"])
	if cpu, most := number(t, f["CpuDuration"]), least+3*(reverted-resized); cpu < least || cpu > most {
		t.Errorf("%d s of CPU time, want %d to %d: %v", cpu, least, most, f)
	}
	if !strings.Contains(s.problems, "flavor changed") || !strings.Contains(s.problems, id) {
		t.Errorf("no word of a flavor that was not seen:\n%s", s.problems)
	}
}

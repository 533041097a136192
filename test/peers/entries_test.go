package peers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/protocol/apel"
	"github.com/fedsite/fedsite/test/peers"
)

// usual are the lines of a VM with two vCPUs, created on 2024-03-05, as both programs write them of 2024-03-10.
var usual = lines{"CpuCount": "2", "CpuDuration": "864000", "Disk": "20", "EndTime": "0", "FQAN": "ops", "GlobalUserName": "user", "MachineName": "vm", "Memory": "4096",
	"PublicIPCount": "0", "SiteName": "S", "StartTime": "1709596800", "Status": "started", "VMUUID": "v", "WallDuration": "432000"}

type lines map[string]string

// with changes lines; "" takes one away.
func (l lines) with(others lines) lines {
	all := maps.Clone(l)
	maps.Copy(all, others)
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

func (l lines) record() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(l)) {
		fmt.Fprintf(&b, "%s: %s\n", name, l[name])
	}
	return b.String()
}

// TestEntries has the entries that only a real cloud meets explain what they are there for, and nothing beside it: no
// other value of either program, and not the same values without their cause.
func TestEntries(t *testing.T) {
	for _, c := range []struct {
		name       string
		cause      func(*peers.VM, *peers.Run)
		caso, ours lines
		fields     int
	}{
		// one vCPU on the first day, two afterwards: 86400 + 345600 × 2
		{name: "resized", cause: func(v *peers.VM, _ *peers.Run) {
			v.CPU = func(at int64) int64 { return 2*(at-1709596800) - 86400 }
		}, ours: lines{"CpuDuration": "777600"}, fields: 1},
		{name: "user deleted", cause: func(v *peers.VM, _ *peers.Run) { v.User, v.UserWas = "", "user" }, caso: lines{"GlobalUserName": ""}, fields: 1},
		{name: "user's name not ASCII", cause: func(v *peers.VM, _ *peers.Run) { v.User = "usér" },
			caso: lines{"GlobalUserName": "usr"}, ours: lines{"GlobalUserName": "us%C3%A9r"}, fields: 1},
		{name: "own user", cause: func(_ *peers.VM, r *peers.Run) { r.Self = "user" }, caso: lines{"GlobalUserName": ""}, fields: 1},
		{name: "flavor deleted: benchmark", cause: func(v *peers.VM, _ *peers.Run) {
			v.Listed, v.Extra = false, map[string]string{"accounting:benchmark_type": "HS23", "accounting:benchmark_value": "15"}
		},
			ours: lines{"Benchmark": "15", "BenchmarkType": "HS23"}, fields: 2},
		{name: "deleted softly", cause: func(v *peers.VM, _ *peers.Run) { v.Status = "SOFT_DELETED" }, caso: lines{"Status": "unknown"}, fields: 1},
		{name: "host's time zone", cause: func(_ *peers.VM, r *peers.Run) { r.Zone = time.Hour }, caso: lines{"StartTime": "1709593200"}, fields: 1},
		// cASO's last run of the month is 12 h before its end, and the next one is to come.
		{name: "month's last hours", cause: func(_ *peers.VM, r *peers.Run) { r.Ends = ends("2024-03-31T12:00:00Z") },
			caso: lines{"WallDuration": "2289600", "CpuDuration": "4579200"}, ours: lines{"WallDuration": "2332799", "CpuDuration": "4665598"}, fields: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			vm := peers.VM{Name: "vm", User: "user", Status: "ACTIVE", Launched: true, Created: at("2024-03-05T00:00:00Z"), Listed: true}
			run := peers.Run{Ends: ends("2024-03-10T00:00:00Z")}
			if len(compared(t, vm, run, usual.with(c.caso), usual.with(c.ours)).Unexplained) == 0 {
				t.Error("explained without the cause")
			}
			c.cause(&vm, &run)
			result := compared(t, vm, run, usual.with(c.caso), usual.with(c.ours))
			if len(result.Unexplained) > 0 || len(result.Met) != 1 || result.Met[c.name] != c.fields {
				t.Fatalf("met %v, unexplained %q", result.Met, result.Unexplained)
			}
			differ := lines{}.with(c.ours)
			maps.Copy(differ, c.caso)
			for name := range differ {
				caso, ours := usual.with(c.caso), usual.with(c.ours)
				if len(compared(t, vm, run, caso.with(lines{name: another(caso[name])}), ours).Unexplained) == 0 {
					t.Errorf("explained, whatever cASO says as %s", name)
				}
				if len(compared(t, vm, run, caso, ours.with(lines{name: another(ours[name])})).Unexplained) == 0 {
					t.Errorf("explained, whatever fedsite says as %s", name)
				}
			}
		})
	}
}

// compared compares one record of each.
func compared(t *testing.T, vm peers.VM, run peers.Run, caso, ours lines) peers.Result {
	t.Helper()
	theirs := peers.Server{}
	if _, err := theirs.Take([]string{string(apel.JoinCloud([]string{caso.record()}))}, run.When); err != nil {
		t.Fatal(err)
	}
	parsed, err := apel.ParseCloud(apel.JoinCloud([]string{ours.record()}))
	if err != nil {
		t.Fatal(err)
	}
	printed, err := json.Marshal([]map[string]string{{"vm": "v", "period": parsed[0].Period(), "wire": ours.record()}})
	if err != nil {
		t.Fatal(err)
	}
	mine, err := peers.Ledger(printed)
	if err != nil {
		t.Fatal(err)
	}
	return peers.Compare(theirs, mine, map[string]peers.VM{"v": vm}, run)
}

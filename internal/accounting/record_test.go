package accounting_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/protocol/apel"
)

// scenario is the world of the test vectors of spec accounting §5.
func scenario() *world.World {
	w := small()
	w.Flavors = append(w.Flavors,
		world.Flavor{ID: "gpu", Name: "gpu", VCPUs: 8, RAM: 65536, Disk: 40, Ephemeral: 100, Extra: map[string]string{"Accelerator:Type": "GPU"}},
		world.Flavor{ID: "gone", Name: "gone", VCPUs: 4, RAM: 8192, Disk: 40, Deleted: true},
		world.Flavor{ID: "lone", Name: "lone", VCPUs: 1, RAM: 2048, Disk: 10, Extra: map[string]string{"accounting:benchmark_type": "HEPSPEC06"}},
	)
	w.Users = append(w.Users, world.User{ID: "u-two", Name: "usér-twö@egi.eu"})
	// added adds a VM with its events; without a launch it never ran.
	added := func(n int, flavor, created string, events ...world.Event) *world.VM {
		v := &world.VM{ID: id(n), Project: project, User: "u-one", Name: fmt.Sprintf("vm-V%02d", n), Flavor: flavor, Image: "image-1", Created: moment(created), Events: events}
		return v
	}
	launched := func(n int, flavor, created string, events ...world.Event) *world.VM {
		v := added(n, flavor, created, events...)
		v.Events = append([]world.Event{{At: v.Created.Add(30 * time.Second), Kind: world.Launch}}, v.Events...)
		return v
	}
	boot := launched(17, "1", "2024-03-08", on(world.Float, "2024-03-08T00:01", "193.0.0.1"), on(world.Float, "2024-03-08T00:02", "193.0.0.2"))
	boot.Name, boot.User, boot.Image = "máquina-ñ", "u-two", ""
	rebuilt := launched(18, "lone", "2024-02-15", on(world.Rebuild, "2024-03-06"))
	rebuilt.User, rebuilt.Image = "u-gone", "image-2"
	for _, v := range []*world.VM{
		launched(1, "1", "2024-01-15T10:00"),
		launched(2, "1", "2024-03-05T12:00"),
		launched(3, "1", "2024-03-02", on(world.Delete, "2024-03-04T06:30")),
		launched(4, "1", "2024-02-10T08:00", on(world.Delete, "2024-03-01T01:00")),
		launched(5, "1", "2024-03-05", on(world.Delete, "2024-03-20")),
		launched(6, "1", "2024-03-12"),
		launched(7, "1", "2024-01-20", on(world.Delete, "2024-02-20"), on(world.Reproject, "2024-03-03")),
		added(8, "1", "2024-03-04T09:00", on(world.Fail, "2024-03-04T09:00:10")),
		launched(9, "1", "2024-03-03", on(world.Stop, "2024-03-06")),
		launched(10, "1", "2024-03-02T12:00", on(world.Delete, "2024-03-02T18:00")),
		launched(11, "1", "2024-03-03", on(world.Suspend, "2024-03-07")),
		launched(12, "1", "2024-03-03", on(world.Pause, "2024-03-07")),
		launched(13, "1", "2024-03-03", on(world.Shelve, "2024-03-07"), on(world.Offload, "2024-03-07T00:01")),
		launched(14, "gpu", "2024-01-20"),
		launched(15, "gone", "2024-03-08", on(world.Rename, "2024-03-09", "vm-V15")),
		launched(16, "gone", "2024-03-08", on(world.Delete, "2024-03-08T10:00")),
		boot,
		rebuilt,
		added(19, "1", "2024-02-15", on(world.Fail, "2024-02-15T00:01"), on(world.Reproject, "2024-03-06")),
		added(20, "1", "2024-03-09T23:59:59"),
		launched(21, "1", "2024-03-01", on(world.Delete, "2024-03-10")),
		launched(22, "1", "2024-02-01", on(world.Delete, "2024-03-01")),
		launched(23, "1", "2024-03-10"),
		launched(24, "gpu", "2024-02-20", on(world.Delete, "2024-03-05")),
	} {
		w.Add(*v)
	}
	return w
}

// vector is what a record of March says.
type vector struct {
	Status     string
	Start, End int64
	Wall, CPU  int64
}

// vectors are the right values: cASO's where its column "right?" says yes, else what that column says instead.
var vectors = map[int]vector{
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

// collected collects the scenario's window, from 2024-03-01 to 2024-03-10.
func collected(t *testing.T, edit func(*bed)) *bed {
	b := newCloudBed(t, scenario(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.answers(func(s map[string]any) bool {
		if s["id"] == id(10) { // Nova has no time of its end
			s["OS-SRV-USG:terminated_at"] = nil
		}
		return true
	})
	if edit != nil {
		edit(b)
	}
	b.clean(b.collect(""))
	return b
}

// TestVectors checks V01 to V24.
func TestVectors(t *testing.T) {
	got := map[int]vector{}
	b := collected(t, nil)
	for key, e := range b.records() {
		var n int
		if _, err := fmt.Sscanf(key, "%08d-", &n); err != nil {
			t.Fatal(err)
		}
		r := b.parse(e)
		got[n] = vector{r.Status, r.StartTime, r.EndTime, r.WallDuration, r.CPUDuration}
	}
	if d := cmp.Diff(vectors, got); d != "" {
		t.Errorf("(-right +got):\n%s", d)
	}
}

// TestRepublishedWindow collects the vectors' window weeks later, as V05 has it: what ended meanwhile was still running.
func TestRepublishedWindow(t *testing.T) {
	b := newCloudBed(t, scenario(), onDisk(t), "2024-03-25T00:00:00Z", "2024-03-01")
	b.clean(b.collectFor(b.target, "", between("2024-03-01", "2024-03-10")))
	if r := b.row(id(5), "2024-03"); r.EndTime != 0 || r.Status != "started" || r.WallDuration != 432000 {
		t.Errorf("%+v", r)
	}
	if _, ok := b.records()[id(6)+" 2024-03"]; ok {
		t.Error("V06 was created after the window")
	}
}

// TestRecordText checks whole records, field by field.
func TestRecordText(t *testing.T) {
	b := collected(t, nil)
	for n, want := range map[int]string{
		3: `Benchmark: 99.5
BenchmarkType: HEPSPEC06
CloudComputeService: SITE-A-CLOUD
CloudType: fedsite/test (OpenStack)
CpuCount: 2
CpuDuration: 392400
Disk: 20
EndTime: 1709533800
FQAN: ops
GlobalUserName: user-one@egi.eu
ImageId: image-1
LocalGroupId: 11111111111111111111111111111111
LocalUserId: u-one
MachineName: vm-V03
Memory: 4096
PublicIPCount: 0
SiteName: SITE-A
StartTime: 1709337600
Status: completed
VMUUID: 00000003-0000-4000-8000-000000000000
WallDuration: 196200
`,
		17: `Benchmark: 99.5
BenchmarkType: HEPSPEC06
CloudComputeService: SITE-A-CLOUD
CloudType: fedsite/test (OpenStack)
CpuCount: 2
CpuDuration: 345600
Disk: 20
EndTime: 0
FQAN: ops
GlobalUserName: us%C3%A9r-tw%C3%B6@egi.eu
LocalGroupId: 11111111111111111111111111111111
LocalUserId: u-two
MachineName: m%C3%A1quina-%C3%B1
Memory: 4096
PublicIPCount: 2
SiteName: SITE-A
StartTime: 1709856000
Status: started
VMUUID: 00000017-0000-4000-8000-000000000000
WallDuration: 172800
`,
		18: `BenchmarkType: HEPSPEC06
CloudComputeService: SITE-A-CLOUD
CloudType: fedsite/test (OpenStack)
CpuCount: 1
CpuDuration: 2073600
Disk: 10
EndTime: 0
FQAN: ops
ImageId: https://appdb.egi.eu/store/vo/image/xyz/
LocalGroupId: 11111111111111111111111111111111
LocalUserId: u-gone
MachineName: vm-V18
Memory: 2048
PublicIPCount: 0
SiteName: SITE-A
StartTime: 1707955200
Status: started
VMUUID: 00000018-0000-4000-8000-000000000000
WallDuration: 2073600
`,
	} {
		if d := cmp.Diff(want, b.records()[id(n)+" 2024-03"].Wire); d != "" {
			t.Errorf("V%02d (-want +got):\n%s", n, d)
		}
	}
}

// TestNamesFromTenants sends names that would split, end or poison a message, through the whole way to the server.
func TestNamesFromTenants(t *testing.T) {
	names := []string{"a%%b", "x\n%%\nVMUUID: evil\nSiteName: SITE-A", "nul\x00 tab\t", "  blanks ", "none", strings.Repeat("ñ", 300), "100%", "ends%%", "a\u2028b\u0085c", ""}
	w := small()
	for n, name := range names {
		vm(w, id(n), "2024-03-02", on(world.Rename, "2024-03-03", name))
	}
	b := newBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.clean(b.send())
	for _, r := range b.fed.Received() {
		if !r.Accepted {
			t.Errorf("rejected: %s", r.Reason)
		}
	}
	rows := b.fed.Server.Kept()
	if len(rows) != len(names) {
		t.Errorf("%d rows of %d VMs", len(rows), len(names))
	}
	for _, r := range rows {
		var n int
		if _, err := fmt.Sscanf(r.VMUUID, "%08d-", &n); err != nil {
			t.Errorf("the server has a VM %q", r.VMUUID)
			continue
		}
		name := names[n]
		if back := apel.Unescape(r.MachineName); back != name && !(len(name) > 80 && strings.HasPrefix(name, back)) && name != "" {
			t.Errorf("%q came as %q", name, r.MachineName)
		}
	}
}

// TestPrivacy checks what is sent of a person and of a machine under each policy.
func TestPrivacy(t *testing.T) {
	for _, c := range []struct {
		user, machine    accounting.Policy
		wantUser, wantVM string
	}{
		{accounting.SendName, accounting.SendName, "user-one@egi.eu", "vm-V02"},
		{accounting.SendID, accounting.SendName, "u-one", "vm-V02"},
		{accounting.Omit, accounting.Omit, "", ""},
	} {
		b := collected(t, func(b *bed) { b.target.Settings.UserName, b.target.Settings.Machine = c.user, c.machine })
		if r := b.row(id(2), "2024-03"); r.GlobalUserName != c.wantUser || r.MachineName != c.wantVM {
			t.Errorf("%s, %s: %q, %q", c.user, c.machine, r.GlobalUserName, r.MachineName)
		}
		for _, r := range b.cloud.Requests() {
			if c.user != accounting.SendName && strings.Contains(r.Path, "/users/") {
				t.Errorf("%s: asked for %s", c.user, r.Path)
			}
		}
	}
}

// TestBenchmarks tries flavors with a benchmark, with a part of one, with a bad one, and what the configuration adds.
func TestBenchmarks(t *testing.T) {
	value := 12.5
	for name, c := range map[string]struct {
		extra map[string]string
		kind  string
		value *float64
		said  string
	}{
		"in the flavor":      {map[string]string{"accounting:benchmark_type": "HS23", "accounting:benchmark_value": " 12.5 "}, "HS23", &value, ""},
		"value only":         {map[string]string{"accounting:benchmark_value": "12.5"}, "", &value, ""},
		"type only":          {map[string]string{"accounting:benchmark_type": "HS23"}, "HS23", nil, ""},
		"no number":          {map[string]string{"accounting:benchmark_type": "HS23", "accounting:benchmark_value": "fast"}, "HS23", nil, "not a number"},
		"not finite":         {map[string]string{"accounting:benchmark_value": "NaN"}, "CONF", &value, "not a number"},
		"negative":           {map[string]string{"accounting:benchmark_type": "HS23", "accounting:benchmark_value": "-1"}, "HS23", nil, "not a number"},
		"in the settings":    {nil, "CONF", &value, ""},
		"type of 51 letters": {map[string]string{"accounting:benchmark_type": strings.Repeat("x", 51)}, "", nil, "cannot be sent"},
	} {
		t.Run(name, func(t *testing.T) {
			w := small()
			w.Flavors[0].Extra = c.extra
			vm(w, id(1), "2024-03-02")
			b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
			b.target.Settings.Benchmarks = []accounting.Benchmark{{Flavor: "other*", Type: "NO", Value: 1}, {Flavor: "m1.*", Type: "CONF", Value: 12.5}, {Flavor: "*", Type: "NO", Value: 2}}
			b.collect("")
			if c.said != "" {
				b.told("VM "+id(1), c.said)
			}
			if c.said == "cannot be sent" {
				if e := b.records()[id(1)+" 2024-03"]; e.Parked == "" {
					t.Errorf("%+v", e)
				}
				return
			}
			if r := b.row(id(1), "2024-03"); r.BenchmarkType != c.kind || !cmp.Equal(r.Benchmark, c.value) {
				t.Errorf("%q %v", r.BenchmarkType, r.Benchmark)
			}
		})
	}
}

// TestWhatCannotBeReadStaysAsKnown deletes the user, and takes the right to read users, after a first collection.
func TestWhatCannotBeReadStaysAsKnown(t *testing.T) {
	w := small()
	vm(w, id(1), "2024-03-02")
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.target.Clouds[0].Source = b.source("plain")
	b.clean(b.collect("2024-03-11T00:05:00Z"))
	b.told("users", "without GlobalUserName", "--system all reader")
	if r := b.row(id(1), "2024-03"); r.GlobalUserName != "user-one@egi.eu" {
		t.Errorf("%q", r.GlobalUserName)
	}
	vm(w, id(2), "2024-03-11")
	b.clean(b.collect("2024-03-12T00:05:00Z"))
	if r := b.row(id(2), "2024-03"); r.GlobalUserName != "" {
		t.Errorf("%q", r.GlobalUserName)
	}
}

// TestPreviouslyNothing begins accounting in March where nothing accounted before.
func TestPreviouslyNothing(t *testing.T) {
	b := collected(t, func(b *bed) { b.target.Settings.Previously = accounting.Nothing })
	since := seconds("2024-03-01")
	for n, want := range map[int]vector{
		1:  {"started", since, 0, 777600, 1555200},
		2:  vectors[2],
		4:  {"completed", since, 1709254800, 3600, 7200},
		24: {"completed", since, 1709596800, 345600, 2764800},
	} {
		r := b.row(id(n), "2024-03")
		if got := (vector{r.Status, r.StartTime, r.EndTime, r.WallDuration, r.CPUDuration}); got != want {
			t.Errorf("V%02d: %+v, want %+v", n, got, want)
		}
	}
	if _, ok := b.records()[id(22)+" 2024-03"]; ok {
		t.Error("V22 ended the instant that accounting began")
	}
}

// TestRecordsDoNotDependOnTheZone runs this test program with another local zone, and compares all records.
func TestRecordsDoNotDependOnTheZone(t *testing.T) {
	const file = "FEDSITE_TEST_RECORDS_FILE"
	dump := func() string {
		var text strings.Builder
		b := newCloudBed(t, scenario(), onDisk(t), "2024-03-10T00:05:00Z", "2024-01-01") // over two month ends
		b.clean(b.collect(""))
		all := b.records()
		for _, key := range b.keys() {
			fmt.Fprintf(&text, "%s measured %s\n%s", key, all[key].Measured, all[key].Wire)
		}
		return text.String()
	}
	if path := os.Getenv(file); path != "" {
		_, offset := moment("2024-03-05").In(time.Local).Zone()
		if offset != 3600 {
			t.Fatalf("the local zone is %s", time.Local)
		}
		if err := os.WriteFile(path, []byte(dump()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	path := t.TempDir() + "/records"
	zone := t.TempDir() + "/zone"
	if err := os.WriteFile(zone, madrid, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRecordsDoNotDependOnTheZone$")
	cmd.Env = append(os.Environ(), "TZ="+zone, file+"="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in another zone: %v\n%s", err, out)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(dump(), string(got)); d != "" {
		t.Errorf("(-here +there):\n%s", d)
	}
}

// madrid is a zone file of a fixed zone, an hour ahead of UTC, so that none need be installed.
var madrid = append(append([]byte("TZif\x00"), make([]byte, 15)...),
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, // counts: one type, four letters
	0, 0, 0x0e, 0x10, 0, 0, 'C', 'E', 'T', 0) // 3600 s, no summer time

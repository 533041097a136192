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
ImageId: cccccccc-0000-0000-0000-000000000001
LocalGroupId: 11111111111111111111111111111111
LocalUserId: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1
MachineName: vm-V03
Memory: 4096
PublicIPCount: 0
SiteName: SITE-A
StartTime: 1709337600
Status: completed
VMUUID: 00000003-0000-4000-8000-000000000003
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
LocalUserId: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2
MachineName: m%C3%A1quina-%C3%B1
Memory: 4096
PublicIPCount: 2
SiteName: SITE-A
StartTime: 1709856000
Status: started
VMUUID: 00000017-0000-4000-8000-000000000017
WallDuration: 172800
`,
		18: `BenchmarkType: HEPSPEC06
CloudComputeService: SITE-A-CLOUD
CloudType: fedsite/test (OpenStack)
CpuCount: 1
CpuDuration: 2073600
Disk: 5
EndTime: 0
FQAN: ops
ImageId: https://appdb.egi.eu/store/vo/image/xyz/
LocalGroupId: 11111111111111111111111111111111
LocalUserId: deleteduser
MachineName: vm-V18
Memory: 512
PublicIPCount: 0
SiteName: SITE-A
StartTime: 1707955200
Status: started
VMUUID: 00000018-0000-4000-8000-000000000018
WallDuration: 2073600
`,
	} {
		if d := cmp.Diff(want, b.records()[vector(n)+" 2024-03"].Wire); d != "" {
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
		{accounting.SendID, accounting.SendName, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1", "vm-V02"},
		{accounting.Omit, accounting.Omit, "", ""},
	} {
		b := collected(t, func(b *bed) { b.target.Settings.UserName, b.target.Settings.Machine = c.user, c.machine })
		if r := b.row(vector(2), "2024-03"); r.GlobalUserName != c.wantUser || r.MachineName != c.wantVM {
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
	for n, want := range map[int]reading{
		1:  {"started", since, 0, 777600, 1555200},
		2:  vectors[2],
		4:  {"completed", since, 1709254800, 3600, 7200},
		24: {"completed", since, 1709596800, 345600, 2764800},
	} {
		r := b.row(vector(n), "2024-03")
		if got := (reading{r.Status, r.StartTime, r.EndTime, r.WallDuration, r.CPUDuration}); got != want {
			t.Errorf("V%02d: %+v, want %+v", n, got, want)
		}
	}
	if _, ok := b.records()[vector(22)+" 2024-03"]; ok {
		t.Error("V22 ended the instant that accounting began")
	}
}

// TestRecordsDoNotDependOnTheZone runs this test program with another local zone, and compares all records.
func TestRecordsDoNotDependOnTheZone(t *testing.T) {
	const file = "FEDSITE_TEST_RECORDS_FILE"
	dump := func() string {
		var text strings.Builder
		b := newCloudBed(t, base(t), onDisk(t), "2024-03-10T00:05:00Z", "2024-01-01") // over two month ends
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

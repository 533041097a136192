package apel

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// running is a VM since 2024-03-01T00:00:00Z, measured ten days later, with every field set.
func running() CloudRecord {
	return CloudRecord{
		VMUUID: "00000003-0000-4000-8000-000000000003", SiteName: "TEST-SITE", CloudComputeService: "TEST-SITE-CLOUD", MachineName: "vm-ñ",
		LocalUserID: "u1", LocalGroupID: "g1", GlobalUserName: "user@egi.eu", FQAN: "/ops/group", Status: "started", StartTime: 1709251200,
		SuspendDuration: 60, WallDuration: 863940, CPUDuration: 1727880, CPUCount: 2, NetworkType: "private", NetworkInbound: new(int64(0)), NetworkOutbound: new(int64(7)),
		PublicIPCount: 1, Memory: 4096, Disk: 20, BenchmarkType: "HEPSPEC06", Benchmark: new(99.5), StorageRecordID: "s1", ImageID: "i1", CloudType: "fedsite/1 (OpenStack)",
	}
}

// completed is the shortest record that says all that the server needs.
func completed() CloudRecord {
	return CloudRecord{VMUUID: "b", SiteName: "S", Status: StatusCompleted, StartTime: 100, EndTime: 400, WallDuration: 300}
}

const runningText = `Benchmark: 99.5
BenchmarkType: HEPSPEC06
CloudComputeService: TEST-SITE-CLOUD
CloudType: fedsite/1 (OpenStack)
CpuCount: 2
CpuDuration: 1727880
Disk: 20
EndTime: 0
FQAN: /ops/group
GlobalUserName: user@egi.eu
ImageId: i1
LocalGroupId: g1
LocalUserId: u1
MachineName: vm-%C3%B1
Memory: 4096
NetworkInbound: 0
NetworkOutbound: 7
NetworkType: private
PublicIPCount: 1
SiteName: TEST-SITE
StartTime: 1709251200
Status: started
StorageRecordId: s1
SuspendDuration: 60
VMUUID: 00000003-0000-4000-8000-000000000003
WallDuration: 863940
`

const completedText = `CpuCount: 0
CpuDuration: 0
Disk: 0
EndTime: 400
Memory: 0
PublicIPCount: 0
SiteName: S
StartTime: 100
Status: completed
VMUUID: b
WallDuration: 300
`

func TestEncodeCloud(t *testing.T) {
	got, err := EncodeCloud([]CloudRecord{running(), completed()})
	if err != nil {
		t.Fatal(err)
	}
	want := "APEL-cloud-message: v0.4\n" + runningText + "%%\n" + completedText
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("message (-want +got):\n%s", d)
	}
	back, err := ParseCloud(got)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]CloudRecord{running(), completed()}, back); d != "" {
		t.Errorf("read back (-sent +read):\n%s", d)
	}
	if d := cmp.Diff([]string{runningText, completedText}, SplitCloud(got)); d != "" {
		t.Errorf("split (-want +got):\n%s", d)
	}
}

func TestEncodeCloudNamesTheBadRecord(t *testing.T) {
	bad := completed()
	bad.VMUUID, bad.WallDuration = "vm-7", -1
	_, err := EncodeCloud([]CloudRecord{completed(), bad})
	if err == nil || !strings.Contains(err.Error(), "record 2 (VM vm-7): WallDuration") {
		t.Errorf("%v", err)
	}
}

func TestDecimalsHaveThreePlaces(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 2: "2", 0.5: "0.5", 99.12345: "99.123", 1e6: "1000000", -0.0001: "0", 9999999.9994: "9999999.999"} {
		if got := decimal(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*CloudRecord)
		want   string // part of the error; "" = taken
	}{
		"as it is":                     {func(*CloudRecord) {}, ""},
		"no VM":                        {func(r *CloudRecord) { r.VMUUID = "" }, "VMUUID"},
		"VM is blank":                  {func(r *CloudRecord) { r.VMUUID = "  " }, "VMUUID"},
		"VM is a word for nothing":     {func(r *CloudRecord) { r.VMUUID = "None" }, "VMUUID"},
		"VM is cut":                    {func(r *CloudRecord) { r.VMUUID = strings.Repeat("a", 256) }, "VMUUID"},
		"VM would be escaped":          {func(r *CloudRecord) { r.VMUUID = "a\nSiteName: X" }, "VMUUID"},
		"no site":                      {func(r *CloudRecord) { r.SiteName = "" }, "SiteName"},
		"site is a word for nothing":   {func(r *CloudRecord) { r.SiteName = "NULL" }, "SiteName"},
		"site would be another":        {func(r *CloudRecord) { r.SiteName = "SÃO-PAULO" }, "SiteName"},
		"longest benchmark type":       {func(r *CloudRecord) { r.BenchmarkType = strings.Repeat("b", 50) }, ""},
		"benchmark type too long":      {func(r *CloudRecord) { r.BenchmarkType = strings.Repeat("b", 51) }, "BenchmarkType"},
		"too long once it is escaped":  {func(r *CloudRecord) { r.BenchmarkType = strings.Repeat("ñ", 9) }, "BenchmarkType"},
		"negative CPU count":           {func(r *CloudRecord) { r.CPUCount = -1 }, "CpuCount"},
		"CPU count is no number":       {func(r *CloudRecord) { r.CPUCount = math.NaN() }, "CpuCount"},
		"largest CPU count":            {func(r *CloudRecord) { r.CPUCount = 9999999.9994 }, ""},
		"CPU count too large":          {func(r *CloudRecord) { r.CPUCount = 9999999.9995 }, "CpuCount"},
		"benchmark is no number":       {func(r *CloudRecord) { r.Benchmark = new(math.NaN()) }, "Benchmark"},
		"benchmark too large":          {func(r *CloudRecord) { r.Benchmark = new(math.Inf(1)) }, "Benchmark"},
		"most addresses":               {func(r *CloudRecord) { r.PublicIPCount = math.MaxInt32 }, ""},
		"too many addresses":           {func(r *CloudRecord) { r.PublicIPCount = math.MaxInt32 + 1 }, "PublicIPCount"},
		"negative wall time":           {func(r *CloudRecord) { r.WallDuration = -1 }, "WallDuration"},
		"negative suspended time":      {func(r *CloudRecord) { r.SuspendDuration = -1 }, "SuspendDuration"},
		"negative CPU time":            {func(r *CloudRecord) { r.CPUDuration = -1 }, "CpuDuration"},
		"negative memory":              {func(r *CloudRecord) { r.Memory = -1 }, "Memory"},
		"negative disk":                {func(r *CloudRecord) { r.Disk = -1 }, "Disk"},
		"completed without an end":     {func(r *CloudRecord) { r.EndTime = 0 }, "completed"},
		"an end, but not completed":    {func(r *CloudRecord) { r.Status = "stopped" }, "completed"},
		"completed in other letters":   {func(r *CloudRecord) { r.Status = "Completed" }, ""},
		"starts before 1970":           {func(r *CloudRecord) { r.StartTime = -1 }, "time -1"},
		"ends after the year 9999":     {func(r *CloudRecord) { r.EndTime = lastSecond + 1 }, "time 253402300800"},
		"measured after the year 9999": {func(r *CloudRecord) { r.WallDuration = lastSecond }, "beyond"},
		"durations that overflow": {func(r *CloudRecord) {
			r.Status, r.EndTime, r.SuspendDuration, r.WallDuration = "started", 0, math.MaxInt64, math.MaxInt64
		}, "out of range"},
	} {
		r := completed()
		c.change(&r)
		err := r.Validate()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
		if _, encErr := EncodeCloudRecord(r); (encErr != nil) != (err != nil) {
			t.Errorf("%s: Validate says %v, EncodeCloudRecord says %v", name, err, encErr)
		}
	}
}

// The server dates a record by these rules, and keeps one for each VM and month (spec accounting §3.3).
func TestMeasuredAndPeriod(t *testing.T) {
	const february29 = 1709251199 // 2024-02-29T23:59:59Z
	for name, c := range map[string]struct {
		r        CloudRecord
		measured int64
		period   string
	}{
		"running: start and durations":      {CloudRecord{StartTime: february29 - 30, SuspendDuration: 10, WallDuration: 20, Status: "started"}, february29, "2024-02"},
		"a second later it is March":        {CloudRecord{StartTime: february29 - 30, SuspendDuration: 10, WallDuration: 21, Status: "started"}, february29 + 1, "2024-03"},
		"completed: the end, not durations": {CloudRecord{StartTime: 100, WallDuration: 5, EndTime: february29, Status: "completed"}, february29, "2024-02"},
		"completed in any letter case":      {CloudRecord{StartTime: 100, WallDuration: 5, EndTime: february29, Status: "COMPLETED"}, february29, "2024-02"},
	} {
		if m, p := c.r.Measured(), c.r.Period(); m != c.measured || p != c.period {
			t.Errorf("%s: %d %s, want %d %s", name, m, p, c.measured, c.period)
		}
	}
}

func TestParseCloudRefuses(t *testing.T) {
	const head = CloudHeader + "\n"
	for name, message := range map[string]string{
		"nothing":              "",
		"another kind":         `{"Type": "APEL Public IP message"}`,
		"another version":      "APEL-cloud-message: v0.2\n" + completedText,
		"an unknown field":     head + completedText + "Cores: 4\n",
		"RecordCreateTime":     head + completedText + "RecordCreateTime: 5\n",
		"a repeated field":     head + completedText + "VMUUID: c\n",
		"a line without colon": head + completedText + "hello\n",
		"an empty line":        head + completedText + "\n",
		"no VM":                head + "SiteName: S\n",
		"an empty record":      head + completedText + "%%\n",
		"a fraction":           head + "VMUUID: a\nWallDuration: 1.5\n",
		"a word for a number":  head + "VMUUID: a\nBenchmark: many\n",
	} {
		if r, err := ParseCloud([]byte(message)); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
	if r, err := ParseCloud([]byte(head)); err != nil || len(r) != 0 {
		t.Errorf("a header alone: %v, %v", r, err)
	}
}

func FuzzParseCloud(f *testing.F) {
	f.Add(CloudHeader + "\n" + runningText + separator + completedText)
	f.Add(CloudHeader + "\nVMUUID: a\nSiteName: S\nMachineName: %25%4\nBenchmark: 1e-9\n")
	f.Fuzz(func(t *testing.T, message string) {
		records, err := ParseCloud([]byte(message))
		if err != nil {
			return
		}
		text, err := EncodeCloud(records)
		if err != nil {
			return // read, but nothing that we would send
		}
		again, err := ParseCloud(text)
		if err != nil || len(again) != len(records) {
			t.Fatalf("%d records were written, %d read: %v\n%s", len(records), len(again), err, text)
		}
		for i := range again {
			if again[i].Measured() != records[i].Measured() || again[i].VMUUID != records[i].VMUUID || again[i].SiteName != records[i].SiteName {
				t.Errorf("record %d changed its key: %+v, was %+v", i, again[i], records[i])
			}
		}
		if stable, err := EncodeCloud(again); err != nil || string(stable) != string(text) {
			t.Errorf("written again it is another text: %v\n%s\n%s", err, text, stable)
		}
	})
}

package apelserver

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/protocol/apel"
)

// FuzzEncodedIsAccepted: a record that apel writes is one that the server loads, as the same record, dated in the same
// month; and the text's other reader reads it back.
func FuzzEncodedIsAccepted(f *testing.F) {
	f.Add("6b041c38-0000-4000-8000-000000000000", "SITE-A", "vm", "/ops/group/Role=user", "started", int64(1700000000), int64(0), int64(60), int64(3600), int64(7200), 2.0, 99.5, int64(1), int64(4096))
	f.Add("id", "SITE", "%%\r\nVMUUID: x", "none", "completed", int64(1700000000), int64(1700003600), int64(0), int64(3600), int64(math.MaxInt64), 0.0005, math.Copysign(0, -1), int64(math.MinInt32), int64(0))
	f.Add("id:", "a: b", " señor ", "/", "Completed", int64(1), int64(1), int64(0), int64(0), int64(0), 9999999.9994, 1e-300, int64(0), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, vm, site, machine, fqan, status string, start, end, suspend, wall, cpu int64, cpus, benchmark float64, ips, memory int64) {
		r := apel.CloudRecord{VMUUID: vm, SiteName: site, MachineName: machine, GlobalUserName: machine, LocalUserID: fqan, ImageID: machine, CloudType: status, FQAN: fqan, Status: status,
			StartTime: start, EndTime: end, SuspendDuration: suspend, WallDuration: wall, CPUDuration: cpu, CPUCount: cpus, Benchmark: &benchmark, BenchmarkType: site,
			PublicIPCount: ips, NetworkInbound: &memory, Memory: memory, Disk: memory}
		text, err := apel.EncodeCloud([]apel.CloudRecord{r})
		if err != nil {
			return // it is not sent
		}
		s := New()
		if v := s.Load(text, "/CN=x"); !v.Accepted || v.Records != 1 {
			t.Fatalf("%+v\n%s", v, text)
		}
		got := s.Kept()[0]
		back, err := apel.ParseCloud(text)
		if err != nil || len(back) != 1 {
			t.Fatalf("%d read back, %v\n%s", len(back), err, text)
		}
		if got.VMUUID != vm || got.SiteName != site || got.Measured != r.Measured() || time.Date(got.Year, time.Month(got.Month), 1, 0, 0, 0, 0, time.UTC).Format("2006-01") != r.Period() {
			t.Errorf("the server's key: %s of %s, %d-%d, measured %d; want %d in %s\n%s", got.VMUUID, got.SiteName, got.Year, got.Month, got.Measured, r.Measured(), r.Period(), text)
		}
		if *got.StartTime != start || *got.Wall != wall || *got.CPU != cpu || *got.Memory != memory || *got.NetworkInbound != memory || *got.PublicIPs != ips ||
			(suspend == 0) != (got.Suspend == nil) || suspend != 0 && *got.Suspend != suspend || got.CPUCount != back[0].CPUCount || got.Benchmark != *back[0].Benchmark {
			t.Errorf("the server's numbers: %+v\n%s", got, text)
		}
		for wire, name := range map[string]string{got.MachineName: machine, got.FQAN: fqan, got.Status: status} {
			if name == "" {
				name = "None"
			} else {
				name = apel.Escape(name)
			}
			if wire != name {
				t.Errorf("the server's text is %q, want %q", wire, name)
			}
		}
	})
}

// FuzzLoad: any message has a verdict, whole or not at all, and what is kept can be summed at any time; where the strict
// reader of our own messages takes it, the server takes it for the same.
func FuzzLoad(f *testing.F) {
	var file struct {
		Cases []struct {
			Message *string
			Base64  string `json:"message_base64"`
		}
	}
	text, err := os.ReadFile("testdata/accept-reject.json")
	if err != nil {
		f.Fatal(err)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		f.Fatal(err)
	}
	for _, c := range file.Cases {
		message, err := base64.StdEncoding.DecodeString(c.Base64)
		if err != nil {
			f.Fatal(err)
		}
		if c.Message != nil {
			message = []byte(*c.Message)
		}
		if len(message) < 4096 {
			f.Add(message)
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		s := New()
		v := s.Load(message, "/CN=x")
		if v.Accepted == (v.Reason != "") || v.Accepted && v.Crash || !v.Accepted && (v.Records != 0 || len(s.Kept()) != 0) || len(s.Kept()) > v.Records {
			t.Fatalf("%+v, %d kept", v, len(s.Kept()))
		}
		s.Summarise(time.Unix(1700000000, 0))
		_ = s.Monthly()
		records, err := apel.ParseCloud(message)
		if err != nil {
			return
		}
		again, err := apel.EncodeCloud(records)
		if err != nil || len(records) == 0 {
			return
		}
		if w := New().Load(again, "/CN=x"); !w.Accepted || w.Records != len(records) {
			t.Errorf("what we would send of it: %+v\n%s", w, again)
		}
		if strings.Contains(string(message), "%%\n%%") {
			return
		}
		if v.Accepted && v.Records != len(records) {
			t.Errorf("the server reads %d records, we %d", v.Records, len(records))
		}
	})
}

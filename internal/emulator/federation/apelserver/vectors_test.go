package apelserver

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// TestAcceptReject compares verdict, number of rows and the first row with what the released server did.
func TestAcceptReject(t *testing.T) {
	var file struct {
		Cases []struct {
			Name     string
			Message  *string
			Base64   string `json:"message_base64"`
			Database string
			Loader   struct {
				Verdict string
				Rows    int
				First   map[string]any
			}
		}
	}
	load(t, "accept-reject.json", &file)
	n := 0
	for _, c := range file.Cases {
		if c.Database != "cloud" {
			continue
		}
		n++
		t.Run(c.Name, func(t *testing.T) {
			message, err := base64.StdEncoding.DecodeString(c.Base64)
			if err != nil {
				t.Fatal(err)
			}
			if c.Message != nil {
				message = []byte(*c.Message)
			}
			s := New()
			v := s.Load(message, "/DC=org/DC=example/CN=site.example.org")
			got := "rejected"
			switch {
			case v.Crash:
				got = "crash"
			case v.Accepted:
				got = "accepted"
			}
			if got != c.Loader.Verdict {
				t.Fatalf("%s (%s), the server: %s", got, v.Reason, c.Loader.Verdict)
			}
			rows := s.Kept()
			if len(rows) != c.Loader.Rows {
				t.Errorf("%d rows, the server has %d", len(rows), c.Loader.Rows)
			}
			if len(rows) > 0 && c.Loader.First != nil {
				compare(t, c.Loader.First, columns(rows[0]))
			}
		})
	}
	if n < 200 {
		t.Errorf("only %d cloud cases", n)
	}
}

// columns gives a row as the server's database shows it.
func columns(r Row) map[string]any {
	num := func(p *int64) any {
		if p == nil {
			return nil
		}
		return float64(*p)
	}
	at := func(p *int64) any {
		if p == nil {
			return nil
		}
		return time.Unix(*p, 0).UTC().Format("2006-01-02 15:04:05")
	}
	m := map[string]any{"VMUUID": r.VMUUID, "SiteName": r.SiteName, "CloudComputeService": r.Service, "MachineName": r.MachineName, "LocalUserId": r.LocalUserID, "LocalGroupId": r.LocalGroupID,
		"GlobalUserName": r.GlobalUserName, "FQAN": r.FQAN, "VO": r.VO, "VOGroup": r.VOGroup, "VORole": r.VORole, "Status": r.Status, "StartTime": at(r.StartTime), "EndTime": at(r.EndTime),
		"SuspendDuration": num(r.Suspend), "WallDuration": num(r.Wall), "CpuDuration": num(r.CPU), "CpuCount": fmt.Sprintf("%.3f", r.CPUCount), "NetworkType": r.NetworkType,
		"NetworkInbound": num(r.NetworkInbound), "NetworkOutbound": num(r.NetworkOutbound), "PublicIPCount": num(r.PublicIPs), "Memory": num(r.Memory), "Disk": num(r.Disk),
		"BenchmarkType": r.BenchmarkType, "Benchmark": fmt.Sprintf("%.3f", r.Benchmark), "StorageRecordId": r.StorageRecordID, "ImageId": r.ImageID, "CloudType": r.CloudType,
		"MeasurementMonth": float64(r.Month), "MeasurementYear": float64(r.Year)}
	if r.Month != 0 {
		m["MeasurementTime"] = at(&r.Measured)
	}
	return m
}

// compare compares the columns that the model has.
func compare(t *testing.T, want, got map[string]any) {
	t.Helper()
	for k, w := range want {
		g, ok := got[k]
		if !ok {
			continue
		}
		if fmt.Sprint(w) != fmt.Sprint(g) {
			t.Errorf("%s is %v, the server has %v", k, g, w)
		}
	}
}

// TestSequences compares kept rows and monthly summaries with the released server's.
func TestSequences(t *testing.T) {
	var file struct {
		Sequences []struct {
			Name     string
			Messages []string
			Loads    []struct{ Verdict string }
			Runs     []struct {
				After int `json:"after_messages"`
				Clock time.Time
			} `json:"summary_runs"`
			Kept, Summaries []map[string]any
		}
	}
	load(t, "sequences.json", &file)
	n := 0
	for _, q := range file.Sequences {
		if len(q.Messages) == 0 || !strings.Contains(q.Messages[0], "APEL-cloud-message") {
			continue
		}
		n++
		t.Run(q.Name, func(t *testing.T) {
			s := New()
			for i, m := range q.Messages {
				v := s.Load([]byte(m), "")
				if v.Accepted != (q.Loads[i].Verdict == "accepted") {
					t.Errorf("message %d: %+v, the server: %s", i, v, q.Loads[i].Verdict)
				}
				for _, r := range q.Runs {
					if r.After == i+1 {
						s.Summarise(r.Clock)
					}
				}
			}
			var got []string
			for _, r := range s.Kept() {
				c := columns(r)
				got = append(got, line(c, "VMUUID", "SiteName", "MeasurementMonth", "MeasurementYear", "MeasurementTime", "Status", "WallDuration", "CpuDuration", "FQAN", "ImageId", "CpuCount"))
			}
			var want []string
			for _, r := range q.Kept {
				if r["MeasurementMonth"] == 0.0 {
					delete(r, "MeasurementTime")
				}
				want = append(want, line(r, "VMUUID", "SiteName", "MeasurementMonth", "MeasurementYear", "MeasurementTime", "Status", "WallDuration", "CpuDuration", "FQAN", "ImageId", "CpuCount"))
			}
			slices.Sort(got)
			slices.Sort(want)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("kept rows (-server +model):\n%s", d)
			}
			compareSummaries(t, q.Summaries, s.Summaries())
		})
	}
	if n < 60 {
		t.Errorf("only %d cloud sequences", n)
	}
}

func line(m map[string]any, keys ...string) string {
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%s=%v", k, m[k]))
	}
	return strings.Join(parts, " ")
}

func compareSummaries(t *testing.T, server []map[string]any, model []Summary) {
	t.Helper()
	keys := []string{"SiteName", "CloudComputeService", "Month", "Year", "GlobalUserName", "VO", "VOGroup", "VORole", "Status", "ImageId", "BenchmarkType", "WallDuration", "CpuDuration", "CpuCount", "Benchmark", "NumberOfVMs", "UpdateTime"}
	var want, got []string
	for _, r := range server {
		want = append(want, line(r, keys...))
	}
	for _, m := range model {
		c := map[string]any{"SiteName": m.Site, "CloudComputeService": m.Service, "Month": m.Month, "Year": m.Year, "GlobalUserName": m.User, "VO": m.VO, "VOGroup": m.VOGroup, "VORole": m.VORole,
			"Status": m.Status, "ImageId": m.Image, "BenchmarkType": m.BenchmarkType, "WallDuration": float64(m.Wall), "CpuDuration": float64(m.CPU), "CpuCount": fmt.Sprintf("%.3f", m.CPUCount),
			"Benchmark": fmt.Sprintf("%.3f", m.Benchmark), "NumberOfVMs": m.VMs, "UpdateTime": m.Updated.Format("2006-01-02 15:04:05")}
		if m.WallNull {
			c["WallDuration"] = nil
		}
		if m.CPUNull {
			c["CpuDuration"] = nil
		}
		got = append(got, line(c, keys...))
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("summaries (-server +model):\n%s", d)
	}
}

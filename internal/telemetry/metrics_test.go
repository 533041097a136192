package telemetry

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var update = flag.Bool("update", false, "write the reference anew")

// noon is when the snapshot of these tests was taken.
var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// figures is a snapshot with a sample of each metric.
func figures() Snapshot {
	return Snapshot{
		Clouds:       []CloudFigures{{Site: "SITE-A", Cloud: "r1", CollectedUntil: noon, GapWindows: 1, HeldShares: 2, Vanished: 3}, {Site: "SITE-B", Cloud: "r1"}},
		Sites:        []SiteFigures{{Site: "SITE-A", ConfigOK: true, Downtime: true, Sends: true, UnsentOldest: 90 * time.Second, Unsent: 7, Parked: 1}, {Site: "SITE-B"}},
		Months:       []MonthFigures{{Site: "SITE-A", Month: "2026-10", Complete: true}},
		Certificates: []CertificateFigures{{Site: "SITE-A", Name: "host", NotAfter: noon.AddDate(0, 0, 19)}, {Site: "SITE-B", Name: "host"}},
		Credentials:  []CredentialFigures{{Site: "SITE-A", Cloud: "r1", Part: "accounting", OK: true}},
		Publications: []PublicationFigures{{Site: "SITE-A", Name: "swift", Delivered: noon}, {Site: "SITE-B", Name: "file"}},
		Shares:       []ShareFigures{{Site: "SITE-A", Cloud: "r1", VO: "ops"}, {Site: "SITE-A", Cloud: "r1", VO: "biomed", Stale: time.Minute}, {Site: "SITE-A", Cloud: "r1", VO: "biomed", Stale: time.Hour}},
		Images:       []ImageFigures{{Site: "SITE-A", Cloud: "r1", VO: "ops", Wanted: 3, Present: 2, Behind: time.Hour}},
		ImageSources: []ImageSourceFigures{{Site: "SITE-A", Name: "egi", OK: true, Published: noon, Delay: 90 * time.Second}, {Site: "SITE-B", Name: "egi"}},
		Tasks: []TaskFigures{{Site: "SITE-A", Task: "accounting.collect", LastSuccess: noon, Period: time.Hour}, {Site: "SITE-A", Task: "accounting.send", Paused: true},
			{Task: "service.snapshot", Period: 24 * time.Hour}},
		Parts:     []PartFigures{{Site: "SITE-A", Part: "accounting", State: 2}},
		Directory: []DirectoryFigures{{Operation: "bind", Result: "0", Answers: 2, Took: time.Second}, {Operation: "search", Result: "0", Answers: 5, Took: 1500 * time.Millisecond}, {Operation: "search", Result: "52", Answers: 1}},
		Refused:   []RefusedFigures{{Reason: "address", Connections: 4}},
		Backup:    noon,
	}
}

func metricsOf(ask func(context.Context) (Snapshot, error)) *Metrics {
	return NewMetrics("1.0-test", ask, slog.New(slog.DiscardHandler))
}

func asked(s Snapshot) func(context.Context) (Snapshot, error) {
	return func(context.Context) (Snapshot, error) { return s, nil }
}

// scrape asks for the metrics as Prometheus does.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// own gives the lines that are fedsite's own samples.
func own(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) && !strings.HasPrefix(line, prefix+"build_info") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// TestMetrics: every value, as Prometheus reads it.
func TestMetrics(t *testing.T) {
	text := scrape(t, metricsOf(asked(figures())))
	want := []string{
		`fedsite_accounting_collected_until_timestamp_seconds{cloud="r1",site="SITE-A"} 1.7956944e+09`,
		`fedsite_accounting_gap_windows{cloud="r1",site="SITE-A"} 1`,
		`fedsite_accounting_gap_windows{cloud="r1",site="SITE-B"} 0`,
		`fedsite_accounting_held_shares{cloud="r1",site="SITE-A"} 2`,
		`fedsite_accounting_held_shares{cloud="r1",site="SITE-B"} 0`,
		`fedsite_accounting_parked_records{site="SITE-A"} 1`,
		`fedsite_accounting_unsent_oldest_seconds{site="SITE-A"} 90`,
		`fedsite_accounting_unsent_records{site="SITE-A"} 7`,
		`fedsite_accounting_vanished_vms_total{cloud="r1",site="SITE-A"} 3`,
		`fedsite_accounting_vanished_vms_total{cloud="r1",site="SITE-B"} 0`,
		`fedsite_certificate_expiry_timestamp_seconds{name="host",site="SITE-A"} 1.797336e+09`,
		`fedsite_credential_ok{cloud="r1",part="accounting",site="SITE-A"} 1`,
		`fedsite_discovery_published_timestamp_seconds{name="swift",site="SITE-A"} 1.7956944e+09`,
		`fedsite_discovery_share_stale_seconds{cloud="r1",site="SITE-A",vo="biomed"} 3600`,
		`fedsite_discovery_share_stale_seconds{cloud="r1",site="SITE-A",vo="ops"} 0`,
		`fedsite_downtime{site="SITE-A"} 1`,
		`fedsite_downtime{site="SITE-B"} 0`,
		`fedsite_health{part="accounting",site="SITE-A"} 2`,
		`fedsite_image_publication_delay_seconds{name="egi",site="SITE-A"} 90`,
		`fedsite_image_source_ok{name="egi",site="SITE-A"} 1`,
		`fedsite_image_source_ok{name="egi",site="SITE-B"} 0`,
		`fedsite_image_source_published_timestamp_seconds{name="egi",site="SITE-A"} 1.7956944e+09`,
		`fedsite_images_behind_seconds{cloud="r1",site="SITE-A",vo="ops"} 3600`,
		`fedsite_images_present{cloud="r1",site="SITE-A",vo="ops"} 2`,
		`fedsite_images_wanted{cloud="r1",site="SITE-A",vo="ops"} 3`,
		`fedsite_ldap_answer_seconds_total{operation="bind",result="0"} 1`,
		`fedsite_ldap_answer_seconds_total{operation="search",result="0"} 1.5`,
		`fedsite_ldap_answer_seconds_total{operation="search",result="52"} 0`,
		`fedsite_ldap_answers_total{operation="bind",result="0"} 2`,
		`fedsite_ldap_answers_total{operation="search",result="0"} 5`,
		`fedsite_ldap_answers_total{operation="search",result="52"} 1`,
		`fedsite_ldap_refused_connections_total{reason="address"} 4`,
		`fedsite_metrics_ok 1`,
		`fedsite_month_end_complete{month="2026-10",site="SITE-A"} 1`,
		`fedsite_site_config_ok{site="SITE-A"} 1`,
		`fedsite_site_config_ok{site="SITE-B"} 0`,
		`fedsite_store_backup_timestamp_seconds 1.7956944e+09`,
		`fedsite_task_last_success_timestamp_seconds{site="SITE-A",task="accounting.collect"} 1.7956944e+09`,
		`fedsite_task_period_seconds{site="",task="service.snapshot"} 86400`,
		`fedsite_task_period_seconds{site="SITE-A",task="accounting.collect"} 3600`,
		`fedsite_tasks_paused{site=""} 0`,
		`fedsite_tasks_paused{site="SITE-A"} 1`,
	}
	if d := cmp.Diff(want, own(text)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for _, more := range []string{"fedsite_build_info{goversion=", `version="1.0-test"} 1`, "go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(text, more) {
			t.Errorf("no %s", more)
		}
	}
	if got := metricsOf(asked(Snapshot{})); len(own(scrape(t, got))) != 1 {
		t.Errorf("of nothing: %v", own(scrape(t, got)))
	}
	problems, err := testutil.GatherAndLint(metricsOf(asked(figures())).reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// TestMetricsOfOddNames: names that others chose neither break the answer nor make two of one series.
func TestMetricsOfOddNames(t *testing.T) {
	s := Snapshot{Sites: []SiteFigures{{Site: "A\"\n\\", ConfigOK: true}, {Site: "b\xff"}, {Site: "b\xfe", ConfigOK: true}, {Site: "A\"\n\\"}}}
	want := []string{`fedsite_downtime{site="A\"\n\\"} 0`, `fedsite_downtime{site="b?"} 0`, "fedsite_metrics_ok 1", `fedsite_site_config_ok{site="A\"\n\\"} 1`, `fedsite_site_config_ok{site="b?"} 0`}
	if d := cmp.Diff(want, own(scrape(t, metricsOf(asked(s))))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestMetricsAskSeldom: many watchers at once lead to one question, and to the next one only after five seconds.
func TestMetricsAskSeldom(t *testing.T) {
	var (
		n   atomic.Int64
		now atomic.Int64
	)
	m := metricsOf(func(ctx context.Context) (Snapshot, error) {
		n.Add(1)
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > deadline {
			t.Errorf("the question may take until %s", end)
		}
		return figures(), nil
	})
	m.mono = func() time.Time { return noon.Add(time.Duration(now.Load())) }
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { scrape(t, m) })
	}
	wg.Wait()
	now.Store(int64(fresh - 1))
	scrape(t, m)
	if n.Load() != 1 {
		t.Errorf("asked %d times", n.Load())
	}
	now.Store(int64(fresh))
	scrape(t, m)
	if n.Load() != 2 {
		t.Errorf("asked %d times after five seconds", n.Load())
	}
}

// TestMetricsWithoutStore: a store that does not answer takes its own values away, and says so, but not the process's.
func TestMetricsWithoutStore(t *testing.T) {
	var log strings.Builder
	m := NewMetrics("x", func(context.Context) (Snapshot, error) { return figures(), errors.New("the database is locked") }, slog.New(slog.NewTextHandler(&log, nil)))
	text := scrape(t, m)
	if d := cmp.Diff([]string{"fedsite_metrics_ok 0"}, own(text)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !strings.Contains(text, "go_goroutines ") || !strings.Contains(text, "fedsite_build_info") || !strings.Contains(log.String(), "the database is locked") {
		t.Errorf("%s\n%s", log.String(), text)
	}
}

// TestReference holds the page against the program's table, and the table against what is really there.
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "metrics.md")
	if *update {
		if err := os.WriteFile(path, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Reference(), string(page)); d != "" {
		t.Errorf("%s is not what the program has; go test ./internal/telemetry -run TestReference -update (-want +got):\n%s", path, d)
	}
	described := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| (.*) \\| .* \\|$").FindAllStringSubmatch(string(page), -1) {
		described[row[1]] = row[2] + " " + strings.ReplaceAll(row[3], "`", "")
	}
	there := map[string]string{}
	families, err := metricsOf(asked(figures())).reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), prefix) {
			continue
		}
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		there[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(labels, ", ")
	}
	for name, said := range described {
		kind, labels, _ := strings.Cut(said, " ")
		words := strings.Split(labels, ", ")
		slices.Sort(words)
		described[name] = kind + " " + strings.Join(words, ", ")
	}
	if d := cmp.Diff(there, described); d != "" {
		t.Errorf("(-there +page):\n%s", d)
	}
}

// TestLabels: only what cannot grow without end is a label.
func TestLabels(t *testing.T) {
	allowed := []string{"site", "cloud", "vo", "part", "reason", "task", "month", "name", "operation", "result"}
	for _, m := range metrics {
		for _, l := range m.labels {
			if !slices.Contains(allowed, l) {
				t.Errorf("%s has the label %s", m.name, l)
			}
		}
	}
}

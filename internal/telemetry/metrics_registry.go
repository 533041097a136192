package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// How the store is asked: at most once in fresh, and not longer than deadline, so that neither many watchers nor a slow
// database harm anybody. Prometheus gives up after 10 s.
const (
	fresh    = 5 * time.Second
	deadline = 8 * time.Second
)

// Metrics serves fedsite's metrics. The values come from the store, when they are asked for.
type Metrics struct {
	ask  func(context.Context) (Snapshot, error)
	log  *slog.Logger
	reg  *prometheus.Registry
	mono func() time.Time // tests put their own

	mu   sync.Mutex // held while the store is asked: one question at a time
	last Snapshot
	err  error
	at   time.Time

	descs []*prometheus.Desc
	read  *prometheus.Desc
}

// NewMetrics makes the metrics of a program of that version. Ask gives the values; it is called at most every 5 s.
func NewMetrics(version string, ask func(context.Context) (Snapshot, error), log *slog.Logger) *Metrics {
	m := &Metrics{ask: ask, log: log, reg: prometheus.NewRegistry(), mono: time.Now,
		read: prometheus.NewDesc(prefix+"metrics_ok", "1 when the values could be read; when it is 0, all that come from the store are left out.", nil, nil)}
	for _, x := range metrics {
		m.descs = append(m.descs, prometheus.NewDesc(prefix+x.name, x.help, x.labels, nil))
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "build_info", Help: "1, with the version of fedsite and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	m.reg.MustRegister(m, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers what Prometheus asks.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: deadline + time.Second})
}

// Describe tells which metrics there are.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.read
	for _, d := range m.descs {
		to <- d
	}
}

// Collect gives the values.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	s, err := m.snapshot()
	to <- prometheus.MustNewConstMetric(m.read, prometheus.GaugeValue, truth(err == nil))
	if err != nil {
		return
	}
	for n, x := range metrics {
		kind := prometheus.GaugeValue
		if x.counter {
			kind = prometheus.CounterValue
		}
		seen := map[string]bool{}
		x.samples(s, func(value float64, labels ...string) {
			for i := range labels {
				labels[i] = strings.ToValidUTF8(labels[i], "?")
			}
			key := strings.Join(labels, "\x00")
			if seen[key] { // two of one name would spoil the whole answer
				return
			}
			seen[key] = true
			v, err := prometheus.NewConstMetric(m.descs[n], kind, value, labels...)
			if err != nil {
				v = prometheus.NewInvalidMetric(m.descs[n], err)
			}
			to <- v
		})
	}
}

// snapshot gives the values, asked for anew when the last ones are old.
func (m *Metrics) snapshot() (Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.at.IsZero() && m.mono().Sub(m.at) < fresh {
		return m.last, m.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	m.last, m.err = m.ask(ctx)
	if m.err != nil {
		m.log.Warn("metrics could not be read", "error", m.err)
	}
	m.at = m.mono()
	return m.last, m.err
}

// Reference is the page about the metrics, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceTop)
	row := func(name, kind string, labels []string, help string) {
		quoted := make([]string, len(labels))
		for i, l := range labels {
			quoted[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind, strings.Join(quoted, ", "), help)
	}
	b.WriteString("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, x := range metrics {
		kind := "gauge"
		if x.counter {
			kind = "counter"
		}
		row(prefix+x.name, kind, x.labels, x.help)
	}
	row(prefix+"metrics_ok", "gauge", nil, "1 when the values above could be read; when it is 0, they are left out.")
	row(prefix+"build_info", "gauge", []string{"version", "goversion"}, "1, with the version of fedsite and of Go.")
	b.WriteString(referenceEnd)
	return b.String()
}

const referenceTop = `<!-- Made by the tests of internal/telemetry from the program's own table: go test ./internal/telemetry -run TestReference -update -->

# Metrics

` + "`fedsite serve` answers Prometheus at `/metrics` of its web server (`web.listen`, on loopback unless configured). The values are read from the store" + `
when they are asked for, at most every 5 seconds, so that they are true also right after a restart. Times are unix seconds.
A value that is not known yet is left out. Alert rules are in ` + "[deploy/prometheus](../../deploy/prometheus)" + `; how to use them:
[alerts](../how-to/alerts.md).

`

const referenceEnd = `
The labels ` + "`site` and `cloud`" + ` are the names of the configuration, ` + "`part`" + ` is accounting, discovery, service or config, ` + "`task`" + ` a task's name without
its site, ` + "`month`" + ` is written 2026-10, and ` + "`name`" + ` says whose certificate or which sink it is. What begins with ` + "`fedsite_ldap_`" + ` counts from the start of the process. There are no labels for VMs, users or projects:
the number of series grows with sites, clouds and VOs only.

` + "`fedsite_accounting_unsent_oldest_seconds`" + ` is the time since everything was sent that was collected by then. It is some minutes in normal
operation, and never less than the age of the oldest record that waits.
` + "`fedsite_accounting_vanished_vms_total`" + ` becomes smaller when the rows of old VMs are removed (` + "`retention.records`" + `).

Go's and the process's own metrics, ` + "`go_*` and `process_*`" + `, come with them.
`

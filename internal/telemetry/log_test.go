package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clock is a Now that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

// newLog gives a log, and what reads its lines without their times.
func newLog(t *testing.T, o Options) (*slog.Logger, *clock, func() []string) {
	t.Helper()
	c := &clock{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	o.Now = c.now
	var out bytes.Buffer
	log, err := NewLogger(&out, o)
	if err != nil {
		t.Fatal(err)
	}
	return log, c, func() []string {
		var lines []string
		for line := range strings.Lines(out.String()) {
			_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			lines = append(lines, rest)
		}
		out.Reset()
		return lines
	}
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestRepeats(t *testing.T) {
	log, clock, lines := newLog(t, Options{})
	for range 4 {
		log.Error("send", "site", "A")
		clock.pass(10 * time.Second)
	}
	same(t, "four times", lines(), "level=ERROR msg=send site=A")
	log.Error("send", "site", "B")
	same(t, "then another", lines(), "level=ERROR msg=send site=A repeated=3", "level=ERROR msg=send site=B")
	log.Warn("send", "site", "B")
	log.Error("sent", "site", "B")
	same(t, "another level, another message", lines(), "level=WARN msg=send site=B", "level=ERROR msg=sent site=B")
	Flush(log)
	same(t, "nothing was repeated", lines())
	log.Error("sent", "site", "B")
	log.Error("sent", "site", "B")
	same(t, "after Flush it is written anew", lines(), "level=ERROR msg=sent site=B")
	Flush(log)
	Flush(log)
	same(t, "Flush writes the count, once", lines(), "level=ERROR msg=sent site=B repeated=1")
}

func TestRepeatsForMoreThanAMinute(t *testing.T) {
	log, clock, lines := newLog(t, Options{})
	for range 10 { // at 0, 20, … 180 s
		log.Error("send")
		clock.pass(20 * time.Second)
	}
	same(t, "a line a minute with the count before it", lines(), "level=ERROR msg=send",
		"level=ERROR msg=send repeated=2", "level=ERROR msg=send", "level=ERROR msg=send repeated=2", "level=ERROR msg=send", "level=ERROR msg=send repeated=2", "level=ERROR msg=send")
}

// A logger made anew for each run, as they are, repeats what the last one said.
func TestRepeatsOfDerivedLoggers(t *testing.T) {
	log, _, lines := newLog(t, Options{})
	for range 3 {
		log.With("site", "A").WithGroup("cloud").Error("send", "region", "R")
	}
	log.With("site", "B").WithGroup("cloud").Error("send", "region", "R")
	log.With("site", "B").Error("send", "region", "R")
	same(t, "derived", lines(), "level=ERROR msg=send site=A cloud.region=R", "level=ERROR msg=send site=A cloud.region=R cloud.repeated=2",
		"level=ERROR msg=send site=B cloud.region=R", "level=ERROR msg=send site=B region=R")
}

func TestWhatIsNoRepeat(t *testing.T) {
	log, _, lines := newLog(t, Options{})
	log.Info("a", "k", "v w=x")
	log.Info("a", "k", "v", "w", "x")
	log.Info("a", "k", 1)
	log.Info("a", "k", 2)
	log.Info("a", "error", errors.New("x"))
	log.Info("a", "error", errors.New("y"))
	if n := len(lines()); n != 6 {
		t.Errorf("%d lines, want 6", n)
	}
	log.Debug("hidden")
	log.Info("a", "error", errors.New("y"))
	same(t, "what is not written does not come between", lines())
}

func TestSecretsAreNotWritten(t *testing.T) {
	for _, o := range []Options{{}, {Format: "json"}, {Terminal: true}} {
		var out bytes.Buffer
		log, err := NewLogger(&out, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"password", "token", "secret", "x-api-key", "authorization", "Authorization", "X-Auth-Token", "client_secret", "access_token"} {
			log.Info("a", name, "pr1vate")
			log.With(name, "pr1vate").Info("b")
			log.Info("c", slog.Group("request", name, []byte("pr1vate")))
			log.Info("d", slog.Group(name, "value", "pr1vate"))
			log.WithGroup(name).Info("e", "value", "pr1vate")
			log.Info("f", name, "pr1vate")
			log.Info("f", name, "pr1vate")
		}
		Flush(log)
		if text := out.String(); strings.Contains(text, "pr1vate") || !strings.Contains(text, "***") || !strings.Contains(text, "repeated") {
			t.Errorf("%+v: %s", o, text)
		}
		out.Reset()
		log.Info("a", "token_file", "/etc/token", "tokens", 3)
		if text := out.String(); !strings.Contains(text, "/etc/token") || strings.Contains(text, "***") {
			t.Errorf("a name that is no secret's: %s", text)
		}
	}
}

func TestForms(t *testing.T) {
	winter := time.Date(2026, 1, 2, 4, 4, 5, 0, time.FixedZone("CET", 3600))
	write := func(o Options) string {
		var out bytes.Buffer
		log, err := NewLogger(&out, o)
		if err != nil {
			t.Fatal(err)
		}
		r := slog.NewRecord(winter, slog.LevelWarn, "late", 0)
		r.AddAttrs(slog.Time("since", winter), slog.String("site", "A B"))
		if err := log.Handler().Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got, want := write(Options{}), "time=2026-01-02T03:04:05.000Z level=WARN msg=late since=2026-01-02T03:04:05.000Z site=\"A B\"\n"; got != want {
		t.Errorf("text: %q, want %q", got, want)
	}
	var doc map[string]string
	if err := json.Unmarshal([]byte(write(Options{Format: "json", Terminal: true})), &doc); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"time": "2026-01-02T03:04:05Z", "level": "WARN", "msg": "late", "since": "2026-01-02T03:04:05Z", "site": "A B"}, doc); d != "" {
		t.Errorf("json (-want +got):\n%s", d)
	}
	if got := write(Options{Terminal: true}); !strings.Contains(got, "\x1b[") || !strings.Contains(got, "03:04:05") || !strings.Contains(got, "late") {
		t.Errorf("terminal: %q", got)
	}
}

func TestLevels(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "info": 3, "": 3, "warn": 2, "WARN": 2, "error": 1} {
		log, _, lines := newLog(t, Options{Level: level})
		log.Debug("a")
		log.Info("a")
		log.Warn("a")
		log.Error("a")
		if got := len(lines()); got != want {
			t.Errorf("%q: %d lines, want %d", level, got, want)
		}
	}
	for want, o := range map[string]Options{`log level "loud" is none of debug`: {Level: "loud"}, `log level "info+2"`: {Level: "info+2"}, `log format "xml" is none of text, json`: {Format: "xml"}} {
		if _, err := NewLogger(nil, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	log, _, lines := newLog(t, Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				log.With("site", "A").Error("send")
			}
		})
	}
	wg.Wait()
	Flush(log)
	same(t, "800 times", lines(), "level=ERROR msg=send site=A", "level=ERROR msg=send site=A repeated=799")
}

type full struct{ n int }

func (f *full) Write(p []byte) (int, error) {
	if f.n++; f.n == 2 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

func TestACountBearsTheTimeOfItsWriting(t *testing.T) {
	c := &clock{at: time.Now()}
	var out bytes.Buffer
	log, err := NewLogger(&out, Options{Format: "json", Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	log.Error("a")
	log.Error("a")
	c.pass(30 * time.Hour)
	out.Reset()
	Flush(log)
	var line struct{ Time time.Time }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || !line.Time.Equal(c.at) {
		t.Errorf("%s, want %s: %v", line.Time, c.at, err)
	}
}

func TestACountThatCannotBeWrittenDoesNotTakeTheRecordWithIt(t *testing.T) {
	w := &full{}
	log, err := NewLogger(w, Options{})
	if err != nil {
		t.Fatal(err)
	}
	log.Error("a")
	log.Error("a")
	log.Error("b") // the count of a fails
	if w.n != 3 {
		t.Errorf("%d writes, want 3", w.n)
	}
}

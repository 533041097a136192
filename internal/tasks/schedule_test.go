package tasks

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return t
}

func schedule(t testing.TB, text string) Schedule {
	t.Helper()
	s, err := ParseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScheduleNext(t *testing.T) {
	for _, c := range []struct{ text, after, want string }{
		{"*/5 * * * *", "2026-03-20 12:00:00", "2026-03-20 12:05:00"},
		{"*/5 * * * *", "2026-03-20 12:04:59", "2026-03-20 12:05:00"},
		{"*/5 * * * * +2m37s", "2026-03-20 12:00:00", "2026-03-20 12:02:37"},
		{"*/5 * * * * +2m37s", "2026-03-20 12:02:37", "2026-03-20 12:07:37"},
		{"@hourly", "2026-03-20 12:00:00", "2026-03-20 13:00:00"},
		{"@hourly +59m59s", "2026-03-20 12:59:58", "2026-03-20 12:59:59"},
		{"@daily +2h30m", "2026-03-20 12:00:00", "2026-03-21 02:30:00"},
		{"0 0 29 2 *", "2026-03-20 12:00:00", "2028-02-29 00:00:00"},
		{"@every 90s", "2026-03-20 12:00:07", "2026-03-20 12:01:37"},
		{"30 2 * * *", "2026-03-28 12:00:00", "2026-03-29 02:30:00"}, // an hour that some zones do not have
		{"  0   6 * *  mon ", "2026-03-20 12:00:00", "2026-03-23 06:00:00"},
	} {
		after := at(c.after)
		if got := schedule(t, c.text).Next(after); !got.Equal(at(c.want)) || got.Location() != time.UTC {
			t.Errorf("%q after %s: %v, want %s", c.text, c.after, got, c.want)
		}
		elsewhere := after.In(time.FixedZone("elsewhere", -5*3600-1800))
		if got := schedule(t, c.text).Next(elsewhere); !got.Equal(at(c.want)) {
			t.Errorf("%q depends on the zone of the time: %v", c.text, got)
		}
	}
}

func TestScheduleWrong(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"", "it is empty"},
		{"   ", "it is empty"},
		{"hourly", "found 1"},
		{"* * * * * *", "found 6"},
		{"61 * * * *", "61"},
		{"0 0 30 2 *", "never comes"},
		{", * * * *", "never comes"},
		{"@fortnightly", "@fortnightly"},
		{"@every", "as in @every 10m"},
		{"@every -5m", "as in @every 10m"},
		{"@every 0.5s", "as in @every 10m"},
		{"@every 1.5s", "as in @every 10m"},
		{"@every 99999h", "as in @every 10m"},
		{"@every 5m +30s", "cannot be later"},
		{"@hourly +30", "+30 is no whole number of seconds"},
		{"@hourly +1.5s", "+1.5s is no whole number of seconds"},
		{"@hourly +25h", "up to 24h"},
		{"+30s", "expected exactly 5"},
		{"TZ=", "UTC"},
		{"CRON_TZ=Europe/Madrid 0 0 * * *", "UTC"},
	} {
		s, err := ParseSchedule(c.text)
		if err == nil || !s.IsZero() || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.text)) || !strings.Contains(err.Error(), "five fields") {
			t.Errorf("%q: %v %v, want %q", c.text, s, err, c.says)
		}
	}
}

// TestDefaultSchedule: each site has its own offset, which does not change, and 300 sites are spread over the period.
func TestDefaultSchedule(t *testing.T) {
	for kind, want := range map[string]string{
		"accounting.collect": "@hourly +33m17s", "accounting.send": "*/5 * * * * +2m30s", "accounting.check": "@hourly +30m19s",
		"service.snapshot": "15 2 * * *", "service.retention": "45 3 * * *", "service.digest": "0 7 * * *",
	} {
		site := "example-cloud-4f1a"
		if strings.HasPrefix(kind, "service.") {
			site = ""
		}
		if got := DefaultSchedule(kind, site).String(); got != want {
			t.Errorf("%s: %q, want %q: it may not change from version to version", kind, got, want)
		}
	}
	after := at("2026-03-20 12:00:00")
	seconds := map[time.Time]int{}
	quarters := [4]int{}
	for i := range 300 {
		next := DefaultSchedule("accounting.collect", fmt.Sprint("site-", i)).Next(after)
		seconds[next]++
		quarters[next.Sub(after)%time.Hour/(15*time.Minute)]++
	}
	for next, n := range seconds {
		if n > 3 {
			t.Errorf("%d sites begin at %v", n, next)
		}
	}
	for q, n := range quarters {
		if n < 50 || n > 100 {
			t.Errorf("%d of 300 sites begin in quarter %d of the hour", n, q)
		}
	}
}

func FuzzSchedule(f *testing.F) {
	for _, text := range []string{"*/5 * * * *", "@every 5m", "@hourly +3m", "0 0 31 2 *", "TZ=", "*/9223372036854775807 * * * *", "1-2-3 * * * *"} {
		f.Add(text)
	}
	after := at("2026-03-20 12:00:00")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		next := s.Next(after)
		if !next.After(after) || next.Nanosecond() != 0 {
			t.Fatalf("%q: %v", text, next)
		}
		again, err := ParseSchedule(s.String())
		if err != nil || again.String() != s.String() || !again.Next(after).Equal(next) {
			t.Fatalf("%q is read back as %q, %v", s, again, err)
		}
	})
}

package tasks

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when a task is due: a cron expression on the wall clock in UTC, and how much later than that.
type Schedule struct {
	text  string
	cron  cron.Schedule
	later time.Duration
}

// String gives the schedule as ParseSchedule takes it.
func (s Schedule) String() string { return s.text }

// IsZero tells whether the schedule says nothing.
func (s Schedule) IsZero() bool { return s.cron == nil }

// Next gives the first slot after t, in UTC.
func (s Schedule) Next(t time.Time) time.Time {
	return s.cron.Next(t.UTC().Add(-s.later)).Add(s.later)
}

// form is what ParseSchedule takes, in words.
const form = `want five fields (minute, hour, day of the month, month, day of the week; UTC), or @hourly, @daily, @weekly, @monthly, @every 10m; ` +
	`and, but for @every, how much later than that: "@hourly +17m30s"`

// Bounds of what a schedule may say.
const (
	shortestEvery = time.Second
	longestEvery  = 366 * 24 * time.Hour
	longestLater  = 24 * time.Hour
)

// ParseSchedule reads a schedule: "*/5 * * * *", "@hourly", "@every 90s", "@daily +2h30m".
func ParseSchedule(text string) (Schedule, error) {
	s, err := parseSchedule(text)
	if err != nil {
		return Schedule{}, fmt.Errorf("schedule %q: %w: %s", text, err, form)
	}
	return s, nil
}

func parseSchedule(text string) (Schedule, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return Schedule{}, errors.New("it is empty")
	}
	s := Schedule{text: strings.Join(fields, " ")}
	if strings.Contains(fields[0], "=") {
		return Schedule{}, errors.New("it is always in UTC, no time zone can be named")
	}
	if last := fields[len(fields)-1]; len(fields) > 1 && strings.HasPrefix(last, "+") {
		later, err := time.ParseDuration(last[1:])
		if err != nil || later < 0 || later > longestLater || later%time.Second != 0 {
			return Schedule{}, fmt.Errorf("%s is no whole number of seconds up to 24h", last)
		}
		s.later, fields = later, fields[:len(fields)-1]
	}
	if fields[0] == "@every" {
		every, err := time.ParseDuration(strings.Join(fields[1:], ""))
		if err != nil || every < shortestEvery || every > longestEvery || every%time.Second != 0 {
			return Schedule{}, fmt.Errorf("after @every comes a whole number of seconds from %v to %v, as in @every 10m", shortestEvery, longestEvery)
		}
		if s.later != 0 {
			return Schedule{}, errors.New("@every begins when the last run ended, so it cannot be later than that")
		}
	}
	parsed, err := cron.ParseStandard(strings.Join(fields, " "))
	if err != nil {
		return Schedule{}, err
	}
	s.cron = parsed
	if parsed.Next(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, errors.New("such a day never comes")
	}
	return s, nil
}

// defaults are how often each kind of task runs unless the configuration says otherwise. Those of sites begin at an
// offset within period, which is the site's own.
var defaults = map[string]struct {
	text   string
	period time.Duration
}{
	"accounting.collect": {"@hourly", time.Hour},
	"accounting.send":    {"*/5 * * * *", 5 * time.Minute},
	"accounting.check":   {"@hourly", time.Hour},
	"discovery.publish":  {"*/30 * * * *", 30 * time.Minute},
	"discovery.check":    {"@hourly", time.Hour},
	"discovery.remove":   {"@hourly", 0},
	"images.sync":        {"*/10 * * * *", 10 * time.Minute},
	"images.check":       {"@hourly", time.Hour},
	"service.snapshot":   {"15 2 * * *", 0},
	"service.retention":  {"45 3 * * *", 0},
	"service.digest":     {"0 7 * * *", 0},
}

// DefaultSchedule gives how often a kind of task runs when the configuration does not say: hourly if it is none of those
// known. A site's tasks have an offset that comes from the kind and the site's id, so that it stays the same while sites
// come and go, and not all sites of a federation ask and send in the same second.
func DefaultSchedule(kind, site string) Schedule {
	d, ok := defaults[kind]
	if !ok {
		d = defaults["accounting.collect"]
	}
	text := d.text
	if seconds := uint64(d.period / time.Second); site != "" && seconds > 0 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(kind + "/" + site))
		text += fmt.Sprintf(" +%v", time.Duration(spread(h.Sum64())%seconds)*time.Second)
	}
	s, err := ParseSchedule(text)
	if err != nil {
		panic(err) // a default of ours; its test
	}
	return s
}

// spread mixes the bits of a hash: those of FNV that differ between sites which are called a, b, c are few.
func spread(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

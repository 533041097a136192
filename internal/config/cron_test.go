package config

import (
	"strings"
	"testing"
	"time"
)

func TestScheduleRules(t *testing.T) {
	said := func(s string) string { return base + "accounting: {schedule: {collect: \"" + s + "\"}}\n" }
	const at = "4:34 accounting.schedule.collect: "
	fields := func(n string) []string {
		return []string{at + `must be minute, hour, day, month and weekday, as "17 * * * *", and has ` + n + " fields: or @hourly, @daily, @every 30m"}
	}
	words := at + "must be @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or @every 30m, or five fields"
	every := []string{at + "must say how often as a duration of at least 1s: @every 30m"}
	field := func(name, text, span string) []string {
		return []string{at + "has no " + name + ` in "` + text + `": numbers from ` + span + ", as 5, 1-5, */10 or 0,30"}
	}
	rules := []rule{
		{"four fields", said("* * * *"), fields("4")}, {"with seconds", said("0 17 * * * *"), fields("6")}, {"a zone", said("TZ=UTC 17 * * * *"), fields("6")},
		{"an unknown word", said("@hourli"), []string{words + ": did you mean @hourly?"}}, {"at the start", said("@reboot"), []string{words}},
		{"every nothing", said("@every "), every}, {"every now and then", said("@every 15"), every}, {"every moment", said("@every 10ms"), every}, {"every day in days", said("@every 1d"), every},
		{"minute", said("60 * * * *"), field("minute", "60", "0 to 59")}, {"hour", said("0 24 * * *"), field("hour", "24", "0 to 23")},
		{"day", said("0 0 0 * *"), field("day", "0", "1 to 31")}, {"month", said("0 0 1 13 *"), field("month", "13", "1 to 12")},
		{"month by a name that is none", said("0 0 1 mai *"), field("month", "mai", "1 to 12")}, {"weekday", said("0 0 * * 7"), field("weekday", "7", "0 to 6")},
		{"a range that goes down", said("5-1 * * * *"), field("minute", "5-1", "0 to 59")}, {"no step", said("*/0 * * * *"), field("minute", "*/0", "0 to 59")},
		{"a step of words", said("*/x * * * *"), field("minute", "*/x", "0 to 59")}, {"an empty item", said("1,,2 * * * *"), field("minute", "1,,2", "0 to 59")},
		{"minus", said("-1 * * * *"), field("minute", "-1", "0 to 59")}, {"a star in a range", said("*-5 * * * *"), field("minute", "*-5", "0 to 59")}, {"two steps", said("1/2/3 * * * *"), field("minute", "1/2/3", "0 to 59")},
		{"the last day of February, each year", said("0 0 30 2 *"), []string{at + "never comes: no such month has a day 30"}},
		{"the same, whatever the weekday", said("0 0 30 2 1,*"), []string{at + "never comes: no such month has a day 30"}},
		{"a day that no such month has", said("0 0 31 4,jun *"), []string{at + "never comes: no such month has a day 31"}},
		{"a list", base + "accounting: {schedule: {send: [a]}}\n", []string{`4:25 accounting.schedule.send: must be a cron expression like "17 * * * *"`}},
	}
	for _, s := range []string{"17 * * * *", "@hourly", "@every 1h30m", "@every 1s", "0,30 */2 1-5 jan-Mar mon,FRI", "5/10 0 29 2 *", "0 0 31 4 1", "59 23 31 12 0", "0 0 31 4,5 *", "0 0 31 2/3 *", " 1 2 3  4 5 "} {
		rules = append(rules, rule{s, said(s), nil})
	}
	check(t, rules)
	c := parsed(t, base+"accounting: {schedule: {collect: \"@hourly\", check: \"1 2 3 4 5\"}}\n")
	if got, want := c.Sites[0].Accounting.Schedule, (Schedule{Collect: "@hourly", Check: "1 2 3 4 5"}); got != want {
		t.Errorf("%+v", got)
	}
}

// TestLongestGap: how long it may be until an expression's next moment.
func TestLongestGap(t *testing.T) {
	const h, d = time.Hour, 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"17 * * * *": h, "4,34 * * * *": 30 * time.Minute, "0,10 * * * *": 50 * time.Minute, "*/7 * * * *": 7 * time.Minute, "0 8-18 * * *": 14 * h, "30 0,12 * * *": 12 * h, "0 0,1,23 * * *": 22 * h,
		"0 0 * * mon-fri": 3 * d, "0 12 * * 1": 7 * d, "0 0 1 * *": 31 * d, "0 0 29 2 *": 1461 * d, "0 0 1 * 0": 7 * d, "0 0 */1 * 1": 7 * d, "0 0,12 1,15 * *": 16*d + 12*h, "0 0 * jan *": 336 * d, "5 4 31 * *": 61 * d,
		"@every 1h30m": 90 * time.Minute, "@hourly": h, "@daily": d, "@midnight": d, "@weekly": 7 * d, "@monthly": 31 * d, "@yearly": 366 * d, "@annually": 366 * d,
		"": 0, "* * *": 0, "@often": 0, "0 0 30 2 *": 0,
	} {
		if got := longestGap(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

// FuzzCron: no text is too much for the check, and what it takes has five fields or is a word.
func FuzzCron(f *testing.F) {
	for _, s := range []string{"17 * * * *", "@every 1h", "*/5,1-3 0 1 feb mon", "5/7 * 31 2 *", "@", "99999999999999999999 * * * *", "1-1-1 * * * *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkCron(s) == "" && len(strings.Fields(s)) != len(cronFields) && !strings.HasPrefix(s, "@") {
			t.Errorf("%q is taken", s)
		}
		if right := checkCron(s) == ""; right != (longestGap(s) > 0) {
			t.Errorf("%q: at most %v apart", s, longestGap(s))
		}
	})
}

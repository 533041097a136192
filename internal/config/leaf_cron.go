package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cron is a schedule. Its form is checked here, in the words of the file; what runs by it is internal/tasks.
type cron struct {
	said
	V string
}

func (v *cron) decode(d *decoder, n *node, _ field) {
	if !d.scalar(n, `a cron expression like "17 * * * *"`) {
		return
	}
	v.V = n.text
	if wrong := checkCron(n.text); wrong != "" {
		d.fail(n, "%s", wrong)
	}
}

// cronField is one of the five.
type cronField struct {
	name     string
	min, max int
	names    []string // in place of numbers, from min
}

var cronFields = []cronField{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day", 1, 31, nil},
	{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"weekday", 0, 6, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

var cronWords = []string{"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"}

// checkCron says what is wrong with a cron expression; "" when nothing is.
func checkCron(s string) string {
	if every, ok := strings.CutPrefix(s, "@every "); ok {
		if x, err := time.ParseDuration(every); err != nil || x < time.Second {
			return "must say how often as a duration of at least 1s: @every 30m"
		}
		return ""
	}
	if strings.HasPrefix(s, "@") {
		if !slices.Contains(cronWords, s) {
			return fmt.Sprintf("must be %s or @every 30m, or five fields%s", strings.Join(cronWords, ", "), suggest(s, cronWords))
		}
		return ""
	}
	all := strings.Fields(s)
	if len(all) != len(cronFields) {
		return fmt.Sprintf("must be minute, hour, day, month and weekday, as \"17 * * * *\", and has %d fields: or @hourly, @daily, @every 30m", len(all))
	}
	var values [5][]int
	for i, f := range cronFields {
		var ok bool
		if values[i], ok = f.read(all[i]); !ok {
			return fmt.Sprintf("has no %s in %q: numbers from %d to %d, as 5, 1-5, */10 or 0,30", f.name, all[i], f.min, f.max)
		}
	}
	longest := 0 // days of the longest month that is named
	for _, m := range values[3] {
		longest = max(longest, time.Date(2024, time.Month(m)+1, 0, 0, 0, 0, 0, time.UTC).Day())
	}
	if first := slices.Min(values[2]); first > longest && anyDay(all[4]) {
		return fmt.Sprintf("never comes: no such month has a day %d", first)
	}
	return ""
}

// cronGaps are the words that stand for a schedule, with the longest time between two of its moments.
var cronGaps = map[string]time.Duration{"@hourly": time.Hour, "@daily": aDay, "@midnight": aDay, "@weekly": 7 * aDay, "@monthly": 31 * aDay, "@yearly": 366 * aDay, "@annually": 366 * aDay}

const aDay = 24 * time.Hour

// longestGap gives the longest time between two moments of a cron expression that is right, UTC; 0 of one that is not.
func longestGap(s string) time.Duration {
	if checkCron(s) != "" {
		return 0
	}
	if every, ok := strings.CutPrefix(s, "@every "); ok {
		d, _ := time.ParseDuration(every) // checked
		return d
	}
	if gap, ok := cronGaps[s]; ok {
		return gap
	}
	all := strings.Fields(s)
	var values [5][]int
	for i, f := range cronFields {
		values[i], _ = f.read(all[i]) // checked
	}
	var moments []time.Duration // of a day
	for _, hour := range values[1] {
		for _, minute := range values[0] {
			moments = append(moments, time.Duration(hour)*time.Hour+time.Duration(minute)*time.Minute)
		}
	}
	slices.Sort(moments)
	first, last, longest := moments[0], moments[len(moments)-1], time.Duration(0)
	for i, m := range moments[1:] {
		longest = max(longest, m-moments[i])
	}
	// Nine years hold each date on most weekdays, and a leap day three times. Where that is not all, the gap is beyond each validity anyway.
	before := time.Time{}
	for d := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() < 2033; d = d.Add(aDay) {
		if !onDay(d, values, all) {
			continue
		}
		if !before.IsZero() {
			longest = max(longest, d.Add(first).Sub(before))
		}
		before = d.Add(last)
	}
	if before.IsZero() {
		return 1000 * aDay
	}
	return longest
}

// onDay tells whether a cron expression has moments on a day: when both the day of the month and the weekday are limited, one of
// them is enough.
func onDay(d time.Time, values [5][]int, all []string) bool {
	if !slices.Contains(values[3], int(d.Month())) {
		return false
	}
	date, weekday := slices.Contains(values[2], d.Day()), slices.Contains(values[4], int(d.Weekday()))
	if anyDay(all[2]) || anyDay(all[4]) {
		return date && weekday
	}
	return date || weekday
}

// anyDay tells whether a field of days, or of weekdays, leaves the choice to the other.
func anyDay(days string) bool {
	return slices.ContainsFunc(strings.Split(days, ","), func(s string) bool { return s == "*" || s == "*/1" })
}

// read gives the values that a field names.
func (f cronField) read(s string) ([]int, bool) {
	var all []int
	for item := range strings.SplitSeq(s, ",") {
		span, every, stepped := strings.Cut(item, "/")
		low, high, ranged := strings.Cut(span, "-")
		from, ok1 := f.min, true
		to, ok2 := f.max, true
		if span != "*" {
			from, ok1 = f.value(low)
			switch {
			case ranged:
				to, ok2 = f.value(high)
			case !stepped: // 5/10 is from 5 on
				to = from
			}
		}
		step, ok3 := 1, true
		if stepped {
			step, ok3 = digits(every)
		}
		if !ok1 || !ok2 || !ok3 || from > to || step < 1 {
			return nil, false
		}
		for v := from; v <= to; v += step {
			all = append(all, v)
		}
	}
	return all, true
}

func (f cronField) value(s string) (int, bool) {
	if i := slices.Index(f.names, strings.ToLower(s)); i >= 0 {
		return f.min + i, true
	}
	v, ok := digits(s)
	return v, ok && v >= f.min && v <= f.max
}

// digits reads a small number that is written in digits alone.
func digits(s string) (int, bool) {
	if s == "" || len(s) > 3 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// off is what stands for none where a default would be taken.
const off = "off"

// period is a length of time that may count calendar months.
type period struct {
	said
	V Period
}

func (v *period) decode(d *decoder, n *node, f field) {
	if !d.scalar(n, "a period like 18mo") {
		return
	}
	x, ok := parsePeriod(n.text)
	if !ok {
		d.fail(n, "must be a period in months, days or hours: 18mo, 180d, 36h or 1mo15d")
		return
	}
	v.V = x
	if least, ok := parsePeriod(f.get("min")); ok && x.about() < least.about() {
		d.fail(n, "must be at least %s", f.get("min"))
	}
}

var periods = regexp.MustCompile(`^(?:(\d{1,4})mo)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?$`)

// parsePeriod reads months, days of 24 hours and hours, in this order.
func parsePeriod(s string) (Period, bool) {
	m := periods.FindStringSubmatch(s)
	if m == nil || s == "" {
		return Period{}, false
	}
	count := func(digits string) int {
		n, _ := strconv.Atoi(digits) // digits, few; none is 0
		return n
	}
	return Period{Months: count(m[1]), Rest: time.Duration(24*count(m[2])+count(m[3])) * time.Hour}, true
}

// about is the period with months of 30 days, for bounds.
func (p Period) about() time.Duration { return time.Duration(p.Months)*30*24*time.Hour + p.Rest }

// String gives the period as the file has it: 18mo, 1mo15d, 36h.
func (p Period) String() string {
	var b strings.Builder
	hours := int(p.Rest / time.Hour)
	for _, part := range []struct {
		n    int
		unit string
	}{{p.Months, "mo"}, {hours / 24, "d"}, {hours % 24, "h"}} {
		if part.n != 0 {
			fmt.Fprintf(&b, "%d%s", part.n, part.unit)
		}
	}
	if b.Len() == 0 {
		return "0h"
	}
	return b.String()
}

// daily is a moment of each day, or off.
type daily struct {
	said
	V Daily
}

func (v *daily) decode(d *decoder, n *node, _ field) {
	if !d.scalar(n, "a time of day like 07:00, or off") {
		return
	}
	if n.text == off {
		return
	}
	at, err := time.Parse("15:04", n.text)
	if err != nil || len(n.text) != len("15:04") {
		d.fail(n, "must be a time of day like 07:00, UTC, or off")
		return
	}
	v.V = Daily{On: true, Hour: at.Hour(), Minute: at.Minute()}
}

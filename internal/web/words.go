package web

import (
	"fmt"
	"html"
	"html/template"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// How many characters of a text that others wrote a page shows, and a cell of a table. JSON has all of it.
const (
	maxText = 2000
	maxCell = 200
)

// foreign writes a text that others wrote into a page: escaped; kept apart from its surroundings, so that a text that runs
// from right to left moves nothing but itself; and with whatever cannot be seen made visible.
func foreign(text string) template.HTML { return isolated(visible(text, maxText)) }

// brief writes such a text into a cell of a table; all of it is where the cell leads.
func brief(text string) template.HTML { return isolated(visible(text, maxCell)) }

func isolated(text string) template.HTML {
	return template.HTML("<bdi>" + html.EscapeString(text) + "</bdi>") // #nosec: escaped just here
}

// visible spells out what hides in a text or turns it around, and cuts it.
func visible(text string, most int) string {
	if strings.TrimSpace(text) == "" && text != "" {
		return "(blank)"
	}
	var b strings.Builder
	n := 0
	for i, r := range text {
		if n++; n > most {
			fmt.Fprintf(&b, "… (%s more characters)", humanize.Comma(int64(utf8.RuneCountInString(text[i:]))))
			break
		}
		switch {
		case r == '\n':
			b.WriteRune(r)
		case r == '\t':
			b.WriteByte(' ')
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Co, r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// moment is an instant as a page shows it.
type moment struct {
	Machine, Words, Ago string
	Past                bool
}

// at writes an instant, seen from now: the hour on the same day, else the date too.
func at(now, t time.Time) moment {
	if t.Unix() <= 0 { // a zero time, or a zero in the database
		return moment{}
	}
	now, t = now.UTC(), t.UTC()
	words := t.Format("2006-01-02 15:04")
	if now.Format(time.DateOnly) == t.Format(time.DateOnly) {
		words = t.Format("15:04")
	}
	return moment{Machine: t.Format(time.RFC3339), Words: words, Ago: relative(t.Sub(now)), Past: t.Before(now)}
}

// exactly writes an instant to the second, with its date.
func exactly(now, t time.Time) moment {
	m := at(now, t)
	if m.Machine != "" {
		m.Words = t.UTC().Format("2006-01-02 15:04:05")
	}
	return m
}

// relative says how far away an instant is: "5 min ago", "in 2 h", "now".
func relative(d time.Duration) string {
	switch {
	case d.Abs() < 2*time.Second:
		return "now"
	case d < 0:
		return span(-d) + " ago"
	}
	return "in " + span(d)
}

// span writes a length of time in its largest fitting unit.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "–"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%s days", humanize.Comma(int64(d.Hours()/24)))
}

// took is how long a run went, so far or in all.
func (r Run) took(now time.Time) string {
	end := r.Ended
	if end.IsZero() {
		end = now
	}
	if end.Before(r.Started) {
		return "–" // a clock was set back
	}
	d := end.Sub(r.Started)
	if d >= time.Minute {
		return d.Truncate(time.Second).String()
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// mark is a state as a page shows it: a class for the colour, a sign, and a word.
type mark struct{ Class, Sign, Word string }

// show gives the mark of a state.
func show(s State) mark {
	switch s.known() {
	case OK:
		return mark{"ok", "✓", "ok"}
	case Warn:
		return mark{"warn", "!", "warning"}
	case Fail:
		return mark{"fail", "✗", "failed"}
	case Off:
		return mark{"off", "–", "off"}
	case InDowntime:
		return mark{"off", "–", "in downtime"}
	case Skip:
		return mark{"off", "–", "skipped"}
	}
	return mark{"unknown", "?", "not known yet"}
}

// noted gives the mark of a problem: one that spoils nothing is a note.
func noted(s State) mark {
	if s.known() == OK {
		return mark{"off", "i", "note"}
	}
	return show(s)
}

// outcome gives the mark of a run: its outcome's word, in the colour of what that means.
func outcome(r Run) mark {
	if r.Outcome == "" {
		return mark{"run", "►", "running"}
	}
	m := show(r.state())
	m.Word = visible(r.Outcome, maxCell)
	return m
}

// condition gives the mark of what a task does at the moment.
func condition(now time.Time, t Task) mark {
	word := t.condition(now)
	switch word {
	case "running", "stopping":
		return mark{"run", "►", word}
	case "paused":
		return mark{"off", "‖", word}
	case "off":
		return mark{"off", "–", word}
	case "overdue":
		return mark{"warn", "!", word}
	}
	return mark{"unknown", "○", word}
}

// taskPath is the address of a task's page, below /.
func taskPath(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return "/tasks/" + strings.Join(parts, "/")
}

// runPath is the address of a run's page.
func runPath(task string, fence int64) string { return fmt.Sprintf("%s/%d", taskPath(task), fence) }

// kind is a task's name without its site.
func kind(task string) string {
	before, _, _ := strings.Cut(task, "/")
	return before
}

// several is a number with the word for what is counted, in its plural: "1 problem", "2 problems".
func several(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + more
}

// functions are what templates can call.
func functions() template.FuncMap {
	return template.FuncMap{
		"x": foreign, "brief": brief, "at": at, "exactly": exactly, "show": show, "noted": noted, "outcome": outcome, "condition": condition,
		"taskPath": taskPath, "runPath": runPath, "kind": kind, "several": several,
		"took":     func(now time.Time, r Run) string { return r.took(now) },
		"next":     func(now time.Time, t Task) time.Time { return t.next(now) },
		"comma":    humanize.Comma,
		"count":    func(n int) string { return humanize.Comma(int64(n)) },
		"placesOf": placesOf,
		"spent":    func(s Step) string { return Run{Started: s.Started, Ended: s.Ended}.took(s.Started) },
	}
}

package main

// Rules of output:
//
//   - What was asked for goes to standard output, in the form of --output; all else goes to standard error.
//   - A problem is one line, "warn" or "FAIL" or "note", the object, a colon, the reason; a second line "→" says what to do.
//   - Colours and progress only on a terminal. Lower case, no full stop. Times are UTC and say so.
//   - JSON and YAML are stable: fields are added, never renamed.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/telemetry"
)

// Forms of output.
const (
	asTable = "table"
	asJSON  = "json"
	asYAML  = "yaml"
	asWire  = "wire" // of records: the exact text
)

// form is a command's flag --output.
type form struct {
	value string
	known []string
}

// forms gives a command the flag --output, with the forms it knows beside table, json and yaml.
func forms(cmd *cobra.Command, more ...string) *form {
	f := &form{value: asTable, known: append([]string{asTable, asJSON, asYAML}, more...)}
	cmd.Flags().VarP(f, "output", "o", "form of the output: "+strings.Join(f.known, ", "))
	return f
}

// String, Set and Type make it a flag.
func (f *form) String() string { return f.value }

// Set takes a form that is known.
func (f *form) Set(value string) error {
	if !slices.Contains(f.known, value) {
		return fmt.Errorf("it is none of %s", strings.Join(f.known, ", "))
	}
	f.value = value
	return nil
}

// Type is what help calls the value.
func (f *form) Type() string { return "form" }

// encode writes a value as JSON or YAML.
func (c *cli) encode(form string, value any) error {
	if form == asYAML {
		text, err := config.MarshalYAML(value)
		if err != nil {
			return err
		}
		_, err = c.out.Write(text)
		return err
	}
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// visible shows what a terminal would act on, or not show, by its code: tenants choose names.
func visible(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// table writes rows in columns, two blanks apart; columns of numbers stand to the right.
func (c *cli) table(head []string, rows [][]string) error {
	for _, row := range rows {
		for i := range row {
			row[i] = visible(row[i])
		}
	}
	widths, numeric := make([]int, len(head)), make([]bool, len(head))
	for i := range head {
		numeric[i] = len(rows) > 0
		for _, row := range append([][]string{head}, rows...) {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		for _, row := range rows {
			_, err := strconv.ParseFloat(strings.ReplaceAll(row[i], ",", ""), 64)
			numeric[i] = numeric[i] && err == nil
		}
	}
	for _, row := range append([][]string{head}, rows...) {
		var line strings.Builder
		for i, cell := range row {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if numeric[i] {
				cell = gap + cell
			} else {
				cell += gap
			}
			line.WriteString(cell + "  ")
		}
		if _, err := fmt.Fprintln(c.out, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

const (
	red    = "31"
	yellow = "33"
	dim    = "2"
)

func paint(terminal bool, colour, text string) string {
	if !terminal {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// fail says why the command failed.
func (c *cli) fail(err error, hint string) {
	var invalid *config.Errors
	if errors.As(err, &invalid) {
		fmt.Fprintln(c.err, strings.TrimRight(invalid.Error(), "\n"))
		return
	}
	fmt.Fprintf(c.err, "%s %v\n", paint(c.errTerminal, red, "error:"), err)
	if hint != "" {
		fmt.Fprintf(c.err, "  → %s\n", hint)
	}
}

// note says something that is worth knowing.
func (c *cli) note(text string) { fmt.Fprintln(c.err, paint(c.errTerminal, dim, text)) }

// problems writes a report's problems, the worse ones last, where the eye is.
func problems(w io.Writer, terminal bool, r run.Report) {
	for _, notice := range []bool{true, false} {
		for _, p := range r.Problems {
			if p.Notice != notice {
				continue
			}
			word, colour := "warn", yellow
			switch {
			case p.Notice:
				word, colour = "note", dim
			case p.Failed:
				word, colour = "FAIL", red
			}
			times := ""
			if p.Times > 1 {
				times = fmt.Sprintf(" (%d times)", p.Times)
			}
			fmt.Fprintf(w, "  %s  %s: %s%s\n", paint(terminal, colour, word), p.Object, p.Reason, times)
			if p.Hint != "" {
				fmt.Fprintf(w, "        → %s\n", p.Hint)
			}
		}
	}
	if r.Dropped > 0 {
		fmt.Fprintf(w, "  … and %d more\n", r.Dropped)
	}
}

// counts writes a report's counts in words, those that are not zero.
func counts(r run.Report, words []counted) string {
	var said []string
	for _, w := range words {
		n := r.Counts[w.name]
		if n == 0 && !w.always {
			continue
		}
		if w.bytes {
			said = append(said, humanize.Bytes(uint64(n))+" "+w.word)
			continue
		}
		said = append(said, several(n, w.word))
	}
	return strings.Join(said, ", ")
}

// several is a number with what is counted, whose first word is a plural: "1 message sent", "2 messages sent".
func several(n int64, what string) string {
	first, rest, more := strings.Cut(what, " ")
	if n == 1 {
		first = strings.TrimSuffix(first, "s")
	}
	if more {
		first += " " + rest
	}
	return humanize.Comma(n) + " " + first
}

type counted struct {
	name, word    string
	always, bytes bool
}

// stamp writes an instant for people.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// progress shows how far a run is, on a terminal only.
func (c *cli) progress() func(run.Progress) {
	if !c.errTerminal || c.verbose {
		return nil
	}
	var (
		mu  sync.Mutex
		bar *progressbar.ProgressBar
	)
	return func(p run.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Total == 0 {
			return
		}
		if bar == nil {
			bar = progressbar.NewOptions64(p.Total, progressbar.OptionSetWriter(c.err), progressbar.OptionSetDescription(p.Step+", "+p.What),
				progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowCount())
		}
		bar.ChangeMax64(p.Total)
		_ = bar.Set64(p.Done)
		if p.Done >= p.Total {
			_ = bar.Finish()
			bar = nil
		}
	}
}

// logger gives the program's log, on standard error, and what ends it.
func (c *cli) logger() (*slog.Logger, func(), error) {
	o := telemetry.Options{Terminal: c.errTerminal}
	for word := range strings.SplitSeq(c.getenv("FEDSITE_LOG"), ",") {
		switch word = strings.TrimSpace(word); word {
		case "json", "text":
			o.Format = word
		default:
			o.Level = word
		}
	}
	switch {
	case c.verbose:
		o.Level = "debug"
	case o.Level == "" && !c.serving:
		o.Level = "warn" // a command's report says the rest
	}
	log, err := telemetry.NewLogger(c.err, o)
	if err != nil {
		return nil, nil, &exit{code: run.ExitUsage, err: fmt.Errorf("FEDSITE_LOG: %w", err)}
	}
	return log, func() { telemetry.Flush(log) }, nil
}

// ask asks a question on standard error; only yes is yes.
func (c *cli) ask(question string) (bool, error) {
	fmt.Fprintf(c.err, "%s [y/N] ", question)
	line, err := bufio.NewReader(io.LimitReader(c.in, 100)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// allCounts writes all of a report's counts, by name.
func allCounts(r run.Report) string {
	said := make([]string, 0, len(r.Counts))
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		said = append(said, several(r.Counts[name], strings.ReplaceAll(name, "_", " ")))
	}
	if len(said) == 0 {
		return "nothing was counted"
	}
	return strings.Join(said, ", ")
}

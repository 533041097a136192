//go:build bench

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// table is what one part prints.
type table struct {
	title string
	head  []string
	rows  [][]string
	notes []string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }
func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// print writes the title, the table, its first column to the left and the others to the right, and the notes.
func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", t.title)
	width := 0
	for _, r := range append([][]string{t.head}, t.rows...) {
		width = max(width, len(r[0]))
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintf(tw, "%s\t%s\t\n", r[0]+strings.Repeat(" ", width-len(r[0])), strings.Join(r[1:], "\t"))
	}
	tw.Flush() //nolint:errcheck // a terminal, or a file
	for _, n := range t.notes {
		fmt.Fprintf(w, "  %s\n", n)
	}
}

func whole(n int64) string                            { return humanize.Comma(n) }
func seconds(d time.Duration) string                  { return fmt.Sprintf("%.1f", d.Seconds()) }
func milliseconds(d time.Duration) string             { return whole(d.Milliseconds()) }
func megabytes(n int64) string                        { return fmt.Sprintf("%.1f", float64(n)/1e6) }
func rate[N int | int64](n N, d time.Duration) string { return whole(int64(float64(n) / d.Seconds())) }

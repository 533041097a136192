package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Error is one thing that is wrong in a configuration file.
type Error struct {
	File    string
	Line    int // from 1; 0 = no place in the file
	Column  int // in characters, from 1
	Path    string
	Message string
	Source  string // the line, secrets masked; "" = none
	Caret   int    // column of Source that the error is about
}

// Error gives the error in one line, and beneath it the source line with a caret.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	if e.Source == "" {
		return b.String()
	}
	margin := fmt.Sprintf("> %2d | ", e.Line)
	b.WriteString("\n" + margin + e.Source + "\n" + strings.Repeat(" ", len(margin)))
	column := 1
	for _, r := range e.Source {
		if column >= e.Caret {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
		column++
	}
	b.WriteString("^")
	return b.String()
}

// Errors is everything that is wrong in a configuration file, in the file's order.
type Errors struct{ List []Error }

// Error gives all errors, each with its source line.
func (e *Errors) Error() string {
	all := make([]string, len(e.List))
	for i, one := range e.List {
		all[i] = one.Error()
	}
	return strings.Join(all, "\n")
}

// Unwrap gives each of the errors.
func (e *Errors) Unwrap() []error {
	all := make([]error, len(e.List))
	for i, one := range e.List {
		all[i] = one
	}
	return all
}

// document is the text of a file, and what of it is never shown.
type document struct {
	file       string
	lines      []string
	masked     map[int][]span // where secrets are, and what may be one, by line
	distrusted bool           // the file's form is so wrong that a secret may stand anywhere
	unit       bool           // one of several files with a site each, whose text is kept in the database
}

// problems collects what is wrong with one file, and with what another file adds to it.
type problems struct {
	*document
	list  []Error
	in    map[string]*document // by file: where the errors are
	noted map[Error]bool
	known map[string]bool // the words of the form
}

// place is a line and a column of a file, from 1; the zero place is none.
type place struct {
	line, column int
	in           *document
}

// span is columns of a line, from one to before another.
type span struct{ from, to int }

// endOfLine is a column, or line, that lies behind every other.
const endOfLine = 1 << 30

func newProblems(file, text string) *problems {
	return &problems{document: &document{file: file, lines: strings.Split(text, "\n"), masked: map[int][]span{}}, in: map[string]*document{}, noted: map[Error]bool{}}
}

// at gives a place of the file itself.
func (p *problems) at(line, column int) place { return place{line, column, p.document} }

// add notes an error at a place. The same error at the same place is noted once: settings that several sites share are
// read for each of them.
func (p *problems) add(at place, path, message string) {
	if at.in == nil {
		at.in = p.document
	}
	e := Error{File: at.in.file, Line: at.line, Column: at.column, Path: path, Message: message}
	if !p.noted[e] {
		p.noted[e], p.in[e.File] = true, at.in
		p.list = append(p.list, e)
	}
}

// distrust notes an error after which nothing tells where secrets are.
func (p *problems) distrust(at place, path, message string) {
	p.distrusted = true
	p.add(at, path, message)
}

// mask hides a part of a file wherever a source line is shown.
func mask(from, to place) {
	if from.in == nil {
		return
	}
	masked := from.in.masked
	for line := max(from.line, 1); line <= min(to.line, len(from.in.lines)); line++ {
		columns := span{1, endOfLine}
		if line == from.line {
			columns.from = from.column
		}
		if line == to.line {
			columns.to = to.column
		}
		if !slices.Contains(masked[line], columns) {
			masked[line] = append(masked[line], columns)
		}
	}
}

// err gives the errors in the file's order, then those of another file; nil when there are none.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	foreign := func(e Error) int {
		if e.File == p.file {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(p.list, func(a, b Error) int {
		return cmp.Or(foreign(a)-foreign(b), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	for i := range p.list {
		e := &p.list[i]
		e.Source, e.Caret = p.source(place{e.Line, e.Column, p.in[e.File]})
	}
	return &Errors{p.list}
}

var (
	piece   = regexp.MustCompile("[^][{},:\"'#&*!|> \t-]+")
	suspect = regexp.MustCompile(`(?i)(?:pass\w*|secret\w*|token|proxy)["']?[ \t]*:[ \t]*([^*{ \t].*)`)
	private = regexp.MustCompile(`(?i)(?:webhook|headers|heartbeat\w*)["']?[ \t]*:[ \t]*([^ \t].*)`)
	inURL   = regexp.MustCompile(`://([^@ \t]+)@`)
)

// suspects gives what of a line may be a secret although it is not known as one: text in comments behind words like
// password: and in URLs, what stands behind webhook:, and once the file's form is wrong, every word that is no key of the form.
func (p *problems) suspects(in *document, line string) []span {
	var found [][]int // start and end in bytes
	if in.distrusted {
		if p.known == nil {
			p.known = formWords()
		}
		for _, at := range piece.FindAllStringIndex(line, -1) {
			if !p.known[strings.TrimSuffix(line[at[0]:at[1]], "_file")] {
				found = append(found, at)
			}
		}
	}
	for _, form := range []*regexp.Regexp{suspect, private, inURL} {
		for _, at := range form.FindAllStringSubmatchIndex(line, -1) {
			found = append(found, at[2:4])
		}
	}
	var all []span
	for _, at := range found {
		column := utf8.RuneCountInString(line[:at[0]]) + 1
		all = append(all, span{column, column + utf8.RuneCountInString(line[at[0]:at[1]])})
	}
	return all
}

// longestSource bounds the characters of a source line that are shown.
const longestSource = 160

// source gives a line for showing: secrets masked, control characters taken out, cut around the column, which is given
// anew.
func (p *problems) source(at place) (string, int) {
	if at.in == nil || at.line < 1 || at.line > len(at.in.lines) {
		return "", 0
	}
	line := []rune(strings.TrimRight(at.in.lines[at.line-1], "\r\n \t"))
	column := at.column
	line, column = cover(line, column, at.in.masked[at.line])
	line, column = cover(line, column, p.suspects(at.in, string(line)))
	if len(line) == 0 {
		return "", 0
	}
	if len(line) > longestSource {
		start := min(max(0, column-longestSource/2), len(line)-longestSource)
		line, column = line[start:start+longestSource], column-start
	}
	for i, r := range line {
		if r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError {
			line[i] = '?'
		}
	}
	return string(line), column
}

// cover puts *** over spans of a line, and gives the column anew.
func cover(line []rune, column int, spans []span) ([]rune, int) {
	for _, s := range disjoint(spans) { // from the right, so that columns to the left stay
		from, to := s.from-1, min(s.to-1, len(line))
		for to > from && line[to-1] == ' ' {
			to--
		}
		if from >= to {
			continue
		}
		line = slices.Concat(line[:from], []rune(hidden), line[to:])
		switch {
		case column-1 >= to:
			column += len(hidden) - (to - from)
		case column-1 > from:
			column = from + 1
		}
	}
	return line, column
}

// disjoint joins spans of one line that touch, and gives them from the right.
func disjoint(spans []span) []span {
	spans = slices.SortedFunc(slices.Values(spans), func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var all []span
	for _, s := range spans {
		if n := len(all); n > 0 && s.from <= all[n-1].to {
			all[n-1].to = max(all[n-1].to, s.to)
			continue
		}
		all = append(all, s)
	}
	slices.Reverse(all)
	return all
}

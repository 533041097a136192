package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Show writes what is in effect as YAML: defaults and what is taken over from elsewhere filled in, each value with its
// origin as a comment. Secrets stand as ***; apart from them the text loads to the same configuration.
func (c *Config) Show(w io.Writer) error {
	if c.shown == nil {
		return errors.New("this configuration was not read from a file: nothing says where its values come from")
	}
	s := shower{file: c.File}
	s.mapping(c.shown, "", "")
	for _, u := range c.Broken {
		s.put("# "+printable(u.File)+" is broken: fedsite config check says why", "")
	}
	width := 0
	for _, line := range s.lines {
		width = max(width, min(utf8.RuneCountInString(line.text), widest))
	}
	var b bytes.Buffer
	for _, line := range s.lines {
		if line.origin == "" {
			fmt.Fprintln(&b, line.text)
		} else {
			fmt.Fprintf(&b, "%s%s  # %s\n", line.text, strings.Repeat(" ", max(0, width-utf8.RuneCountInString(line.text))), line.origin)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// widest is the column up to which comments stand beneath each other.
const widest = 60

// shower gathers lines, so that comments can be put beneath each other.
type shower struct {
	file  string
	lines []shownLine
}

type shownLine struct{ text, origin string }

func (s *shower) put(text, origin string) { s.lines = append(s.lines, shownLine{text, origin}) }

// mapping writes the keys of a mapping; first begins the first line in place of the indent, as "- " does.
func (s *shower) mapping(n *node, indent, first string) {
	for i, p := range n.pairs {
		start := indent
		if i == 0 && first != "" {
			start = first
		}
		s.value(p.value, start+key(p.key)+":", indent)
	}
}

// value writes a value after what begins its line.
func (s *shower) value(n *node, start, indent string) {
	switch {
	case n.kind == scalar:
		s.put(start+" "+shown(n), s.origin(n))
	case n.kind == mapping && len(n.pairs) == 0:
		s.put(start+" {}", s.origin(n))
	case n.kind == list && len(n.items) == 0:
		s.put(start+" []", s.origin(n))
	case n.kind == mapping:
		s.put(start, "")
		s.mapping(n, indent+"  ", "")
	case n.kind == list:
		s.put(start, "")
		for _, item := range n.items {
			if item.kind == mapping && len(item.pairs) > 0 {
				s.mapping(item, indent+"    ", indent+"  - ")
			} else {
				s.value(item, indent+"  -", indent+"  ")
			}
		}
	}
}

func (s *shower) origin(n *node) string {
	switch n.origin {
	case byDefault:
		return "default"
	case byEnvironment:
		return "environment, " + Database
	}
	file := s.file
	if n.at.in != nil {
		file = n.at.in.file
	}
	return fmt.Sprintf("%s:%d", printable(file), n.at.line)
}

// printable keeps a text within its line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return '?'
		}
		return r
	}, s)
}

var (
	safe      = regexp.MustCompile(`^[A-Za-z0-9/._][A-Za-z0-9/._+-]*(:[A-Za-z0-9/._+-]+)*$`)
	ambiguous = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|null|nan|\.nan|[+-]?\.?inf)$|^[0-9._+-]|^\.`)
)

// shown writes a scalar so that it is read as the same again.
func shown(n *node) string {
	text := n.text
	switch {
	case n.secret:
		text = hidden
	case n.proxy:
		text = withoutPassword(text)
	}
	if safe.MatchString(text) && (!n.quoted && text == n.text || !ambiguous.MatchString(text)) {
		return text
	}
	return quote(text)
}

func key(k string) string {
	if plainKey.MatchString(k) && !ambiguous.MatchString(k) {
		return k
	}
	return quote(k)
}

// quote writes a text in double quotes, as both JSON and YAML read it.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""`
	}
	return strings.TrimSpace(b.String())
}

package information

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// fedcloudclient writes a site as fedcloudclient's site file, keys in the order of the alphabet as the original has them.
func (s *Site) fedcloudclient() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "endpoint: %s\ngocdb: %s\n", scalar(s.URL), scalar(s.Name))
	if len(s.Shares) == 0 {
		b.WriteString("vos: []\n")
		return []byte(b.String())
	}
	b.WriteString("vos:\n")
	for _, p := range s.projects() {
		fmt.Fprintf(&b, "- auth:\n    project_id: %s\n  name: %s\n", scalar(p.ID), scalar(p.Name))
	}
	return []byte(b.String())
}

var (
	// plain is what is a text without quotes in any YAML: no indicator in it but ":" and "#" inside a word
	plain = regexp.MustCompile(`^[A-Za-z/_][A-Za-z0-9/_.-]*(?:[:=@+~][A-Za-z0-9/_.-]+)*$`)
	// taken are words that are something else than a text to some reader of YAML 1.1
	taken = regexp.MustCompile(`^(?i:null|true|false|yes|no|on|off|y|n)$`)
)

// scalar writes a text so that it stays one, whatever it holds.
func scalar(text string) string {
	switch {
	case plain.MatchString(text) && !taken.MatchString(text):
		return text
	case !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }):
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c >= ' ' && c <= '~':
			b.WriteRune(c)
		case c == utf8.RuneError:
			b.WriteString(`\uFFFD`)
		case c <= 0xffff:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			fmt.Fprintf(&b, `\U%08X`, c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

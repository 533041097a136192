package run

import (
	"strings"
	"unicode"
)

// Line makes one line of a text of others, as a Reason is: without control characters, of so many bytes at most and an ellipsis.
func Line(text string, longest int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}

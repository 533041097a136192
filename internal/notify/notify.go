// Package notify brings a message to people and to other programs: by e-mail, by HTTP to a URL, and as a sign of life.
//
// It decides nothing about what is said. What others wrote, as a site's name or a cloud's answer, can add neither a header
// nor a recipient, and no error holds a password or a URL's path, which often is the secret.
package notify

import (
	"context"
	"strings"
	"time"
	"unicode"
)

// Message is one message.
type Message struct {
	Kind    string    // change, digest, test
	Subject string    // one line
	Text    string    // plain text
	At      time.Time // UTC
	Items   any       // the same for programs; a webhook sends it as JSON
}

// Channel is a way to somebody.
type Channel interface {
	// Name tells channels apart in store and reports.
	Name() string
	// Send delivers the message once; nil means that the other side has it.
	Send(ctx context.Context, m Message) error
}

// line makes one line of a text: no control character is left, nor a space at either end.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	return strings.Join(strings.Fields(text), " ")
}

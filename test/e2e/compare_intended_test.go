//go:build e2e

package e2e

import (
	"regexp"
	"testing"
)

// intended are the differences that stay: in answers to the requests, the lines of features, and why.
var intended = []struct {
	requests, lines string // regular expressions
	reason          string
}{}

// without gives the lines that count.
func (p *comparison) without(name string, lines []string) []string {
	var left []string
lines:
	for _, line := range lines {
		for _, d := range intended {
			if regexp.MustCompile(d.requests).MatchString(name) && regexp.MustCompile(`^(?:`+d.lines+`)$`).MatchString(line) {
				p.seen[d.reason] = true
				continue lines
			}
		}
		left = append(left, line)
	}
	return left
}

// used fails the test for intended differences that no answer shows any more, and for too few requests.
func (p *comparison) used(t *testing.T) {
	t.Logf("%d requests compared", p.asked)
	if p.asked < 60 {
		t.Errorf("only %d requests were compared", p.asked)
	}
	for _, d := range intended {
		if !p.seen[d.reason] {
			t.Errorf("no answer has %s any more: %s", d.lines, d.reason)
		}
	}
}

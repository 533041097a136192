package config

import (
	"strings"
	"testing"
)

// TestTyposShowNoSecret: whatever letter is lost or added, no error shows a secret.
func TestTyposShowNoSecret(t *testing.T) {
	const text = `site: {gocdb: A}
clouds: [{name: m, credential: a}]
credentials:
  a: {username: u, password: hunter2, user_domain: d}
  b: {token: "hunter2 hunter2", token_file: /a}
  c:
    application_credential_id: i
    application_credential_secret: hunter2
  d:
    token: |
      hunter2
      hunter2
accounting: {ams: {token: 'hunter2', port: x}}
network: {proxy: "http://u:hunter2@p:3128", no_proxy: x}
store: {url: "postgres://u:hunter2@db/x", path: [x]}
`
	for i := range len(text) + 1 {
		for _, put := range []string{"", "x", " ", ":", "[", "]", "{", "}", ",", `"`, "'", "\n", "#", "&", "*", "!", "|", "- ", "\t"} {
			typo := text[:i] + put + text[i:]
			if put == "" {
				typo = text[:i] + text[min(i+1, len(text)):]
			}
			_, err := Parse("f.yaml", []byte(typo))
			if err == nil {
				t.Fatal("the text is wrong in itself")
			}
			for line := range strings.Lines(err.Error()) {
				if strings.Contains(line, "hunter") {
					t.Errorf("%q at %d shows: %s", put, i, line)
				}
			}
		}
	}
}

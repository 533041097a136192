package config

import (
	"strings"
	"testing"
)

// TestTyposShowNoSecret: whatever letter is lost or added, no error shows a secret.
func TestTyposShowNoSecret(t *testing.T) {
	typos(t, `site: {gocdb: A}
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
`, "", "x", " ", ":", "[", "]", "{", "}", ",", `"`, "'", "\n", "#", "&", "*", "!", "|", "- ", "\t")
}

// TestTyposOfTheServiceShowNoSecret does the same with the secrets that are deeper inside.
func TestTyposOfTheServiceShowNoSecret(t *testing.T) {
	typos(t, `sites: 1
credentials:
  o: {oidc: {client_secret: hunter2, refresh_token: "hunter2", access_token: hunter2}}
  v:
    vault:
      login: {token: hunter2, approle: {role_id: r, secret_id: 'hunter2'}}
  b: {basic: {user: u, password: hunter2}}
notify:
  smtp: {password: hunter2}
  webhook: {url: "https://h/hunter2", headers: {K: hunter2, "L": {file: /x}}}
  heartbeat_url: https://h/hunter2
`, "", "x", ":", "{", "}", ",", `"`, "\n", "#")
}

// typos puts each text into each place of a text that is wrong in itself, or takes a letter out.
func typos(t *testing.T, text string, all ...string) {
	t.Helper()
	for i := range len(text) + 1 {
		for _, put := range all {
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

// TestSlipsShowNoSecret: what was shown once.
func TestSlipsShowNoSecret(t *testing.T) {
	for _, text := range []string{
		"credentials: {v: {vault: {login: {token: a, role: {secret_id: 'hunter2'}}}}}\n",
		"credentials: {r: {username: {x: hunter2}}}\n",
		"credentials: {v: {vault: {login: {approle: {role_id: r secret_id: 'hunter2'}}}}}\n",
		"notify: {webhook: {headers: {K hunter2, L: x}}}\n",
		"notify: {webhook: {headers: {K: , hunter2, L: x}}}\n",
		"notify: {webhook: {headers: {Host: hunter2}}}\n",
		"notify:\n  webhook: #{url: \"https://h/hunter2\"}\n",
		"x  heartbeat_url: https://h/hunter2\n",
		"notify:\n  heartbeat_url: #https://h/hunter2\n",
	} {
		if _, err := Parse("f.yaml", []byte(text)); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s shows: %v", text, err)
		}
	}
}

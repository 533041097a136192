//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestSystemScope shows that a credential for the whole system, with which Nova answers 200 and no servers, is refused
// with what to do, and is never taken for an empty cloud.
func TestSystemScope(t *testing.T) {
	l := findLab(t)
	program := build(t)
	token := l.openstack(t.Context(), t, "accounting@system", "token", "issue", "-f", "value", "-c", "id")
	for name, credential := range map[string]string{
		"system_scope in clouds.yaml": l.entry("accounting@system"),
		"token of the system":         "{token: " + token + "}",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, program, time.Now().UTC(), credential, "dirq: {path: "+t.TempDir()+"}")
			if strings.Contains(credential, "token") {
				s.replace(t, "name: lab,", "name: lab, auth_url: "+l.openstack(t.Context(), t, "accounting@system", "configuration", "show", "-f", "value", "-c", "auth.auth_url")+",")
			}
			out, _ := s.call(t, 12, "accounting", "collect")
			if !strings.Contains(out, "FAIL  cloud lab") || !strings.Contains(out, "whole system") && !strings.Contains(out, "system_scope") || !strings.Contains(out, "→") {
				t.Errorf("no word on what is wrong, or what to do:\n%s", out)
			}
			if n := len(s.ledger(t)); n != 0 {
				t.Errorf("%d records", n)
			}
		})
	}
}

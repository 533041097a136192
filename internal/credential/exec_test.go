package credential_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/credential"
	"github.com/fedsite/fedsite/internal/openstack"
)

// program writes a program of the shell.
func program(t *testing.T, text string) *credential.Exec {
	t.Helper()
	name := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	return &credential.Exec{Command: []string{name, "argument"}}
}

// TestExec: each form that a program may print, kept until it ends.
func TestExec(t *testing.T) {
	for text, want := range map[string]openstack.Credential{
		`{"username":"robot","password":"hunter2","user_domain_name":"EGI"}`:                      {Username: "robot", Password: "hunter2", UserDomain: "EGI"},
		`{"application_credential_id":"a","application_credential_secret":"hunter2"}`:             {ApplicationID: "a", ApplicationSecret: "hunter2"},
		`{"token":"hunter2","expires_at":"2026-11-26T13:00:00Z"}`:                                 {Token: "hunter2"},
		`{"token":"hunter2","expires_at":1795698000}`:                                             {Token: "hunter2"},
		`{"access_token":"hunter2","identity_provider":"egi.eu","expires":"2026-11-26T13:00:00"}`: {AccessToken: "hunter2", IdentityProvider: "egi.eu", Protocol: "openid"},
	} {
		c := newClock()
		count := filepath.Join(t.TempDir(), "count")
		r := resolver(c, map[string]credential.Spec{"x": {Exec: program(t, "echo >>"+count+"\ncat <<'EOT'\n"+text+"\nEOT")}})
		runs := func(after time.Duration) int {
			t.Helper()
			c.forward(after)
			e, err := r.OpenStack(t.Context(), "x", credential.For{})
			if err != nil || e.Credential != want {
				t.Fatalf("%s: %+v, %v", text, e, err)
			}
			lines, _ := os.ReadFile(count)
			return len(lines)
		}
		later := 9 * time.Minute
		if strings.Contains(text, "expires") {
			later = 50 * time.Minute
		}
		if a, b, c := runs(0), runs(later), runs(9*time.Minute); a != 1 || b != 1 || c != 2 {
			t.Errorf("%s: run %d, %d, %d times", text, a, b, c)
		}
	}
}

// TestExecIsTold: what the program finds in its arguments and its environment; no secret of ours is there.
func TestExecIsTold(t *testing.T) {
	t.Setenv("FEDSITE_DATABASE", "postgres://u:hunter2@db/x")
	t.Setenv("OS_PASSWORD", "hunter2")
	r := resolver(newClock(), map[string]credential.Spec{"x": {Exec: program(t, `env >"$0.env"; printf '{"username":"%s","password":"%s %s %s %s"}' "$1" "$FEDSITE_CREDENTIAL" "$FEDSITE_SITE" "$FEDSITE_VO" "$FEDSITE_KEYSTONE_HOST"`)}})
	user, told, err := r.Basic(t.Context(), "x", credential.For{Site: "SITE", VO: "/biomed/vip", KeystoneHost: "keystone.example.org"})
	if err != nil || user != "argument" || told != "x SITE /biomed/vip keystone.example.org" {
		t.Errorf("%q, %q, %v", user, told, err)
	}
	spec := program(t, "env >&2; exit 1")
	_, _, err = resolver(newClock(), map[string]credential.Spec{"x": {Exec: spec}}).Basic(t.Context(), "x", credential.For{})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

// TestExecFails: what is wrong is said with a little of what the program says, and no secret.
func TestExecFails(t *testing.T) {
	for _, no := range []struct {
		text, says string
		kind       error
	}{
		{"echo the keyring is locked >&2; exit 3", "exit status 3: the keyring is locked", credential.ErrRefused},
		{`echo '{"token":"hunter2-token"}'; echo cannot renew hunter2-token >&2; exit 1`, "cannot renew ***", credential.ErrRefused},
		{`echo 'password: hunter2, token=hunter2 "secret": "hunter2" Bearer hunter2' >&2; exit 1`, "password: ***", credential.ErrRefused},
		{`echo 'got hunter2aGVsbG8gd29ybGQgdGhpcyBpcw from it' >&2; exit 1`, "got *** from it", credential.ErrRefused},
		{`i=0; while [ $i -lt 200 ]; do echo words and words >&2; i=$((i+1)); done; exit 1`, "…", credential.ErrRefused},
		{"echo hunter2", "no JSON object", credential.ErrConfiguration},
		{"echo '[]'", "no JSON object", credential.ErrConfiguration},
		{"true", "0 bytes", credential.ErrConfiguration},
		{`echo '{"token":"hunter2","expires_at":"soon"}'`, "expires_at is no time", credential.ErrConfiguration},
		{`echo '{"password":"hunter2"}'`, "only password", credential.ErrConfiguration},
		{"yes hunter2", "more than 1048576 bytes", credential.ErrConfiguration},
	} {
		_, err := resolver(newClock(), map[string]credential.Spec{"x": {Exec: program(t, no.text)}}).OpenStack(t.Context(), "x", credential.For{})
		discreet(t, err, no.kind, no.says)
		if len(err.Error()) > 400 {
			t.Errorf("%d bytes: %v", len(err.Error()), err)
		}
	}
	_, err := resolver(newClock(), map[string]credential.Spec{"x": {Exec: &credential.Exec{Command: []string{"/nowhere/program"}}}}).OpenStack(t.Context(), "x", credential.For{})
	discreet(t, err, credential.ErrConfiguration, "/nowhere/program")
}

// TestExecLeavesNothingBehind: a program that takes too long is ended, with what it has started; so is what one leaves
// behind that has ended itself.
func TestExecLeavesNothingBehind(t *testing.T) {
	for _, slow := range []bool{true, false} {
		pids := filepath.Join(t.TempDir(), "pids")
		text := fmt.Sprintf("sleep 600 >/dev/null 2>&1 &\necho $! >%[1]s.new; mv %[1]s.new %[1]s\n", pids)
		if slow {
			text += "wait"
		} else {
			text += `echo '{"token":"t"}'`
		}
		x := program(t, text)
		if x.Timeout = time.Minute; slow {
			x.Timeout = 300 * time.Millisecond
		}
		_, err := resolver(newClock(), map[string]credential.Spec{"x": {Exec: x}}).OpenStack(t.Context(), "x", credential.For{})
		if slow {
			discreet(t, err, credential.ErrUnavailable, "had not ended after 300ms")
		} else if err != nil {
			t.Error(err)
		}
		text2, err := os.ReadFile(pids)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text2)))
		if err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); syscall.Kill(pid, 0) == nil && !zombie(pid); runtime.Gosched() { // the kill is sent; the kernel carries it out
			if time.Since(began) > 10*time.Second {
				t.Fatal("it lives")
			}
		}
	}
}

// zombie tells whether a process is dead, and only not yet looked after by its parent.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	return err != nil || strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}

//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The site as the configurations name it.
const (
	siteName    = "LAB-SITE"
	serviceName = "LAB-SITE-CLOUD"
	settle      = time.Minute
)

// build builds the program as `make build` does, and gives its path.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "fedsite")
	run(t.Context(), t, "", []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", program, "../../cmd/fedsite")
	return program
}

// site is the program with one configuration and a store of its own.
type site struct {
	program, config string
}

// newSite writes a configuration with a credential, written as YAML, and a destination, likewise.
func newSite(t *testing.T, program string, since time.Time, credential, destination string) *site {
	t.Helper()
	dir := t.TempDir()
	lines := []string{
		"site: {gocdb: " + siteName + "}",
		"clouds:",
		"  - {name: lab, credential: login, service_name: " + serviceName + "}",
		"credentials:",
		"  login: " + credential,
		"accounting:",
		"  mode: active",
		"  previously: caso",
		"  since: " + since.Format(time.DateOnly),
		"  active_from: " + since.Format("2006-01") + "-01",
		"  settle: " + settle.String(),
		"  " + destination,
		"discovery: {mode: disabled}",
		"store: {path: " + filepath.Join(dir, "state") + "}",
	}
	s := &site{program: program, config: filepath.Join(dir, "fedsite.yaml")}
	if err := os.WriteFile(s.config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (l *lab) entry(cloud string) string {
	return fmt.Sprintf("{os_cloud: %s, clouds_file: %s}", cloud, l.clouds())
}

// call runs the program and checks its exit code.
func (s *site) call(t *testing.T, exit int, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.program, append(args, "--config", s.config)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(s.config)} // no proxy, no OS_*
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	code := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = e.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if code != exit {
		t.Fatalf("fedsite %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, exit, &out, &problems)
	}
	return out.String(), problems.String()
}

// collect collects up to the moment.
func (s *site) collect(t *testing.T, exit int, to time.Time) string {
	t.Helper()
	out, problems := s.call(t, exit, "accounting", "collect", "--to", to.UTC().Format(time.RFC3339))
	t.Logf("collect\n%s%s", out, problems)
	return out
}

func (s *site) send(t *testing.T) string {
	t.Helper()
	out, problems := s.call(t, 0, "accounting", "send", "--yes")
	t.Logf("send\n%s%s", out, problems)
	return out
}

// entry is a record as `fedsite accounting records -o json` shows it.
type entry struct {
	VM       string            `json:"vm"`
	Period   string            `json:"period"`
	Measured time.Time         `json:"measured"`
	Sent     map[string]string `json:"sent"`
	Wire     string            `json:"wire"`
}

// ledger gives the records in the ledger.
func (s *site) ledger(t *testing.T) map[key]entry {
	t.Helper()
	out, _ := s.call(t, 0, "accounting", "records", "-o", "json")
	var all []entry
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	by := map[key]entry{}
	for _, e := range all {
		by[key{e.VM, e.Period}] = e
	}
	if len(by) != len(all) {
		t.Errorf("%d records, but only %d different servers and months", len(all), len(by))
	}
	return by
}

// wires gives the exact texts of the records.
func wires(ledger map[key]entry) map[key]string {
	all := map[key]string{}
	for k, e := range ledger {
		all[k] = e.Wire
	}
	return all
}

// parse reads a record's lines.
func parse(t *testing.T, wire string) fields {
	t.Helper()
	f := fields{}
	for line := range strings.Lines(wire) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if _, twice := f[name]; !ok || twice {
			t.Errorf("line %q is not of a record, or there twice", line)
		}
		f[name] = value
	}
	return f
}

// replace changes the configuration.
func (s *site) replace(t *testing.T, old, fresh string) {
	t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), old, fresh, 1)
	if changed == string(text) {
		t.Fatalf("the configuration has no %q", old)
	}
	if err := os.WriteFile(s.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lab is the real OpenStack.
type lab struct {
	dir     string // its state
	script  string
	client  string // python-openstackclient
	python  string // with dirq
	openssl string
}

// findLab fails the test, saying what to do, when something that it needs is not there.
func findLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{dir: os.Getenv("LAB_DIR"), client: os.Getenv("FEDSITE_OPENSTACKCLIENT")}
	if l.dir == "" {
		l.dir = "/var/lib/openstack-lab"
	}
	if _, err := os.Stat(l.clouds()); err != nil {
		t.Fatalf("%v: start the lab: make lab-install lab-up", err)
	}
	if l.client == "" {
		t.Fatal("FEDSITE_OPENSTACKCLIENT is not set: use make e2e, or name the openstack program of a virtual environment made of requirements.txt")
	}
	l.python = filepath.Join(filepath.Dir(l.client), "python")
	var err error
	if l.script, err = filepath.Abs("../openstack/lab"); err != nil {
		t.Fatal(err)
	}
	if l.openssl, err = exec.LookPath("openssl"); err != nil {
		t.Fatal("openssl was not found: apt-get install openssl")
	}
	return l
}

func (l *lab) clouds() string { return filepath.Join(l.dir, "clouds.yaml") }

// setting gives one of the lab's own settings.
func (l *lab) setting(t *testing.T, name string) string {
	t.Helper()
	settings, err := os.ReadFile(filepath.Join(l.dir, "settings"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + `='(.*)'$`).FindSubmatch(settings)
	if m == nil {
		t.Fatalf("the lab's settings have no %s", name)
	}
	return string(m[1])
}

// root gives the URL of a daemon: "KEYSTONE".
func (l *lab) root(t *testing.T, daemon string) string {
	t.Helper()
	return "http://" + l.setting(t, "LAB_HOST") + ":" + l.setting(t, "LAB_PORT_"+daemon)
}

// run gives a program's standard output; it fails the test, with standard error, unless the program exits with 0.
func run(ctx context.Context, t *testing.T, stdin string, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Env = strings.NewReader(stdin), append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

func (l *lab) lab(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	return run(t.Context(), t, stdin, []string{"LAB_DIR=" + l.dir}, l.script, args...)
}

// openstack calls python-openstackclient with an entry of the lab's clouds.yaml.
func (l *lab) openstack(ctx context.Context, t *testing.T, cloud string, args ...string) string {
	t.Helper()
	env := []string{"OS_CLIENT_CONFIG_FILE=" + l.clouds(), "no_proxy=*", "LANG=C.UTF-8"}
	return strings.TrimSpace(run(ctx, t, "", env, l.client, append([]string{"--os-cloud", cloud}, args...)...))
}

// query reads rows of a service's database; the statement gives one JSON object per row.
func query[T any](t *testing.T, l *lab, database, sql string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(l.lab(t, sql, "sql", database)) {
		var row T
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("database %s: %v\n%s", database, err, line)
		}
		all = append(all, row)
	}
	return all
}

// history puts servers of the last months into the lab, unless they are there: some that still run, across the ends of
// months, and some that ended before accounting begins.
func (l *lab) history(t *testing.T) {
	t.Helper()
	// Nova's own reservation ids are shorter, and one in 37 begins with the same letter.
	found := query[struct{ N int }](t, l, "nova", `SELECT JSON_OBJECT('N', COUNT(*)) FROM instances WHERE reservation_id RLIKE '^r-h[0-9a-f]{12}$'`)
	if found[0].N == 0 {
		t.Log(strings.TrimSpace(l.lab(t, "", "history", "300", "--running", "12", "--days", "75", "--random-seed", "7")))
	}
}

// boot starts a server of the test's own in vo-fedcloud and gives its id. It is deleted when the test ends.
func (l *lab) boot(t *testing.T, name string) string {
	t.Helper()
	id := l.openstack(t.Context(), t, owner, "server", "create", "--wait", "--flavor", "m1.small", "--image", "ubuntu-22.04", "--network", "shared", name, "-f", "value", "-c", "id")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, l.client, "--os-cloud", owner, "server", "delete", "--wait", id)
		cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+l.clouds())
		_ = cmd.Run() // it may be deleted already
	})
	return id
}

// owner is who owns the test's servers.
const owner = "fedcloud-user@vo-fedcloud"

// waitFor waits for a moment of this machine's clock, at most four minutes.
func waitFor(t *testing.T, at time.Time) {
	t.Helper()
	left := time.Until(at)
	if left > 4*time.Minute {
		t.Fatalf("%s is too far away to wait for", at)
	}
	t.Logf("waiting %s for the settle time to pass", left.Round(time.Second))
	select {
	case <-time.After(left):
	case <-t.Context().Done():
		t.Fatal(context.Cause(t.Context()))
	}
}

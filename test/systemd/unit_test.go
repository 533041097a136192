package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/prerequisite"
)

// deploy is where the unit's files are.
var deploy = filepath.Join("..", "..", "deploy", "systemd")

// worst is how exposed the unit may be by any version of systemd; each adds settings of its own to what it asks for.
const worst = 2.0

func analyze(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		prerequisite.Missing(t, "systemd-analyze", "install Debian's package systemd")
	}
	return path
}

// output runs a program and gives what it says on both streams.
func output(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_PAGER=cat", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// read gives a file's text.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestVerify: systemd understands every setting of the unit and of its drop-in.
func TestVerify(t *testing.T) {
	systemd := analyze(t)
	dir := t.TempDir()
	unit := filepath.Join(dir, "fedsite.service")
	// a program that there is; the unit's own is not installed here
	text := strings.ReplaceAll(read(t, filepath.Join(deploy, "fedsite.service")), "/usr/bin/fedsite", "/bin/true")
	_, dropIn, _ := strings.Cut(read(t, filepath.Join(deploy, "hostkey.conf")), "[Service]\n")
	text = strings.Replace(text, "[Service]\n", "[Service]\n"+dropIn, 1)
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := output(t, systemd, "verify", "--man=no", unit); err != nil || strings.Contains(said, "fedsite.service") {
		t.Errorf("%v: %s", err, said)
	}
	// and it would have said so
	if err := os.WriteFile(unit, []byte(text+"Nonsense=yes\n[Service]\nSystemCallFilter=@no-such-set\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if said, _ := output(t, systemd, "verify", "--man=no", unit); !strings.Contains(said, "Nonsense") {
		t.Errorf("a wrong setting is not found: %s", said)
	}
}

// TestExposure: the score in the documentation is what systemd-analyze says, on the version that the documentation names.
func TestExposure(t *testing.T) {
	systemd := analyze(t)
	said, err := output(t, systemd, "security", "--offline=true", "--no-pager", filepath.Join(deploy, "fedsite.service"))
	m := regexp.MustCompile(`Overall exposure level for fedsite\.service: ([\d.]+) (\w+)`).FindStringSubmatch(said)
	if m == nil {
		if strings.Contains(said, "offline") {
			prerequisite.Missing(t, "systemd-analyze", "this one knows no --offline: install systemd 250 or newer")
		}
		t.Fatalf("%v: %s", err, said)
	}
	if score, _ := strconv.ParseFloat(m[1], 64); score > worst || m[2] != "OK" {
		t.Errorf("exposure %s %s, at most %.1f is right", m[1], m[2], worst)
	}
	version, err := output(t, systemd, "--version")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version, "systemd 252 ") {
		return
	}
	page := read(t, filepath.Join("..", "..", "docs", "how-to", "systemd.md"))
	if want := fmt.Sprintf("Overall exposure level for fedsite.service: %s %s", m[1], m[2]); !strings.Contains(page, want) {
		t.Errorf("docs/how-to/systemd.md does not say %q", want)
	}
	for open := range strings.Lines(said) { // what stays open has its reason on the page
		name, _, _ := strings.Cut(strings.TrimPrefix(open, "✗ "), "=")
		if strings.HasPrefix(open, "✗ ") && !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/how-to/systemd.md does not say why %s= is as it is", name)
		}
	}
}

// TestUserAndDirectories: sysusers and tmpfiles make the user, and directories that the service can read and write and
// others cannot.
func TestUserAndDirectories(t *testing.T) {
	for _, program := range []string{"systemd-sysusers", "systemd-tmpfiles"} {
		if _, err := exec.LookPath(program); err != nil {
			prerequisite.Missing(t, program, "install Debian's package systemd")
		}
	}
	if os.Geteuid() != 0 {
		prerequisite.Missing(t, "root", "run as root: nobody else can give files to another user")
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"passwd": "root:x:0:0::/root:/bin/sh\n", "group": "root:x:0:\n"} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range [][]string{{"systemd-sysusers", "--root=" + root}, {"systemd-tmpfiles", "--root=" + root, "--create"}} {
		file, err := filepath.Abs(filepath.Join(deploy, "fedsite."+strings.TrimPrefix(command[0], "systemd-")))
		if err != nil {
			t.Fatal(err)
		}
		if said, err := output(t, command[0], append(command[1:], file)...); err != nil {
			t.Fatalf("%v: %v: %s", command, err, said)
		}
	}
	if users := read(t, filepath.Join(root, "etc", "passwd")); !regexp.MustCompile(`(?m)^fedsite:x:\d+:\d+:[^:]*:/var/lib/fedsite:/usr/sbin/nologin$`).MatchString(users) {
		t.Errorf("users: %s", users)
	}
	for dir, want := range map[string]os.FileMode{"etc/fedsite": os.ModeDir | os.ModeSetgid | 0o750, "var/lib/fedsite": os.ModeDir | 0o750} {
		info, err := os.Stat(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: %v, want %v", dir, info.Mode(), want)
		}
	}
}

// TestInstall: the script puts each file where systemd looks for it, and says what to do without a program.
func TestInstall(t *testing.T) {
	script, err := filepath.Abs(filepath.Join(deploy, "install"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DESTDIR", t.TempDir())
	if said, err := output(t, script, "/bin/true"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for _, file := range []string{"usr/bin/fedsite", "usr/lib/systemd/system/fedsite.service", "usr/lib/sysusers.d/fedsite.conf", "usr/lib/tmpfiles.d/fedsite.conf"} {
		if _, err := os.Stat(filepath.Join(os.Getenv("DESTDIR"), file)); err != nil {
			t.Error(err)
		}
	}
	if said, err := output(t, script, "/no/such/program"); err == nil || !strings.Contains(said, "make build") {
		t.Errorf("%v: %s", err, said)
	}
}

// TestSettings: what other code and the documentation rely on.
func TestSettings(t *testing.T) {
	unit := read(t, filepath.Join(deploy, "fedsite.service"))
	for _, line := range []string{"Type=notify", "ExecStart=/usr/bin/fedsite serve", "ExecReload=/usr/bin/fedsite config check --reload\nExecReload=/bin/kill -HUP $MAINPID", "User=fedsite", "Group=fedsite",
		"StateDirectory=fedsite", "KillMode=mixed", "Restart=on-failure", "RestartPreventExitStatus=10", "TimeoutStopSec=60s", "NoNewPrivileges=yes", "CapabilityBoundingSet="} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the unit does not say %s", line)
		}
	}
}

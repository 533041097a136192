package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fedsite/fedsite/internal/app/daemontest"
)

// try runs the commands of a page's console blocks, and compares what they print with the page: "try FILE [HEADING…]", below
// the repository; with headings only what stands under these. In the page "…" stands for anything on a line, and a line of it
// alone for any lines.
//
// A page is about a machine of its own. Here that is the script's directory: /etc, /srv and /var of a page are below it,
// systemctl and journalctl speak of the script's one service, and the line that tells of the demo's clock is left out.
func try(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: try FILE [HEADING…]")
	}
	page, err := os.ReadFile(filepath.Join(ts.Getenv("REPOSITORY"), args[0]))
	ts.Check(err)
	all := examples(string(page))
	if headings := args[1:]; len(headings) > 0 {
		all = slices.DeleteFunc(all, func(e example) bool { return !slices.Contains(headings, e.heading) })
	}
	if len(all) == 0 {
		ts.Fatalf("%s has no console block with a command there", args[0])
	}
	for _, e := range all {
		if got, ok := e.holds(ts); !ok {
			ts.Fatalf("%s: %s prints\n\n%s\n\nthe page says\n\n%s", args[0], e.command, strings.Join(got, "\n"), strings.Join(e.output, "\n"))
		}
	}
}

// shown is what pages show as a user types it, and what is run for it here.
var shown = strings.NewReplacer(
	"go run ./cmd/fedsite demo", "fedsite demo --once --at 2026-11-24T12:00:00Z",
	"deploy/systemd/install bin/fedsite", `DESTDIR=$WORK $REPOSITORY/deploy/systemd/install "$(command -v fedsite)"`,
	"fedsite config init --site EXAMPLE-CLOUD", "fedsite config init --site EXAMPLE-CLOUD && sh $WORK/emulated.sh",
	" -g fedsite ", " ", // there is no such user
	" -o fedsite ", " ",
	"sudo -u fedsite ", "",
)

type example struct {
	heading string // that it stands under
	command string
	output  []string
}

var (
	onMachine = regexp.MustCompile(`(^|\s)/(etc|srv|var)/`)                                   // a path of the page's machine
	looking   = regexp.MustCompile(`^(journalctl|fedsite tasks (list|show))\b`)               // a command that looks at what others do
	logged    = regexp.MustCompile(`^journalctl -u fedsite -o cat -n ([0-9]+) -g '([^']+)'$`) // the last lines of the service's log that have a text
	ofUnit    = regexp.MustCompile(`^systemctl ((?:enable --now|[a-z]+) fedsite)( .*)?$`)     // what is done with the service
)

// holds runs the command, and tells whether it prints what the page says; what others have to bring about may take a while.
func (e example) holds(ts *testscript.TestScript) (got []string, ok bool) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		got = e.run(ts)
		if ok = matches(e.output, got); ok || !looking.MatchString(e.command) || time.Now().After(end) {
			return got, ok
		}
	}
}

// run runs the command, and gives the lines that it prints.
func (e example) run(ts *testscript.TestScript) []string {
	var text string
	if m := ofUnit.FindStringSubmatch(e.command); m != nil {
		systemctl(ts, false, strings.Fields(m[1]))
	} else if m := logged.FindStringSubmatch(e.command); m != nil {
		text = journal(ts, m[1], m[2])
	} else {
		command := onMachine.ReplaceAllString(shown.Replace(e.command), "$1$$WORK/$2/")
		_ = ts.Exec("/bin/sh", "-c", "{ "+command+"\n} 2>&1") // the exit code is shown by the page, or not
		text = ts.ReadFile("stdout")
	}
	demo := func(line string) bool { return strings.HasPrefix(line, "DEMO: ") }
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(text, ts.Getenv("WORK")+"/", "/"), "\n"), "\n")
	if slices.ContainsFunc(e.output, demo) {
		return lines
	}
	return slices.DeleteFunc(lines, demo)
}

// unitSays are the lines of the unit that systemctl goes by here.
var unitSays = []string{"ExecStart=/usr/bin/fedsite serve\n", "ExecReload=/usr/bin/fedsite config check --reload\nExecReload=/bin/kill -HUP $MAINPID\n"}

// systemctl does with the script's service what systemd would do by the unit: "systemctl enable --now fedsite", and start,
// reload, restart, stop.
func systemctl(ts *testscript.TestScript, neg bool, args []string) {
	unit, err := os.ReadFile(filepath.Join(ts.Getenv("REPOSITORY"), "deploy/systemd/fedsite.service"))
	ts.Check(err)
	for _, line := range unitSays {
		if !strings.Contains(string(unit), line) {
			ts.Fatalf("the unit does not say %s", line)
		}
	}
	e := ts.Value(emulated{}).(*emulated)
	if e.unit == nil {
		e.unit, err = daemontest.New(func() *exec.Cmd {
			cmd := program("serve")
			for _, name := range []string{"FEDSITE_CONFIG", "FEDSITE_DATABASE", "HOME", "OS_CLIENT_CONFIG_FILE"} {
				cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
			}
			return cmd
		})
		ts.Check(err)
		ts.Defer(func() { ts.Check(e.unit.Close()) })
	}
	switch verb := strings.Join(args, " "); {
	case neg:
		ts.Fatalf("usage: systemctl VERB fedsite")
	case verb == "enable --now fedsite", verb == "start fedsite":
		ts.Check(e.unit.Start())
	case verb == "stop fedsite":
		ts.Check(e.unit.Stop())
	case verb == "restart fedsite":
		ts.Check(e.unit.Stop())
		ts.Check(e.unit.Start())
	case verb == "reload fedsite":
		ts.Check(ts.Exec("fedsite", "config", "check", "--reload"))
		ts.Check(e.unit.Reload())
	default:
		ts.Fatalf("systemctl %s is not known here", verb)
	}
}

// journal gives the last lines with a text that the script's service has logged.
func journal(ts *testscript.TestScript, number, with string) string {
	n, err := strconv.Atoi(number)
	ts.Check(err)
	e := ts.Value(emulated{}).(*emulated)
	if e.unit == nil {
		ts.Fatalf("no service was started")
	}
	lines := slices.DeleteFunc(strings.SplitAfter(e.unit.Said(), "\n"), func(line string) bool { return !strings.Contains(line, with) })
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// examples gives the commands of a page's console blocks with the output that the page shows.
func examples(page string) []example {
	var (
		all     []example
		heading string
		inside  string // the language of the block
	)
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		block, fence := strings.CutPrefix(line, "```")
		switch {
		case inside == "" && fence:
			inside = block + "."
		case inside == "":
			if text, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
				heading = text
			}
		case line == "```":
			inside = ""
		case inside != "console.":
		case strings.HasPrefix(line, "$ "):
			all = append(all, example{heading: heading, command: strings.TrimPrefix(line, "$ ")})
		case len(all) > 0:
			last := &all[len(all)-1]
			last.output = append(last.output, line)
		}
	}
	return all
}

// matches compares output with what a page says.
func matches(want, got []string) bool {
	switch {
	case len(want) == 0:
		return len(got) == 0 || (len(got) == 1 && got[0] == "")
	case strings.TrimSpace(want[0]) == "…":
		for skip := range len(got) + 1 {
			if matches(want[1:], got[skip:]) {
				return true
			}
		}
		return false
	case len(got) == 0:
		return false
	}
	return alike(want[0], got[0]) && matches(want[1:], got[1:])
}

// alike compares one line, in which "…" stands for anything; blanks at the end do not count.
func alike(want, got string) bool {
	parts := strings.Split(strings.TrimRight(want, " "), "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(strings.TrimRight(got, " "))
}

// TestEveryPageIsTried: each console block of the documentation is run by a script.
func TestEveryPageIsTried(t *testing.T) {
	root := filepath.Join("..", "..")
	tried := map[string][]string{} // headings by page; none = all of it
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	must(t, err)
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		must(t, err)
		for _, m := range regexp.MustCompile(`(?m)^try (\S+)(.*)$`).FindAllStringSubmatch(string(text), -1) {
			headings := regexp.MustCompile(`'([^']*)'`).FindAllStringSubmatch(m[2], -1)
			if len(headings) == 0 {
				tried[m[1]] = append(tried[m[1]], "")
			}
			for _, h := range headings {
				tried[m[1]] = append(tried[m[1]], h[1])
			}
		}
	}
	pages := []string{filepath.Join(root, "README.md")}
	must(t, filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	}))
	for _, path := range pages {
		text, err := os.ReadFile(path)
		must(t, err)
		name, err := filepath.Rel(root, path)
		must(t, err)
		for _, e := range examples(string(text)) {
			if !slices.Contains(tried[name], "") && !slices.Contains(tried[name], e.heading) {
				t.Errorf("%s, %s: no script tries: %s", name, e.heading, e.command)
			}
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// try runs the commands of a page's console blocks, and compares what they print with the page: "try FILE", below the
// repository. In the page "…" stands for anything on a line, and a line of it alone for any lines.
func try(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: try FILE")
	}
	page, err := os.ReadFile(filepath.Join(ts.Getenv("REPOSITORY"), args[0]))
	ts.Check(err)
	steps := examples(string(page))
	if len(steps) == 0 {
		ts.Fatalf("%s has no console block with a command", args[0])
	}
	for _, s := range steps {
		command := s.command
		for from, to := range shown {
			command = strings.ReplaceAll(command, from, to)
		}
		_ = ts.Exec("/bin/sh", "-c", "{ "+command+"\n} 2>&1") // the exit code is shown by the page, or not
		got := strings.Split(strings.TrimRight(ts.ReadFile("stdout"), "\n"), "\n")
		if !matches(s.output, got) {
			ts.Fatalf("%s: %s prints\n\n%s\n\nthe page says\n\n%s", args[0], s.command, strings.Join(got, "\n"), strings.Join(s.output, "\n"))
		}
	}
}

// shown are commands that pages show as a user types them, and what is run for them here.
var shown = map[string]string{"go run ./cmd/fedsite demo": "fedsite demo --once --at 2026-11-24T12:00:00Z"}

type example struct {
	command string
	output  []string
}

// examples gives the commands of a page's console blocks with the output that the page shows.
func examples(page string) []example {
	var (
		all    []example
		inside bool
	)
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		switch {
		case !inside:
			inside = line == "```console"
		case line == "```":
			inside = false
		case strings.HasPrefix(line, "$ "):
			all = append(all, example{command: strings.TrimPrefix(line, "$ ")})
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

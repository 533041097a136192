package directory

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/protocol/glue"
	"github.com/fedsite/fedsite/protocol/glue/slapdtest"
)

// load gives documents to a real server, straight from the renderer.
func load(t *testing.T, url string, documents []Document) {
	t.Helper()
	var ldif bytes.Buffer
	ldif.WriteString(glue.LDIFVersion)
	all := func(yield func(glue.Entry) bool) {
		seen := map[string]bool{}
		once := func(e glue.Entry) {
			if k := e.DN.Key(); !seen[k] {
				seen[k] = true
				yield(e)
			}
		}
		for _, d := range documents {
			for _, base := range []glue.DN{glue.ResourceBase(), glue.CloudBase(d.Site)} {
				for _, e := range glue.BaseEntries(base) {
					once(e)
				}
				for e := range glue.Entries(d.Document, base, nil) {
					once(e)
				}
			}
		}
	}
	if err := glue.WriteLDIF(&ldif, all); err != nil {
		t.Fatal(err)
	}
	if err := slapdtest.Add(url, ldif.Bytes()); err != nil {
		t.Fatal(err)
	}
}

// outcome is what ldapsearch tells: the result's code, and the entries by DN with their lines in order.
type outcome struct {
	code    int
	matched string
	entries map[string][]string
}

func ldapsearch(t *testing.T, url string, arguments ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("ldapsearch", append([]string{"-x", "-LLL", "-o", "ldif-wrap=no", "-o", "nettimeout=20", "-H", url}, arguments...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	out := outcome{entries: map[string][]string{}}
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
		out.code = exit.ExitCode()
	}
	for line := range strings.Lines(stderr.String()) {
		if _, dn, ok := strings.Cut(strings.TrimSpace(line), "Matched DN: "); ok {
			out.matched = dn
		}
	}
	for text := range strings.SplitSeq(stdout.String(), "\n\n") {
		dn, lines := "", []string{}
		for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
			name, value, ok := strings.Cut(line, ":")
			if !ok || strings.HasPrefix(line, "#") {
				continue
			}
			if encoded, is := strings.CutPrefix(value, ": "); is {
				raw, err := base64.StdEncoding.DecodeString(encoded)
				if err != nil {
					t.Fatal(err)
				}
				value = string(raw)
			} else {
				value = strings.TrimPrefix(value, " ")
			}
			switch name {
			case "dn":
				parsed, err := glue.ParseDN(value)
				if err != nil {
					t.Fatal(err)
				}
				dn = key(parsed)
				lines = append(lines, "dn")
			case "entryDN":
				parsed, err := glue.ParseDN(value)
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, "entryDN: "+key(parsed))
			default:
				lines = append(lines, name+": "+value)
			}
		}
		if len(lines) == 0 {
			continue
		}
		if out.entries[dn] != nil {
			t.Errorf("%q gave %s twice", arguments, dn)
		}
		slices.Sort(lines)
		out.entries[dn] = lines
	}
	return out
}

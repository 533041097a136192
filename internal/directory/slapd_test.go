package directory

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/prerequisite"
	"github.com/fedsite/fedsite/protocol/glue"
)

const glue20Schema = "/etc/ldap/schema/GLUE20.schema"

// startSlapd starts a real server of the test's own that holds o=glue, and gives its URL.
func startSlapd(t *testing.T) string {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	_, stat := os.Stat(glue20Schema)
	program, err := exec.LookPath("slapd")
	_, search := exec.LookPath("ldapsearch")
	if errors.Join(err, search, stat) != nil {
		prerequisite.Missing(t, "slapd", "apt-get install --no-install-recommends slapd ldap-utils glue-schema")
	}
	dir := t.TempDir()
	schema, err := filepath.Abs("../../protocol/glue/testdata/glue21-cloud.schema")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf(`include /etc/ldap/schema/core.schema
include %s
include %s
modulepath /usr/lib/ldap
moduleload back_mdb
sizelimit unlimited
sockbuf_max_incoming_auth 8388608
database mdb
maxsize 268435456
suffix "o=glue"
rootdn "cn=manager,o=glue"
rootpw secret
directory %s/db
dbnosync
`, glue20Schema, schema, dir)
	file := filepath.Join(dir, "slapd.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for range 5 { // the port may be taken between the two
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		cmd := exec.Command(program, "-f", file, "-h", "ldap://"+address+"/", "-d", "0")
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			cmd.Wait()
			close(ended)
		}()
		if answers(address, ended) {
			t.Cleanup(func() {
				cmd.Process.Signal(os.Interrupt)
				<-ended
			})
			return "ldap://" + address
		}
		cmd.Process.Kill()
		<-ended
	}
	t.Fatalf("slapd does not start: %s", log.String())
	return ""
}

// answers waits until something takes connections, or the server has ended.
func answers(address string, ended chan struct{}) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return true
		}
		select {
		case <-tick.C:
		case <-ended:
			return false
		case <-late:
			return false
		}
	}
}

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
	cmd := exec.Command("ldapadd", "-x", "-H", url, "-D", "cn=manager,o=glue", "-w", "secret")
	cmd.Stdin = &ldif
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %.2000s", err, out)
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

// Package slapdtest starts Debian's OpenLDAP with the schema of GLUE 2.1's cloud classes, for tests that hold ours against it.
package slapdtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// GLUE20 is where Debian has the schema of GLUE 2.0.
const GLUE20 = "/etc/ldap/schema/GLUE20.schema"

// need skips where OpenLDAP is missing, unless FEDSITE_REQUIRE names it.
func need(t *testing.T) string {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	path, err := exec.LookPath("slapd")
	for _, need := range []error{err, lookPath("ldapadd"), lookPath("ldapsearch"), stat(GLUE20)} {
		if need == nil {
			continue
		}
		const how = "OpenLDAP or its GLUE 2.0 schema was not found: apt-get install --no-install-recommends slapd ldap-utils glue-schema"
		if slices.Contains(strings.Split(os.Getenv("FEDSITE_REQUIRE"), ","), "slapd") {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	return path
}

func lookPath(name string) error { _, err := exec.LookPath(name); return err }
func stat(name string) error     { _, err := os.Stat(name); return err }

// Start starts a server of the test's own that has the schema and may hold all below o=glue, and gives its URL.
func Start(t *testing.T) string {
	t.Helper()
	program := need(t)
	dir := t.TempDir()
	_, own, _, _ := runtime.Caller(0)
	schema := filepath.Join(filepath.Dir(own), "..", "testdata", "glue21-cloud.schema")
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
rootdn "%s"
rootpw secret
directory %s/db
dbnosync
`, GLUE20, schema, manager, dir)
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
		_ = l.Close()
		cmd := exec.Command(program, "-f", file, "-h", "ldap://"+address+"/", "-d", "0")
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		if answers(address, ended) {
			t.Cleanup(func() {
				_ = cmd.Process.Signal(os.Interrupt)
				<-ended
			})
			return "ldap://" + address
		}
		_ = cmd.Process.Kill()
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
			_ = c.Close()
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

// manager may write, with the password "secret"; he need not be there.
const manager = "cn=manager,o=glue"

// Add adds entries to a server; its answer is the error.
func Add(url string, ldif []byte) error {
	cmd := exec.Command("ldapadd", "-x", "-H", url, "-D", manager, "-w", "secret")
	cmd.Stdin = bytes.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%w: %s", err, strings.Join(lines[max(0, len(lines)-4):], " | "))
	}
	return nil
}

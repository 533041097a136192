package glue

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const glue20Schema = "/etc/ldap/schema/GLUE20.schema"

// needSlapd skips where OpenLDAP is missing, unless FEDSITE_REQUIRE names it.
func needSlapd(t *testing.T) string {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	path, err := exec.LookPath("slapd")
	for _, need := range []error{err, lookPath("ldapadd"), lookPath("ldapsearch"), stat(glue20Schema)} {
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

// startSlapd starts a server of the test's own that holds o=glue, and gives its URL.
func startSlapd(t *testing.T) string {
	t.Helper()
	program := needSlapd(t)
	dir := t.TempDir()
	schema, err := filepath.Abs("testdata/glue21-cloud.schema")
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
rootdn "o=glue"
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

// load adds entries to a server; its answer is the error.
func load(url string, ldif []byte) error {
	cmd := exec.Command("ldapadd", "-x", "-H", url, "-D", "o=glue", "-w", "secret")
	cmd.Stdin = bytes.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%w: %s", err, strings.Join(lines[max(0, len(lines)-4):], " | "))
	}
	return nil
}

// held gives what a server has, by DN.
func held(t *testing.T, url string) map[string][]string {
	t.Helper()
	out, err := exec.Command("ldapsearch", "-x", "-LLL", "-H", url, "-b", "o=glue", "(objectClass=GLUE2Entity)").Output()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := readLDIF(string(out), 79)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, e := range entries {
		dn, err := ParseDN(e.dn)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range e.attributes {
			all[dn.Key()] = append(all[dn.Key()], a[0]+": "+a[1])
		}
	}
	return all
}

// longIDs is a document whose ids are as long as can be, and ones that are longer.
func longIDs() Document {
	d := exampleDocument()
	d.Images = nil
	for _, c := range []string{"i", ",", "é", "\n", " x"} {
		i := exampleDocument().Images[0]
		i.Network = nil
		for i.ID = c; (RDN{imageClass.id, i.ID + c}).size() <= maxRDN; {
			i.ID += c
		}
		more := i
		more.ID += c
		d.Images = append(d.Images, more, i)
	}
	return d
}

// TestSlapd loads documents into a real server with the schema, under both trees, and gets every value back as it was: the
// example, the clouds of the vectors, and hostile names.
func TestSlapd(t *testing.T) {
	url := startSlapd(t)
	documents := []Document{exampleDocument(), exampleDocument().Merged(), longIDs()}
	for _, v := range variants {
		documents = append(documents, v.document(t, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)))
	}
	for _, text := range hostileTexts {
		documents = append(documents, hostile(text))
	}
	want := map[string][]string{}
	all := func(yield func(Entry) bool) {
		for i, d := range documents {
			base := ResourceBase()
			if i > 0 {
				base = CloudBase(fmt.Sprintf(`SITE %d, "of" <é>`, i))
			}
			before := len(want)
			for e := range Entries(d, base, nil) {
				if len(want) == before {
					for _, b := range BaseEntries(base) {
						if i == 0 || len(b.DN) > 1 {
							yield(b)
						}
					}
				}
				for _, a := range e.Attributes {
					for _, v := range a.Values {
						want[e.DN.Key()] = append(want[e.DN.Key()], a.Name+": "+v)
					}
				}
				yield(e)
			}
			if len(want) < before+3 {
				t.Errorf("document %d gave %d entries only", i, len(want)-before)
			}
		}
	}
	var ldif bytes.Buffer
	ldif.WriteString(LDIFVersion)
	if err := WriteLDIF(&ldif, all); err != nil {
		t.Fatal(err)
	}
	if err := load(url, ldif.Bytes()); err != nil {
		t.Fatal(err)
	}
	got := held(t, url)
	if n := len(got) - len(documents) + 1; n != len(want) { // each site's own entry is a GLUE2Entity too
		t.Errorf("%d entries, want %d", n, len(want))
	}
	for dn, values := range want {
		slices.Sort(values)
		slices.Sort(got[dn])
		if !slices.Equal(values, got[dn]) {
			t.Errorf("%s: %.2000q, want %.2000q", dn, got[dn], values)
		}
	}
}

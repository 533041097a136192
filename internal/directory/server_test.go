package directory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/fedsite/fedsite/protocol/glue"
)

func find(c *ldap.Conn, base, filter string, attributes ...string) (*ldap.SearchResult, error) {
	return c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil))
}

func code(err error) Code {
	var e *ldap.Error
	switch {
	case err == nil:
		return Success
	case errors.As(err, &e):
		return Code(e.ResultCode)
	}
	return -1
}

// TestEveryValue: a client gets every entry of every document under both bases, each value as it was rendered, whatever
// tenants wrote.
func TestEveryValue(t *testing.T) {
	documents := some()
	for _, text := range []string{"\ndn: o=evil", "a\r\n\r\nb", `"`, `\`, "\x00", "\xff\xfe", " ", "\u202e", "*", ")(objectClass=*", "a,o=glue", "#04", strings.Repeat("é", 5_000)} {
		site := fmt.Sprint("S", len(documents))
		d := cloud("https://"+site, site, 1, 1, 1, text)
		d.Images[0].ID += text
		documents = append(documents, Document{Site: site, Name: site, Document: d})
	}
	_, address, _ := start(t, Options{}, documents...)
	c := client(t, address)
	for _, d := range documents {
		for _, base := range []glue.DN{glue.ResourceBase(), glue.CloudBase(d.Site)} {
			want := map[string]string{}
			for e := range glue.Entries(d.Document, base, nil) {
				want[e.DN.String()] = fmt.Sprintf("%q", e.Attributes)
			}
			got, err := find(c, base.String(), "(GLUE2EntityCreationTime=*)")
			if err != nil || len(got.Entries) != 0 {
				t.Fatal(err, len(got.Entries))
			}
			got, err = find(c, base.String(), "(&(objectClass=GLUE2Entity)(!(GLUE2DomainID=*)))")
			if err != nil || len(got.Entries) < len(want) {
				t.Fatalf("%s: %v, %d entries, want %d", base, err, len(got.Entries), len(want))
			}
			for _, e := range got.Entries {
				var attributes []glue.Attribute
				for _, a := range e.Attributes {
					attributes = append(attributes, glue.Attribute{Name: a.Name, Values: a.Values})
				}
				if text, ok := want[e.DN]; ok && text != fmt.Sprintf("%q", attributes) {
					t.Errorf("%s: %q, want %s", e.DN, attributes, text)
				}
				delete(want, e.DN)
			}
			if len(want) > 0 {
				t.Errorf("%s: not there: %q", base, slices.Collect(maps.Keys(want)))
			}
		}
	}
}

// TestReadOnly: nobody signs in, nothing is changed, and every request gets an answer on a connection that lives on.
func TestReadOnly(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{}
	_, address, _ := start(t, Options{Answered: func(o Operation) {
		mu.Lock()
		defer mu.Unlock()
		told[fmt.Sprintf("%s %d", o.Name, o.Code)]++
	}}, some()...)
	c := client(t, address)
	compare := func(dn, name, value string, want bool) error {
		got, err := c.Compare(dn, name, value)
		if err == nil && got != want {
			return fmt.Errorf("%v, want %v", got, want)
		}
		return err
	}
	extended := func(oid string) error {
		_, err := c.Extended(ldap.NewExtendedRequest(oid, nil))
		return err
	}
	critical := ldap.NewSearchRequest("o=glue", 2, 0, 0, 0, false, "(o=*)", nil, []ldap.Control{ldap.NewControlString("1.2.3.4", true, "")})
	harmless := ldap.NewSearchRequest("o=glue", 2, 0, 0, 0, false, "(o=*)", nil, []ldap.Control{ldap.NewControlString("1.2.3.4", false, ""), ldap.NewControlManageDsaIT(true)})
	for _, step := range []struct {
		what string
		do   func() error
		want Code
	}{
		{"anonymous", func() error { return c.UnauthenticatedBind("") }, Success},
		{"password", func() error { return c.Bind("cn=admin,o=glue", "secret") }, InvalidCredentials},
		{"name only", func() error { return c.UnauthenticatedBind("cn=admin,o=glue") }, Unwilling},
		{"no DN", func() error { return c.Bind("admin", "secret") }, InvalidDN},
		{"SASL", c.ExternalBind, AuthNotSupported},
		{"StartTLS", func() error { return extended("1.3.6.1.4.1.1466.20037") }, ProtocolError},
		{"password change", func() error { return extended("1.3.6.1.4.1.4203.1.11.1") }, ProtocolError},
		{"who am I", func() error { return extended(extendedWhoAmI) }, Success},
		{"add", func() error { return c.Add(ldap.NewAddRequest("o=x,o=glue", nil)) }, Unwilling},
		{"delete", func() error { return c.Del(ldap.NewDelRequest("o=glue", nil)) }, Unwilling},
		{"modify", func() error { return c.Modify(ldap.NewModifyRequest("o=glue", nil)) }, Unwilling},
		{"rename", func() error { return c.ModifyDN(ldap.NewModifyDNRequest("o=glue", "o=x", true, "")) }, Unwilling},
		{"compare, true", func() error { return compare("O=Glue", "o", "GLUE", true) }, Success},
		{"compare, false", func() error { return compare("o=glue", "o", "x", false) }, Success},
		{"compare, no attribute", func() error { return compare("o=glue", "cn", "x", false) }, NoSuchAttribute},
		{"compare, no entry", func() error { return compare("o=x", "cn", "x", false) }, NoSuchObject},
		{"critical control", func() error { _, err := c.Search(critical); return err }, UnavailableExtension},
		{"other controls", func() error { _, err := c.Search(harmless); return err }, Success},
		{"search", func() error { _, err := find(c, "o=glue", "(o=glue)"); return err }, Success},
	} {
		if err := step.do(); code(err) != step.want {
			t.Errorf("%s: %v, want %d", step.what, err, step.want)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	want := map[string]int{
		"bind 0": 1, "bind 49": 1, "bind 53": 1, "bind 34": 1, "bind 7": 1, "extended 2": 2, "extended 0": 1, "change 53": 4,
		"compare 6": 1, "compare 5": 1, "compare 16": 1, "compare 32": 1, "search 12": 1, "search 0": 2,
	}
	if !maps.Equal(told, want) {
		t.Errorf("counted %v, want %v", told, want)
	}
}

// TestRoot: what the server can do is told to whom asks, also before anything is known.
func TestRoot(t *testing.T) {
	s, address, _ := start(t, Options{Source: &source{err: errors.New("no database")}})
	c := client(t, address)
	ask := func(attributes ...string) []*ldap.EntryAttribute {
		got, err := c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", attributes, nil))
		if err != nil || len(got.Entries) != 1 || got.Entries[0].DN != "" {
			t.Fatal(err, got)
		}
		return got.Entries[0].Attributes
	}
	if a := ask(); len(a) != 1 || a[0].Name != "objectClass" {
		t.Errorf("%v", a)
	}
	if a := ask("namingcontexts", "supportedLDAPVersion", "vendorName"); len(a) != 3 || a[0].Values[0] != "o=glue" || a[1].Values[0] != "3" || a[2].Values[0] != "fedsite" {
		t.Errorf("%v", a)
	}
	if a := ask("+"); len(a) != len(rootDSE)-1 {
		t.Errorf("%v", a)
	}
	if _, err := find(c, "o=glue", "(objectClass=*)"); code(err) != Unavailable {
		t.Errorf("%v, want %d", err, Unavailable)
	}
	if _, err := c.Compare("o=glue", "o", "glue"); code(err) != Unavailable {
		t.Errorf("%v, want %d", err, Unavailable)
	}
	if st := s.Status(); st.Entries != 0 || !st.At.IsZero() || st.Connections != 1 {
		t.Errorf("%+v", st)
	}
}

// TestRefresh: a new version is served at once, the same one leaves all as it is, and so does a source that fails.
func TestRefresh(t *testing.T) {
	from := &source{}
	from.set("1", nil, some()...)
	s := New(Options{Source: from})
	refresh := func() error { return s.Refresh(t.Context()) }
	if err := refresh(); err != nil {
		t.Fatal(err)
	}
	first := s.current.Load()
	from.set("1", nil)
	if err := refresh(); err != nil || s.current.Load() != first {
		t.Errorf("%v: the tree of the same version was made anew", err)
	}
	lost := errors.New("no database")
	from.set("2", lost)
	if err := refresh(); !errors.Is(err, lost) || s.current.Load() != first || !errors.Is(s.Status().Err, lost) || s.Status().At.IsZero() {
		t.Errorf("%v, %+v", err, s.Status())
	}
	from.set("2", nil, some()[0])
	if err := refresh(); err != nil || s.Status().Documents != 1 || s.Status().Version != "2" || s.Status().Err != nil {
		t.Errorf("%v, %+v", err, s.Status())
	}
	from.set("3", nil)
	if err := refresh(); err != nil || s.Status().Entries != 2 { // o=glue and the group
		t.Errorf("%v, %+v", err, s.Status())
	}
}

// TestPages: pages together are the whole, each entry once, and of one state though the directory changes in between.
func TestPages(t *testing.T) {
	from := &source{}
	from.set("1", nil, some()...)
	s, address, _ := start(t, Options{Source: from})
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := client(t, address)
	whole, err := find(c, "o=glue", "(objectClass=GLUE2Entity)")
	if err != nil {
		t.Fatal(err)
	}
	paging := ldap.NewControlPaging(5)
	page := func(filter string) (*ldap.SearchResult, error) {
		got, err := c.Search(ldap.NewSearchRequest("o=glue", 2, 0, 0, 0, false, filter, nil, []ldap.Control{paging}))
		if got != nil {
			if control, ok := ldap.FindControl(got.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging); ok {
				paging.SetCookie(control.Cookie)
			}
		}
		return got, err
	}
	var all []*ldap.Entry
	for n := 0; n == 0 || len(paging.Cookie) > 0; n++ {
		got, err := page("(objectClass=GLUE2Entity)")
		if err != nil || len(got.Entries) > 5 || len(got.Entries) == 0 {
			t.Fatal(err, len(got.Entries))
		}
		all = append(all, got.Entries...)
		from.set("2", nil)
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(inOrder(all)) != fmt.Sprint(inOrder(whole.Entries)) {
		t.Errorf("%d entries in pages, %d in whole", len(all), len(whole.Entries))
	}
	// cookies of nothing, of another search, and of before a bind
	from.set("3", nil, some()...)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	paging.SetCookie([]byte("17"))
	if _, err := page("(objectClass=*)"); code(err) != Unwilling {
		t.Errorf("%v", err)
	}
	paging.SetCookie(nil)
	if _, err := page("(objectClass=*)"); err != nil || len(paging.Cookie) == 0 {
		t.Fatal(err)
	}
	if _, err := page("(objectClass=GLUE2Share)"); code(err) != Unwilling {
		t.Errorf("%v", err)
	}
	paging.SetCookie(nil)
	if _, err := page("(objectClass=*)"); err != nil {
		t.Fatal(err)
	}
	if err := c.UnauthenticatedBind(""); err != nil {
		t.Fatal(err)
	}
	if _, err := page("(objectClass=*)"); code(err) != Unwilling {
		t.Errorf("%v", err)
	}
	// enough of it
	paging.SetCookie(nil)
	if _, err := page("(objectClass=*)"); err != nil || len(paging.Cookie) == 0 {
		t.Fatal(err)
	}
	paging.PagingSize = 0
	if got, err := page("(objectClass=*)"); err != nil && code(err) != Unwilling || len(got.Entries) > 0 {
		t.Errorf("%v, %d entries", err, len(got.Entries))
	}
}

func inOrder(entries []*ldap.Entry) (out []string) {
	for _, e := range entries {
		out = append(out, e.DN)
	}
	return out
}

// TestStop: the service ends though clients stay, tells them so, and leaves nothing behind.
func TestStop(t *testing.T) {
	s, address, stop := start(t, Options{Limits: Limits{Grace: time.Minute}}, some()...)
	var clients []net.Conn
	for range 3 {
		c := dial(t, address)
		if _, err := c.Write(message(1, bindRequest(3, "", 0x80, ""))); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 14)); err != nil { // it is served
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	for _, c := range clients {
		rest, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(rest, notice(Unavailable, "the service is stopping")) {
			t.Errorf("%v, %q", err, rest)
		}
		c.Close()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := s.Status().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("it still listens")
	}
}

// TestPanic: a mistake in the service ends the connection that met it, and no other.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	_, address, stop := start(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Answered: func(o Operation) {
		if o.Name == "extended" {
			panic("a mistake")
		}
	}}, some()...)
	other := client(t, address)
	c := dial(t, address)
	if _, err := c.Write(message(1, appendOctets(nil, opExtended, appendOctets(nil, 0x80, extendedWhoAmI)))); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("%v %q", err, rest)
	}
	if _, err := find(other, "o=glue", "(o=*)"); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil || !strings.Contains(log.String(), "a mistake") {
		t.Error(err, log.String())
	}
}

// TestListen: addresses as people write them.
func TestListen(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0", "localhost:0"} {
		l, err := Listen(t.Context(), addr)
		if err != nil {
			t.Error(err)
			continue
		}
		l.Close()
	}
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for addr, want := range map[string]string{
		l.Addr().String(): "end what listens there", "127.0.0.1:x": "listen on", "a:b:c": "no address with a port", "192.0.2.1": "192.0.2.1:2170", "2001:db8::1": "[2001:db8::1]:2170",
		"[2001:db8::1]": "[2001:db8::1]:2170",
	} {
		if l, err := Listen(t.Context(), addr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want %q", addr, l, err, want)
		}
	}
}

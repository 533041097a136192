package notify

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// mailServer is an SMTP server on loopback that takes what it is given, or does what a test says.
type mailServer struct {
	t         *testing.T
	listener  net.Listener
	tls       *tls.Config
	roots     *x509.CertPool
	fromStart bool              // TLS from the start
	offers    []string          // extensions
	answers   map[string]string // command → another answer than usual
	hang      string            // the command after which it says nothing more
	hung      chan struct{}     // closed then

	mu       sync.Mutex
	commands []string
	mails    []string
	signedIn []string // what was sent to sign in, decoded
	secret   bool     // TLS was on at the end
}

func newMailServer(t *testing.T, edit func(*mailServer)) *mailServer {
	t.Helper()
	s := &mailServer{t: t, answers: map[string]string{}}
	s.tls, s.roots = certificate(t, "localhost")
	if edit != nil {
		edit(s)
	}
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = s.listener.Close()
		open.Wait()
	})
	return s
}

// certificate makes one for the name, and the pool that trusts it.
func certificate(t *testing.T, name string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: noon.AddDate(0, 0, -1), NotAfter: noon.AddDate(0, 0, 1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// serve speaks with one client.
func (s *mailServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	if s.fromStart {
		conn = tls.Server(conn, s.tls)
	}
	r := bufio.NewReader(conn)
	say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	say("220 mail.example.org ready")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		s.mu.Lock()
		s.commands = append(s.commands, line)
		_, s.secret = conn.(*tls.Conn)
		s.mu.Unlock()
		if verb == s.hang {
			close(s.hung)
			_, _ = io.Copy(io.Discard, r)
			return
		}
		if answer, ok := s.answers[verb]; ok {
			say(answer)
			continue
		}
		switch verb {
		case "EHLO":
			say("250-mail.example.org")
			for _, o := range s.offers {
				say("250-" + o)
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, s.tls)
			r = bufio.NewReader(conn)
		case "AUTH":
			s.auth(rest, r, say)
		case "DATA":
			say("354 go on")
			var mail strings.Builder
			for {
				line, err := r.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				mail.WriteString(strings.TrimPrefix(line, "."))
			}
			s.mu.Lock()
			s.mails = append(s.mails, mail.String())
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *mailServer) auth(rest string, r *bufio.Reader, say func(string)) {
	way, first, _ := strings.Cut(rest, " ")
	sent := []string{first}
	if way == "LOGIN" {
		sent = nil
		for _, question := range []string{"Username:", "Password:"} {
			say("334 " + base64.StdEncoding.EncodeToString([]byte(question)))
			line, _ := r.ReadString('\n')
			sent = append(sent, strings.TrimSpace(line))
		}
	}
	s.mu.Lock()
	for _, text := range sent {
		data, _ := base64.StdEncoding.DecodeString(text)
		s.signedIn = append(s.signedIn, string(data))
	}
	s.mu.Unlock()
	say("235 welcome")
}

// client gives the mail client for the server.
func (s *mailServer) client(edit func(*Email)) *Email {
	e := &Email{Host: "localhost", Port: s.listener.Addr().(*net.TCPAddr).Port, Security: Clear, From: "fedsite <fedsite@cloud.example.org>", To: []string{"ops@example.org"},
		Roots: s.roots, Now: func() time.Time { return noon },
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.listener.Addr().String())
		}}
	if edit != nil {
		edit(e)
	}
	return e
}

// one gives the only mail that arrived.
func (s *mailServer) one() *mail.Message {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mails) != 1 {
		s.t.Fatalf("%d mails arrived; commands %q", len(s.mails), s.commands)
	}
	m, err := mail.ReadMessage(strings.NewReader(s.mails[0]))
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// TestEmail: what arrives, by each way of protection.
func TestEmail(t *testing.T) {
	text := "FAILED: Zürich, accounting: role\n\n.\n  → openstack role add --user r --project 77d0 reader\n" + strings.Repeat("long ", 300) + "\n"
	for name, c := range map[string]struct {
		server func(*mailServer)
		client func(*Email)
		secret bool
		user   []string
	}{
		"in clear":     {nil, nil, false, nil},
		"STARTTLS":     {func(s *mailServer) { s.offers = []string{"STARTTLS"} }, func(e *Email) { e.Security = StartTLS }, true, nil},
		"by default":   {func(s *mailServer) { s.offers = []string{"STARTTLS"} }, func(e *Email) { e.Security = "" }, true, nil},
		"TLS":          {func(s *mailServer) { s.fromStart = true }, func(e *Email) { e.Security = TLS }, true, nil},
		"signed in":    {func(s *mailServer) { s.offers = []string{"STARTTLS", "AUTH LOGIN PLAIN"} }, signIn(StartTLS), true, []string{"\x00ops\x00pass word"}},
		"with LOGIN":   {func(s *mailServer) { s.fromStart, s.offers = true, []string{"AUTH LOGIN"} }, signIn(TLS), true, []string{"ops", "pass word"}},
		"on localhost": {func(s *mailServer) { s.offers = []string{"AUTH PLAIN"} }, signIn(Clear), false, []string{"\x00ops\x00pass word"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMailServer(t, c.server)
			e := s.client(c.client)
			e.To = append(e.To, "Jürgen Müller <jm@example.org>")
			if err := e.Send(t.Context(), Message{Kind: "change", Subject: "[fedsite] Zürich: 1 failed", Text: text, At: noon}); err != nil {
				t.Fatal(err)
			}
			m := s.one()
			body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil || strings.ReplaceAll(string(body), "\r\n", "\n") != strings.TrimRight(text, "\n")+"\n" {
				t.Errorf("%v: %q", err, body)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || subject != "[fedsite] Zürich: 1 failed" {
				t.Errorf("%q, %v", subject, err)
			}
			to, err := m.Header.AddressList("To")
			if err != nil || len(to) != 2 || to[1].Name != "Jürgen Müller" {
				t.Errorf("%v, %v", to, err)
			}
			if at, err := m.Header.Date(); err != nil || !at.Equal(noon) {
				t.Errorf("%v, %v", at, err)
			}
			if id := m.Header.Get("Message-ID"); !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, "@cloud.example.org>") {
				t.Errorf("id %s", id)
			}
			if m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%v", m.Header)
			}
			for line := range strings.Lines(s.mails[0]) {
				if len(line) > 998 || strings.Contains(strings.TrimRight(line, "\r\n"), "\r") {
					t.Errorf("a line of %d bytes", len(line))
				}
				for _, b := range []byte(line) {
					if b >= 0x80 {
						t.Fatalf("a byte outside ASCII in %q", line)
					}
				}
			}
			if s.secret != c.secret {
				t.Errorf("protected: %v", s.secret)
			}
			if d := cmp.Diff(c.user, s.signedIn); d != "" {
				t.Errorf("signed in as (-want +got):\n%s", d)
			}
		})
	}
}

// TestEmailFromThisHost: who names no sender gets mail all the same, from fedsite at this host.
func TestEmailFromThisHost(t *testing.T) {
	s := newMailServer(t, nil)
	if err := s.client(func(e *Email) { e.From = "" }).Send(t.Context(), Message{Subject: "x"}); err != nil {
		t.Fatal(err)
	}
	from, err := s.one().Header.AddressList("From")
	if err != nil || len(from) != 1 || from[0].Address != "fedsite@"+host() {
		t.Errorf("from %v, %v", from, err)
	}
	if want := "MAIL FROM:<fedsite@" + host() + ">"; !strings.HasPrefix(strings.Join(s.commands, "\n"), "EHLO "+host()+"\n"+want) {
		t.Errorf("commands %q", s.commands)
	}
}

func signIn(security string) func(*Email) {
	return func(e *Email) {
		e.Security, e.User, e.Password = security, "ops", func() (string, error) { return "pass word", nil }
	}
}

// TestEmailTakesNoHeaders: a name with a line end in it adds neither a header nor a recipient nor a command.
func TestEmailTakesNoHeaders(t *testing.T) {
	for _, evil := range []string{"SITE\r\nBcc: evil@example.org", "SITE\nBcc: evil@example.org", "SITE\rBcc: evil@example.org", "SITE\r\n\r\nbody", "SITE\u2028Bcc: x", "\x00\x1b[31m", "Zürich\r\nBcc: evil@example.org"} {
		s := newMailServer(t, nil)
		if err := s.client(nil).Send(t.Context(), Message{Kind: evil, Subject: evil, Text: "a\r\n.\r\nRCPT TO:<evil@example.org>\n"}); err != nil {
			t.Fatal(err)
		}
		m := s.one()
		if len(m.Header) != 10 || m.Header.Get("Bcc") != "" {
			t.Errorf("%q: headers %v", evil, m.Header)
		}
		for _, c := range s.commands {
			if strings.HasPrefix(c, "RCPT") && c != "RCPT TO:<ops@example.org>" {
				t.Errorf("%q: %s", evil, c)
			}
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || strings.ContainsAny(subject, "\r\n\x00\x1b") {
			t.Errorf("%q: subject %q, %v", evil, subject, err)
		}
	}
	for _, address := range []string{"", "ops", "a@b\r\nRCPT TO:<evil@example.org>", "<a@b>\nBcc: c@d", "\"a\\\r\nb\"@example.org"} {
		s := newMailServer(t, nil)
		if err := s.client(func(e *Email) { e.To = []string{address} }).Send(t.Context(), Message{Subject: "x"}); err == nil || len(s.commands) > 0 {
			t.Errorf("%q: %v, %q", address, err, s.commands)
		}
		if address == "" {
			continue // nobody named: TestEmailFromThisHost
		}
		if err := s.client(func(e *Email) { e.From = address }).Send(t.Context(), Message{Subject: "x"}); err == nil || len(s.commands) > 0 {
			t.Errorf("from %q: %v, %q", address, err, s.commands)
		}
	}
}

// TestEmailFails: what goes wrong is said, and no password with it.
func TestEmailFails(t *testing.T) {
	const password = "pass word"
	hidden := base64.StdEncoding.EncodeToString([]byte("\x00ops\x00" + password))
	for name, c := range map[string]struct {
		server func(*mailServer)
		client func(*Email)
		want   string
	}{
		"no STARTTLS": {nil, func(e *Email) { e.Security = StartTLS }, "the server offers no STARTTLS"},
		"STARTTLS refused": {func(s *mailServer) {
			s.offers, s.answers = []string{"STARTTLS"}, map[string]string{"STARTTLS": "454 later"}
		}, func(e *Email) { e.Security = StartTLS }, "454 \"later\""},
		"another authority":  {func(s *mailServer) { s.offers = []string{"STARTTLS"} }, func(e *Email) { e.Security, e.Roots = StartTLS, x509.NewCertPool() }, "certificate"},
		"another name":       {func(s *mailServer) { s.fromStart = true }, func(e *Email) { e.Security, e.Host = TLS, "mail.example.org" }, "certificate"},
		"expired":            {func(s *mailServer) { s.fromStart = true }, func(e *Email) { e.Security, e.Now = TLS, func() time.Time { return noon.AddDate(0, 0, 2) } }, "expired"},
		"no sign-in":         {nil, signIn(Clear), "takes no sign-in here"},
		"in clear elsewhere": {func(s *mailServer) { s.offers = []string{"AUTH PLAIN"} }, func(e *Email) { signIn(Clear)(e); e.Host = "mail.example.org" }, "unencrypted connection"},
		"LOGIN elsewhere":    {func(s *mailServer) { s.offers = []string{"AUTH LOGIN"} }, func(e *Email) { signIn(Clear)(e); e.Host = "mail.example.org" }, "unencrypted connection"},
		"password refused": {func(s *mailServer) {
			s.offers, s.answers = []string{"AUTH PLAIN"}, map[string]string{"AUTH": "535 no " + password + " " + hidden}
		}, signIn(Clear), "sign-in as ops: the server refuses it (535)"},
		"password unread": {func(s *mailServer) { s.offers = []string{"AUTH PLAIN"} }, func(e *Email) {
			signIn(Clear)(e)
			e.Password = func() (string, error) { return "", errors.New("no such file") }
		}, "notify.smtp.password: no such file"},
		"sender refused":    {func(s *mailServer) { s.answers["MAIL"] = "550 not you" }, nil, "sender fedsite@cloud.example.org: 550 \"not you\""},
		"recipient refused": {func(s *mailServer) { s.answers["RCPT"] = "550 unknown" }, nil, "recipient ops@example.org: 550 \"unknown\""},
		"data refused":      {func(s *mailServer) { s.answers["DATA"] = "552 full" }, nil, "552 \"full\""},
		"nobody":            {nil, func(e *Email) { e.To = nil }, "names nobody"},
		"nothing there": {func(s *mailServer) {}, func(e *Email) {
			e.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
		}, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMailServer(t, c.server)
			err := s.client(c.client).Send(t.Context(), Message{Subject: "x", Text: "y"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %s", err, c.want)
			}
			if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), hidden) {
				t.Errorf("the password is in: %v", err)
			}
			if len(s.mails) > 0 {
				t.Errorf("a mail arrived")
			}
		})
	}
}

// TestEmailDoesNotWaitForEver: a server that says nothing more ends with the context.
func TestEmailDoesNotWaitForEver(t *testing.T) {
	for _, verb := range []string{"EHLO", "MAIL", "DATA"} {
		s := newMailServer(t, func(s *mailServer) { s.hang, s.hung = verb, make(chan struct{}) })
		ctx, cancel := context.WithCancel(t.Context())
		e := s.client(nil)
		ended := make(chan error)
		go func() { ended <- e.Send(ctx, Message{Subject: "x"}) }()
		<-s.hung
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

// TestPorts: the usual one of each way.
func TestPorts(t *testing.T) {
	for _, c := range []struct {
		e    Email
		want string
	}{
		{Email{}, "mail:587"}, {Email{Security: Clear, User: "u"}, "mail:25"}, {Email{Security: StartTLS, User: "u"}, "mail:587"},
		{Email{Security: TLS}, "mail:465"}, {Email{Security: TLS, Port: 2465}, "mail:2465"},
	} {
		c.e.Host = "mail"
		if got := c.e.address(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	if got := subject(strings.Repeat("ü", 500)); len(fmt.Sprint(got)) == 0 || strings.Count(got, "\r\n ") == 0 {
		t.Errorf("a long subject is not folded: %q", got)
	}
}

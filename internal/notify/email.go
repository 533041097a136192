package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How the connection to the mail server is protected.
const (
	StartTLS = "starttls" // in clear, then TLS; a server that has none is refused
	TLS      = "tls"      // TLS from the start
	Clear    = "none"     // no protection: for a server on this machine
)

// mailTime bounds one delivery of a mail, and dialTime the connection.
const (
	mailTime = time.Minute
	dialTime = 15 * time.Second
)

// Email sends plain text through a mail server.
type Email struct {
	Host     string // of the server
	Port     int    // 0 = 587 with StartTLS, 465 with TLS, 25 in clear
	Security string // StartTLS, TLS, Clear; "" = StartTLS
	User     string // "" = the server takes mail as it is
	Password func() (string, error)
	From     string // an address, with or without a name; "" = fedsite at this host's name
	To       []string
	Roots    *x509.CertPool                                                       // nil = the system's
	Now      func() time.Time                                                     // for Date and for the server's certificate
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // nil = directly
}

var _ Channel = (*Email)(nil)

// Name is "email".
func (e *Email) Name() string { return "email" }

// Send delivers the message to all recipients, in one mail.
func (e *Email) Send(ctx context.Context, m Message) error {
	from, to, err := e.addresses()
	if err != nil {
		return fmt.Errorf("e-mail: %w", err)
	}
	text, err := e.compose(from, to, m)
	if err != nil {
		return fmt.Errorf("e-mail: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	if err := e.deliver(ctx, from, to, text); err != nil {
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
		return fmt.Errorf("e-mail: %s: %w", e.address(), err)
	}
	return nil
}

// host is this machine's name, as it can stand in an SMTP command.
func host() string {
	name, err := os.Hostname()
	if err != nil || name == "" || !bare(name) {
		return "localhost"
	}
	return name
}

func (e *Email) addresses() (*mail.Address, []*mail.Address, error) {
	sender := cmp.Or(e.From, "fedsite@"+host())
	from, err := mail.ParseAddress(sender)
	if err != nil || !bare(from.Address) {
		return nil, nil, fmt.Errorf("notify.from: %q is no address", sender)
	}
	var to []*mail.Address
	for _, text := range e.To {
		a, err := mail.ParseAddress(text)
		if err != nil || !bare(a.Address) {
			return nil, nil, fmt.Errorf("notify.email: %q is no address", text)
		}
		to = append(to, a)
	}
	if len(to) == 0 {
		return nil, nil, errors.New("notify.email names nobody")
	}
	return from, to, nil
}

// bare tells whether an address can stand in an SMTP command as it is.
func bare(address string) bool {
	return !strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == '<' || r == '>' || r == 0x7f })
}

// compose writes the mail: headers, and the text as quoted-printable, so that no line is too long or starts with a dot.
func (e *Email) compose(from *mail.Address, to []*mail.Address, m Message) ([]byte, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	_, host, _ := strings.Cut(from.Address, "@")
	at := m.At
	if at.IsZero() {
		at = e.now()
	}
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", from.String())
	names := make([]string, len(to))
	for i, a := range to {
		names[i] = a.String()
	}
	header("To", strings.Join(names, ",\r\n "))
	header("Subject", subject(m.Subject))
	header("Date", at.UTC().Format(time.RFC1123Z))
	header("Message-ID", "<"+hex.EncodeToString(id)+"@"+line(host)+">")
	header("Auto-Submitted", "auto-generated") // no answer of a holiday's robot
	header("X-Fedsite", line(m.Kind))
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	text := strings.ReplaceAll(strings.ToValidUTF8(m.Text, "?"), "\r\n", "\n")
	if _, err := w.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// subject gives the subject as a header has it: one line, its words encoded where they are not ASCII (RFC 2047), folded.
func subject(text string) string {
	const longest = 200
	text = line(text)
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest-1]) + "…"
	}
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", text), "?= =?", "?=\r\n =?")
}

func (e *Email) now() time.Time {
	if e.Now == nil {
		return time.Now().UTC()
	}
	return e.Now()
}

func (e *Email) address() string {
	port := e.Port
	if port == 0 {
		switch e.Security {
		case TLS:
			port = 465
		case Clear:
			port = 25
		default:
			port = 587
		}
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(port))
}

// deliver speaks SMTP with the server.
func (e *Email) deliver(ctx context.Context, from *mail.Address, to []*mail.Address, text []byte) error {
	raw, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // ends whatever is waited for
	defer stop()
	conn := raw
	security := &tls.Config{ServerName: e.Host, RootCAs: e.Roots, Time: e.Now, MinVersion: tls.VersionTLS12}
	if e.Security == TLS {
		conn = tls.Client(raw, security)
	}
	c, err := smtp.NewClient(conn, e.Host)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello(host()); err != nil {
		return err
	}
	if e.Security != TLS && e.Security != Clear {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the server offers no STARTTLS: set notify.smtp.tls to tls, or, for one on this machine, to none")
		}
		if err := c.StartTLS(security); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if err := e.signIn(c); err != nil {
		return err
	}
	if err := c.Mail(from.Address); err != nil {
		return fmt.Errorf("sender %s: %w", from.Address, err)
	}
	for _, a := range to {
		if err := c.Rcpt(a.Address); err != nil {
			return fmt.Errorf("recipient %s: %w", a.Address, err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // the server's word that it has the mail
		return err
	}
	_ = c.Quit() // it has it; a bad good-bye changes nothing
	return nil
}

func (e *Email) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	dial := e.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return dial(ctx, "tcp", e.address())
}

// signIn signs in when there is a user. Of a refusal only the number is told: its text may hold what was sent.
func (e *Email) signIn(c *smtp.Client) error {
	if e.User == "" {
		return nil
	}
	ok, ways := c.Extension("AUTH")
	if !ok {
		return errors.New("the server takes no sign-in here: leave out notify.smtp.user, or use TLS")
	}
	password := ""
	if e.Password != nil {
		var err error
		if password, err = e.Password(); err != nil {
			return fmt.Errorf("notify.smtp.password: %w", err)
		}
	}
	auth := smtp.PlainAuth("", e.User, password, e.Host)
	if fields := strings.Fields(strings.ToUpper(ways)); !slices.Contains(fields, "PLAIN") && slices.Contains(fields, "LOGIN") {
		auth = &login{user: e.User, password: password, plain: auth}
	}
	err := c.Auth(auth)
	if refusal, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Errorf("sign-in as %s: the server refuses it (%d)", e.User, refusal.Code)
	}
	if err != nil {
		return fmt.Errorf("sign-in as %s: %w", e.User, err)
	}
	return nil
}

// login is the mechanism LOGIN, which some servers have instead of PLAIN. It is used only where PLAIN could be.
type login struct {
	user, password string
	plain          smtp.Auth
}

// Start begins, unless the connection is open to others.
func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	_, _, err := l.plain.Start(server)
	return "LOGIN", nil, err
}

// Next answers the server's two questions: user, password.
func (l *login) Next(asked []byte, more bool) ([]byte, error) {
	switch question := strings.ToLower(string(asked)); {
	case !more:
		return nil, nil
	case strings.HasPrefix(question, "user"):
		return []byte(l.user), nil
	case strings.HasPrefix(question, "pass"):
		return []byte(l.password), nil
	}
	return nil, errors.New("the server asks something that is not part of LOGIN")
}

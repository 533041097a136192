package accounting

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/ams"
	"github.com/fedsite/fedsite/protocol/smime"
	"github.com/fedsite/fedsite/protocol/ssm"
)

// AMSConfig is what the destination "ARGO Messaging Service" needs. What can change under a running program, certificate
// and token, is read anew at each Prepare.
type AMSConfig struct {
	Name      string
	Client    *ams.Client
	Topic     string
	Identity  func() (smime.Identity, error)    // signs; also exchanged for a token when Token is nil
	Recipient func() (*x509.Certificate, error) // nil = not encrypted
	Token     func() (string, error)            // nil = from the certificate
	Present   func(id smime.Identity)           // told the identity that the client shows to authn; may be nil
	Limit     int                               // bytes of base64 and attributes; 0 = ams.DefaultLimit
}

// NewAMS gives the destination.
func NewAMS(cfg AMSConfig) Destination {
	if cfg.Limit == 0 {
		cfg.Limit = ams.DefaultLimit
	}
	return &amsDestination{cfg: cfg}
}

type amsDestination struct {
	cfg AMSConfig

	mu        sync.Mutex
	loaded    bool
	id        smime.Identity
	recipient *x509.Certificate
	token     string
	renewed   bool // a refused token was replaced once in this run
}

var _ interface {
	Destination
	Preparer
} = (*amsDestination)(nil)

func (a *amsDestination) Name() string { return a.cfg.Name }

func (a *amsDestination) MaxBytes() int { return ams.MaxData(a.cfg.Limit) }

// Prepare checks what is here before anything is sent, and gets the token.
func (a *amsDestination) Prepare(ctx context.Context, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.check(now); err != nil {
		return err
	}
	return a.fetchToken(ctx)
}

func (a *amsDestination) Check(now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.check(now); err != nil {
		return err
	}
	if a.cfg.Token != nil {
		return a.readToken()
	}
	return nil
}

// check reads the certificates anew, and looks at them as the receiver will (spec accounting §2.4).
func (a *amsDestination) check(now time.Time) error {
	a.loaded, a.renewed = false, false
	if err := a.load(); err != nil {
		return err
	}
	if err := ssm.CheckCertificates(a.id, a.recipient, now); err != nil {
		return refused(err, "renew the certificate, or name another in accounting.ams.certificate")
	}
	return nil
}

// load reads the certificates, once per run.
func (a *amsDestination) load() error {
	if a.loaded {
		return nil
	}
	if a.cfg.Identity == nil {
		return refused(errors.New("no certificate to sign with"), "set accounting.ams.certificate: {cert: …, key: …}")
	}
	id, err := a.cfg.Identity()
	if err != nil {
		return refused(fmt.Errorf("host certificate: %w", err), "check accounting.ams.certificate: both files must be there, readable by fedsite's user, and belong together")
	}
	var recipient *x509.Certificate
	if a.cfg.Recipient != nil {
		if recipient, err = a.cfg.Recipient(); err != nil {
			return refused(fmt.Errorf("receiver's certificate: %w", err), "check accounting.ams.encrypt_to")
		}
	}
	a.id, a.recipient, a.loaded = id, recipient, true
	if a.cfg.Present != nil {
		a.cfg.Present(id)
	}
	return nil
}

func (a *amsDestination) fetchToken(ctx context.Context) error {
	if a.cfg.Token != nil {
		return a.readToken()
	}
	token, err := a.cfg.Client.Token(ctx)
	if err != nil {
		return delivery(err, 0)
	}
	a.token = token
	return nil
}

func (a *amsDestination) readToken() error {
	token, err := a.cfg.Token()
	if err != nil {
		return refused(fmt.Errorf("AMS token: %w", err), "check accounting.ams.token_file")
	}
	a.token = token
	return nil
}

func (a *amsDestination) Seal(m Message, now time.Time) ([]byte, error) {
	a.mu.Lock()
	err := a.load()
	id, recipient := a.id, a.recipient
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	sealed, err := ssm.Seal(m.Body, id, recipient, now)
	if errors.Is(err, ssm.ErrBody) {
		return nil, &DeliveryError{Verdict: BadBody, Err: err}
	}
	if err != nil {
		return nil, refused(err, "check accounting.ams.certificate and accounting.ams.encrypt_to")
	}
	return sealed, nil
}

func (a *amsDestination) Deliver(ctx context.Context, m Message, sealed []byte) (Receipt, error) {
	a.mu.Lock()
	token := a.token
	a.mu.Unlock()
	out := ams.Message{Attributes: map[string]string{"empaid": m.Name}, Data: sealed}
	id, err := a.cfg.Client.Publish(ctx, token, a.cfg.Topic, out)
	if e, ok := errors.AsType[*ams.Error](err); ok && e.HTTPStatus == 401 && a.replace(ctx, token) {
		a.mu.Lock()
		token = a.token
		a.mu.Unlock()
		id, err = a.cfg.Client.Publish(ctx, token, a.cfg.Topic, out)
	}
	if err != nil {
		return Receipt{}, delivery(err, len(sealed))
	}
	return Receipt{Remote: id}, nil
}

// replace fetches a fresh token with the certificate, once per run, after the one in use was refused.
func (a *amsDestination) replace(ctx context.Context, refusedToken string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cfg.Token != nil {
		return false
	}
	if a.token != refusedToken {
		return true // another worker has done it
	}
	if a.renewed {
		return false
	}
	a.renewed = true
	return a.fetchToken(ctx) == nil && a.token != refusedToken
}

func (a *amsDestination) Gone(context.Context, Message) (bool, error) {
	return false, errors.New("a message at AMS is settled when it is acknowledged, and waits in no queue")
}

func refused(err error, hint string) *DeliveryError {
	return &DeliveryError{Verdict: Refused, Err: err, Hint: hint}
}

// delivery says what an answer of AMS, or its absence, means for a message of so many bytes (design §7, rule 12).
func delivery(err error, size int) *DeliveryError {
	d := &DeliveryError{Verdict: Unanswered, Err: err, Hint: "nothing is lost: the message goes again with the next run", Exit: run.ExitUnavailable}
	e, ok := errors.AsType[*ams.Error](err)
	if !ok {
		return refused(err, "nothing was sent; please report this message")
	}
	d.Hint = cmp.Or(e.Hint(), transport.Hint(err), d.Hint)
	d.RetryAfter = e.RetryAfter
	switch {
	case e.TooLarge(size):
		d.Verdict, d.Exit, d.Stored = TooLarge, 0, !e.Answered() // 500 may be a failure of another kind
	case e.BadBody():
		d.Verdict, d.Exit = BadBody, 0
	case e.HTTPStatus == 429:
		d.Verdict = Busy
	case e.Answered():
		d.Verdict, d.Exit = Refused, run.ExitFailed
		if e.HTTPStatus == 401 || e.HTTPStatus == 403 {
			d.Exit = run.ExitNotAuthorised
		}
	}
	return d
}

package app

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/ams"
	"github.com/fedsite/fedsite/protocol/dirq"
	"github.com/fedsite/fedsite/protocol/smime"
)

// Names of the destinations in store and reports.
const (
	AMS  = "ams"
	Dirq = "dirq"
)

// amsTimeout bounds one call of AMS; a message has up to 1 MB.
const amsTimeout = time.Minute

// destinations gives the ways to the accounting server that a site's configuration names. One that cannot even be tried
// says so when it is used, and spoils nothing else.
func (a *App) destinations(cfg config.Accounting) []accounting.Destination {
	var all []accounting.Destination
	if cfg.AMS != nil {
		d, err := a.ams(*cfg.AMS)
		if err != nil {
			d = brokenDestination{AMS, &accounting.DeliveryError{Verdict: accounting.Refused, Err: fmt.Errorf("accounting.ams: %w", err), Hint: "mend the configuration; nothing is lost"}}
		}
		all = append(all, d)
	}
	if cfg.Dirq != nil {
		all = append(all, accounting.NewDirq(Dirq, dirq.Queue{Path: cfg.Dirq.Path}))
	}
	return all
}

// brokenDestination is one that cannot be used at all.
type brokenDestination struct {
	name string
	err  *accounting.DeliveryError
}

var _ interface {
	accounting.Destination
	accounting.Preparer
} = brokenDestination{}

func (b brokenDestination) Name() string { return b.name }

func (b brokenDestination) MaxBytes() int { return 0 }

func (b brokenDestination) Check(time.Time) error { return b.err }

func (b brokenDestination) Prepare(context.Context, time.Time) error { return b.err }

func (b brokenDestination) Seal(accounting.Message, time.Time) ([]byte, error) { return nil, b.err }

func (b brokenDestination) Deliver(context.Context, accounting.Message, []byte) (accounting.Receipt, error) {
	return accounting.Receipt{}, b.err
}

func (b brokenDestination) Gone(context.Context, accounting.Message) (bool, error) {
	return false, b.err
}

func (a *App) ams(cfg config.AMS) (accounting.Destination, error) {
	client, err := a.client(cfg.Network, transport.Config{Timeout: amsTimeout, Retry: transport.Retry{Attempts: 3, Base: cmp.Or(a.opts.BackOff, backOff), Max: longestBackOff}})
	if err != nil {
		return nil, err
	}
	ac := accounting.AMSConfig{
		Name:     AMS,
		Client:   &ams.Client{HTTP: client.Client, Host: cfg.Host, Port: cfg.Port, AuthnPort: cfg.AuthnPort, Project: cfg.Project},
		Topic:    cfg.Topic,
		Identity: func() (smime.Identity, error) { return identity(cfg.Certificate) },
		Present:  func(id smime.Identity) { client.SetCertificate(id.TLS()) },
		Limit:    cfg.MaxBytes,
	}
	if cfg.EncryptTo != "" {
		ac.Recipient = func() (*x509.Certificate, error) { return recipient(cfg.EncryptTo) }
	}
	if cfg.Token.IsSet() {
		ac.Token = cfg.Token.Value
	}
	return accounting.NewAMS(ac), nil
}

// identity reads the host certificate and its key.
func identity(c config.Certificate) (smime.Identity, error) {
	cert, err := os.ReadFile(c.Cert)
	if err != nil {
		return smime.Identity{}, err
	}
	key, err := os.ReadFile(c.Key)
	if err != nil {
		return smime.Identity{}, err
	}
	id, err := smime.ParseIdentity(cert, key)
	if err != nil {
		return smime.Identity{}, fmt.Errorf("%s, %s: %w", c.Cert, c.Key, err)
	}
	return id, nil
}

func recipient(file string) (*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	cert, err := smime.ParseCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return cert, nil
}

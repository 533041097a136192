// Package federation emulates what a site meets of the federation: the message broker with authn, the accounting server
// with the receiver in front of it, GOCDB, the register of sites, and where wanted the publishers of VM images.
//
//	broker → receiver → apelserver
//	GOCDB
//	endorser, registry
package federation

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	"github.com/fedsite/fedsite/internal/emulator/federation/broker"
	"github.com/fedsite/fedsite/internal/emulator/federation/gocdb"
	"github.com/fedsite/fedsite/protocol/smime"
	"github.com/fedsite/fedsite/protocol/ssm"
)

// Names of the accounting service in the federation (spec ams §1).
const (
	Project    = "accounting"
	CloudTopic = "eu-egi-cloud-accounting"
)

// Site is a site as the federation knows it: its host certificate, and its token at the broker.
type Site struct {
	Name            string
	CertPEM, KeyPEM []byte
	DN              string // slash form
	Token           string
}

// Federation is the emulated federation, served on loopback.
type Federation struct {
	CA        *CA
	Broker    *broker.Broker
	Faults    *faults.Set // of broker, authn and GOCDB
	Server    *apelserver.Server
	GOCDB     *gocdb.GOCDB // knows each site's accounting service; its clouds are for Register
	Sites     []Site
	Host      string
	Port      int // of the broker
	AuthnPort int
	GOCDBPort int
	Images    *Images // nil = no images are published

	now        func() time.Time
	mu         sync.Mutex
	servers    []*http.Server
	log        []Received
	registered register
}

// Received is what became of one message at the accounting server.
type Received struct {
	Empaid   string
	DN       string
	Accepted bool
	Reason   string
	Records  int
	Body     []byte
	Raw      []byte // signed, as it came
}

// Start makes a federation that knows the sites, and serves it on a loopback address, "127.0.0.1" or "::1", until Close.
func Start(addr string, now func() time.Time, sites ...string) (*Federation, error) {
	ca, err := NewCA(now())
	if err != nil {
		return nil, err
	}
	f := &Federation{CA: ca, Server: apelserver.New(), Faults: &faults.Set{}, GOCDB: gocdb.New(now, gocdb.Options{}), Host: addr, now: now}
	seed := broker.Seed{Host: addr, Bindings: map[string]string{}}
	var publishers []string
	for _, name := range sites {
		certPEM, keyPEM, err := ca.Issue(name, "fedsite."+name+".example.org")
		if err != nil {
			return nil, err
		}
		id, err := smime.ParseIdentity(certPEM, keyPEM)
		if err != nil {
			return nil, err
		}
		user := "eu-egi-cloud-accounting---" + name
		s := Site{Name: name, CertPEM: certPEM, KeyPEM: keyPEM, DN: id.DN(), Token: broker.NewToken(name)}
		seed.Users = append(seed.Users, broker.User{Name: user, Token: s.Token, Roles: map[string][]string{Project: {"publisher"}}})
		seed.Bindings[broker.AuthnDN(id.Certificate)] = user
		publishers = append(publishers, user)
		f.Sites = append(f.Sites, s)
		f.enrol(gocdb.Service{Site: name, Type: accounting, Host: "fedsite." + name + ".example.org", HostDN: s.DN})
	}
	seed.Projects = []broker.Project{{Name: Project, Topics: map[string][]string{CloudTopic: publishers},
		Subscriptions: map[string]broker.Subscription{CloudTopic: {Topic: CloudTopic}}}}
	f.Broker = broker.New(seed, now)
	f.Broker.OnStored(f.receive)
	if err := f.Listen(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Listen serves broker, authn, GOCDB, and the publishers of images if there are any; after a Close under the ports they had.
func (f *Federation) Listen() (err error) {
	if f.Port, err = f.serve(f.Port, f.Broker.AMS(), false); err != nil {
		return err
	}
	if f.AuthnPort, err = f.serve(f.AuthnPort, f.Broker.Authn(), true); err != nil {
		return err
	}
	if f.GOCDBPort, err = f.serve(f.GOCDBPort, f.GOCDB, false); err != nil || f.Images == nil {
		return err
	}
	return f.listenImages()
}

func (f *Federation) serve(port int, h http.Handler, clientCerts bool) (int, error) {
	cfg, err := f.CA.serverTLS(clientCerts)
	if err != nil {
		return 0, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(f.Host, strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	srv := &http.Server{Handler: f.Faults.Middleware(h), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	f.mu.Lock()
	f.servers = append(f.servers, srv)
	f.mu.Unlock()
	go srv.Serve(tls.NewListener(l, cfg)) //nolint:errcheck // ends with Close
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Close stops serving: connections are refused from now on, until Listen is called again.
func (f *Federation) Close() error {
	f.mu.Lock()
	servers := f.servers
	f.servers = nil
	f.mu.Unlock()
	var errs []error
	for _, s := range servers {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if err := s.Shutdown(ctx); err != nil {
			errs = append(errs, s.Close())
		}
		cancel()
	}
	return errors.Join(errs...)
}

// receive is the accounting server's receiver: it takes every message, verifies it, checks the name of its signer, and
// loads it. A refused one is gone, and its sender is not told (spec ams §9).
func (f *Federation) receive(m broker.Stored) {
	if m.Topic != CloudTopic { // it is not for the accounting server
		return
	}
	r := Received{Empaid: m.Attributes["empaid"]}
	defer func() {
		f.mu.Lock()
		f.log = append(f.log, r)
		f.mu.Unlock()
	}()
	raw, err := base64.StdEncoding.DecodeString(m.Data)
	if err != nil {
		r.Reason = err.Error()
		return
	}
	r.Raw = raw
	opened, err := ssm.Open(raw, ssm.OpenOptions{Roots: f.CA.Pool(), Now: f.now(), Allowed: f.allowed})
	if err != nil {
		r.Reason = err.Error()
		return
	}
	r.DN, r.Body = opened.SignerDN, opened.Body
	v := f.Server.Load(opened.Body, opened.SignerDN)
	r.Accepted, r.Reason, r.Records = v.Accepted, v.Reason, v.Records
	if v.Crash {
		r.Reason = fmt.Sprintf("the loader ends: %s", v.Reason)
	}
}

func (f *Federation) allowed(dn string) bool {
	for _, s := range f.Sites {
		if s.DN == dn {
			return true
		}
	}
	return false
}

// Received gives what became of the messages so far.
func (f *Federation) Received() []Received {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Received(nil), f.log...)
}

package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/directory"
	"github.com/fedsite/fedsite/internal/health"
	"github.com/fedsite/fedsite/internal/information"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/transport"
)

// Server is one of the servers of documents that the configuration names: an address, and what is served there.
type Server struct {
	Kind    string // config.SinkAPI, config.SinkLDAP
	Address string
	gocdb   config.GOCDB   // that the API asks
	network config.Network // by which the API asks the Operations Portal
	api     *config.APISink
	at      config.Site // the first site that names it, through which a container is reached
	sinks   []ownSink
}

// ownSink is a sink whose documents are served.
type ownSink struct{ siteID, name string }

// Servers gives the servers that the configuration names, in its order. Sites that name the same address share one.
func (a *App) Servers() []Server {
	var all []Server
	for _, s := range a.cfg.Sites {
		if s.Discovery.Mode == site.Disabled {
			continue
		}
		for _, c := range s.Discovery.Publish {
			one := Server{Kind: c.Kind(), at: s}
			switch {
			case c.API != nil:
				one.Address, one.api, one.gocdb, one.network = c.API.Listen, c.API, s.Discovery.GOCDB, a.cfg.Network
			case c.LDAP != nil:
				one.Address = c.LDAP.Listen
			default:
				continue
			}
			i := slices.IndexFunc(all, func(o Server) bool { return o.Kind == one.Kind && o.Address == one.Address })
			if i < 0 {
				i = len(all)
				all = append(all, one)
			}
			all[i].sinks = append(all[i].sinks, ownSink{s.Site.ID, c.Name})
		}
	}
	return all
}

// same tells whether a running server need not be made anew for the configuration.
func (s Server) same(o Server) bool {
	if s.Kind != o.Kind || s.Address != o.Address || (s.api == nil) != (o.api == nil) {
		return false
	}
	if s.api == nil {
		return true
	}
	a, b := s.api, o.api
	return reflect.DeepEqual(s.gocdb, o.gocdb) && reflect.DeepEqual(s.network, o.network) && a.Directory == b.Directory && a.BaseURL == b.BaseURL && a.Disciplines == b.Disciplines && a.OpsPortalKey.Equal(b.OpsPortalKey) && samePointed(a.Container, b.Container) && samePointed(a.TLS, b.TLS)
}

func samePointed[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// servers are those that run in this process.
type servers struct {
	mu      sync.Mutex
	running []*running
	failed  []run.Check // those that could not be begun
	traffic traffic     // of those that answer LDAP
	ended   sync.WaitGroup
}

// running is a server that runs. What it serves of our own follows the configuration.
type running struct {
	Server
	own    *own
	addr   net.Addr
	stop   context.CancelFunc
	status func() []run.Check
	ended  chan struct{}
}

// follow begins the servers that the configuration names, and ends those that it names no more. One that cannot be begun is
// told, and tried again when this is called again; the others are served.
func (s *servers) follow(ctx context.Context, a *App) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := a.Servers()
	var stay []*running
	for _, r := range s.running {
		i := slices.IndexFunc(wanted, r.same)
		gone := false
		select {
		case <-r.ended:
			gone = true
		default:
		}
		if i < 0 || gone {
			r.stop()
			<-r.ended // its address is free then
			continue
		}
		r.own.set(a, wanted[i])
		stay = append(stay, r)
	}
	s.running, s.failed = stay, nil
	var errs []error
	for _, w := range wanted {
		if slices.ContainsFunc(s.running, func(r *running) bool { return r.same(w) }) {
			continue
		}
		r, err := a.begin(ctx, w, &s.ended, &s.traffic)
		if err != nil {
			errs = append(errs, err)
			s.failed = append(s.failed, run.Check{Part: string(site.Discovery), Name: "server", Object: w.Kind + " " + w.Address, State: run.CheckFail, Reason: err.Error(),
				Remedy: "end what listens there, or name another address, then systemctl reload fedsite", Stored: true})
			continue
		}
		s.running = append(s.running, r)
	}
	return errors.Join(errs...)
}

// wait waits until all servers have ended, after their context has.
func (s *servers) wait() { s.ended.Wait() }

// checks tells how the servers are.
func (s *servers) checks() []run.Check {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.failed)
	for _, r := range s.running {
		select {
		case <-r.ended:
			all = append(all, run.Check{Part: string(site.Discovery), Name: "server", Object: r.Kind + " " + r.Address, State: run.CheckFail, Reason: "it has ended", Remedy: "systemctl reload fedsite begins it anew; the log says why it ended"})
		default:
			all = append(all, r.status()...)
		}
	}
	for i := range all {
		all[i].Part, all[i].Stored = health.PartService, true
	}
	return all
}

// ServeDocuments serves at an address what the configuration names for a kind of server, config.SinkAPI or
// config.SinkLDAP, and tells where; until ctx ends. It is nil where nothing is named.
func (a *App) ServeDocuments(ctx context.Context, kind, address string) (net.Addr, func(), error) {
	for _, w := range a.Servers() {
		if w.Kind != kind {
			continue
		}
		var ended sync.WaitGroup
		w.Address = address
		r, err := a.begin(ctx, w, &ended, nil)
		if err != nil {
			return nil, nil, err
		}
		return r.addr, func() { r.stop(); ended.Wait() }, nil
	}
	return nil, func() {}, nil
}

// begin begins a server. What it answers is counted in t, if there is one.
func (a *App) begin(ctx context.Context, w Server, ended *sync.WaitGroup, t *traffic) (*running, error) {
	r := &running{Server: w, own: &own{}, ended: make(chan struct{})}
	r.own.set(a, w)
	log := a.opts.Log.With("server", w.Kind)
	var (
		serve func(ctx context.Context) error
		err   error
	)
	ctx, r.stop = context.WithCancel(ctx)
	if w.Kind == config.SinkAPI {
		serve, err = r.api(ctx, a, log)
	} else {
		serve, err = r.ldap(ctx, log, t)
	}
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("%s: %w", w.Kind, err)
	}
	log.Info("serving documents", "address", r.addr.String())
	ended.Go(func() {
		defer close(r.ended)
		if err := serve(ctx); err != nil && ctx.Err() == nil {
			log.Error("a server of documents has ended", "error", err)
		}
	})
	return r, nil
}

// ldap makes the LDAP server.
func (r *running) ldap(ctx context.Context, log *slog.Logger, t *traffic) (func(context.Context) error, error) {
	l, err := directory.Listen(ctx, r.Address)
	if err != nil {
		return nil, err
	}
	r.addr = l.Addr()
	server := directory.New(directory.Options{Source: r.own, Log: log, Answered: t.answered, Refused: t.refuse})
	r.status = func() []run.Check {
		st := server.Status()
		found := run.Check{Name: "server", Object: "ldap " + r.Address, State: run.CheckOK, Reason: fmt.Sprintf("%d documents, %d entries", st.Documents, st.Entries)}
		if st.Err != nil {
			found.State, found.Reason = run.CheckWarn, st.Err.Error()
		}
		return []run.Check{found}
	}
	return func(ctx context.Context) error { return server.Serve(ctx, l) }, nil
}

// api makes the information API.
func (r *running) api(ctx context.Context, a *App, log *slog.Logger) (func(context.Context) error, error) {
	o := information.Options{Sources: []information.Source{information.Published("fedsite", r.own.published)}, Log: log, Now: a.Now}
	c := r.Server.api
	if c.Directory != "" {
		o.Sources = append(o.Sources, information.NewDirectory(c.Directory, information.Limits{}))
	}
	if c.Container != nil {
		where := *c.Container
		o.Sources = append(o.Sources, information.NewContainer(fmt.Sprintf("container %s of credential %s", where.Container, where.Credential),
			objects{func(ctx context.Context) (*openstack.Container, error) {
				a, at := r.own.through()
				return a.container(ctx, at, where)
			}}, information.Limits{}))
	}
	if reg := a.registry(r.at.Discovery.GOCDB); reg != nil {
		o.Registry = reg
	}
	if c.OpsPortalKey.IsSet() {
		client, err := a.client(a.cfg.Network, transport.Config{Timeout: registryTimeout, ReadOnly: true, Retry: transport.Retry{Attempts: 2, Base: backOff, Max: longestBackOff}})
		if err != nil {
			return nil, err
		}
		key := c.OpsPortalKey
		o.Portal = &information.Portal{HTTP: client.Client, Key: func(context.Context) (string, error) { return key.Value() }}
	}
	o.BaseURL = c.BaseURL
	if c.Disciplines != "" {
		f, err := os.Open(c.Disciplines)
		if err != nil {
			return nil, err
		}
		o.Disciplines, err = information.ReadDisciplines(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Disciplines, err)
		}
	}
	server, err := information.New(o)
	if err != nil {
		return nil, err
	}
	l, err := information.Listen(ctx, r.Address)
	if err != nil {
		server.Close()
		return nil, err
	}
	r.addr = l.Addr()
	if c.TLS != nil {
		if _, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key); err != nil {
			server.Close()
			return nil, errors.Join(fmt.Errorf("tls: %w", err), l.Close())
		}
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Time: a.Now, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key) // read anew, so that a renewed one counts
			return &cert, err
		}})
	}
	r.status = func() []run.Check { return server.Status().Checks() }
	return func(ctx context.Context) error {
		defer server.Close()
		return information.Serve(ctx, l, information.NewHTTPServer(server, log))
	}, nil
}

// objects is a container of object storage, as the information API reads it.
type objects struct {
	open func(ctx context.Context) (*openstack.Container, error)
}

// List lists it.
func (o objects) List(ctx context.Context) ([]information.Object, error) {
	c, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.List(ctx, "")
	if err != nil {
		return nil, err
	}
	all := make([]information.Object, len(list))
	for i, obj := range list {
		all[i] = information.Object{Name: obj.Name, Hash: obj.Hash, Bytes: obj.Bytes, Modified: obj.Modified}
	}
	return all, nil
}

// Get gives one object.
func (o objects) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	c, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	return c.Get(ctx, name, most)
}

func (s Server) String() string { return strings.TrimSpace(s.Kind + " " + s.Address) }

package app

import (
	"context"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/health"
	"github.com/fedsite/fedsite/internal/notify"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/internal/web"
)

// lookEvery is how often health is assessed; a look takes at most lookTime.
const (
	lookEvery = time.Minute
	lookTime  = 50 * time.Second
	leaveTime = 5 * time.Second // for giving the watch up
)

// health assesses how everything is, and tells of changes, until ctx ends.
func (s *service) health(ctx context.Context) {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	for {
		s.look(ctx)
		select {
		case <-every.C:
		case <-ctx.Done():
			s.leave(ctx)
			return
		}
	}
}

// leave lets another process watch at once: another node, or the next start of this one.
func (s *service) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	err := s.current.Load().db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE health_watch SET until = 0 WHERE owner = $1`, s.who.Boot)
		return err
	})
	if err != nil {
		s.log.Debug("the watch over health could not be given up: it ends by itself", "error", err)
	}
}

// Served tells whether a service runs on this database: one that was killed is taken for a running one for some minutes more.
func (a *App) Served(ctx context.Context) (served bool, err error) {
	err = a.db.Read(ctx, func(tx *store.Tx) error {
		var n int
		err := tx.QueryRow(`SELECT count(*) FROM health_watch WHERE until > ` + tx.Clock()).Scan(&n)
		served = n > 0
		return err
	})
	return served, err
}

// look assesses once, keeps what has changed, and tells of it. Of several nodes on one database one does.
func (s *service) look(whole context.Context) {
	ctx, cancel := context.WithTimeout(whole, lookTime)
	defer cancel()
	a, watcher := s.current.Load(), s.watcher.Load()
	mine, err := s.watches(ctx, a)
	if err == nil && mine {
		_, err = watcher.Look(ctx, s.facts(ctx, s.know(ctx)))
	}
	if whole.Err() != nil {
		return
	}
	if err != nil {
		s.log.Warn("health could not be kept or told", "error", err, "hint", store.Hint(err))
	}
	ctx, cancel = context.WithTimeout(whole, lookTime) // the database may have taken all of the first
	defer cancel()
	s.outcry.Looked(ctx, watcher, err, a.Now())
}

// watches tells whether this process keeps and tells of health: the one that did so last, until it has not for two looks. On
// SQLite there is one service, as its lock says: whoever watched before is dead.
func (s *service) watches(ctx context.Context, a *App) (mine bool, err error) {
	err = a.db.Write(ctx, func(tx *store.Tx) error {
		free := ""
		if a.cfg.Store.URL.IsSet() {
			free = ` WHERE health_watch.owner = excluded.owner OR health_watch.until <= ` + tx.Clock()
		}
		n, err := tx.Exec(`INSERT INTO health_watch (one, owner, until) VALUES (1, $1, `+tx.Clock()+` + $2)
			ON CONFLICT (one) DO UPDATE SET owner = excluded.owner, until = excluded.until`+free, s.who.Boot, (2*lookEvery + lookTime).Milliseconds())
		mine = n > 0
		return err
	})
	return mine, err
}

// watching makes what tells of changes, by the configuration.
func (s *service) watching(a *App) (*health.Watcher, error) {
	name := fmt.Sprintf("%d sites", len(a.cfg.Sites))
	if len(a.cfg.Sites) == 1 {
		name = a.cfg.Sites[0].Site.Name
	}
	w := &health.Watcher{DB: a.db, Log: a.opts.Log, Name: name}
	n := a.cfg.Notify
	client, err := a.client(a.cfg.Network, transport.Config{Timeout: time.Minute, Retry: transport.Retry{Attempts: 1}})
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	if len(n.Email) > 0 {
		w.Channels = append(w.Channels, &notify.Email{Host: n.SMTP.Host, Port: n.SMTP.Port, Security: n.SMTP.TLS, User: n.SMTP.User, Password: n.SMTP.Password.Value, From: n.From, To: n.Email, Now: a.Now})
	}
	if n.Webhook != nil {
		w.Channels = append(w.Channels, &notify.Webhook{HTTP: client.Client, URL: n.Webhook.URL.Value, Headers: func() (map[string]string, error) { return values(n.Webhook.Headers) }})
	}
	if n.Heartbeat.IsSet() {
		w.Heartbeat = &notify.Heartbeat{HTTP: client.Client, URL: n.Heartbeat.Value}
	}
	return w, nil
}

func values(secrets map[string]config.Secret) (map[string]string, error) {
	all := map[string]string{}
	for name, secret := range secrets {
		value, err := secret.Value()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = value
	}
	return all, nil
}

// places gives the health of each part at each site, and what is wrong, as the pages show it; also what is muted.
func (a *App) places(items []health.Item) ([]web.Place, []web.Problem) {
	places, problems := []web.Place{}, []web.Problem{}
	modes := map[[2]string]string{}
	for _, c := range a.cfg.Sites {
		modes[[2]string{c.Site.ID, string(site.Accounting)}] = string(c.Accounting.Mode)
		modes[[2]string{c.Site.ID, string(site.Discovery)}] = string(c.Discovery.Mode)
	}
	for _, p := range health.Places(items) {
		w := web.Place{Part: p.Part, Site: p.SiteID, SiteName: p.Site, Health: web.Health{State: web.State(p.State), Reason: p.Reason, Remedy: p.Remedy, Since: p.Since}, Mode: modes[[2]string{p.SiteID, p.Part}]}
		places = append(places, w)
	}
	for _, i := range items {
		if i.State.Bad() || i.Behind.Bad() {
			problems = append(problems, web.Problem{State: web.State(i.State), Part: i.Part, Site: i.SiteID, SiteName: i.Site, Cloud: i.Cloud, Object: i.Thing(), Reason: i.Reason, Remedy: i.Remedy, Since: i.Since, Task: i.Task})
		}
	}
	return places, problems
}

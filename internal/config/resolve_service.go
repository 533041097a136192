package config

import (
	"net/netip"
	"slices"
	"strings"
)

// service takes over what the service as a whole does.
func (l *loader) service(cfg *Config) {
	f := &l.main.rest
	cfg.Store = Store{Path: f.Store.Path.V, URL: f.Store.URL.V, Backup: Backup{Dir: f.Store.Backup.Dir.V, Keep: f.Store.Backup.Keep.V, At: f.Store.Backup.At.V}}
	cfg.Limits = Limits{Parallel: f.Limits.Parallel.V, PerSite: f.Limits.PerSite.V, Deadline: f.Limits.Deadline.V}
	cfg.Retention = Retention{Records: f.Retention.Records.V, AccessLog: f.Retention.AccessLog.V, Audit: f.Retention.Audit.V, Runs: f.Retention.Runs.V}
	cfg.Web = Web{Listen: f.Web.Listen.V}
	if f.Notify != nil {
		cfg.Notify = l.notify(f.Notify)
	}
	if f.Demo != nil {
		cfg.Demo = Demo{On: true, Offset: f.Demo.Offset.V}
	}
	if per := f.Limits.PerSite; per.isSet() && f.Limits.Parallel.V > 0 && per.V > f.Limits.Parallel.V {
		l.fail(per.at, "must be at most parallel, %d", f.Limits.Parallel.V)
	}
}

func (l *loader) notify(f *fileNotify) Notify {
	n := Notify{Email: values(f.Email.V), From: f.From.V, Heartbeat: f.Heartbeat.V, Digest: f.Digest.V,
		SMTP: SMTP{Host: f.SMTP.Host.V, Port: f.SMTP.Port.V, TLS: f.SMTP.TLS.V, User: f.SMTP.User.V, Password: f.SMTP.Password.V}}
	if w := f.Webhook; w != nil {
		n.Webhook = &Webhook{URL: w.URL.V}
		for _, h := range w.Headers.entries {
			if n.Webhook.Headers == nil {
				n.Webhook.Headers = map[string]Secret{}
			}
			n.Webhook.Headers[h.name] = h.value.V
		}
	}
	l.checkNotify(f)
	return n
}

func (l *loader) checkNotify(f *fileNotify) {
	if f.at.kind != mapping {
		return
	}
	if !f.Email.isSet() && f.Webhook == nil && !f.Heartbeat.isSet() && !f.at.partly {
		l.fail(f.at, "tells nobody: say email, webhook or heartbeat_url")
	}
	s := f.SMTP
	if s.at == nil || s.at.kind != mapping {
		return
	}
	switch {
	case s.User.isSet() && !s.Password.isSet():
		l.missing(s.at, "password", "is required beside user")
	case s.Password.isSet() && !s.User.isSet():
		l.missing(s.at, "user", "is required beside password")
	case s.User.isSet() && s.TLS.V == "none" && !isLocal(s.Host.V):
		l.fail(s.User.at, "would be sent unencrypted to %s: say tls: starttls or tls", s.Host.V)
	}
}

// header tells whether a text can be the name of a header, and is none that belongs to the connection.
func header(name string) bool {
	return plainKey.MatchString(name) && !slices.Contains([]string{"host", "content-length", "transfer-encoding", "connection"}, strings.ToLower(name))
}

// isLocal tells whether a host is this one.
func isLocal(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

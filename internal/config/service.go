package config

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/fedsite/fedsite/internal/site"
)

// Limits says how much the service does at once.
type Limits struct {
	Parallel int           // runs at once
	PerSite  int           // of them for one site
	Deadline time.Duration // of a run
}

// Runs says how much is done at once for a set of sites, and how long a run may take; what is zero is as for all.
type Runs struct {
	Set      string // the set, as include has it; "" = the site is of none that says so
	Sites    int    // of the set at once
	Deadline time.Duration
}

// Notify says who is told when something's health changes. Without Email, Webhook and Heartbeat it is nobody.
type Notify struct {
	Email     []string
	From      string // "" = fedsite at the host's name
	SMTP      SMTP
	Webhook   *Webhook
	Heartbeat Secret // URL that is called while the service is well
	Digest    Daily
}

// SMTP is the server that takes mail.
type SMTP struct {
	Host     string
	Port     int
	TLS      string // starttls, tls, none
	User     string // "" = it takes mail as it is
	Password Secret
}

// Webhook is a URL that is told by HTTP.
type Webhook struct {
	URL     Secret
	Headers map[string]Secret
}

// Daily is a moment of each day, UTC.
type Daily struct {
	On           bool
	Hour, Minute int
}

// Cron gives the moment as a cron expression; "" when it is off.
func (d Daily) Cron() string {
	if !d.On {
		return ""
	}
	return fmt.Sprintf("%d %d * * *", d.Minute, d.Hour)
}

// Mute silences a part of a site until a moment.
type Mute struct {
	Site   string    // in GOCDB; "" = all
	Part   site.Part // "" = all
	Reason string
	Until  time.Time
}

// Retention says how long is kept what names persons, or grows.
type Retention struct{ Records, AccessLog, Audit, Runs Period }

// Period is a length of time in calendar months and a rest.
type Period struct {
	Months int
	Rest   time.Duration
}

// Before gives the moment that lies one period before t, in UTC. A day that a month does not have is its last one.
func (p Period) Before(t time.Time) time.Time {
	t = t.UTC()
	back := t.AddDate(0, -p.Months, 0)
	if back.Day() != t.Day() { // 31 May less 3 months is no 3 March
		back = back.AddDate(0, 0, -back.Day())
	}
	return back.Add(-p.Rest)
}

// Web is the web server.
type Web struct {
	Listen string // host:port; "" = off
}

// Backup says where the daily snapshots of the database go.
type Backup struct {
	Dir  string // "" = backup in the state's directory
	Keep int    // snapshots; 0 = none are made
	At   Daily
}

// BackupDir gives the directory of snapshots.
func (s Store) BackupDir() string {
	if s.Backup.Dir != "" {
		return s.Backup.Dir
	}
	return filepath.Join(s.Path, "backup")
}

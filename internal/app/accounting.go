package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// How messages are sent in one run: so many at once, so many tries of each, and the first back-off.
const (
	sendParallel = 4
	sendAttempts = 3
	sendBackOff  = 2 * time.Second
)

// SiteReport is the report of one site's run, or why there was none.
type SiteReport struct {
	Site   string     `json:"site"`
	Report run.Report `json:"report,omitzero"`
	Error  string     `json:"error,omitempty"` // of Err, for programs
	Err    error      `json:"-"`
}

// Sites gives the configured sites of that name, all for "". An unknown name is an error.
func (a *App) Sites(name string) ([]config.Site, error) {
	if name == "" {
		return a.cfg.Sites, nil
	}
	var known []string
	for _, s := range a.cfg.Sites {
		if s.Site.Name == name {
			return []config.Site{s}, nil
		}
		known = append(known, s.Site.Name)
	}
	return nil, fmt.Errorf("the configuration has no site %s, only %s", name, strings.Join(known, ", "))
}

// Collect collects each of the sites in turn.
func (a *App) Collect(ctx context.Context, sites []config.Site, ask accounting.Ask) []SiteReport {
	return a.each(ctx, taskCollect, sites, collecting(ask))
}

// work is what a task does for one site.
type work func(ctx context.Context, d accounting.Deps, t *accounting.Target) error

func collecting(ask accounting.Ask) work {
	return func(ctx context.Context, d accounting.Deps, t *accounting.Target) error {
		return accounting.Collect(ctx, d, t, ask)
	}
}

// SendOptions says what Send sends.
type SendOptions struct {
	To          string // only this destination; "" = all
	RetryParked bool   // cut parked records anew first
	GoActive    bool   // agreed: sites that are active for the first time may send
}

// Send sends what each of the sites has for its destinations.
func (a *App) Send(ctx context.Context, sites []config.Site, o SendOptions) []SiteReport {
	return a.each(ctx, taskSend, sites, a.sending(o))
}

func (a *App) sending(o SendOptions) work {
	return func(ctx context.Context, d accounting.Deps, t *accounting.Target) error {
		if o.RetryParked {
			for _, dest := range t.Destinations {
				if o.To != "" && o.To != dest.Name() {
					continue
				}
				n, err := accounting.Unpark(ctx, d.DB, t.Site.ID, dest)
				if err != nil { // this destination's own trouble
					d.Run.Problem(run.Problem{Site: t.Site.Name, Object: "destination " + dest.Name(), Step: "send", Reason: "nothing was cut anew: " + err.Error(), Hint: store.Hint(err)})
				}
				d.Run.Count("messages_unparked", n)
			}
		}
		return accounting.Send(ctx, d, t, accounting.Sending{To: o.To, GoActive: o.GoActive, Parallel: sendParallel, Attempts: sendAttempts, Base: cmp.Or(a.opts.BackOff, sendBackOff)})
	}
}

// each runs a task of every site, one after the other.
func (a *App) each(ctx context.Context, kind string, sites []config.Site, do work) []SiteReport {
	return a.eachSite(ctx, kind, sites, func(ctx context.Context, r *run.Recorder, s config.Site) error {
		return do(ctx, a.deps(r), a.target(s))
	})
}

func (a *App) deps(r *run.Recorder) accounting.Deps {
	return accounting.Deps{Now: a.Now, DB: a.db, Log: a.opts.Log, Run: r, Sent: a.sent}
}

// Release says of a project that one of the sites holds that its missing VMs are gone; with dryRun it only tells which.
func (a *App) Release(ctx context.Context, sites []config.Site, project, by string, dryRun bool) (accounting.Release, error) {
	var holders []config.Site
	for _, s := range sites {
		held, err := accounting.HeldProjects(ctx, a.db, a.target(s))
		if err != nil {
			return accounting.Release{}, err
		}
		if slices.ContainsFunc(held, func(h accounting.Held) bool { return h.Named(project) }) {
			holders = append(holders, s)
		}
	}
	switch len(holders) {
	case 0:
		return accounting.Release{}, fmt.Errorf("project %s %w", project, accounting.ErrNotHeld)
	case 1:
	default:
		return accounting.Release{}, fmt.Errorf("sites %s and %s both hold a project %s: name the site", holders[0].Site.Name, holders[1].Site.Name, project)
	}
	r := run.NewRecorder("release", a.Now, nil)
	return accounting.ReleaseProject(ctx, a.deps(r), a.target(holders[0]), project, by, dryRun)
}

// Undecided gives those of the sites whose records would go out if somebody agreed.
func (a *App) Undecided(ctx context.Context, sites []config.Site) ([]config.Site, error) {
	var all []config.Site
	for _, s := range sites {
		is, err := accounting.Undecided(ctx, a.deps(run.NewRecorder("send", a.Now, nil)), a.target(s))
		if err != nil {
			return nil, fmt.Errorf("site %s: %w", s.Site.Name, err)
		}
		if is {
			all = append(all, s)
		}
	}
	return all, nil
}

// Held gives the projects of the sites that are held.
func (a *App) Held(ctx context.Context, sites []config.Site) ([]accounting.Held, error) {
	var all []accounting.Held
	for _, s := range sites {
		held, err := accounting.HeldProjects(ctx, a.db, a.target(s))
		if err != nil {
			return nil, err
		}
		all = append(all, held...)
	}
	return all, nil
}

// Preview says what Send would do, and of each site what would keep it from that; nothing is written or sent.
func (a *App) Preview(ctx context.Context, sites []config.Site, to string) ([]accounting.Planned, []run.Report, error) {
	var (
		all     []accounting.Planned
		reports []run.Report
	)
	for _, s := range sites {
		r := run.NewRecorder("preview", a.Now, nil)
		plan, err := accounting.Preview(ctx, a.deps(r), a.target(s), to)
		if err != nil {
			return nil, nil, fmt.Errorf("site %s: %w", s.Site.Name, err)
		}
		all, reports = append(all, plan...), append(reports, r.Finish())
	}
	return all, reports, nil
}

// Records gives the ledger's rows of the sites.
func (a *App) Records(ctx context.Context, sites []config.Site, f accounting.Filter) ([]accounting.Entry, error) {
	var all []accounting.Entry
	for _, s := range sites {
		entries, err := accounting.Records(ctx, a.db, a.target(s), f)
		if err != nil {
			return nil, fmt.Errorf("site %s: %w", s.Site.Name, err)
		}
		all = append(all, entries...)
	}
	return all, nil
}

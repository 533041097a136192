package app

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/health"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/telemetry"
)

// figures gives what the metrics show.
func (s *service) figures(ctx context.Context) (telemetry.Snapshot, error) {
	k, items := s.lately(ctx)
	if k.tasks == nil && len(k.unread) > 0 { // else one site could not be read, and its figures are left out
		return telemetry.Snapshot{}, errors.New(strings.Join(k.unread, "; "))
	}
	f := telemetry.Snapshot{Backup: k.app.newestSnapshot()}
	sites := map[string]*telemetry.SiteFigures{}
	for _, c := range k.app.cfg.Sites {
		_, outdated := c.Outdated()
		sites[c.Site.ID] = &telemetry.SiteFigures{Site: c.Site.Name, Downtime: s.down(k, c.Site.ID), ConfigOK: !outdated}
	}
	for _, status := range k.status {
		accountingFigures(&f, sites[status.SiteID], status)
		if at := sites[status.SiteID]; at != nil && at.Sends {
			at.UnsentOldest = 0
			for _, d := range status.Destinations {
				if !d.Copy && !d.Oldest.IsZero() {
					at.UnsentOldest = max(at.UnsentOldest, k.now.Sub(d.Oldest))
				}
			}
		}
	}
	for _, status := range k.offers {
		offerFigures(&f, status, k.now)
	}
	for _, status := range k.images {
		imageFigures(&f, status, k.now)
	}
	for _, c := range k.app.cfg.Sites {
		f.Sites = append(f.Sites, *sites[c.Site.ID])
	}
	for _, u := range k.app.unserved() {
		f.Sites = append(f.Sites, telemetry.SiteFigures{Site: cmp.Or(u.Site, u.File)})
	}
	for _, t := range k.tasks {
		if !t.Removed.IsZero() || t.Schedule == "" {
			continue
		}
		kind, _, _ := strings.Cut(t.Name, "/")
		name := ""
		if t.Site != "" {
			name = k.app.siteName(t.Site)
		}
		f.Tasks = append(f.Tasks, telemetry.TaskFigures{Site: name, Task: kind, LastSuccess: t.LastSuccess, Period: period(t, k.now), Paused: t.PausedUntil.After(k.now)})
		if slices.Contains([]string{taskCheck, taskOfferCheck, taskImageCheck}, kind) {
			f.Credentials = append(f.Credentials, signIns(s.lastReport(ctx, k.app, t))...)
		}
	}
	f.Directory, f.Refused = s.servers.traffic.figures()
	for _, p := range health.Places(items) {
		if p.State != health.Unknown {
			f.Parts = append(f.Parts, telemetry.PartFigures{Site: p.Site, Part: p.Part, State: map[health.State]int{health.Warn: 1, health.Fail: 2}[p.State]})
		}
	}
	return f, nil
}

// down tells whether all of a site is in an outage.
func (s *service) down(k known, id string) bool {
	return slices.ContainsFunc(k.downs[id], func(d discovery.Downtime) bool {
		return len(d.Clouds) == 0 && health.Downtime{From: d.Start, To: d.End, Outage: d.Outage, Asked: d.Asked}.Excuses(k.now)
	})
}

// accountingFigures adds what a site's status says.
func accountingFigures(f *telemetry.Snapshot, at *telemetry.SiteFigures, status accounting.Status) {
	for _, c := range status.Clouds {
		f.Clouds = append(f.Clouds, telemetry.CloudFigures{Site: status.Site, Cloud: c.Name, CollectedUntil: c.Until, GapWindows: len(c.Gaps), HeldShares: len(c.Held), Vanished: c.Vanished})
	}
	for _, d := range status.Destinations {
		for _, cert := range d.Certificates {
			f.Certificates = append(f.Certificates, telemetry.CertificateFigures{Site: status.Site, Name: cert.Name, NotAfter: cert.NotAfter})
		}
		if at != nil && !d.Copy && status.Mode == site.Active {
			at.Sends, at.Unsent, at.Parked = true, at.Unsent+d.Unsent, at.Parked+d.Parked
		}
	}
	if at != nil {
		at.Parked += status.Unsendable
	}
	if status.Month != "" {
		f.Months = append(f.Months, telemetry.MonthFigures{Site: status.Site, Month: status.Month, Complete: status.Complete})
	}
}

// offerFigures adds what the status of a site's discovery says.
func offerFigures(f *telemetry.Snapshot, status discovery.Status, now time.Time) {
	if status.Mode == site.Active {
		for _, k := range status.Sinks {
			f.Publications = append(f.Publications, telemetry.PublicationFigures{Site: status.Site, Name: k.Name, Delivered: k.Delivered})
		}
	}
	for _, e := range status.Endpoints {
		for _, sh := range e.Shares {
			var since time.Time
			for _, t := range sh.Troubles {
				if since.IsZero() || t.Since.Before(since) {
					since = t.Since
				}
			}
			share := telemetry.ShareFigures{Site: status.Site, Cloud: sh.Cloud, VO: sh.VO}
			if !since.IsZero() {
				share.Stale = max(now.Sub(since), time.Second)
			}
			f.Shares = append(f.Shares, share)
		}
	}
}

// imageFigures adds what the status of a site's images says. Several projects of a VO at a cloud count together.
func imageFigures(f *telemetry.Snapshot, status images.Status, now time.Time) {
	for _, o := range status.Sources {
		f.ImageSources = append(f.ImageSources, telemetry.ImageSourceFigures{Site: status.Site, Name: o.Name, OK: o.Failed == "", Published: o.Created, Delay: o.Delay})
	}
	for _, sh := range status.Shares {
		i := slices.IndexFunc(f.Images, func(o telemetry.ImageFigures) bool {
			return o.Site == status.Site && o.Cloud == sh.Cloud && o.VO == sh.VO
		})
		if i < 0 {
			i = len(f.Images)
			f.Images = append(f.Images, telemetry.ImageFigures{Site: status.Site, Cloud: sh.Cloud, VO: sh.VO})
		}
		one := &f.Images[i]
		one.Wanted, one.Present = one.Wanted+sh.Wanted, one.Present+sh.Present
		if !sh.Behind.IsZero() {
			one.Behind = max(one.Behind, now.Sub(sh.Behind))
		}
	}
}

// signIns gives which credentials worked when they were last checked.
func signIns(r *run.Report) (all []telemetry.CredentialFigures) {
	if r == nil {
		return nil
	}
	for _, c := range r.Checks {
		if c.Name == "sign-in" && c.State != run.CheckSkip {
			all = append(all, telemetry.CredentialFigures{Site: c.Site, Cloud: c.Cloud, Part: c.Part, OK: c.State != run.CheckFail})
		}
	}
	return all
}

package app

import (
	"fmt"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/site"
)

// target gives what accounting works on for a site.
func (a *App) target(s config.Site) *accounting.Target {
	t := &accounting.Target{Site: s.Site, Settings: a.settings(s), Destinations: a.destinations(s.Accounting)}
	for _, c := range s.Clouds {
		t.Clouds = append(t.Clouds, accounting.CloudTarget{Cloud: c.Cloud, Mode: c.ModeOf(site.Accounting), Source: a.way(s, c, site.Accounting), Parallel: c.Parallel})
	}
	if c := s.Accounting.AMS; c != nil && c.Copy {
		t.Copies = append(t.Copies, AMS)
	}
	if c := s.Accounting.Dirq; c != nil && c.Copy {
		t.Copies = append(t.Copies, Dirq)
	}
	return t
}

func (a *App) settings(s config.Site) accounting.Settings {
	c := s.Accounting
	set := accounting.Settings{
		Mode: c.Mode, Previously: accounting.Previously(c.Previously), Since: c.Since, ActiveFrom: c.ActiveFrom,
		Overlap: c.Overlap, Settle: c.Settle, Charge: accounting.Charge{StoppedFree: c.Charge.StoppedFree, ShelvedFree: c.Charge.ShelvedFree},
		UserName: accounting.Policy(s.Privacy.GlobalUserName), Machine: accounting.Policy(s.Privacy.MachineName),
		MaxRecords: c.MaxRecords, CloudType: fmt.Sprintf("fedsite/%s (OpenStack)", a.opts.Version),
	}
	for _, b := range s.Benchmarks {
		set.Benchmarks = append(set.Benchmarks, accounting.Benchmark{Flavor: b.Flavor, Type: b.Type, Value: b.Value})
	}
	return set
}

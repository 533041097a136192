package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// ErrNoSuchVO is a VO that none of the sites has.
var ErrNoSuchVO = errors.New("no site has such a VO")

// KnowsVO gives ErrNoSuchVO, with those that there are, where neither the configuration nor a project names the VO. Where a cloud
// cannot be asked, it may have any.
func (a *App) KnowsVO(ctx context.Context, sites []config.Site, name string) error {
	var there []string
	for _, s := range sites {
		for _, src := range s.Images.Sources {
			if slices.Contains(src.VOs, name) {
				return nil // the plan says what it lacks
			}
		}
		for _, c := range a.imaged(s, false).Clouds {
			for _, vo := range c.Cloud.VOs {
				there = append(there, vo.Name)
			}
		}
	}
	if slices.Contains(there, name) {
		return nil
	}
	for _, s := range sites {
		if s.Images.Mode == site.Disabled {
			continue
		}
		for _, c := range a.imaged(s, false).Clouds {
			projects, err := c.Way.Projects(ctx)
			if err != nil {
				return nil
			}
			for _, share := range site.Merge(c.Cloud, projects).Shares {
				there = append(there, share.VO)
			}
		}
	}
	if slices.Contains(there, name) {
		return nil
	}
	slices.Sort(there)
	if there = slices.Compact(there); len(there) == 0 {
		return fmt.Errorf("%w as %.80q, or any other", ErrNoSuchVO, name)
	}
	return fmt.Errorf("%w as %.80q: there are %s", ErrNoSuchVO, name, strings.Join(there, ", "))
}

// missed makes a problem of an image that was asked for and that none of the sites has, by their reports.
func missed(o ImageOptions, sites []config.Site, report func(i int) *run.Report) {
	said := func(p run.Problem) bool { return p.Notice && p.Step == "plan" && p.Reason == images.NoSuchImage }
	for i, s := range sites {
		if o.Image == "" || s.Images.Mode != site.Disabled && !slices.ContainsFunc(report(i).Problems, said) {
			return
		}
	}
	for i := range sites {
		r := report(i)
		for n, p := range r.Problems {
			if said(p) {
				r.Problems = slices.Delete(r.Problems, n, n+1)
				r.Counts["kept"]--
				p.Notice = false
				warn(r, p)
				break
			}
		}
	}
}

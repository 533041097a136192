package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// step is what the run's report calls this step.
const step = "catalog"

// Take asks every cloud of the target what it offers to the site's shares, and gives a catalog for each Keystone URL, in
// file order. What cannot be asked is in it as it was last known (Settings.KeepFor), with its trouble; what goes wrong is
// in the run's report. Registration is left open. The error is only for what spoils the whole run: the store, or the
// context's end.
func Take(ctx context.Context, d Deps, t *Target) ([]Catalog, error) {
	if t.Settings.Mode == site.Disabled {
		d.Run.Problem(run.Problem{Site: t.Site.Name, Object: "discovery", Step: step, Reason: "mode is disabled", Hint: "set discovery.mode: observe", Notice: true})
		return nil, nil
	}
	d.Run.Step(step)
	made := d.Now().UTC()
	if err := forgetClouds(ctx, d, t); err != nil {
		return nil, err
	}
	all := &tally{}
	defer all.tell(d)
	var catalogs []Catalog
	for _, target := range t.Clouds {
		if target.Mode == site.Disabled {
			continue
		}
		c := &taker{tally: all, d: d, t: t, c: target, specs: openstack.NewExtraSpecs(), images: openstack.NewDecodedImages()}
		i := slices.IndexFunc(catalogs, func(o Catalog) bool { return o.EP == target.EP })
		if i < 0 {
			authorities, err := c.authorities(ctx)
			if err != nil {
				return nil, err
			}
			i = len(catalogs)
			catalogs = append(catalogs, Catalog{Site: t.Site.NameAt(made), EP: target.EP, Authentication: target.Authentication, Authorities: authorities, Made: made})
		}
		region, err := c.cloud(ctx)
		if err != nil {
			return nil, err
		}
		catalogs[i].Regions = append(catalogs[i].Regions, region)
	}
	return catalogs, nil
}

// tally is how the shares of a run fared: it failed as a whole only when not one was asked and nothing is kept of any.
type tally struct {
	mu     sync.Mutex
	known  bool          // something is known of a share
	failed []run.Problem // projects that told nothing, and whole clouds
}

func (a *tally) fail(p run.Problem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = append(a.failed, p)
}

func (a *tally) tell(d Deps) {
	for _, p := range a.failed {
		if a.known {
			d.Run.Problem(p)
		} else {
			d.Run.Fail(p)
		}
	}
}

// taker takes the catalog of one cloud in one run.
type taker struct {
	*tally
	d      Deps
	t      *Target
	c      CloudTarget
	specs  *openstack.ExtraSpecs
	images *openstack.DecodedImages

	once     shown
	silent   silence
	versions sync.Mutex
	version  *Known[string] // nil = nobody has asked yet
}

// errNoProject is what a credential without any role meets.
var errNoProject = &openstack.Error{Kind: openstack.ErrNoRole, Service: "identity", Message: "the credential's user has no role on any project, so that there is nothing it can ask",
	Remedy: "give it the role reader on each project to publish; a role on the system is not enough"}

// cloud asks all projects of the cloud that have shares.
func (c *taker) cloud(ctx context.Context) (Region, error) {
	region := Region{Cloud: c.c.Cloud.ID, Name: c.c.Cloud.Name, Region: c.region(), Mode: site.Lowest(c.t.Settings.Mode, c.c.Mode)}
	var (
		kept []keptProject
		last cloudState
	)
	err := read(ctx, c.d, func(tx *store.Tx) (err error) {
		last = cloudState{}
		if kept, err = keptProjects(tx, c.t.Site.ID, c.c.Cloud.ID); err != nil {
			return err
		}
		return lastState(tx, c.t.Site.ID, c.c.EP, c.c.Cloud.ID, &last)
	})
	if err != nil {
		return Region{}, err
	}
	if kept, err = c.moved(ctx, kept); err != nil {
		return Region{}, err
	}
	at := c.d.Now().UTC()
	projects, err := c.c.Source.Projects(ctx)
	if ctx.Err() != nil {
		return Region{}, context.Cause(ctx)
	}
	unlisted, partly := errors.AsType[*UnlistedError](err)
	switch {
	case partly:
		err = nil
	case err == nil && len(projects) == 0:
		err = errNoProject
	}
	var (
		shares  []site.Share
		tenants []tenant
	)
	if err != nil {
		c.fail(c.problem("cloud "+c.c.Cloud.Name, err))
		region.Trouble = troubleOf("projects", err, at)
		if last.Trouble != nil && last.Trouble.Since.Before(at) {
			region.Trouble.Since = last.Trouble.Since
		}
		shares, tenants = chosen(site.Merge(c.c.Cloud, remembered(c.c.Cloud, kept)).Shares, at)
		for i := range tenants {
			tenants[i].refused = &refusal{"projects", err}
		}
	} else {
		shares, tenants, err = c.listed(ctx, projects, unlisted, kept, at)
		if err != nil {
			return Region{}, err
		}
	}
	c.d.Run.Count("shares", int64(len(shares)))
	c.d.Run.Count("projects", int64(len(tenants)))
	offers, err := c.tenants(ctx, tenants)
	if err != nil {
		return Region{}, err
	}
	for _, s := range shares {
		share := c.share(s, region.Mode, offers)
		region.Shares = append(region.Shares, share)
		if len(share.Offer.Troubles()) > 0 {
			c.d.Run.Count("shares_in_trouble", 1)
		}
	}
	region.Version = c.versionNow(last.Version, region.Trouble, at)
	err = write(ctx, c.d, func(tx *store.Tx) error {
		return keepState(tx, c.t.Site.ID, c.c.EP, c.c.Cloud.ID, at, cloudState{Version: region.Version, Trouble: region.Trouble})
	})
	return region, err
}

// moved forgets what is kept of a cloud that was another endpoint when it was last asked: what that one offered, this one need
// not.
func (c *taker) moved(ctx context.Context, kept []keptProject) ([]keptProject, error) {
	asked := false
	err := read(ctx, c.d, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) > 0 FROM endpoint_state WHERE site = $1 AND endpoint = $2 AND cloud = $3`, c.t.Site.ID, c.c.EP, c.c.Cloud.ID).Scan(&asked)
	})
	if err != nil || asked || len(kept) == 0 {
		return kept, err
	}
	var ids []string
	for _, k := range kept {
		ids = append(ids, k.id)
	}
	return nil, forgetProjects(ctx, c.d, c.t.Site.ID, c.c.Cloud.ID, ids)
}

// region gives the region's name where the endpoint has several clouds.
func (c *taker) region() string {
	for _, o := range c.t.Clouds {
		if o.EP == c.c.EP && o.Cloud.ID != c.c.Cloud.ID {
			return c.c.Cloud.Region
		}
	}
	return ""
}

// listed gives the shares of a cloud that has listed its projects, and forgets what is kept of others. What could not be
// listed, because the credential of one VO failed, stays as it was.
func (c *taker) listed(ctx context.Context, projects []site.Project, unlisted *UnlistedError, kept []keptProject, at time.Time) ([]site.Share, []tenant, error) {
	cloud := c.c.Cloud
	cloud.VOs = slices.DeleteFunc(slices.Clone(cloud.VOs), func(vo site.VO) bool { return unlisted.of(vo) != nil })
	for _, vo := range c.c.Cloud.VOs {
		if err := unlisted.of(vo); err != nil && vo.Mode != site.Disabled {
			c.fail(c.problem("VO "+run.Line(vo.Name, 100), err))
		}
	}
	merged := site.Merge(cloud, projects)
	for _, d := range merged.Differences {
		c.difference(d)
	}
	for _, d := range merged.Odd {
		c.notice(d.Object, d.Reason, d.Hint)
	}
	for _, p := range merged.Unnamed {
		c.difference(site.Unowned(p))
	}
	shares, tenants := chosen(merged.Shares, at)
	for _, s := range merged.Shares {
		if !s.Project.Enabled && s.At(at) {
			c.notice(s.Project.Object(), "is disabled at the cloud: it is not published", "openstack project set --enable "+s.Project.ID+", or take it out of the configuration")
		}
	}
	lostShares, lostTenants := chosen(lost(c.c.Cloud, merged, projects, kept), at)
	for i := range lostTenants {
		if err := c.unlistedOf(unlisted, lostShares, lostTenants[i]); err != nil {
			lostTenants[i].refused = &refusal{"sign-in", err}
			continue
		}
		lostTenants[i].refused = &refusal{"sign-in", &openstack.Error{Kind: openstack.ErrNoRole, Service: "identity", Message: "the credential has no role on this project any more, or it does not exist"}}
	}
	shares, tenants = append(shares, lostShares...), append(tenants, lostTenants...)
	var gone []string
	for _, k := range kept {
		if !slices.ContainsFunc(tenants, func(p tenant) bool { return p.project.ID == k.id }) {
			gone = append(gone, k.id)
		}
	}
	return shares, tenants, forgetProjects(ctx, c.d, c.t.Site.ID, c.c.Cloud.ID, gone)
}

// unlistedOf gives why a project with these shares could not be listed; nil when it could, and is not there.
func (c *taker) unlistedOf(unlisted *UnlistedError, shares []site.Share, p tenant) error {
	for _, vo := range c.c.Cloud.VOs {
		has := func(s site.Share) bool { return s.VO == vo.Name && s.Project.ID == p.project.ID }
		if err := unlisted.of(vo); err != nil && slices.ContainsFunc(shares, has) {
			return err
		}
	}
	return nil
}

// tenants asks the projects, some at once, and gives their offers by their ids.
func (c *taker) tenants(ctx context.Context, tenants []tenant) (map[string]Offer, error) {
	var (
		mu       sync.Mutex
		offers   = map[string]Offer{}
		finished atomic.Int64
	)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(c.c.Parallel, 1))
	for _, p := range tenants {
		group.Go(func() error {
			o, err := c.tenant(gctx, p)
			if err != nil {
				return err
			}
			c.d.Run.Progress("projects", finished.Add(1), int64(len(tenants)))
			mu.Lock()
			defer mu.Unlock()
			offers[p.project.ID] = o
			return nil
		})
	}
	return offers, group.Wait()
}

// tenant asks one project, or finds that it is not to be asked, and keeps what is known of it now.
func (c *taker) tenant(ctx context.Context, p tenant) (Offer, error) {
	at := c.d.Now().UTC()
	var (
		o      Offer
		failed []failure
	)
	if p.refused != nil {
		o = refused(troubleOf(p.refused.stage, p.refused.err, at), p.project)
	} else {
		o, failed = c.ask(ctx, p.project, at)
	}
	if ctx.Err() != nil {
		return Offer{}, context.Cause(ctx)
	}
	answered := o.IsKnown()
	if len(o.Troubles()) > 0 {
		var last Offer
		err := read(ctx, c.d, func(tx *store.Tx) (err error) {
			last, err = lastOffer(tx, c.t.Site.ID, c.c.Cloud.ID, p.project.ID)
			return err
		})
		if err != nil {
			return Offer{}, err
		}
		o = o.kept(last, at, c.t.Settings.KeepFor)
	}
	err := write(ctx, c.d, func(tx *store.Tx) error { return keepOffer(tx, c.t.Site.ID, c.c.Cloud.ID, p, at, o) })
	if err != nil {
		return Offer{}, err
	}
	c.report(p.project, failed, answered)
	if answered {
		c.d.Run.Count("projects_asked", 1)
	}
	if o.IsKnown() {
		c.mu.Lock()
		c.known = true
		c.mu.Unlock()
	}
	return o, nil
}

// report says in the run's report what failed of a project. Questions that failed for the same cause are one problem.
func (c *taker) report(p site.Project, failed []failure, answered bool) {
	type cause struct {
		stages []string
		err    error
	}
	var causes []cause
	for _, f := range failed {
		i := slices.IndexFunc(causes, func(o cause) bool { return o.err.Error() == f.err.Error() })
		if i < 0 {
			i = len(causes)
			causes = append(causes, cause{err: f.err})
		}
		causes[i].stages = append(causes[i].stages, f.stage)
	}
	for _, o := range causes {
		problem := c.problem(p.Object(), o.err)
		problem.Hint = strings.ReplaceAll(problem.Hint, "<project>", p.ID)
		if !slices.Equal(o.stages, []string{"sign-in"}) {
			problem.Reason = fmt.Sprintf("%s: %s", strings.Join(o.stages, ", "), problem.Reason)
		}
		if answered {
			c.d.Run.Problem(problem)
		} else {
			c.fail(problem)
		}
	}
}

// authorities asks whose certificate the endpoint shows.
func (c *taker) authorities(ctx context.Context) (Known[openstack.Authorities], error) {
	at := c.d.Now().UTC()
	got := Known[openstack.Authorities]{At: at}
	value, err := c.c.Source.Authorities(ctx)
	if ctx.Err() != nil {
		return got, context.Cause(ctx)
	}
	if got.Value = value; err != nil {
		c.d.Run.Problem(c.problem("endpoint "+c.c.EP, fmt.Errorf("whose certificate it shows is not known: %w", err)))
		got = Known[openstack.Authorities]{Trouble: troubleOf("authorities", err, at)}
		var last Known[openstack.Authorities]
		err := read(ctx, c.d, func(tx *store.Tx) error {
			last = Known[openstack.Authorities]{}
			return lastState(tx, c.t.Site.ID, c.c.EP, "", &last)
		})
		if err != nil {
			return got, err
		}
		got = keep(got, last, at, c.t.Settings.KeepFor)
	}
	return got, write(ctx, c.d, func(tx *store.Tx) error { return keepState(tx, c.t.Site.ID, c.c.EP, "", at, got) })
}

// versionNow gives Nova's version as one of the projects was told, or as it was last known.
func (c *taker) versionNow(last Known[string], trouble *Trouble, at time.Time) Known[string] {
	got := Known[string]{Trouble: trouble}
	if c.version != nil {
		got = *c.version
	}
	if got.Trouble == nil && !got.IsKnown() { // nobody could be asked
		got.Trouble = troubleOf("version", errors.New("there is no project that could be asked"), at)
	}
	return keep(got, last, at, c.t.Settings.KeepFor)
}

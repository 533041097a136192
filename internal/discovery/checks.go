package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// Knower is a source that tells who its credential is. Check says more of one that does.
type Knower interface {
	Who(ctx context.Context) (openstack.Identity, error)
}

// Probed is a sink that can tell whether it could be published to now. It writes nothing.
type Probed interface {
	Probe(ctx context.Context) error
}

// Check looks at all that discovery of the target needs, and records what it finds: sign-in, the services of each cloud and
// Keystone's certificate, how endpoints stand in GOCDB, the way to each sink, and how fresh everything is. Nothing is kept
// and nothing published. The error is only for what spoils the whole run.
func Check(ctx context.Context, d Deps, t *Target) error {
	d.Run.Step("check")
	c := &checker{d: d, t: t}
	if t.Settings.Mode == site.Disabled {
		c.note(run.Check{Name: "mode", State: run.CheckSkip, Reason: "mode is disabled", Remedy: "set discovery.mode: observe"})
		return nil
	}
	seen := map[string]bool{}
	for _, ct := range t.Clouds {
		if ct.Mode == site.Disabled {
			c.note(run.Check{Cloud: ct.Cloud.Name, Name: "mode", State: run.CheckSkip, Reason: "mode of this cloud is disabled"})
			continue
		}
		if !seen[ct.EP] {
			c.authorities(ctx, ct)
		}
		seen[ct.EP] = true
		if err := c.cloud(ctx, ct); err != nil {
			return err
		}
	}
	for _, s := range t.Sinks {
		if err := c.sink(ctx, s); err != nil {
			return err
		}
	}
	s, err := ReadStatus(ctx, d.DB, t)
	if err != nil {
		return err
	}
	for _, found := range s.Checks(d.Now()) {
		d.Run.Check(found)
	}
	return nil
}

// checker records what it finds of one target.
type checker struct {
	d Deps
	t *Target
}

func (c *checker) note(found run.Check) {
	found.Part, found.Site = part, c.t.Site.Name
	c.d.Run.Check(found)
}

// publishes gives the state of something that only publishing needs: a site that observes can do without it.
func (c *checker) publishes(s run.CheckState) run.CheckState {
	if c.t.Settings.Mode != site.Active && s == run.CheckFail {
		return run.CheckWarn
	}
	return s
}

// refusedCheck is a failed call to a cloud as a check.
func refusedCheck(name, object string, err error) run.Check {
	found := openstack.Refusal(name, object, err)
	found.Reason, found.Remedy = run.Line(found.Reason, longestReason), hint(err)
	return found
}

// cloud checks sign-in, and with a token of the first project that has one what the catalog says of Keystone.
func (c *checker) cloud(ctx context.Context, ct CloudTarget) error {
	note := func(found run.Check) {
		found.Cloud = ct.Cloud.Name
		c.note(found)
	}
	as := ""
	if k, ok := ct.Source.(Knower); ok {
		who, err := k.Who(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			note(refusedCheck("sign-in", "", err))
			return nil
		case who.UserName != "":
			as = " as " + run.Line(who.UserName, 100)
		}
	}
	projects, err := ct.Source.Projects(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	unlisted, partly := errors.AsType[*UnlistedError](err)
	switch {
	case partly:
		for _, vo := range ct.Cloud.VOs {
			if err := unlisted.of(vo); err != nil && vo.Mode != site.Disabled {
				note(refusedCheck("sign-in", "VO "+run.Line(vo.Name, 100), err))
			}
		}
		err = nil
	case err == nil && len(projects) == 0:
		err = errNoProject
	}
	if err != nil {
		note(refusedCheck("sign-in", "", err))
		return nil
	}
	note(run.Check{Name: "sign-in", State: run.CheckOK, Reason: fmt.Sprintf("signed in%s; %d %s can be signed in to", as, len(projects), plural(int64(len(projects)), "project"))})
	shares, tenants := chosen(site.Merge(ct.Cloud, projects).Shares, c.d.Now())
	for _, vo := range ct.Cloud.VOs {
		if vo.Mode != site.Disabled && vo.Project != "" && unlisted.of(vo) == nil && !c.has(shares, vo) {
			note(run.Check{Name: "vo", Object: "VO " + run.Line(vo.Name, 100), State: run.CheckFail, Reason: fmt.Sprintf("no project %s can be signed in to", vo.Project),
				Remedy: "openstack role add --user <the credential's user> --project " + vo.Project + " reader"})
		}
	}
	if len(tenants) == 0 {
		return nil
	}
	inv, err := ct.Source.Inventory(ctx, tenants[0].project.ID)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		note(refusedCheck("token", tenants[0].project.Object(), err))
		return nil
	}
	note(services(inv.Catalog(), ct))
	return nil
}

// has tells whether the file's entry has come to a share, or need not have yet.
func (c *checker) has(shares []site.Share, vo site.VO) bool {
	now := c.d.Now()
	if now.Before(vo.Since) || !vo.Until.IsZero() && !now.Before(vo.Until) {
		return true
	}
	for _, s := range shares {
		if s.VO == vo.Name && (s.Project.ID == vo.Project || s.Project.Name == vo.Project) {
			return true
		}
	}
	return false
}

// services checks that the catalog has what is asked, and where others find Keystone: the endpoint that is published and
// registered is to be the one that users sign in to.
func services(catalog []openstack.Endpoint, ct CloudTarget) run.Check {
	found := run.Check{Name: "services", State: run.CheckOK}
	var has, lacks []string
	for _, want := range []string{"compute", "image", "network"} {
		there := false
		for _, e := range catalog {
			there = there || e.Service == want && e.Interface == "public" && (ct.Cloud.Region == "" || e.Region == ct.Cloud.Region)
		}
		if there {
			has = append(has, want)
		} else {
			lacks = append(lacks, want)
		}
	}
	found.Reason = "the catalog has " + strings.Join(has, ", ")
	if lacks != nil {
		found.State, found.Reason = run.CheckWarn, "the catalog has no public endpoint of "+strings.Join(lacks, ", ")
		found.Remedy = "openstack endpoint create, or check the region of the cloud in the configuration"
	}
	for _, e := range catalog {
		if e.Service == "identity" && e.Interface == "public" && (ct.Cloud.Region == "" || e.Region == ct.Cloud.Region) && !sameKeystone(e.URL, ct.EP) {
			found.State = run.CheckWarn
			found.Reason += fmt.Sprintf("; its Keystone is %s, where %s is published", run.Line(e.URL, 200), run.Line(ct.EP, 200))
			found.Remedy = "publish the URL that users sign in to, as it is registered in GOCDB: auth_url of the cloud"
			break
		}
	}
	return found
}

// sameKeystone tells whether two URLs are of one Keystone: with or without its version.
func sameKeystone(a, b string) bool {
	plain := func(u string) string {
		u = strings.TrimRight(strings.ToLower(u), "/")
		return strings.TrimRight(strings.TrimSuffix(u, "/v3"), "/")
	}
	return plain(a) == plain(b)
}

// authorities checks the certificate of Keystone's server.
func (c *checker) authorities(ctx context.Context, ct CloudTarget) {
	found := run.Check{Cloud: ct.Cloud.Name, Name: "certificate", Object: "endpoint " + run.Line(ct.EP, 200), State: run.CheckOK}
	a, err := ct.Source.Authorities(ctx)
	switch {
	case err != nil:
		found.State, found.Reason, found.Remedy = run.CheckWarn, run.Line(err.Error(), longestReason), hint(err)
	case a.Plain:
		found.State, found.Reason, found.Remedy = run.CheckWarn, "it is reached without TLS: passwords and tokens can be read on the way", "put TLS before Keystone"
	default:
		left := a.Expires.Sub(c.d.Now())
		found.Reason = fmt.Sprintf("valid until %s, by %s", a.Expires.UTC().Format(time.DateOnly), run.Line(a.Issuer, 200))
		switch {
		case left < tlsFail:
			found.State, found.Remedy = run.CheckFail, "renew the certificate of Keystone's server"
		case left < tlsWarn:
			found.State, found.Remedy = run.CheckWarn, "renew the certificate of Keystone's server"
		}
	}
	c.note(found)
}

// sink checks whether a sink could be published to.
func (c *checker) sink(ctx context.Context, s Sink) error {
	p, ok := s.(Probed)
	if !ok {
		return nil
	}
	found := run.Check{Name: "sink", Object: "sink " + s.Name(), State: run.CheckOK, Reason: "it can be published to"}
	err := p.Probe(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		found.State, found.Reason = c.publishes(run.CheckFail), run.Line(err.Error(), longestReason)
		if f, ok := errors.AsType[*Failure](err); ok {
			found.Remedy = f.Hint
			if !f.Permanent {
				found.State = run.CheckWarn
			}
		}
	}
	c.note(found)
	return nil
}

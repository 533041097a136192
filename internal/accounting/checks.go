package accounting

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// Knower is a source that tells who its credential is. Check says more of one that does.
type Knower interface {
	Who(ctx context.Context) (openstack.Identity, error)
}

// Prober is a project of which can be asked cheaply whether its VMs may be listed.
type Prober interface {
	Probe(ctx context.Context) error
}

// How far Keystone's clock may be from ours before it is worth a warning. Beyond settle nothing is collected.
const skewWarn = 30 * time.Second

// Check looks at all that accounting of the target needs, and records what it finds: sign-in, clocks, roles, VOs, flavors,
// certificates, the way to each destination, and how far everything is. Nothing is changed and nothing published. The
// error is only for what spoils the whole run.
func Check(ctx context.Context, d Deps, t *Target) error {
	d.Run.Step("check")
	c := &checker{d: d, t: t}
	if t.Settings.Mode == site.Disabled {
		c.note(run.Check{Name: "mode", State: run.CheckSkip, Reason: "mode is disabled", Remedy: "set accounting.mode: observe"})
		return nil
	}
	for _, ct := range t.Clouds {
		if ct.Mode == site.Disabled {
			c.note(run.Check{Cloud: ct.Cloud.Name, Name: "mode", State: run.CheckSkip, Reason: "mode of this cloud is disabled"})
			continue
		}
		if err := c.cloud(ctx, ct); err != nil {
			return err
		}
	}
	if err := c.start(ctx); err != nil {
		return err
	}
	for _, dest := range t.Destinations {
		if err := c.destination(ctx, dest); err != nil {
			return err
		}
	}
	if len(t.Destinations) == 0 {
		c.note(run.Check{Name: "destination", State: c.sends(run.CheckFail), Reason: "no destination is configured: nothing can be sent", Remedy: "set accounting.ams or accounting.dirq"})
	}
	s, err := ReadStatus(ctx, d.DB, t, d.Now())
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

// sends gives the state of something that only sending needs: a site that observes can do without it.
func (c *checker) sends(s run.CheckState) run.CheckState {
	if c.t.Settings.Mode != site.Active && s == run.CheckFail {
		return run.CheckWarn
	}
	return s
}

// start checks what must be said before anything may be sent.
func (c *checker) start(ctx context.Context) error {
	have, err := stored(ctx, c.d, c.t)
	if err != nil {
		return fmt.Errorf("start of site %s: %w", c.t.Site.Name, err)
	}
	if p := c.t.unready(have); p != nil {
		c.note(run.Check{Name: "settings", State: c.sends(run.CheckFail), Reason: p.Reason, Remedy: p.Hint})
	}
	return nil
}

// cloud checks one cloud: sign-in and clock, then what each of its projects is.
func (c *checker) cloud(ctx context.Context, ct CloudTarget) error {
	note := func(found run.Check) {
		found.Cloud = ct.Cloud.Name
		c.note(found)
	}
	user := "<the credential's user>"
	signedIn := "signed in"
	if k, ok := ct.Source.(Knower); ok {
		who, err := k.Who(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			note(refusal("sign-in", "", err))
			return nil
		}
		if user = who.UserID; who.UserName != "" {
			user = who.UserName
		}
		signedIn = "signed in as " + user
		if who.OnlyProject != "" {
			signedIn += ", for project " + who.OnlyProject + " only"
		}
		note(skew(who.Ahead))
	}
	projects, err := ct.Source.Projects(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		note(refusal("sign-in", "", err))
		return nil
	}
	note(run.Check{Name: "sign-in", State: run.CheckOK, Reason: fmt.Sprintf("%s; %s can be signed in to", signedIn, some(len(projects), "project"))})
	if len(projects) == 0 {
		note(run.Check{Name: "role", State: run.CheckFail, Reason: "the credential's user has no role on any project, so that there is nothing it can collect",
			Remedy: fmt.Sprintf("openstack role add --user %s --project <project> reader, for each project to account; a role on the system is not enough", user)})
		return nil
	}
	merged := site.Merge(ct.Cloud, projects)
	now := c.d.Now()
	for _, found := range assigned(ct.Cloud, merged, user, now) {
		note(found)
	}
	note(names(merged.Shares, now))
	if err := c.projects(ctx, ct, merged, user, note); err != nil {
		return err
	}
	return c.flavors(ctx, ct, note)
}

// some gives a number of things in words.
func some(n int, thing string) string {
	switch n {
	case 0:
		return "no " + thing
	case 1:
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// refusal is a failed call to a cloud as a check.
func refusal(name, object string, err error) run.Check {
	found := openstack.Refusal(name, object, err)
	found.Remedy = openstackProblem("", "", object, err).Hint
	return found
}

// skew says how far Keystone's clock is from ours.
func skew(ahead *time.Duration) run.Check {
	found := run.Check{Name: "clock", State: run.CheckOK, Reason: "equal to Keystone's to some seconds"}
	switch {
	case ahead == nil:
		found.State, found.Reason = run.CheckSkip, "Keystone says no date that ours could be compared with"
	case ahead.Abs() > skewWarn:
		where := "ahead of"
		if *ahead < 0 {
			where = "behind"
		}
		found.State = run.CheckWarn
		found.Reason = fmt.Sprintf("Keystone's clock is %s %s ours; when they are further apart than accounting.settle, nothing is collected", ahead.Abs().Round(time.Second), where)
		found.Remedy = "synchronise the clocks of this machine and of Keystone (chrony, ntpd)"
	}
	return found
}

// assigned checks that the file and the cloud agree on which project is whose: VOs of the file without a project, or with
// one that another has too, and projects without a VO.
func assigned(c site.Cloud, m site.Merged, user string, now time.Time) []run.Check {
	var all []run.Check
	absent := map[string]bool{} // objects of differences
	for _, vo := range c.VOs {
		has := slices.ContainsFunc(m.Shares, func(s site.Share) bool {
			return s.Origin == site.FromFile && s.VO == vo.Name && (s.Project.ID == vo.Project || s.Project.Name == vo.Project)
		})
		if has {
			continue
		}
		if absent["project "+vo.Project] = true; vo.Mode == site.Disabled {
			continue
		}
		found := run.Check{Name: "role", Object: "project " + vo.Project, State: run.CheckFail, Reason: "VO " + vo.Name + ": no such project was found",
			Remedy: fmt.Sprintf("openstack role add --user %s --project %s reader", user, vo.Project)}
		for _, d := range m.Differences {
			if d.Object == found.Object && strings.Contains(d.Reason, "VO "+vo.Name+":") {
				found.Reason, found.Remedy = d.Reason, strings.ReplaceAll(d.Hint, "<the credential's user>", user)
			}
		}
		switch {
		case !vo.Until.IsZero() && !now.Before(vo.Until):
			found.State, found.Remedy = run.CheckSkip, ""
		case now.Before(vo.Since):
			found.State = run.CheckWarn
		}
		all = append(all, found)
	}
	for _, d := range m.Differences {
		if !absent[d.Object] {
			all = append(all, run.Check{Name: "vo", Object: d.Object, State: run.CheckWarn, Reason: d.Reason, Remedy: d.Hint})
		}
	}
	if n := len(m.Unnamed); n > 0 {
		all = append(all, run.Check{Name: "projects without VO", State: run.CheckWarn, Reason: fmt.Sprintf("%s without a VO: not accounted: %s", some(n, "project"), few(m.Unnamed)),
			Remedy: "openstack project set --property egi.VO=<vo> " + m.Unnamed[0].ID + ", or name it under vos: in the configuration, or take the role on it away"})
	}
	return all
}

// few names the first of some projects.
func few(projects []site.Project) string {
	const shown = 5
	var words []string
	for _, p := range projects[:min(shown, len(projects))] {
		words = append(words, strings.TrimPrefix(p.Object(), "project "))
	}
	if n := len(projects) - shown; n > 0 {
		words = append(words, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(words, ", ")
}

// names checks what VOs are called: a name that the federation does not know gets its own line in the portal, or none.
func names(shares []site.Share, now time.Time) run.Check {
	var odd, all []string
	for _, s := range shares {
		if !s.At(now) || slices.Contains(all, s.AccountAs) {
			continue
		}
		if all = append(all, s.AccountAs); !site.VOName(s.AccountAs) {
			odd = append(odd, fmt.Sprintf("%q", s.AccountAs))
		}
	}
	found := run.Check{Name: "vo names", State: run.CheckOK, Reason: "accounted as: " + strings.Join(all, ", ")}
	switch {
	case len(all) == 0:
		found.State, found.Reason = run.CheckWarn, "no project belongs to a VO: nothing is accounted"
		found.Remedy = "openstack project set --property egi.VO=<vo> <project>, or name VOs under vos: in the configuration"
	case odd != nil:
		found.State, found.Reason = run.CheckWarn, "not names of VOs as the federation writes them: "+strings.Join(odd, ", ")
		found.Remedy = "write the name as in the Operations Portal, or an FQAN such as /vo/group; account_as gives a VO another name in records"
	}
	return found
}

// projects signs in to each project that is accounted, and asks it for a VM.
func (c *checker) projects(ctx context.Context, ct CloudTarget, m site.Merged, user string, note func(run.Check)) error {
	now, seen := c.d.Now(), map[string]bool{}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(ct.Parallel, 1))
	for _, s := range m.Shares {
		first, accounted := site.Accounted(m.Shares, s.Project.ID, now)
		if seen[s.Project.ID] || !accounted || first.Mode == site.Disabled {
			continue
		}
		seen[s.Project.ID] = true
		group.Go(func() error {
			found := run.Check{Name: "role", Object: s.Project.Object(), State: run.CheckOK, Reason: fmt.Sprintf("VO %s: its VMs can be listed", first.VO)}
			if err := probe(gctx, ct.Source, s.Project.ID); err != nil {
				if gctx.Err() != nil {
					return context.Cause(gctx)
				}
				found = refusal("role", s.Project.Object(), err)
				found.Reason = fmt.Sprintf("VO %s: %s", first.VO, found.Reason)
				found.Remedy = strings.NewReplacer("<the credential's user>", user, "<project>", s.Project.ID).Replace(found.Remedy)
			}
			note(found)
			return nil
		})
	}
	return group.Wait()
}

func probe(ctx context.Context, source Source, project string) error {
	compute, err := source.Project(ctx, project)
	if err != nil {
		return err
	}
	if p, ok := compute.(Prober); ok {
		return p.Probe(ctx)
	}
	return nil
}

// flavors checks that the records of VMs that live carry a benchmark all or none: a sum over both kinds means nothing.
func (c *checker) flavors(ctx context.Context, ct CloudTarget, note func(run.Check)) error {
	var with, without []string
	err := c.d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if with, err = column(tx, `SELECT DISTINCT flavor FROM vm WHERE cloud = $1 AND ended_at IS NULL AND benchmark IS NOT NULL ORDER BY flavor`, ct.Cloud.ID); err != nil {
			return err
		}
		without, err = column(tx, `SELECT DISTINCT flavor FROM vm WHERE cloud = $1 AND ended_at IS NULL AND benchmark IS NULL ORDER BY flavor`, ct.Cloud.ID)
		return err
	})
	if err != nil {
		return err
	}
	found := run.Check{Name: "flavors", State: run.CheckOK, Reason: fmt.Sprintf("%s in use, each with a benchmark", some(len(with), "flavor"))}
	switch {
	case len(with)+len(without) == 0:
		found.State, found.Reason = run.CheckSkip, "no VM is known yet"
	case len(with) == 0:
		found.Reason = fmt.Sprintf("%s in use; records carry no benchmark, which is optional", some(len(without), "flavor"))
	case len(without) > 0:
		shown := without[:min(5, len(without))]
		found.State = run.CheckWarn
		found.Reason = fmt.Sprintf("%s in use without a benchmark, others have one: %s", some(len(without), "flavor"), strings.Join(shown, ", "))
		found.Remedy = `openstack flavor set --property accounting:benchmark_type=HEPscore23 --property accounting:benchmark_value=<value> <flavor>, or flavors: {"*": {benchmark: …}} in the configuration`
	}
	note(found)
	return nil
}

// destination asks a destination whether it would take messages.
func (c *checker) destination(ctx context.Context, dest Destination) error {
	found := run.Check{Name: "destination", Object: "destination " + dest.Name(), State: run.CheckOK}
	var err error
	switch d := dest.(type) {
	case Asker:
		found.Reason, err = d.Ask(ctx, c.d.Now())
	case Preparer:
		found.Reason, err = "what it needs here is there", d.Check(c.d.Now())
	default:
		found.State, found.Reason = run.CheckSkip, "it cannot be asked"
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		found.State, found.Reason = c.sends(run.CheckFail), err.Error()
		if de, ok := errors.AsType[*DeliveryError](err); ok {
			found.Remedy = de.Hint
			if de.Verdict == Unanswered || de.Verdict == Busy { // it may pass; when it lasts, what is unsent becomes too old
				found.State = run.CheckWarn
			}
		}
	}
	c.note(found)
	return nil
}

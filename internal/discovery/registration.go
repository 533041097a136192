package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

const (
	registering = "registration"   // what the run's report calls this step
	askTime     = 30 * time.Second // for both questions: a slow GOCDB does not hold up what clouds say
)

// Wanted is an endpoint of a site as it is to be found in GOCDB.
type Wanted struct {
	EP  string // Keystone's URL, as the site has it
	Key string // its primary key as the configuration has it, which wins over the look-up; "" = it is looked up
}

// Register asks GOCDB how the endpoints of a site stand there, and which downtimes they are in, and keeps both. It gives the
// registrations by Keystone's URL. Where GOCDB does not answer, what it said last counts without limit of time, marked with
// the trouble: "not registered", a known Registration without key, is only what it has answered. How each endpoint stands is a
// check in the run's report. Without a Registry keys are those of the configuration, and nothing is kept. The error is only
// for what spoils the whole run: the store, or the context's end.
func Register(ctx context.Context, d Deps, t *Target, wanted []Wanted) (map[string]Known[Registration], error) {
	d.Run.Step(registering)
	r := &registrar{d: d, t: t, now: d.Now().UTC(), found: map[string]enrolled{}}
	r.name = t.Site.NameAt(r.now)
	var err error
	if r.last, err = keptAnswers(ctx, d, t.Site.ID); err != nil {
		return nil, err
	}
	if t.Registry == nil {
		for _, w := range wanted {
			if r.found[w.EP] = (enrolled{}); w.Key != "" {
				r.found[w.EP] = enrolled{registration: r.configured(w)}
			}
		}
		return r.registrations(), r.forget(ctx, nil)
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	services, err := r.services(asking)
	for _, w := range wanted {
		if err != nil {
			r.found[w.EP] = r.unanswered(w, err)
		} else {
			r.found[w.EP] = r.find(w, services)
		}
	}
	if err == nil {
		err = r.downtimes(asking)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		r.silent(err)
	}
	if err := r.keep(ctx); err != nil {
		return nil, err
	}
	return r.registrations(), r.forget(ctx, wanted)
}

// registrar asks GOCDB for one site in one run.
type registrar struct {
	d     Deps
	t     *Target
	now   time.Time
	name  string              // of the site, at this time
	last  map[string]enrolled // what is kept, by endpoint
	found map[string]enrolled // what is known now
}

// enrolled is what GOCDB says of an endpoint.
type enrolled struct {
	registration Known[Registration]
	looked       *Known[Registration] // what GOCDB says, where the configuration says otherwise; nil = the same
	downtimes    Known[[]Downtime]
	service      gocdb.Service // which it is, to tell which downtimes it is in; not kept
}

func (r *registrar) registrations() map[string]Known[Registration] {
	all := map[string]Known[Registration]{}
	for ep, e := range r.found {
		all[ep] = e.registration
	}
	return all
}

// errNone is an answer that is not believed where there was something before.
var errNone = errors.New("GOCDB tells of no service of type " + gocdb.Nova + " at all")

// services gives all services of clouds, of whichever site: one that has our endpoint under another name can be told then.
func (r *registrar) services(ctx context.Context) ([]gocdb.Service, error) {
	services, odd, err := r.t.Registry.Services(ctx, gocdb.Query{Type: gocdb.Nova, AllScopes: true})
	if err != nil {
		return nil, err
	}
	r.odd("services", odd)
	if len(services) > 0 {
		return services, nil
	}
	for _, e := range r.last {
		if e.registration.Value.Key != "" {
			return nil, errNone
		}
	}
	return services, nil
}

// configured is the registration that the configuration says.
func (r *registrar) configured(w Wanted) Known[Registration] {
	return Known[Registration]{Value: Registration{Key: w.Key, Site: r.name}, At: r.now}
}

// find looks an endpoint up in what GOCDB has answered.
func (r *registrar) find(w Wanted, services []gocdb.Service) enrolled {
	m, former, err := r.match(services, w.EP)
	switch {
	case w.Key != "":
		return r.set(w, m, services)
	case err != nil:
		r.check(w, run.CheckFail, err.Error(), "mend the cloud's auth_url")
		return enrolled{registration: Known[Registration]{Trouble: r.trouble(w.EP, err)}}
	case len(m.Found) == 0:
		return r.missed(w, m)
	}
	s := m.Found[0].Service
	state, reason, remedy := run.CheckOK, fmt.Sprintf("%s of %s", s.Key, run.Line(s.Site, 100)), ""
	switch why := m.Explain(); {
	case former != "":
		state, reason, remedy = run.CheckWarn, fmt.Sprintf("GOCDB has %s under the site's former name %s, for %s", s.Key, former, r.name), "have the site renamed in GOCDB, or mend formerly: in the configuration"
	case why != "":
		state, reason, remedy = run.CheckWarn, why, m.Hint()
	case !s.Production:
		reason += ", which is not in production"
	}
	r.check(w, state, reason, remedy)
	return enrolled{registration: Known[Registration]{Value: Registration{Key: s.Key, Site: s.Site}, At: r.now}, service: s}
}

// missed is an endpoint that GOCDB does not have. One that it had, and that is only at a site of another name now, stays what
// it is: sites are renamed, and keys are not.
func (r *registrar) missed(w Wanted, m gocdb.Matched) enrolled {
	for _, c := range m.Near {
		if c.Service.Key == r.last[w.EP].registration.Value.Key && !slices.ContainsFunc(c.Differs, elsewhere) {
			r.check(w, run.CheckWarn, fmt.Sprintf("GOCDB has %s at %s now, and no more at %s", c.Service.Key, run.Line(c.Service.Site, 100), r.name), m.Hint())
			return enrolled{registration: Known[Registration]{Value: Registration{Key: c.Service.Key, Site: c.Service.Site}, At: r.now}, service: c.Service}
		}
	}
	state := run.CheckFail
	if r.t.Settings.Mode != site.Active {
		state = run.CheckWarn
	}
	r.check(w, state, m.Explain(), m.Hint())
	return enrolled{registration: Known[Registration]{At: r.now}}
}

// elsewhere tells whether something with that difference is at another address.
func elsewhere(d gocdb.Difference) bool {
	return slices.Contains([]gocdb.Difference{gocdb.OtherPath, gocdb.OtherPort, gocdb.OtherScheme, gocdb.OtherHost, gocdb.NoURL, gocdb.BadURL}, d)
}

// match looks for an endpoint under the site's name, or else a former one.
func (r *registrar) match(services []gocdb.Service, ep string) (m gocdb.Matched, former string, err error) {
	if m, err = gocdb.Match(services, gocdb.Wanted{URL: ep, Site: r.name}); err != nil || len(m.Found) > 0 {
		return m, "", err
	}
	for _, f := range r.t.Site.Formerly {
		if old, err := gocdb.Match(services, gocdb.Wanted{URL: ep, Site: f.Name}); err == nil && len(old.Found) > 0 {
			return old, f.Name, nil
		}
	}
	return m, "", nil
}

// set takes the configuration's key, and says when GOCDB has it otherwise.
func (r *registrar) set(w Wanted, m gocdb.Matched, services []gocdb.Service) enrolled {
	e := enrolled{registration: r.configured(w), looked: &Known[Registration]{At: r.now}, service: gocdb.Service{Key: w.Key}}
	if len(m.Found) > 0 {
		e.looked.Value = Registration{Key: m.Found[0].Service.Key, Site: m.Found[0].Service.Site}
	}
	known := false
	for _, s := range services {
		if known = s.Key == w.Key; known {
			e.service, e.registration.Value.Site = s, s.Site
			break
		}
	}
	differs := ""
	switch {
	case len(m.Found) > 0:
		differs = fmt.Sprintf("GOCDB has this URL at %s of %s", m.Found[0].Service.Key, run.Line(m.Found[0].Service.Site, 100))
		for _, c := range m.Found {
			if c.Service.Key == w.Key {
				differs = ""
			}
		}
	case known:
		differs = m.Explain()
	default:
		differs = fmt.Sprintf("GOCDB has no service %s of type %s", w.Key, gocdb.Nova)
	}
	reason := w.Key + ", as the configuration says"
	if differs != "" {
		r.notice(object(w.EP), "gocdb_id is "+w.Key+", which counts: "+differs, "if that is not meant, mend gocdb_id or leave it out")
		reason += "; " + differs
	}
	r.check(w, run.CheckOK, reason, "")
	return e
}

// silenceWarn is for how long GOCDB may be silent while its last good answer counts: keys do not change.
const silenceWarn = 24 * time.Hour

// unanswered is what is known of an endpoint when GOCDB has not answered.
func (r *registrar) unanswered(w Wanted, err error) enrolled {
	last := r.last[w.EP].registration
	e := enrolled{registration: Known[Registration]{Value: last.Value, At: last.At, Trouble: r.trouble(w.EP, err)}}
	_, remedy, permanent := explain(err)
	why := run.Line(err.Error(), longestReason)
	switch {
	case w.Key != "":
		looked := e.registration
		e.looked, e.registration = &looked, r.configured(w)
		if last.Value.Key == w.Key {
			e.registration.Value.Site = last.Value.Site
		}
		r.check(w, run.CheckOK, w.Key+", as the configuration says", "")
	case last.Value.Key != "":
		state := run.CheckOK
		if permanent || r.now.Sub(last.At) > silenceWarn {
			state = run.CheckWarn
		}
		r.check(w, state, fmt.Sprintf("%s, as GOCDB said on %s; now: %s", last.Value.Key, minute(last.At), why), remedy)
	case last.IsKnown():
		r.check(w, run.CheckWarn, fmt.Sprintf("was not registered on %s; now: %s", minute(last.At), why), remedy)
	default:
		r.check(w, run.CheckWarn, "is not known: "+why, remedy+"; or set gocdb_id")
	}
	return e
}

// silent reports once that GOCDB has not answered, or not all, and keeps the downtimes that it told of last.
func (r *registrar) silent(err error) {
	_, hint, permanent := explain(err)
	r.d.Run.Problem(run.Problem{Site: r.t.Site.Name, Object: "GOCDB", Step: registering, Reason: run.Line(err.Error(), longestReason), Hint: hint, Permanent: permanent, Notice: true})
	for ep, e := range r.found {
		last := r.last[ep].downtimes
		e.downtimes = Known[[]Downtime]{Value: last.Value, At: last.At, Trouble: r.trouble(ep, err)}
		if last.Trouble != nil {
			e.downtimes.Trouble.Since = last.Trouble.Since
		}
		r.found[ep] = e
	}
}

// trouble is why there is no answer on an endpoint's registration.
func (r *registrar) trouble(ep string, err error) *Trouble {
	kind, hint, _ := explain(err)
	t := &Trouble{Stage: "GOCDB", Kind: kind, Reason: run.Line(err.Error(), longestReason), Hint: hint, Since: r.now}
	if e, ok := errors.AsType[*gocdb.Error](err); ok {
		t.Status = e.HTTPStatus
	}
	if last := r.last[ep].registration.Trouble; last != nil {
		t.Since = last.Since
	}
	return t
}

// explain says of an answer that did not come what kind of failure that is, what to do, and whether it stays so.
func explain(err error) (kind, hint string, permanent bool) {
	e, ok := errors.AsType[*gocdb.Error](err)
	switch {
	case errors.Is(err, errNone):
		return "not answered", "see what GOCDB shows in a browser; when it is right there, something between here and GOCDB spoils its answers", false
	case !ok:
		return "not asked", "check discovery.gocdb and network in the configuration", true
	case e.Permanent():
		return "refused", e.Hint(), true
	case e.HTTPStatus == 0:
		return "cannot be reached or is down", e.Hint(), false
	}
	return "not answered", e.Hint(), false
}

// check says in the run's report how an endpoint stands in GOCDB.
func (r *registrar) check(w Wanted, state run.CheckState, reason, remedy string) {
	c := run.Check{Part: string(site.Discovery), Site: r.t.Site.Name, Name: "gocdb", Object: object(w.EP), State: state, Reason: reason, Remedy: remedy}
	clouds := 0
	for _, t := range r.t.Clouds {
		if t.EP == w.EP {
			clouds++
			c.Cloud = t.Cloud.Name
		}
	}
	if clouds != 1 { // an endpoint of several regions is of no single cloud
		c.Cloud = ""
	}
	r.d.Run.Check(c)
}

func object(ep string) string { return "endpoint " + run.Line(ep, 200) }

func (r *registrar) notice(object, reason, hint string) {
	r.d.Run.Problem(run.Problem{Site: r.t.Site.Name, Object: object, Step: registering, Reason: reason, Hint: hint, Notice: true})
}

// odd reports records of an answer that cannot be used.
func (r *registrar) odd(what string, odd []gocdb.Oddity) {
	if n := len(odd); n > 0 {
		r.notice("GOCDB", fmt.Sprintf("%d of its %s cannot be used and are left out; the first is %s: %s", n, what, run.Line(odd[0].Record, 100), run.Line(odd[0].Reason, 200)), "tell GOCDB's people, if one of them is the site's")
	}
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }

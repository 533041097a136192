package discovery

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// Trouble is why something could not be asked, or was not answered.
type Trouble struct {
	Stage     string    // projects, sign-in, flavors, images, networks, quotas, network quotas, volume quotas, VMs, version, authorities, GOCDB
	Kind      string    `json:",omitempty"` // "forbidden", "cannot be reached or is down" …: fedsite's words, for everybody to read
	Status    int       `json:",omitzero"`  // of HTTP; 0 = no answer
	RequestID string    `json:",omitempty"`
	Reason    string    // one line, nothing secret
	Hint      string    `json:",omitempty"`
	Since     time.Time // when it first went wrong in a row
}

// String says it in words for everybody, without the names and addresses of a cloud's inside that Reason may have:
// "flavors: cannot be reached or is down, HTTP 500, req-1f…, since 2026-11-24T12:00:00Z".
func (t Trouble) String() string {
	words := t.Stage + ": " + cmp.Or(t.Kind, "failed")
	if t.Status != 0 {
		words += fmt.Sprintf(", HTTP %d", t.Status)
	}
	if t.RequestID != "" {
		words += ", " + t.RequestID
	}
	return words + ", since " + t.Since.UTC().Format(time.RFC3339)
}

// Limits of what is kept of an error: a cloud may say anything.
const (
	longestReason    = 500
	longestRequestID = 100
)

// troubleOf says what failed, at which stage.
func troubleOf(stage string, err error, at time.Time) *Trouble {
	t := &Trouble{Stage: stage, Reason: run.Line(err.Error(), longestReason), Hint: hint(err), Since: at}
	if e, ok := errors.AsType[*openstack.Error](err); ok {
		t.Kind, t.Status, t.RequestID = e.Kind.Error(), e.Status, run.Line(e.RequestID, longestRequestID)
	}
	return t
}

// hint says what can be done about a failed call to a cloud, as it is for discovery.
func hint(err error) string {
	h := openstack.Hint(err)
	if h == "" || h == openstack.Hint(openstack.ErrUnavailable) {
		h = "what was last known is published meanwhile; if it stays so, the cloud's administrator can look at it"
	}
	return h
}

// problem says in the run's report that something of the object failed.
func (c *taker) problem(object string, err error) run.Problem {
	p := openstack.Problem(err)
	p.Site, p.Cloud, p.Object, p.Step, p.Hint = c.t.Site.Name, c.c.Cloud.Name, object, step, hint(err)
	return p
}

// difference reports what the file and the cloud disagree on.
func (c *taker) difference(d site.Difference) {
	c.d.Run.Problem(run.Problem{Site: c.t.Site.Name, Cloud: c.c.Cloud.Name, Object: d.Object, Step: step, Reason: d.Reason, Hint: d.Hint})
}

// notice reports what is worth knowing and spoils nothing.
func (c *taker) notice(object, reason, hint string) {
	c.d.Run.Problem(run.Problem{Site: c.t.Site.Name, Cloud: c.c.Cloud.Name, Object: object, Step: step, Reason: reason, Hint: hint, Notice: true})
}

// bad reports the entries of a listing that cannot be used.
func (c *taker) bad(p site.Project, listing string, entries []openstack.BadEntry) {
	if n := len(entries); n > 0 {
		c.notice(p.Object(), fmt.Sprintf("%d of its %s cannot be used and are left out; the first is %s: %s", n, listing, run.Line(entries[0].ID, 100), run.Line(entries[0].Reason, 200)), "")
	}
}

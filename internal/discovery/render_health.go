package discovery

import (
	"fmt"
	"strings"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/glue"
)

// How long texts of what is wrong may get, in bytes.
const (
	maxHealth      = 1000
	maxReason      = 500
	longestTrouble = 200 // of one part
)

// health gathers how an endpoint is from what its shares got.
type health struct {
	shares, working int
	broken          bool // the cloud failed, and did not just refuse
	said            []string
	seen            map[string]bool
}

// region takes in why shares could not be listed; nil = they were.
func (h *health) region(t *Trouble) {
	if t != nil {
		h.note(t, "")
	}
}

// share takes in what a share got. It works when something came of it beside the token.
func (h *health) share(s *Share) {
	h.shares++
	fresh, failed := false, false
	about := "VO " + run.Line(s.VO, 100) + ": "
	for i, p := range offerParts(&s.Offer) {
		if i == 0 && p.trouble == nil {
			continue // a token alone is of no use to anybody
		}
		fresh = fresh || p.fresh()
		if p.trouble == nil {
			continue
		}
		failed = true
		text := about
		if p.stale() {
			h.note(p.trouble, text, "shown as of "+instant(p.at))
			continue
		}
		h.note(p.trouble, text)
	}
	if fresh || !failed && !s.Offer.Scope.At.IsZero() {
		h.working++
	}
}

// note adds what failed; the same failure of several parts is said once.
func (h *health) note(t *Trouble, about string, more ...string) {
	h.broken = h.broken || t.isOfCloud()
	text := about + run.Line(t.String(), longestTrouble)
	if h.seen[text] {
		return
	}
	if h.seen == nil {
		h.seen = map[string]bool{}
	}
	h.seen[text] = true
	h.said = append(h.said, strings.Join(append([]string{text}, more...), ", "))
}

// isOfCloud tells whether the cloud failed, rather than refuse what it was asked or by whom, or never be asked.
func (t *Trouble) isOfCloud() bool {
	return t.Status >= 500 || t.Kind == openstack.ErrUnavailable.Error() || t.Kind == openstack.ErrBadAnswer.Error() || t.Kind == "" && t.Status == 0
}

// state is how the endpoint is. Where no share works, a cloud that fails is critical; one that refuses our credentials may
// be well, so that nothing is known.
func (h *health) state() (glue.HealthState, string) {
	info := sentences(h.said, maxHealth)
	switch {
	case h.working > 0 && len(h.said) == 0:
		return glue.HealthOK, "Endpoint functioning properly"
	case h.working > 0:
		return glue.HealthWarning, info
	case len(h.said) == 0:
		return glue.HealthUnknown, "No working authentication configured"
	case h.broken:
		return glue.HealthCritical, info
	}
	return glue.HealthUnknown, info
}

// sentences joins texts as far as they fit, and says how many do not.
func sentences(texts []string, limit int) string {
	var b strings.Builder
	for i, t := range texts {
		if i > 0 && b.Len()+len("; ")+len(t)+len("; and 1000000 more") > limit {
			fmt.Fprintf(&b, "; and %d more", len(texts)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(t)
	}
	return b.String()
}

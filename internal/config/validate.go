package config

import (
	"strings"
	"time"
)

// siteName checks a name as GOCDB and the accounting server take it.
func (l *loader) siteName(t text) {
	if !t.isSet() || t.V == "" {
		return
	}
	switch {
	case len(t.V) > 255 || strings.ContainsFunc(t.V, func(r rune) bool { return r < ' ' || r > '~' }):
		l.fail(t.at, "must be 1 to 255 printable ASCII characters, as GOCDB writes it")
	case strings.EqualFold(t.V, "none"), strings.EqualFold(t.V, "null"):
		l.fail(t.at, "must be a name: the accounting server takes %s for none", t.V)
	}
}

// unique reports names that are there twice, and clouds that stand in for another.
func (l *loader) unique(sites []*fileSite) {
	seen := map[string]bool{}
	for _, s := range sites {
		l.once(seen, s.GOCDB, "a site")
		clouds := map[string]bool{}
		for _, c := range s.Clouds {
			l.once(clouds, c.Name, "a cloud of this site")
		}
	}
}

func (l *loader) once(seen map[string]bool, t text, what string) {
	if !t.isSet() || t.V == "" {
		return
	}
	if seen[t.V] {
		l.fail(t.at, "%s is called %q already", what, t.V)
	}
	seen[t.V] = true
}

func (l *loader) checkAccounting(f fileAccounting) {
	if f.at == nil || f.at.kind != mapping {
		return
	}
	l.checkDates(f)
	if f.Mode.V != "active" {
		return
	}
	if !f.Previously.isSet() && f.at.get("previously") == nil {
		l.add(f.Mode.at.at, f.at.where()+".previously", "is required to be active: caso, if cASO sent this site's records, else nothing")
	}
	l.destinations(f)
}

// checkDates checks what is wrong also when a site will say the rest.
func (l *loader) checkDates(f fileAccounting) {
	if from := f.ActiveFrom; from.isSet() && !from.V.IsZero() && !from.V.Equal(time.Date(from.V.Year(), from.V.Month(), 1, 0, 0, 0, 0, time.UTC)) {
		l.fail(from.at, "must be the first day of a month, UTC: months are sent whole")
	}
	if from, since := f.ActiveFrom, f.Since; f.Previously.V == "nothing" && from.isSet() && since.isSet() && !from.V.IsZero() && !since.V.IsZero() && from.V.Format("2006-01") != since.V.Format("2006-01") {
		l.fail(from.at, "must be in the month of since, %s: where nothing sent records before, the first month that is sent is charged with all use until then", since.V.Format("2006-01"))
	}
	if f.Records != nil && len(f.Records) == 0 {
		l.fail(f.at.get("records"), "names no kind: for no accounting say mode: disabled")
	}
}

// destinations checks that exactly one destination is no copy: two ways to one server have no order (design §7, rule 13).
func (l *loader) destinations(f fileAccounting) {
	var all, real []*node
	if f.AMS != nil {
		all = append(all, f.AMS.at)
		if !f.AMS.Copy.V {
			real = append(real, f.AMS.at)
		}
	}
	if f.Dirq != nil {
		all = append(all, f.Dirq.at)
		if !f.Dirq.Copy.V {
			real = append(real, f.Dirq.at)
		}
	}
	switch {
	case len(all) == 0: // their form is wrong, which is said already
	case len(real) == 0:
		l.fail(all[0], "is a copy, and nothing is there to be copied: take copy: true out of one destination")
	case len(real) > 1:
		l.fail(real[1], "is a second destination: mark one of them as copy: true")
	}
}

package gocdb

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// node is an element of an answer.
type node struct {
	name  string
	attrs [][2]string
	text  string
	kids  []*node
}

// add appends an element.
func (n *node) add(name, text string) *node {
	k := &node{name: name, text: text}
	n.kids = append(n.kids, k)
	return k
}

// some appends an element that GOCDB leaves out where it is empty.
func (n *node) some(name, text string) {
	if text != "" {
		n.add(name, text)
	}
}

func (n *node) set(name, value string) *node {
	n.attrs = append(n.attrs, [2]string{name, value})
	return n
}

// document writes an answer as GOCDB does: an element a line, and empty ones in one tag.
func document(root *node) string {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	root.write(&b, "")
	return b.String()
}

func (n *node) write(b *strings.Builder, indent string) {
	b.WriteString(indent + "<" + n.name)
	for _, a := range n.attrs {
		b.WriteString(" " + a[0] + `="` + mask(a[1]) + `"`)
	}
	switch {
	case len(n.kids) > 0:
		b.WriteString(">\n")
		for _, k := range n.kids {
			k.write(b, indent+"  ")
		}
		b.WriteString(indent + "</" + n.name + ">\n")
	case n.text != "":
		b.WriteString(">" + mask(n.text) + "</" + n.name + ">\n")
	default:
		b.WriteString("/>\n")
	}
}

func mask(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}

func yesNo(is bool) string {
	if is {
		return "Y"
	}
	return "N"
}

func key(id int) string { return strconv.Itoa(id) + "G0" }

func (q *query) portal(kind string, id int) string {
	return fmt.Sprintf("%s/portal/index.php?Page_Type=%s&id=%d", q.base(), kind, id)
}

// servicesXML answers get_service, which is also called get_service_endpoint.
func (q *query) servicesXML() (string, *refusal) {
	monitored, m := q.params["monitored"]
	found := slices.DeleteFunc(slices.Clone(q.g.services), func(s Service) bool {
		return !q.like("hostname", s.Host) || !q.like("sitename", s.Site) || !q.like("roc", s.NGI) || !q.like("country", s.Country) || !q.like("service_type", s.Type) ||
			(m && !strings.EqualFold(monitored, yesNo(s.Monitored))) || !q.scoped(s)
	})
	found, meta, no := page(q, found, func(s Service) int { return s.ID })
	if no != nil {
		return "", no
	}
	root := &node{name: "results"}
	if meta != nil {
		root.kids = append(root.kids, meta)
	}
	for _, s := range found {
		n := root.add("SERVICE_ENDPOINT", "").set("PRIMARY_KEY", key(s.ID))
		n.some("PRIMARY_KEY", key(s.ID))
		n.some("HOSTNAME", s.Host)
		n.some("GOCDB_PORTAL_URL", q.portal("Service", s.ID))
		n.some("HOSTDN", s.HostDN)
		n.add("BETA", "N")
		n.some("SERVICE_TYPE", s.Type)
		n.add("CORE", "")
		n.add("IN_PRODUCTION", yesNo(s.Production))
		n.add("NODE_MONITORED", yesNo(s.Monitored))
		n.add("NOTIFICATIONS", "N")
		n.some("SITENAME", s.Site)
		n.some("COUNTRY_NAME", s.Country)
		n.some("ROC_NAME", s.NGI)
		n.add("URL", s.URL)
		endpoints := n.add("ENDPOINTS", "")
		for _, e := range s.Endpoints {
			k := endpoints.add("ENDPOINT", "")
			k.add("ID", strconv.Itoa(e.ID))
			k.add("NAME", e.Name)
			k.add("EXTENSIONS", "")
			k.address(e)
		}
		scopes := n.add("SCOPES", "")
		for _, scope := range s.Scopes {
			scopes.add("SCOPE", scope)
		}
		n.add("EXTENSIONS", "")
	}
	return document(root), nil
}

func (n *node) address(e Endpoint) {
	n.add("URL", e.URL)
	n.add("INTERFACENAME", e.Interface)
	n.add("ENDPOINT_MONITORED", yesNo(e.Monitored))
}

// affected is a downtime with those of its services that were asked for.
type affected struct {
	Downtime
	services []Service
}

// downtimesXML answers get_downtime, which tells a downtime once for each service, and get_downtime_nested_services.
func (q *query) downtimesXML(nested bool) (string, *refusal) {
	during, no := q.during()
	if no != nil {
		return "", no
	}
	var found []affected
	for _, d := range q.g.downtimes {
		a := affected{Downtime: d}
		for _, s := range q.g.services {
			if slices.Contains(d.Services, s.ID) && q.like("topentity", s.Host, s.Site, s.NGI, s.Country) && q.scoped(s) {
				a.services = append(a.services, s)
			}
		}
		if len(a.services) > 0 && during(d) {
			found = append(found, a)
		}
	}
	found, meta, no := page(q, found, func(a affected) int { return a.ID })
	if no != nil {
		return "", no
	}
	root := &node{name: "results"}
	if meta != nil {
		root.kids = append(root.kids, meta)
	}
	for _, a := range found {
		head := func() *node {
			return root.add("DOWNTIME", "").set("ID", strconv.Itoa(a.ID)).set("PRIMARY_KEY", a.key()).set("CLASSIFICATION", a.Classification)
		}
		if nested {
			n := head()
			a.about(n)
			n.some("GOCDB_PORTAL_URL", q.portal("Downtime", a.ID))
			services := n.add("SERVICES", "")
			for _, s := range a.services {
				k := services.add("SERVICE", "")
				k.add("PRIMARY_KEY", key(s.ID))
				a.service(k, s, "")
			}
			continue
		}
		for _, s := range a.services {
			n := head()
			n.add("PRIMARY_KEY", a.key())
			a.service(n, s, q.portal("Downtime", a.ID))
			a.about(n)
		}
	}
	return document(root), nil
}

func (d Downtime) key() string {
	if d.Key == "" {
		return key(d.ID)
	}
	return d.Key
}

// about writes what the downtime is, its times in seconds and for people, in UTC.
func (d Downtime) about(n *node) {
	n.some("SEVERITY", d.Severity)
	n.some("DESCRIPTION", d.Description)
	for _, t := range []struct {
		name string
		at   time.Time
	}{{"INSERT_DATE", d.Declared}, {"START_DATE", d.Start}, {"END_DATE", d.End}} {
		n.add(t.name, strconv.FormatInt(t.at.Unix(), 10))
	}
	n.add("FORMATED_START_DATE", d.Start.UTC().Format("2006-01-02 15:04"))
	n.add("FORMATED_END_DATE", d.End.UTC().Format("2006-01-02 15:04"))
}

// service writes a service, and which of its endpoints the downtime names.
func (d Downtime) service(n *node, s Service, portal string) {
	n.some("HOSTNAME", s.Host)
	n.some("SERVICE_TYPE", s.Type)
	n.some("ENDPOINT", s.Host+s.Type)
	n.some("HOSTED_BY", s.Site)
	n.some("GOCDB_PORTAL_URL", portal)
	endpoints := n.add("AFFECTED_ENDPOINTS", "")
	for _, e := range s.Endpoints {
		if slices.Contains(d.Endpoints, e.ID) {
			k := endpoints.add("ENDPOINT", "")
			k.add("ID", strconv.Itoa(e.ID))
			k.add("NAME", e.Name)
			k.address(e)
		}
	}
}

// during gives the condition on a downtime's time. Any ongoing_only, "no" too, leaves only those that are going on now:
// GOCDB's documentation says otherwise.
func (q *query) during() (func(Downtime) bool, *refusal) {
	conditions := []func(Downtime) bool{}
	if only, given := q.params["ongoing_only"]; given {
		_, start := q.params["startdate"]
		_, end := q.params["enddate"]
		switch {
		case only == "yes" && (start || end):
			return nil, refuse("Invalid parameter combination - do not specify startdate or enddate with ongoing_only")
		case only != "yes" && only != "no":
			return nil, refuse("Invalid ongoing_only value - must be 'yes' or 'no'")
		}
		now := q.g.now()
		conditions = append(conditions, func(d Downtime) bool { return d.Start.Before(now) && d.End.After(now) })
	}
	for name, is := range map[string]func(d Downtime, day time.Time) bool{
		"startdate":   func(d Downtime, day time.Time) bool { return d.Start.After(day) },
		"enddate":     func(d Downtime, day time.Time) bool { return d.End.Before(day) },
		"windowstart": func(d Downtime, day time.Time) bool { return d.End.After(day) },
		"windowend":   func(d Downtime, day time.Time) bool { return d.Start.Before(day.AddDate(0, 0, 1)) },
	} {
		text, given := q.params[name]
		if !given {
			continue
		}
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return nil, &refusal{"DateTime::__construct(): Failed to parse time string (" + text + ") at position 0"}
		}
		conditions = append(conditions, func(d Downtime) bool { return is(d, day) })
	}
	return func(d Downtime) bool {
		return !slices.ContainsFunc(conditions, func(is func(Downtime) bool) bool { return !is(d) })
	}, nil
}

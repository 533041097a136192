package gocdb

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Severity says how bad a downtime is. GOCDB knows two.
type Severity string

// Severities.
const (
	Outage  Severity = "OUTAGE"  // it does not work
	Warning Severity = "WARNING" // it may not work
)

// Downtime is a stretch of time in which services do not work, or may not.
type Downtime struct {
	ID             string // GOCDB's number of it
	Key            string // its primary key; older ones differ from the number
	Severity       Severity
	Classification string // SCHEDULED, UNSCHEDULED
	Start, End     time.Time
	Description    string // what the site wrote
	Page           string // where people see it
	Services       []Affected
}

// Affected is a service in a downtime.
type Affected struct {
	Key       string // of the service; "" in an answer of the flat form
	Site      string
	Type      string
	Host      string
	Endpoints []Endpoint // which of its endpoints; none = the whole service
}

// Ongoing tells whether the downtime is going on at an instant. Its end is the first instant after it.
func (d Downtime) Ongoing(at time.Time) bool { return !at.Before(d.Start) && at.Before(d.End) }

// Planned tells whether the downtime is still to begin.
func (d Downtime) Planned(at time.Time) bool { return at.Before(d.Start) }

// Affects tells whether a service is in the downtime at one of its addresses. Where an endpoint is registered with that
// address, it must be among the endpoints that the downtime names, if it names any.
func (d Downtime) Affects(s Service, address string) bool {
	for _, a := range d.Services {
		if a.is(s) && a.at(s, address) {
			return true
		}
	}
	return false
}

func (a Affected) is(s Service) bool {
	if a.Key != "" {
		return a.Key == s.Key
	}
	return a.Site == s.Site && strings.EqualFold(a.Host, s.Host) && strings.EqualFold(a.Type, s.Type)
}

func (a Affected) at(s Service, address string) bool {
	want, err := Normalize(address)
	if len(a.Endpoints) == 0 || err != nil {
		return true
	}
	registered := false
	for _, e := range s.Endpoints {
		if at, err := Normalize(e.URL); err != nil || at != want {
			continue
		}
		registered = true
		for _, of := range a.Endpoints {
			if of.ID == e.ID {
				return true
			}
		}
	}
	return !registered
}

// downtime reads a record of either form: with its services inside, or one record for each service. With an error it
// holds the number, if there is one.
func downtime(e *element) (Downtime, error) {
	d := Downtime{ID: e.attr("ID"), Key: e.attr("PRIMARY_KEY"), Classification: strings.ToUpper(e.attr("CLASSIFICATION"))}
	if d.ID == "" {
		d.ID = d.Key
	}
	switch {
	case e.odd != "":
		return d, errors.New(e.odd)
	case !key(d.ID):
		return d, fmt.Errorf("its ID is %q", shorten([]byte(d.ID)))
	}
	d.Severity, d.Description, d.Page = Severity(strings.ToUpper(e.child("SEVERITY"))), e.child("DESCRIPTION"), e.child("GOCDB_PORTAL_URL")
	var err error
	if d.Start, err = instant(e, "START_DATE"); err != nil {
		return d, err
	}
	if d.End, err = instant(e, "END_DATE"); err != nil {
		return d, err
	}
	if d.End.Before(d.Start) {
		return d, fmt.Errorf("it ends at %s, before it begins", d.End.Format(time.RFC3339))
	}
	for _, s := range e.list("SERVICES", "SERVICE") {
		d.Services = append(d.Services, affected(s, s.child("PRIMARY_KEY")))
	}
	if e.child("HOSTNAME") != "" {
		d.Services = append(d.Services, affected(e, "")) // PRIMARY_KEY is the downtime's own here
	}
	return d, nil
}

func affected(e *element, key string) Affected {
	return Affected{key, e.child("HOSTED_BY"), e.child("SERVICE_TYPE"), e.child("HOSTNAME"), endpoints(e, "AFFECTED_ENDPOINTS")}
}

// latest is the end of what is believed to be a time: the year 9999.
const latest = 253402300799

// instant reads a time, in seconds since 1970 or, where that is missing, as it is written for people, in UTC.
func instant(e *element, name string) (time.Time, error) {
	text := e.child(name)
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 && seconds <= latest {
		return time.Unix(seconds, 0).UTC(), nil
	}
	if text == "" {
		text = e.child("FORMATED_" + name)
		if at, err := time.Parse("2006-01-02 15:04", text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("its %s is %q", name, shorten([]byte(text)))
}

// downtimes puts the records of the flat form together again.
type downtimes struct {
	list []Downtime
	at   map[string]int
}

func (l *downtimes) add(d Downtime) {
	if i, ok := l.at[d.ID]; ok {
		l.list[i].Services = append(l.list[i].Services, d.Services...)
		return
	}
	if l.at == nil {
		l.at = map[string]int{}
	}
	l.at[d.ID] = len(l.list)
	l.list = append(l.list, d)
}

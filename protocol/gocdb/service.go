package gocdb

import (
	"errors"
	"fmt"
	"strings"
)

// Service is a service of a site as GOCDB has it.
type Service struct {
	Key        string // GOCDB's primary key, such as 16001G0
	Site       string
	Type       string // such as Nova
	Host       string
	HostDN     string // of its certificate; "" = none is registered
	URL        string // as it is registered; "" = none
	Endpoints  []Endpoint
	Production bool
	Monitored  bool
	Scopes     []string
	Page       string // where people see it
}

// Endpoint is one of the further addresses of a service.
type Endpoint struct {
	ID        string
	Name      string
	URL       string // as it is registered; "" = none
	Interface string
	Monitored bool
}

// service reads a record. With an error it holds the key, if there is one.
func service(e *element) (Service, error) {
	s := Service{Key: e.attr("PRIMARY_KEY")}
	if s.Key == "" {
		s.Key = e.child("PRIMARY_KEY")
	}
	switch {
	case e.odd != "":
		return s, errors.New(e.odd)
	case !key(s.Key):
		return s, fmt.Errorf("its PRIMARY_KEY is %q", shorten([]byte(s.Key)))
	}
	s.Site, s.Type, s.Host = e.child("SITENAME"), e.child("SERVICE_TYPE"), e.child("HOSTNAME")
	s.HostDN, s.URL, s.Page = e.child("HOSTDN"), e.child("URL"), e.child("GOCDB_PORTAL_URL")
	s.Production, s.Monitored = yes(e.child("IN_PRODUCTION")), yes(e.child("NODE_MONITORED"))
	s.Endpoints = endpoints(e, "ENDPOINTS")
	for _, k := range e.list("SCOPES", "SCOPE") {
		s.Scopes = append(s.Scopes, strings.TrimSpace(k.text.String()))
	}
	if s.Site == "" {
		return s, errors.New("it has no SITENAME")
	}
	return s, nil
}

// endpoints reads those inside the element of that name, which may be empty or missing.
func endpoints(e *element, name string) []Endpoint {
	var all []Endpoint
	for _, k := range e.list(name, "ENDPOINT") {
		all = append(all, Endpoint{k.child("ID"), k.child("NAME"), k.child("URL"), k.child("INTERFACENAME"), yes(k.child("ENDPOINT_MONITORED"))})
	}
	return all
}

func yes(text string) bool { return strings.EqualFold(text, "Y") }

// key tells whether the text is a primary key: it becomes a part of ids and of topics' names.
func key(text string) bool {
	if text == "" || len(text) > 64 {
		return false
	}
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// Package site says what fedsite serves: sites, their clouds, the projects at each cloud, the VOs, and the shares they
// make together.
//
//	configuration + project properties → Merge → shares
//
// The package is pure: it holds values and rules, and does no I/O.
package site

import (
	"fmt"
	"slices"
	"time"
)

// Site is a Resource Centre as registered in GOCDB, with its clouds. Everything in the store is keyed by ID, never by
// Name, because sites are renamed (design §2).
type Site struct {
	ID       string   // generated once, kept in the store
	Name     string   // GOCDB name; SiteName of the records
	Formerly []Former // earlier names, each until a day
	GOCDBKey string   // primary key of the endpoint in GOCDB, when known
	Clouds   []Cloud
}

// Former is a name that a site or cloud had until a moment (UTC, exclusive).
type Former struct {
	Name  string
	Until time.Time
}

// NameAt gives the site's name in effect at the instant t.
func (s Site) NameAt(t time.Time) string {
	name, until := s.Name, time.Time{}
	for _, f := range s.Formerly {
		if t.Before(f.Until) && (until.IsZero() || f.Until.Before(until)) {
			name, until = f.Name, f.Until
		}
	}
	return name
}

// Cloud is one OpenStack endpoint of a site: a Keystone URL and a region.
type Cloud struct {
	ID          string // generated once, kept in the store
	Name        string // unique within the site's configuration
	AuthURL     string
	Region      string
	ServiceName string   // CloudComputeService of the records
	VOs         []VO     // from the file, in file order
	Properties  []string // keys of project properties that name VOs, tried in order
}

// VO is a virtual organisation's entry in the configuration: its place at one cloud.
type VO struct {
	Name      string    // plain name or FQAN
	Project   string    // id or name of the project at the cloud; "" = that of the token of the VO's own credential
	AccountAs string    // what records say instead of Name, "" = Name
	Mode      Mode      // of accounting, or of the part that is given the VO: the lower of cloud's and VO's, which counts where it is lower than the site's; "" = the site's
	Discovery Mode      // the same of discovery
	Images    Mode      // the same of images
	Since     time.Time // zero = always; first instant at which the VO is here (UTC)
	Until     time.Time // zero = open; first instant at which it is not any more

	DefaultNetwork string // what kind a VM's network is when none is chosen: public, private …; "" = not said
	PublicNetwork  string // name of the network that floating addresses come from; "" = not said
}

// Project is an OpenStack project at a cloud: the unit that accounting loops over.
type Project struct {
	ID         string
	Name       string
	Domain     string // domain id
	Enabled    bool
	Properties map[string]string // extra attributes of the Keystone project
	Tags       []string
	Of         []string // VOs whose own credential signs in to it; nil = no credential is a VO's own
}

// Object names the project in problems and checks: "project 4ae0… (vo-ops)".
func (p Project) Object() string {
	if p.Name == "" || p.Name == p.ID {
		return "project " + p.ID
	}
	return fmt.Sprintf("project %s (%s)", p.ID, p.Name)
}

// Part names a part of fedsite, where rights and modes differ by part.
type Part string

// The parts of fedsite.
const (
	Accounting Part = "accounting"
	Discovery  Part = "discovery"
	Images     Part = "images"
	Access     Part = "access"
)

// Mode says how far a part may go (design §4, Modes).
type Mode string

// The modes of a part. Observing does everything except change the world.
const (
	Disabled Mode = "disabled"
	Observe  Mode = "observe"
	Active   Mode = "active"
)

// Lowest gives the mode that does least; "" is no mode of its own.
func Lowest(modes ...Mode) Mode {
	order := []Mode{Disabled, Observe, Active}
	least := Mode("")
	for _, m := range modes {
		if m != "" && (least == "" || slices.Index(order, m) < slices.Index(order, least)) {
			least = m
		}
	}
	return least
}

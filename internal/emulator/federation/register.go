package federation

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/federation/gocdb"
)

// Types of the services that sites register (spec discovery §2.3).
const (
	accounting = "eu.egi.cloud.accounting"
	nova       = "org.openstack.nova"
	horizon    = "org.openstack.horizon"
)

// firstKey is the number of the first service that is registered; its key is "16001G0".
const firstKey = 16001

// register is what GOCDB is told.
type register struct {
	services  []gocdb.Service
	downtimes []gocdb.Downtime
}

// GOCDBURL is the URL of GOCDB's public interface.
func (f *Federation) GOCDBURL() string {
	u := url.URL{Scheme: "https", Host: net.JoinHostPort(f.Host, strconv.Itoa(f.GOCDBPort)), Path: gocdb.Path}
	return u.String()
}

// Register has GOCDB know a cloud of a site by Keystone's URL, with its dashboard, and gives the cloud's primary key.
func (f *Federation) Register(site, keystone string) (key string) {
	host := keystone
	if u, err := url.Parse(keystone); err == nil {
		host = u.Hostname()
	}
	s := f.enrol(gocdb.Service{Site: site, Type: nova, Host: host, URL: keystone})
	f.enrol(gocdb.Service{Site: site, Type: horizon, Host: host, URL: "https://" + net.JoinHostPort(host, "443") + "/dashboard/"})
	return fmt.Sprintf("%dG0", s.ID)
}

// enrol registers a service in production, and gives it its number.
func (f *Federation) enrol(s gocdb.Service) gocdb.Service {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.ID = firstKey + len(f.registered.services)
	s.NGI, s.Country, s.Production, s.Monitored, s.Scopes = "NGI_EMULATED", "Netherlands", true, true, []string{"EGI", "FedCloud"}
	f.registered.services = append(f.registered.services, s)
	f.GOCDB.Set(f.registered.services, f.registered.downtimes)
	return s
}

// Rename has GOCDB know a site by another name.
func (f *Federation) Rename(site, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registered.services = slices.Clone(f.registered.services)
	for i := range f.registered.services {
		if f.registered.services[i].Site == site {
			f.registered.services[i].Site = to
		}
	}
	f.GOCDB.Set(f.registered.services, f.registered.downtimes)
}

// Downtime declares a downtime of all services of a site: an outage, or a time in which they may not work. It gives the
// downtime's number; EndDowntime ends it at once.
func (f *Federation) Downtime(site string, outage bool, from, to time.Time, why string) (id int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := gocdb.Downtime{ID: len(f.registered.downtimes) + 1, Severity: "WARNING", Classification: "SCHEDULED", Description: why, Declared: f.now(), Start: from, End: to}
	if outage {
		d.Severity = "OUTAGE"
	}
	for _, s := range f.registered.services {
		if s.Site == site {
			d.Services = append(d.Services, s.ID)
		}
	}
	f.registered.downtimes = append(f.registered.downtimes, d)
	f.GOCDB.Set(f.registered.services, f.registered.downtimes)
	return d.ID
}

// EndDowntime lets a downtime end now.
func (f *Federation) EndDowntime(id int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.registered.downtimes = slices.Clone(f.registered.downtimes)
	for i := range f.registered.downtimes {
		if d := &f.registered.downtimes[i]; d.ID == id {
			d.End = f.now()
			if d.Start.After(d.End) { // it was only planned
				d.Start = d.End
			}
		}
	}
	f.GOCDB.Set(f.registered.services, f.registered.downtimes)
}

// Package config reads fedsite's one configuration file: strictly, with all errors at once, and secrets that cannot be
// printed.
//
//	file → syntax and keys → defaults → resolve → validate → Config
//
// A Config is complete: defaults are filled in, site: and sites: have become one list, each site carries its own
// accounting settings, and each cloud the VOs that the file names for it. Nothing outside this package knows the file's
// form.
package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/fedsite/fedsite/internal/site"
)

// Config is a whole configuration.
type Config struct {
	File        string // where it was read from
	Sites       []Site
	Credentials map[string]Credential
	Network     Network
	Store       Store
	Limits      Limits
	Notify      Notify
	Mutes       []Mute
	Retention   Retention
	Web         Web
	Demo        Demo
	Includes    []Include    // sets of site files, in the file's order
	Broken      []BrokenUnit // site files that cannot be used as they are
	Notices     []Notice     // what is left out or looks wrong, and stops nothing

	shown *node     // what is in effect, each value with its origin
	main  *mainFile // what site files are laid over
}

// Site is a site with the settings of its parts. Site.ID and the clouds' IDs are empty: the store gives them.
type Site struct {
	Site         site.Site
	Unit         Unit    // the file that it was read from; the first of several
	More         []Unit  // its further files: a site of the form catch-all has one for each endpoint
	Runs         Runs    // of a site with a file of its own
	Clouds       []Cloud // in file order; Site.Clouds holds the same
	Accounting   Accounting
	Discovery    Discovery
	Images       Images
	Privacy      Privacy
	Benchmarks   []Benchmark   // of flavors that carry none themselves; first match wins
	Accelerators []Accelerator // likewise
}

// Cloud is an OpenStack endpoint with the way to it. What differs by part is there for each part that the file says it for.
type Cloud struct {
	Cloud              site.Cloud
	GOCDBKey           string                          // primary key of the endpoint in GOCDB; "" = it is looked up
	Modes              map[site.Part]site.Mode         // none = the site's, below which alone it counts
	Formerly           []string                        // earlier names within the site
	Interface          string                          // public, internal, admin
	Protocol           string                          // Keystone's name of the protocol, in place of the credential's; "" = that
	Credentials        map[site.Part]string            // keys of Config.Credentials
	ProjectCredentials map[site.Part]map[string]string // the same for single projects, by id or name as VOs write it
	VOCredentials      map[site.Part]map[string]string // the same for VOs that name no project, by their names
	Parallel           int                             // projects asked at once
	NovaPerSecond      float64                         // requests per second; 0 = no limit
	Network            Network                         // merged with the general one
}

// ModeOf gives what a part does at the cloud at most; "" = what the site says.
func (c Cloud) ModeOf(p site.Part) site.Mode { return c.Modes[p] }

// CredentialFor gives the credential that a part signs in with; "" = none.
func (c Cloud) CredentialFor(p site.Part) string { return c.Credentials[p] }

// ProjectCredentialsOf gives the credentials of single projects, by id or name as VOs write it.
func (c Cloud) ProjectCredentialsOf(p site.Part) map[string]string { return c.ProjectCredentials[p] }

// CredentialOfVO gives the credential of a part for a VO of the file: its project's own or its own, else the cloud's.
func (c Cloud) CredentialOfVO(part site.Part, vo site.VO) string {
	own, key := c.ProjectCredentials[part], vo.Project
	if key == "" {
		own, key = c.VOCredentials[part], vo.Name
	}
	if name, ok := own[key]; ok {
		return name
	}
	return c.Credentials[part]
}

// CredentialOf gives the credential of a part for a project: its own, else the cloud's (design §4, Credentials).
func (c Cloud) CredentialOf(part site.Part, p site.Project) string {
	for _, as := range []string{p.ID, p.Name} {
		if own, ok := c.ProjectCredentials[part][as]; ok {
			return own
		}
	}
	return c.Credentials[part]
}

// Accounting is how accounting is done for one site.
type Accounting struct {
	Mode       site.Mode // of the site: clouds and VOs may have lower ones
	Schedule   Schedule
	Previously string    // "", "caso", "nothing"
	Since      time.Time // zero = not said
	ActiveFrom time.Time // zero = not said
	Records    []string  // kinds: "cloud"
	Charge     Charge
	Overlap    time.Duration
	Settle     time.Duration
	MaxRecords int  // records in a message, 1 to 100
	AMS        *AMS // nil = no such destination
	Dirq       *Dirq
}

// Schedule is when the tasks of accounting run, as cron expressions; "" = as usual, at a moment of the site's own.
type Schedule struct{ Collect, Send, Check string }

// Charge says which states of a VM count as use.
type Charge struct{ StoppedFree, ShelvedFree bool }

// AMS is the destination "ARGO Messaging Service".
type AMS struct {
	Host        string
	Port        int
	AuthnPort   int
	Project     string
	Topic       string // of cloud records
	Token       Secret // not set = from the certificate
	Certificate Certificate
	EncryptTo   string // PEM file of the receiver's certificate; "" = not encrypted
	MaxBytes    int    // of base64 and attributes; 0 = the protocol's default
	Copy        bool   // beside another active destination
	Network     Network
}

// amsShown is an AMS without its methods.
type amsShown AMS

// Format prints the settings with those of the network as these print themselves, also where a pointer leads here.
func (a AMS) Format(f fmt.State, verb rune) { fmt.Fprintf(f, fmt.FormatString(f, verb), amsShown(a)) }

// Certificate names the host certificate's files in PEM.
type Certificate struct{ Cert, Key string }

// Dirq is the destination "directory queue".
type Dirq struct {
	Path string
	Copy bool
}

// Privacy says what of personal fields is sent.
type Privacy struct {
	GlobalUserName string // name, id, omit
	MachineName    string // name (written "send" in the file), omit
}

// Benchmark is a flavor pattern with its benchmark.
type Benchmark struct {
	Flavor string // shell pattern of the flavor's name
	Type   string
	Value  float64
}

// Network says how connections are made.
type Network struct {
	Proxy         string // may hold a password: never printed whole
	NoProxy       []string
	CAFile        string
	SourceAddress string
}

// shown gives the settings without the proxy's password.
func (n Network) shown() networkShown {
	n.Proxy = withoutPassword(n.Proxy)
	return networkShown(n)
}

// networkShown is a Network without its methods.
type networkShown Network

// Format prints the settings without the proxy's password.
func (n Network) Format(f fmt.State, verb rune) { fmt.Fprintf(f, fmt.FormatString(f, verb), n.shown()) }

// MarshalJSON gives the settings without the proxy's password.
func (n Network) MarshalJSON() ([]byte, error) { return json.Marshal(n.shown()) }

// MarshalYAML gives the settings without the proxy's password.
func (n Network) MarshalYAML() (any, error) { return n.shown(), nil }

// LogValue gives the settings without the proxy's password.
func (n Network) LogValue() slog.Value { return slog.AnyValue(n.shown()) }

// Store says where fedsite keeps its state.
type Store struct {
	Path   string // directory; the database is fedsite.db in it
	URL    Secret // of PostgreSQL; not set = SQLite in Path
	Backup Backup
}

// Demo marks a configuration that `fedsite demo` wrote.
type Demo struct {
	On     bool
	Offset time.Duration // of the clock
}

package config

import (
	"time"

	"github.com/fedsite/fedsite/internal/site"
)

// Discovery is how discovery is done for one site.
type Discovery struct {
	Mode      site.Mode // of the site: clouds and VOs may have lower ones
	Schedule  DiscoverySchedule
	KeepFor   time.Duration // how long what cannot be asked keeps its last good value
	Validity  time.Duration // how long a document counts
	Images    string        // marketplace, shared, all
	Snapshots bool          // images that are snapshots, too
	Flavors   string        // all, public, private
	Merged    bool          // one object for an image or flavor with several shares
	GOCDB     GOCDB
	Publish   []Sink // in file order, each name once
}

// DiscoverySchedule is when the tasks of discovery run, as cron expressions; "" = as usual, at a moment of the site's own.
type DiscoverySchedule struct{ Publish, Check string }

// GOCDB is the registry of sites and downtimes.
type GOCDB struct {
	Off     bool // it is not asked
	URL     string
	Paged   bool // answers come in pages
	Network Network
}

// Sink is where documents are published. Exactly one of File, Swift, AMS, API and LDAP is set.
type Sink struct {
	Name          string // unique within the site: as the file has it, else its kind, the second one file-2
	DeleteRemoved bool   // documents of sites and endpoints that are gone are taken away there
	File          *FileSink
	Swift         *SwiftSink
	AMS           *AMSSink
	API           *APISink
	LDAP          *LDAPSink
}

// Kinds of sinks, as the file and errors name them.
const (
	SinkFile  = "file"
	SinkSwift = "swift"
	SinkAMS   = "ams"
	SinkAPI   = "api"
	SinkLDAP  = "ldap"
)

// Kind tells the sink's kind; "" for none.
func (s Sink) Kind() string {
	switch {
	case s.File != nil:
		return SinkFile
	case s.Swift != nil:
		return SinkSwift
	case s.AMS != nil:
		return SinkAMS
	case s.API != nil:
		return SinkAPI
	case s.LDAP != nil:
		return SinkLDAP
	}
	return ""
}

// FileSink is a directory that gets one file for each document.
type FileSink struct {
	Path   string // of the directory
	Format string // glue21json, ldif
}

// SwiftSink is a container of Swift, reached through a share: a credential that says site and VO.
type SwiftSink struct {
	Credential string // key of Config.Credentials
	Container  string
}

// AMSSink is a topic of the ARGO Messaging Service.
type AMSSink struct {
	Host        string
	Port        int
	AuthnPort   int
	Project     string
	Topic       string // "" = made of the site's name and its key in GOCDB
	Token       Secret // not set = from the certificate
	Certificate Certificate
	Gzip        bool
	Format      string // glue21json, ldif
	MaxBytes    int    // of base64 and attributes
	Network     Network
}

// APISink is the information API that fedsite serves itself. Sites that name the same address share one.
type APISink struct {
	Listen       string // host:port
	OpsPortalKey Secret // of the Operations Portal, for VOs and disciplines; not set = these are not served
	Directory    string // of other publishers' documents; "" = none
	Container    *SwiftSink
	BaseURL      string       // by which others reach it; "" = as each of them asks for
	Disciplines  string       // file; "" = none are served
	TLS          *Certificate // nil = HTTP
}

// LDAPSink is the LDAP server that fedsite serves itself. Sites that name the same address share one.
type LDAPSink struct {
	Listen string // host:port
}

// Accelerator is what flavors of a pattern have that do not say so themselves.
type Accelerator struct {
	Flavor              string // shell pattern of the flavor's name
	Type, Vendor, Model string // Vendor and Model: "" = not said
	Number              float64
	MemoryGB            float64 // 0 = not said
}

package discovery

import (
	"context"
	"errors"
	"time"

	"github.com/fedsite/fedsite/protocol/glue"
)

// Sink is where documents are published. Each has its own credential and fails alone. Names are unique within a site.
type Sink interface {
	Name() string   // as screens, tables and metrics name it: "swift", "file", "api" …
	Format() Format // of what it takes
	// Publish delivers a document whole or not at all. What is known afterwards is exact: nil says that whoever reads there
	// gets it.
	Publish(ctx context.Context, p Publication) error
}

// Remover is a sink that can tell what it holds and take documents away: those of sites and endpoints that are gone.
type Remover interface {
	Sink
	// Held reads a document back; ErrNotHeld when there is none of that name.
	Held(ctx context.Context, name string) ([]byte, error)
	// Remove takes it away; that it is not there is no error.
	Remove(ctx context.Context, name string) error
}

// Rooted is a sink of LDIF whose entries stand elsewhere than under GLUE2GroupID=resource,o=glue.
type Rooted interface {
	Base(site string) glue.DN
}

// Placed is a sink that says where it publishes: "swift https://… container cloud-info". Two sinks of one name and place
// publish to the same place, for whichever site. What stands elsewhere is not looked for here: one that moved begins anew.
type Placed interface {
	Place() string
}

// Sparing is a sink to which each delivery costs. What it has goes there again only after that time, or when a third of
// what it counts is over, whichever is earlier; to other sinks it goes with each run.
type Sparing interface {
	Every() time.Duration
}

// Bounded is a sink that takes no document of more bytes than Most. Before one is that large the run says so.
type Bounded interface {
	Most() int
}

// smaller is what to do about a document that is too large, or will be.
const smaller = "set discovery.merged: true, which says an image or flavor of several VOs once; or publish less: discovery.images: marketplace"

// Failure is an error of a sink that says more than its text. Sinks need not use it.
type Failure struct {
	Err       error
	Hint      string // what to do
	Permanent bool   // will not pass by itself
	Exit      int    // exit code when the whole run failed for this; 0 = any
}

// Error gives the cause.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// ErrNotHeld is what a Remover answers for a document that it does not hold.
var ErrNotHeld = errors.New("no such document")

// Format is a form in which documents are published.
type Format string

// Formats.
const (
	JSON Format = "glue21json"
	LDIF Format = "ldif"
)

// Publication is a document on its way to a sink.
type Publication struct {
	SiteID, Site string // id in the store, and name in GOCDB
	Endpoint     string // Keystone's URL
	GOCDBKey     string // "" = not known
	Name         string // glue.ObjectName; of LDIF with that ending
	Document     glue.Document
	Body         []byte // in the sink's format
	Digest       string // of what it says, but for its times; equal ones say the same
	At           time.Time
}

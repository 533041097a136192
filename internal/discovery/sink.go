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
	Name         string // glue.ObjectName
	Document     glue.Document
	Body         []byte // in the sink's format
	Digest       string // of what it says, but for its times; equal ones say the same
	At           time.Time
}

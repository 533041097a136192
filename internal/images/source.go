package images

import (
	"context"
	"io"
	"time"

	"github.com/fedsite/fedsite/protocol/vmlist"
)

// Source is where images come from. Its methods may be called at the same time.
type Source interface {
	Name() string
	Kind() Kind
	// Place says where it is read, without anything secret: what stands elsewhere is another source.
	Place() string
	// Ask reads what the source says now, for a site with the VOs. An answer that is not there, or not believed, is a
	// *Failure.
	Ask(ctx context.Context, last Memory, vos []string, now time.Time) (Answer, error)
	// Open opens the file of an entry, from a byte on if it can be had so and is still the file with the tag.
	Open(ctx context.Context, e Entry, from int64, tag string) (File, error)
}

// Memory is what is remembered of a source.
type Memory struct {
	List     string    // id of the list that was last accepted
	Version  string    // of that list
	Created  time.Time // of that list
	Signer   string    // of that list, in slash form
	VO       string    // that it names; "" = none
	Asked    time.Time
	Changed  time.Time
	ETag     string
	Modified string
	Body     string               // what it said last
	Missing  map[string]time.Time // ids that complete listings lack, since when
	Newest   vmlist.Edition       // of marks: the newest that any of the images names, and
	Image    string               // which one that is, and where
}

func (m Memory) edition() vmlist.Edition {
	return vmlist.Edition{Version: m.Version, Created: m.Created}
}

// Answer is what a source says.
type Answer struct {
	List, Title string
	Signer      string // in slash form
	VO          string // that the list names; "" = none
	Version     string
	Created     time.Time
	Expires     time.Time // of the list; zero = never
	Entries     []Entry
	Bad         []BadEntry
	Complete    bool
	Gaps        []BadEntry // what of the source could not be listed
	Unused      []string   // ids that are there, and cannot be taken for images now: what was one may be one again
	Same        bool       // the source itself says that nothing changed
	ETag        string
	Modified    string
	Body        string // to remember
	Notices     []string
}

func (a Answer) edition() vmlist.Edition {
	return vmlist.Edition{Version: a.Version, Created: a.Created}
}

// File is the file of an image on its way here. Reading goes on over connections that break.
type File struct {
	Body io.ReadCloser
	Size int64  // of the whole file; -1 = not said
	From int64  // where Body begins
	Tag  string // tells whether it is the same file later; "" = that cannot be told
}

// Fetcher asks a source's server. Its errors are *Failure, or say what broke.
type Fetcher interface {
	// Document reads something small whole, unless it is what is known by its tags.
	Document(ctx context.Context, url, etag, modified string) (Document, error)
	// Open opens a file, from a byte on if the server can and it still has the tag.
	Open(ctx context.Context, url string, from int64, tag string) (File, error)
}

// Document is something small that a server has.
type Document struct {
	Body           []byte
	ETag, Modified string
	Same           bool // it is what is known: there is no body
}

// SourceTarget is a source with what the configuration says of it.
type SourceTarget struct {
	Source
	VOs    []string // who gets its images; nil = as the list says, anyVO = all VOs of the site
	Images []string // only these; nil = all
}

// anyVO stands for all VOs of the site.
const anyVO = "*"

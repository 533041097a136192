package information

import (
	"context"
	"time"
)

// Document is a document as a source has it.
type Document struct {
	Source  string    // name of the source, for people
	Name    string    // in the source: the object's name, or the path in the directory; unique there
	Body    []byte    // GLUE 2.1 as JSON; not changed by anybody
	Own     bool      // we publish it: it counts before others of the same site and endpoint
	Changed time.Time // zero = not known
	Err     error     // why there is no body, where it could not be read
}

// Source is where documents are.
type Source interface {
	// Name names it for people, unlike any other: "directory /var/lib/cloud-info".
	Name() string
	// Documents gives all documents, those that could not be read with the reason. An equal version says that nothing
	// changed since the last time. An error says that the source as a whole could not be read.
	Documents(ctx context.Context) (documents []Document, version string, err error)
}

// Published is the source of what we publish ourselves: list gives it, with a version that changes when anything does.
func Published(name string, list func(ctx context.Context) ([]Document, string, error)) Source {
	return published{name, list}
}

type published struct {
	name string
	list func(context.Context) ([]Document, string, error)
}

// Name is the given name.
func (p published) Name() string { return p.name }

// Documents are the given ones, marked as our own.
func (p published) Documents(ctx context.Context) ([]Document, string, error) {
	listed, version, err := p.list(ctx)
	own := make([]Document, len(listed))
	for i, d := range listed {
		d.Source, d.Own = p.name, true
		own[i] = d
	}
	return own, version, err
}

// Limits bound what is taken from a source. A zero value stands for the default.
type Limits struct {
	Documents int   // 10,000
	Bytes     int64 // of one document; 16 MiB
	Total     int64 // of all documents of the source; 256 MiB
	Depth     int   // of directories; 8
}

func (l Limits) orDefault() Limits {
	if l.Documents == 0 {
		l.Documents = 10_000
	}
	if l.Bytes == 0 {
		l.Bytes = 16 << 20
	}
	if l.Total == 0 {
		l.Total = 256 << 20
	}
	if l.Depth == 0 {
		l.Depth = 8
	}
	return l
}

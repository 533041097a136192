package images

import (
	"context"
	"encoding/base64"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/run"
)

// OwnSource is the site's own list: a file here, or at a URL. It is believed as it stands; whoever may write it chooses the
// images.
type OwnSource struct {
	Label string
	URL   string // "" = a file
	Shown string // the URL without what is secret, or the file
	Fetch Fetcher
	Read  func() ([]byte, error) // of a file
	// Parse reads the list; an entry that cannot be used is among the bad ones.
	Parse func(body []byte) ([]Entry, []BadEntry, error)
}

// Name is its name in the configuration.
func (s *OwnSource) Name() string { return s.Label }

// Kind is Own.
func (s *OwnSource) Kind() Kind { return Own }

// Place is its file or URL.
func (s *OwnSource) Place() string { return s.Shown }

// Ask reads the list.
func (s *OwnSource) Ask(ctx context.Context, last Memory, _ []string, _ time.Time) (Answer, error) {
	body, err := base64.StdEncoding.DecodeString(last.Body)
	if err != nil || len(body) == 0 {
		last.ETag, last.Modified = "", ""
	}
	var doc Document
	if s.URL == "" {
		if doc.Body, err = s.Read(); err != nil {
			return Answer{}, &Failure{Kind: Unreachable, Reason: err.Error(), Hint: "see whether fedsite's user may read it; its images are kept as they are"}
		}
	} else if doc, err = s.Fetch.Document(ctx, s.URL, last.ETag, last.Modified); err != nil {
		return Answer{}, err
	}
	if doc.Same {
		doc.Body = body
	}
	entries, bad, err := s.Parse(doc.Body)
	if err != nil {
		return Answer{}, &Failure{Kind: Unusable, Reason: run.Line(err.Error(), longestReason), Hint: "mend the list; its images are kept as they are", Permanent: true}
	}
	nameless := slices.ContainsFunc(bad, func(b BadEntry) bool { return b.ID == "" }) // any image that is missing may be this one
	a := Answer{List: s.Label, Complete: !nameless, Same: doc.Same, ETag: doc.ETag, Modified: doc.Modified, Body: base64.StdEncoding.EncodeToString(doc.Body), Bad: bad}
	for _, e := range entries {
		e.List = s.Label
		a.Entries = append(a.Entries, e)
	}
	return a, nil
}

// Open opens an image's file.
func (s *OwnSource) Open(ctx context.Context, e Entry, from int64, tag string) (File, error) {
	return s.Fetch.Open(ctx, e.At.URL, from, tag)
}

package images

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// ListSource is a signed image list.
type ListSource struct {
	Label string // its name in the configuration
	URL   string // may hold a token: Shown is for people
	Shown string
	Fetch Fetcher
	// Trust gives what the list is measured against now, and what is worth knowing of the trust directory.
	Trust func(now time.Time) (vmlist.Trust, []string, error)
	// Unsigned takes a list without a signature, too. Whoever can answer in the server's place then chooses the images.
	Unsigned bool
}

// Name is its name in the configuration.
func (s *ListSource) Name() string { return s.Label }

// Kind is List.
func (s *ListSource) Kind() Kind { return List }

// Place is its URL, without the token.
func (s *ListSource) Place() string { return s.Shown }

// Ask reads the list and verifies it, also when the server says that it is the one that is known: certificates end, and are
// revoked.
func (s *ListSource) Ask(ctx context.Context, last Memory, _ []string, now time.Time) (Answer, error) {
	body, err := base64.StdEncoding.DecodeString(last.Body)
	if err != nil || len(body) == 0 {
		last.ETag, last.Modified = "", ""
	}
	doc, err := s.Fetch.Document(ctx, s.URL, last.ETag, last.Modified)
	if err != nil {
		return Answer{}, err
	}
	if doc.Same {
		doc.Body, doc.ETag, doc.Modified = body, cmp.Or(doc.ETag, last.ETag), cmp.Or(doc.Modified, last.Modified)
	}
	l, notices, err := s.verify(doc.Body, now)
	if err != nil {
		return Answer{}, verifyFailure(err)
	}
	a := answerOf(l)
	a.Same, a.ETag, a.Modified, a.Body = doc.Same, doc.ETag, doc.Modified, base64.StdEncoding.EncodeToString(doc.Body)
	a.Notices = append(notices, a.Notices...)
	return a, nil
}

func (s *ListSource) verify(body []byte, now time.Time) (vmlist.List, []string, error) {
	trust, notices, err := s.Trust(now)
	if err != nil {
		return vmlist.List{}, nil, &Failure{Kind: Unusable, Reason: err.Error(), Hint: "install the IGTF's certificate authorities there, or name their directory in images.ca_dir"}
	}
	l, err := vmlist.Verify(body, trust)
	if s.Unsigned && errors.Is(err, vmlist.ErrUnsigned) {
		l, err = vmlist.Parse(body)
		notices = append(notices, "it is not signed, and is believed all the same: insecure_unsigned")
	}
	if err == nil && l.Signed != nil {
		for _, w := range l.Signed.Warnings {
			notices = append(notices, w.String())
		}
	}
	return l, notices, err
}

// verifyFailure says what kind of failure it is that a list is not believed.
func verifyFailure(err error) error {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	f := &Failure{Kind: Unusable, Reason: run.Line(err.Error(), longestReason), Permanent: true, Hint: "tell its endorser; its images are kept as they are"}
	switch {
	case errors.Is(err, vmlist.ErrNotList), errors.Is(err, vmlist.ErrUnsigned):
		f.Kind, f.Hint = NoList, "look at what the URL answers; its images are kept as they are"
	case errors.Is(err, vmlist.ErrSignature), errors.Is(err, vmlist.ErrSigner), errors.Is(err, vmlist.ErrRevoked), errors.Is(err, vmlist.ErrEndorser):
		f.Kind, f.Hint = Forged, "somebody else may be answering: fedsite images verify says more; its images are kept as they are"
	}
	return f
}

// answerOf gives what a list says.
func answerOf(l vmlist.List) Answer {
	a := Answer{List: l.ID, Title: l.Title, VO: l.VO, Version: l.Version, Created: l.Created, Expires: l.Expires, Complete: true}
	if l.Signed != nil {
		a.Signer = l.Signed.DN
	}
	for _, b := range l.Bad {
		a.Bad = append(a.Bad, BadEntry{Key: Key{l.ID, b.ID}, Title: cmp.Or(b.ID, fmt.Sprintf("image %d of the list", b.Place)), Reason: b.Reason})
	}
	for _, i := range l.Images {
		e := Entry{Key: Key{l.ID, i.ID}, Digest: Digest(SHA512 + ":" + i.SHA512), Size: i.Size, Format: strings.ToLower(i.Format), At: Location{URL: i.URI}, Expires: i.Expires,
			Title: i.Title, Description: i.Description, Version: i.Version, MPURI: i.MPURI, Architecture: i.Arch, OS: cmp.Or(i.OSName, i.OS), OSVersion: i.OSVersion, MinRAM: i.RAM,
			Attributes: i.Attributes, ListVersion: l.Version, ListCreated: l.Created, Published: l.Created}
		if l.VO != "" {
			e.VOs = []string{l.VO}
		}
		a.Entries = append(a.Entries, e)
		for _, n := range i.Notes {
			a.Notices = append(a.Notices, fmt.Sprintf("image %s: %s", cut(cmp.Or(i.Title, i.ID), 100), n))
		}
	}
	return a
}

// Open opens an image's file.
func (s *ListSource) Open(ctx context.Context, e Entry, from int64, tag string) (File, error) {
	return s.Fetch.Open(ctx, e.At.URL, from, tag)
}

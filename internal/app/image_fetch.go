package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/credential"
	"github.com/fedsite/fedsite/internal/download"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/oci"
)

// fetcher reads from a source's servers, no nearer to this host than the source itself is.
type fetcher struct {
	http  *http.Client
	from  string // the operator's URL
	list  download.Auth
	files download.Logins
	pause time.Duration // before a broken connection is made anew; 0 = as is usual
	max   int64         // bytes of a file
}

// Do sends a request of a protocol's client.
func (f *fetcher) Do(r *http.Request) (*http.Response, error) {
	ctx, err := transport.From(r.Context(), f.from)
	if err != nil {
		return nil, err
	}
	return f.http.Do(r.WithContext(ctx))
}

func (f *fetcher) logins(a *App, s config.Site, l *config.ListSource) error {
	if l.Token.IsSet() {
		token, err := l.Token.Value()
		if err != nil {
			return err
		}
		f.list = download.AppDB(token)
	}
	for host, name := range l.Servers {
		user, password, err := a.credentials().Basic(context.Background(), name, credential.For{Site: s.Site.Name})
		if err != nil {
			return fmt.Errorf("server_credentials of %s: %w", host, err)
		}
		f.files = append(f.files, download.Auth{Host: host, User: user, Password: password})
	}
	return nil
}

func (f *fetcher) client() *download.Client { return &download.Client{HTTP: f.http, MaxFile: f.max} }

// Document reads a list.
func (f *fetcher) Document(ctx context.Context, target, etag, modified string) (images.Document, error) {
	ctx, err := transport.From(ctx, f.from)
	if err != nil {
		return images.Document{}, err
	}
	auth := f.list
	if u, err := url.Parse(target); err == nil && auth.User != "" {
		auth.Host = u.Host
	}
	d, err := f.client().Document(ctx, target, auth, download.Known{ETag: etag, LastModified: modified})
	if err != nil {
		return images.Document{}, fetchFailure(ctx, err)
	}
	return images.Document{Body: d.Body, ETag: d.ETag, Modified: d.LastModified, Same: d.NotModified}, nil
}

// Open opens a file, which reads on over connections that break.
func (f *fetcher) Open(ctx context.Context, target string, from int64, tag string) (images.File, error) {
	operator := f.from
	if operator == "" { // a list that is a file here: the operator wrote its URLs
		operator = target
	}
	return f.start(ctx, operator, from, tag, func(ctx context.Context, offset int64, tag string) (download.Piece, error) {
		return f.client().Open(ctx, target, f.files.For(target), offset, tag)
	})
}

// blob opens a layer of a registry: each connection asks anew where it is.
func (f *fetcher) blob(ctx context.Context, registry *oci.Client, repository, digest string, from int64, tag string) (images.File, error) {
	return f.start(ctx, f.from, from, tag, func(ctx context.Context, offset int64, tag string) (download.Piece, error) {
		target, authorization, err := registry.Blob(ctx, repository, digest)
		if err != nil {
			return download.Piece{}, err
		}
		return f.client().Open(ctx, target, download.Auth{Header: authorization}, offset, tag)
	})
}

func (f *fetcher) start(ctx context.Context, operator string, from int64, tag string, open download.Opener) (images.File, error) {
	ctx, err := transport.From(ctx, operator)
	if err != nil {
		return images.File{}, err
	}
	s, err := download.Start(ctx, open, download.Options{From: from, Tag: tag, Pause: f.pause})
	if err != nil {
		return images.File{}, fetchFailure(ctx, err)
	}
	return images.File{Body: &telling{s, ctx}, Size: s.Size(), From: s.From(), Tag: s.Tag()}, nil
}

// telling is a file whose reading says what kind of failure ended it.
type telling struct {
	*download.Stream
	ctx context.Context
}

func (t *telling) Read(p []byte) (int, error) {
	n, err := t.Stream.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fetchFailure(t.ctx, err)
	}
	return n, err
}

// fetchFailure says what kind of failure it is that something could not be read.
func fetchFailure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	f := &images.Failure{Kind: images.Unreachable, Reason: err.Error(), Hint: "its images are kept as they are; the next run asks again"}
	if e, ok := errors.AsType[*download.Error](err); ok {
		if hint := e.Hint(); hint != "" {
			f.Hint = hint
		}
		switch {
		case errors.Is(err, download.ErrDenied):
			f.Kind = images.NotAllowed
		case errors.Is(err, download.ErrTooLarge), errors.Is(err, download.ErrRefused):
			f.Kind, f.Permanent = images.Unusable, true
		}
	}
	return f
}

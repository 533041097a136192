// Package download reads documents and files from servers that may do anything: it checks what they answer, and reads a
// file on over connections that break.
//
//	ask (document, or a piece of a file) → check the answer → stream: pieces become one file
//
// Which redirects are followed, and how near a target may be, is transport's: the client is one that follows them Anywhere,
// and the context comes from transport.From. Nothing is retried here but the pieces of a Stream.
package download

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// MaxDocument is how many bytes of a document are read at most.
const MaxDocument = 16 << 20

// documentTime is how long a document may take: a server that gives a byte a minute does not stall.
const documentTime = 5 * time.Minute

// Client asks servers. HTTP carries time-outs, proxies, authorities and the rules of redirects; its limit of an answer has to
// be above the largest file.
type Client struct {
	HTTP    *http.Client
	MaxFile int64 // bytes; a larger file is ErrTooLarge; 0 = no limit
}

// Known is what is known of a document: the tags of the answer that brought it.
type Known struct {
	ETag, LastModified string // as the server wrote them; "" = not said
}

// Document is something small, whole.
type Document struct {
	Body        []byte
	Known            // tags of this answer; of the known one, if NotModified and the server does not repeat them
	NotModified bool // it is what is known, and Body is nil
}

// Document reads a URL whole, unless it is what is known. An error is an *Error.
func (c *Client) Document(ctx context.Context, target string, auth Auth, known Known) (Document, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, documentTime, errorf("it took longer than %s", documentTime))
	defer cancel()
	conditions := http.Header{}
	set(conditions, "If-None-Match", known.ETag)
	set(conditions, "If-Modified-Since", known.LastModified)
	res, fail, err := c.ask(ctx, target, auth, conditions)
	if err != nil {
		return Document{}, err
	}
	defer res.Body.Close()
	tags := Known{ETag: tag(res, "ETag"), LastModified: tag(res, "Last-Modified")}
	if res.StatusCode == http.StatusNotModified && known != (Known{}) {
		if tags.ETag == "" && tags.LastModified == "" {
			tags = known
		}
		return Document{Known: tags, NotModified: true}, nil
	}
	if res.StatusCode != http.StatusOK {
		return Document{}, fail.status(res)
	}
	if err := encoded(res); err != nil {
		return Document{}, fail.because(ErrAnswer, err)
	}
	if res.ContentLength > MaxDocument {
		return Document{}, fail.tooLarge(res.ContentLength, MaxDocument)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxDocument+1))
	switch {
	case err != nil:
		return Document{}, fail.broken(err)
	case len(body) > MaxDocument:
		return Document{}, fail.tooLarge(-1, MaxDocument)
	}
	return Document{Body: body, Known: tags}, nil
}

// ask sends one GET. The errors of the answer are made from what it gives beside the answer.
func (c *Client) ask(ctx context.Context, target string, auth Auth, extra http.Header) (*http.Response, Error, error) {
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		fail := Error{URL: "a URL"}
		return nil, fail, fail.because(ErrRefused, errors.New("it is not one of http or https with a host"))
	}
	fail := Error{URL: Redact(target)}
	header, ctx := auth.header(ctx, u)
	u.User = nil // net/http would put it into errors
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fail, fail.because(ErrRefused, errors.New("it cannot be asked for"))
	}
	r.Header = extra
	r.Header.Set("Accept-Encoding", "identity") // else lengths and offsets are of something else
	set(r.Header, "Authorization", header)
	res, err := c.HTTP.Do(r)
	if err != nil {
		return nil, fail, fail.noAnswer(err)
	}
	if res.Request != nil && res.Request.URL.Host != u.Host {
		fail.URL += " (redirected to " + Redact(res.Request.URL.String()) + ")"
	}
	return res, fail, nil
}

func set(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// tag reads a tag that is kept and sent again: one that is longer than anything sensible is none.
func tag(res *http.Response, name string) string {
	if v := res.Header.Get(name); len(v) <= 512 {
		return v
	}
	return ""
}

// encoded tells that an answer is compressed on its way, though that was not asked for.
func encoded(res *http.Response) error {
	for _, v := range res.Header.Values("Content-Encoding") {
		if v = strings.TrimSpace(v); v != "" && !strings.EqualFold(v, "identity") {
			return errorf("it comes with Content-Encoding %.80q, though fedsite asked for none", v)
		}
	}
	return nil
}

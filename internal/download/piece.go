package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// Piece is a file, or the rest of one, on its way here. Body gives exactly Length bytes, if that is known, or an error.
type Piece struct {
	Body         io.ReadCloser
	Offset       int64  // where in the file Body begins; 0 though more was asked for: the file has another tag, or there are no parts
	Length       int64  // of Body; -1 = not said
	Total        int64  // of the whole file; -1 = not said
	ETag         string // as the server wrote it
	LastModified string
}

// Tag tells whether it is the same file later: the strong ETag, else the date of the last change, else "".
func (p Piece) Tag() string {
	if p.ETag != "" && !strings.HasPrefix(p.ETag, "W/") {
		return p.ETag
	}
	return p.LastModified
}

// Open opens a file, from a byte on if the server can and the file still has the tag that an earlier Piece gave; "" = whatever
// it has. Otherwise the piece begins at 0. An offset at the very end gives an empty piece. An error is an *Error.
func (c *Client) Open(ctx context.Context, target string, auth Auth, offset int64, tag string) (Piece, error) {
	extra := http.Header{}
	if offset > 0 {
		extra.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		set(extra, "If-Range", tag)
	}
	res, fail, err := c.ask(ctx, target, auth, extra)
	if err != nil {
		return Piece{}, err
	}
	p, err := c.piece(res, fail, offset)
	if err != nil {
		_ = res.Body.Close()
		return Piece{}, err
	}
	return p, nil
}

// piece makes a piece of an answer, or says why it is none.
func (c *Client) piece(res *http.Response, fail Error, offset int64) (Piece, error) {
	p := Piece{Body: res.Body, Length: res.ContentLength, Total: res.ContentLength, ETag: tag(res, "ETag"), LastModified: tag(res, "Last-Modified")}
	switch {
	case res.StatusCode == http.StatusOK:
	case res.StatusCode == http.StatusPartialContent && offset > 0:
		r, err := contentRange(res)
		if err != nil {
			return Piece{}, fail.because(ErrAnswer, err)
		}
		if r.first != offset || r.total >= 0 && r.last != r.total-1 {
			return Piece{}, fail.because(ErrAnswer, errorf("bytes from %d on were asked for, and it gives %d to %d of %d", offset, r.first, r.last, r.total))
		}
		if n := r.last - r.first + 1; p.Length >= 0 && p.Length != n {
			return Piece{}, fail.because(ErrAnswer, errorf("it announces %d bytes for a part of %d", p.Length, n))
		}
		p.Offset, p.Length, p.Total = offset, r.last-r.first+1, r.total
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset > 0:
		if total, ok := unsatisfied(res.Header.Get("Content-Range")); ok && total == offset {
			_ = res.Body.Close()
			p.Body, p.Offset, p.Length, p.Total = http.NoBody, offset, 0, total
			return p, nil
		} else if ok && total < offset {
			return Piece{}, fail.because(ErrChanged, errorf("it has %d bytes now, and %d were read", total, offset))
		}
		fail.Status = res.StatusCode
		return Piece{}, fail.because(ErrNoRange, errorf("it does not give the bytes from %d on", offset))
	default:
		return Piece{}, fail.status(res)
	}
	if err := encoded(res); err != nil {
		return Piece{}, fail.because(ErrAnswer, err)
	}
	if c.MaxFile > 0 && max(p.Total, p.Offset+p.Length) > c.MaxFile {
		return Piece{}, fail.tooLarge(max(p.Total, p.Offset+p.Length), c.MaxFile)
	}
	p.Body = &exact{ReadCloser: res.Body, fail: fail, length: p.Length, offset: p.Offset, max: c.MaxFile}
	return p, nil
}

// span is what a Content-Range says.
type span struct{ first, last, total int64 } // total: -1 = not said

// contentRange reads which part of a file an answer holds.
func contentRange(res *http.Response) (span, error) {
	all := res.Header.Values("Content-Range")
	if len(all) != 1 {
		return span{}, errorf("it has %d Content-Range, not one", len(all))
	}
	return parseRange(all[0])
}

func parseRange(text string) (span, error) {
	bad := errorf("its Content-Range is %.80q", text)
	unit, rest, ok := strings.Cut(strings.TrimSpace(text), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return span{}, bad
	}
	bounds, whole, ok1 := strings.Cut(strings.TrimSpace(rest), "/")
	a, b, ok2 := strings.Cut(bounds, "-")
	if !ok1 || !ok2 {
		return span{}, bad
	}
	first, err1 := digits(a)
	last, err2 := digits(b)
	total := int64(-1)
	var err3 error
	if whole != "*" {
		total, err3 = digits(whole)
	}
	if errors.Join(err1, err2, err3) != nil || last < first || total >= 0 && last >= total || last == math.MaxInt64 {
		return span{}, bad
	}
	return span{first, last, total}, nil
}

// unsatisfied reads the length of a file from the answer that it has no such part.
func unsatisfied(text string) (int64, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "bytes */")
	n, err := digits(rest)
	return n, ok && err == nil
}

func digits(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}

// exact gives as many bytes as were announced, or an error.
type exact struct {
	io.ReadCloser
	fail   Error
	length int64 // -1 = not said
	offset int64
	max    int64 // of the whole file; 0 = no limit
	n      int64
}

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	e.n += int64(n)
	switch {
	case e.length >= 0 && e.n > e.length:
		n -= int(e.n - e.length)
		e.n = e.length
		return n, e.fail.because(ErrAnswer, errorf("it goes on after the %d bytes that it announced", e.length))
	case e.max > 0 && e.offset+e.n > e.max:
		return 0, e.fail.tooLarge(-1, e.max)
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && (e.length < 0 || e.n == e.length):
		return n, io.EOF
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, e.fail.broken(err)
}

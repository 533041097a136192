package download

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// endless gives a byte for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	p[0] = 'x'
	return 1, nil
}

func breaking(text string) io.ReadCloser {
	return io.NopCloser(io.MultiReader(strings.NewReader(text), failing{}))
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, Error{URL: "u"}.broken(io.ErrUnexpectedEOF) }

// What servers answer that the server of other tests does not.
func TestOddPieces(t *testing.T) {
	whole10 := func() io.ReadCloser { return io.NopCloser(strings.NewReader("0123456789")) }
	for _, c := range []struct {
		name   string
		o      Options
		pieces []Piece
		want   error
		text   string
		tag    string
	}{
		{"another date", Options{}, []Piece{{Body: breaking("0123"), Total: 10, LastModified: "Mon"}, {Body: whole10(), Total: 10, LastModified: "Tue"}}, ErrChanged, "0123", "Mon"},
		{"the same date", Options{}, []Piece{{Body: breaking("0123"), Total: 10, LastModified: "Mon"}, {Body: whole10(), Total: 10, LastModified: "Mon"}}, nil, "0123456789", "Mon"},
		{"another part", Options{}, []Piece{{Body: breaking("0123"), Total: 10}, {Body: whole10(), Offset: 3, Total: 10}}, ErrAnswer, "0123", ""},
		{"no end", Options{Size: 9}, []Piece{{Body: io.NopCloser(endless{}), Total: -1}}, ErrLength, "xxxxxxxxx", ""},
		{"broken after the last byte", Options{}, []Piece{{Body: breaking("0123456789"), Total: 10}}, nil, "0123456789", ""},
		{"the rest in parts", Options{}, []Piece{{Body: io.NopCloser(strings.NewReader("0123")), Length: 4, Total: 10, ETag: `"a"`}, {Body: io.NopCloser(strings.NewReader("456789")), Offset: 4, Total: 10}}, nil, "0123456789", `"a"`},
		{"a part that does not repeat the tag", Options{From: 4, Tag: `"a"`}, []Piece{{Body: io.NopCloser(strings.NewReader("456789")), Offset: 4, Total: 10}}, nil, "456789", `"a"`},
	} {
		n := 0
		var p pauses
		c.o.Sleep = p.sleep
		text, st, err := whole(t, func(context.Context, int64, string) (Piece, error) {
			if n++; n > len(c.pieces) {
				return Piece{}, errors.New("asked once more")
			}
			return c.pieces[n-1], nil
		}, c.o)
		if !errors.Is(err, c.want) || text != c.text || st.Tag() != c.tag || st.Offset() != st.From()+int64(len(c.text)) || n != len(c.pieces) {
			t.Errorf("%s: %q, %v, %d connections, tag %s, offset %d", c.name, text, err, n, st.Tag(), st.Offset())
		}
	}
}

// When the context ends, its cause is what is said, whatever the connection says.
func TestStoppedWhileOpening(t *testing.T) {
	why := errors.New("the lease is lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := Start(ctx, func(context.Context, int64, string) (Piece, error) {
		cancel(why)
		return Piece{}, Error{URL: "u"}.broken(io.ErrUnexpectedEOF)
	}, Options{})
	if !errors.Is(err, why) {
		t.Error(err)
	}
}

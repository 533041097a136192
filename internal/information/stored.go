package information

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"

	"github.com/fedsite/fedsite/protocol/glue"
)

// stored is a document as it is served.
type stored struct {
	name string // of an object, with .json
	site string // as it is registered
	json *answer
}

func newStored(r *Reading) *stored {
	// the answer belongs to the reading, so that a document that did not change is packed and summed up once
	return &stored{name: objectName(r.Site), site: r.Site.Name, json: r.served()}
}

// served is the document's body as an answer.
func (r *Reading) served() *answer {
	if r.raw == nil {
		r.raw = newAnswer(r.Document.Body, kindJSON).kept()
		if r.raw.modified = r.Document.Changed; r.raw.modified.IsZero() {
			r.raw.modified = r.Made
		}
	}
	return r.raw
}

// safe gives a name that any URL and directory can hold: the name itself, or its digest.
func safe(name string) string {
	bad := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-'
	}
	if len(name) <= 200 && !strings.ContainsFunc(name, bad) && !strings.HasPrefix(name, ".") {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16]) + ".json"
}

// listed is a document in the list, as Swift lists objects.
type listed struct {
	Hash         string `json:"hash"`
	LastModified string `json:"last_modified"`
	Bytes        int    `json:"bytes"`
	Name         string `json:"name"`
	ContentType  string `json:"content_type"`
}

func (c *Catalogue) listing() []listed {
	all := make([]listed, len(c.stored))
	for i, s := range c.stored {
		all[i] = listed{Hash: s.json.tag, LastModified: s.json.modified.UTC().Format("2006-01-02T15:04:05.000000"), Bytes: len(s.json.body), Name: s.name, ContentType: s.json.kind}
	}
	return all
}

// rendering is how many documents are written as LDIF at once. Each takes far more work than any other answer.
const rendering = 2

// ldifs writes documents as LDIF, some at once.
type ldifs struct{ slots chan struct{} }

func newLDIFs() *ldifs { return &ldifs{slots: make(chan struct{}, rendering)} }

// mostLDIF is the largest document in LDIF: there every image stands under each of its shares.
const mostLDIF = 64 << 20

var (
	errBusy     = errors.New("other documents are being written")
	errTooLarge = errors.New("it is too large as LDIF")
)

// limited is a buffer of at most mostLDIF bytes.
type limited struct{ bytes.Buffer }

// Write refuses what is too much.
func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > mostLDIF {
		return 0, errTooLarge
	}
	return l.Buffer.Write(p)
}

// write gives a document as LDIF, in the tree of its site. What the schema cannot hold is left out.
func (l *ldifs) write(ctx context.Context, s *stored) (*answer, error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return nil, errBusy
	}
	doc, _, err := glue.Parse(bytes.NewReader(s.json.body), glue.Limits{})
	if err != nil {
		return nil, err
	}
	var b limited
	if err := glue.WriteLDIF(&b, glue.Entries(doc, glue.CloudBase(s.site), nil)); err != nil {
		return nil, err
	}
	a := s.ldifTag()
	a.body = b.Bytes()
	a.packed = sync.OnceValue(func() []byte { return newAnswer(a.body, kindLDIF).packed() })
	return a, nil
}

// ldifTag is the answer without its body: what is needed to say that the asker has it.
func (s *stored) ldifTag() *answer {
	return &answer{kind: kindLDIF, tag: s.json.tag + "-ldif", modified: s.json.modified}
}

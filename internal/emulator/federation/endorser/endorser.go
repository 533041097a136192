// Package endorser emulates a publisher of VM images as the AppDB is one: signed lists by VO, and the files that they name.
// What is published changes while it runs, and everything can be made to go wrong.
//
//	list → document → sign → /store/vo/VO/image.list
//	files → /images/…
//
// On purpose not reproduced: the market place itself, lists of single appliances, and the pages for people.
package endorser

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/protocol/smime"
)

// Path is where the list of a VO is served.
func Path(vo string) string { return "/store/vo/" + vo + "/image.list" }

// password is the fixed word that goes with a personal token (spec images §1.2).
const password = "x-oauth-basic"

// Options is how the publisher is set up.
type Options struct {
	Token string // the user's name with which lists can be got; "" = anybody gets them
	Files bool   // files want the token, too
}

// List is what is published for a VO.
type List struct {
	VO, Identifier, Title, Description string
	Version                            string
	Created, Expires                   time.Time // zero = now, and 1 year after it was made
	DN, CA                             string    // that it names as its endorser, in slash form; "" = as it is signed
	Images                             []Image
}

// Image is one of a list. What is "" or 0 is left out of the document, but for size and checksum: these are then those of
// the file, if it is one that this publisher has.
type Image struct {
	Identifier, Title, Description, Version string
	MPURI                                   string // "" = one with the identifier, and a number that is another for each file
	Format                                  string // QCOW2, RAW, VMDK, OVA
	URI                                     string // a path is one of this publisher
	Size                                    int64  // bytes
	SHA512                                  string
	Expires                                 time.Time // zero = as the list
	Arch, OS, OSName, OSVersion             string
	RAM                                     int64 // bytes
	Cores                                   int
	More                                    map[string]string // further keys, as "ad:appid"
}

// Endorser is the publisher. It may be used from several goroutines.
type Endorser struct {
	opts Options
	now  func() time.Time

	mu     sync.Mutex
	base   string
	signer smime.Identity
	form   Form
	lists  map[string]*edition // by VO
	files  map[string]*file    // by path
	asked  map[string]int      // requests by method and path
	count  int
}

// edition is what is served in a list's place.
type edition struct {
	list     List
	body     []byte
	kind     string
	modified time.Time
}

// New gives a publisher that signs as somebody, at the present that now tells. Nothing is published yet.
func New(now func() time.Time, signer smime.Identity, o Options) *Endorser {
	return &Endorser{opts: o, now: now, signer: signer, lists: map[string]*edition{}, files: map[string]*file{}, asked: map[string]int{}}
}

// At says under which URL the publisher is served. Files that lists name by a path are named by it from now on.
func (e *Endorser) At(url string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.base = strings.TrimSuffix(url, "/")
}

// URL is that of the list of a VO.
func (e *Endorser) URL(vo string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.base + Path(vo)
}

// SignAs has what is published from now on signed by somebody else.
func (e *Endorser) SignAs(signer smime.Identity) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.signer = signer
}

// SignIn has what is published from now on signed in another form.
func (e *Endorser) SignIn(f Form) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.form = f
}

// Publish publishes a list, whatever was there for its VO.
func (e *Endorser) Publish(l List) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.publish(l)
}

func (e *Endorser) publish(l List) error {
	l.Images = slices.Clone(l.Images)
	if l.Created.IsZero() {
		l.Created = e.now()
	}
	if l.Expires.IsZero() {
		l.Expires = l.Created.AddDate(1, 0, 0)
	}
	text, err := e.document(l)
	if err != nil {
		return fmt.Errorf("publish the list of %s: %w", l.VO, err)
	}
	body, err := sign(text, e.signer, e.form, e.now())
	if err != nil {
		return fmt.Errorf("publish the list of %s: %w", l.VO, err)
	}
	e.lists[l.VO] = &edition{l, body, "text/plain; charset=utf-8", e.now()}
	return nil
}

// Change publishes a new version of a VO's list: f changes what it holds. Where f leaves them, the version is one more than
// it was, and the list was made now, if that is later than the one before.
func (e *Endorser) Change(vo string, f func(*List)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	old, ok := e.lists[vo]
	if !ok {
		return fmt.Errorf("change the list of %s: there is none", vo)
	}
	l := old.list
	l.Images = slices.Clone(l.Images)
	for i := range l.Images {
		l.Images[i].More = maps.Clone(l.Images[i].More)
	}
	f(&l)
	if l.Version == old.list.Version {
		n, err := strconv.Atoi(l.Version)
		if err != nil {
			return fmt.Errorf("change the list of %s: which version comes after %q has to be said", vo, l.Version)
		}
		l.Version = strconv.Itoa(n + 1)
	}
	if now := e.now(); l.Created.Equal(old.list.Created) && now.After(l.Created) {
		l.Created = now
	}
	return e.publish(l)
}

// Withdraw publishes a new version of a VO's list without some of its images.
func (e *Endorser) Withdraw(vo string, identifiers ...string) error {
	return e.Change(vo, func(l *List) {
		l.Images = slices.DeleteFunc(l.Images, func(i Image) bool { return slices.Contains(identifiers, i.Identifier) })
	})
}

// Published gives what is published for a VO; ok is false if nothing is.
func (e *Endorser) Published(vo string) (l List, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old, ok := e.lists[vo]
	if !ok {
		return List{}, false
	}
	l = old.list
	l.Images = slices.Clone(l.Images)
	return l, true
}

// Signed gives the message that is served for a VO; nil = none is.
func (e *Endorser) Signed(vo string) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old, ok := e.lists[vo]; ok {
		return slices.Clone(old.body)
	}
	return nil
}

// Forge changes one letter of the list's text that is served for a VO, under the same signature. Publish and Change mend it.
func (e *Endorser) Forge(vo string) error {
	body := e.Signed(vo)
	at := strings.Index(string(body), `"hv:version"`)
	if at < 0 {
		return fmt.Errorf("forge the list of %s: its text is not to be seen", vo)
	}
	body[at+len(`"hv:versio`)] = 'N'
	return e.Instead(vo, "", body)
}

// Instead serves anything in the place of a VO's list: a page in HTML, a message that was kept. kind "" = as a list's.
func (e *Endorser) Instead(vo, kind string, body []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	old, ok := e.lists[vo]
	if !ok {
		return fmt.Errorf("serve something instead of the list of %s: there is none", vo)
	}
	if kind == "" {
		kind = "text/plain; charset=utf-8"
	}
	e.lists[vo] = &edition{old.list, slices.Clone(body), kind, e.now()}
	return nil
}

// Remove takes the list of a VO away.
func (e *Endorser) Remove(vo string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.lists, vo)
}

// Asked tells how often a request was made: "GET /store/vo/ops/image.list".
func (e *Endorser) Asked(request string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked[request]
}

// ServeHTTP serves lists and files.
func (e *Endorser) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	e.mu.Lock()
	e.asked[req.Method+" "+req.URL.Path]++
	vo, isList := strings.CutPrefix(req.URL.Path, "/store/vo/")
	vo, ends := strings.CutSuffix(vo, "/image.list")
	list := e.lists[vo]
	f := e.files[req.URL.Path]
	e.mu.Unlock()
	isList = isList && ends
	switch {
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case (isList || e.opts.Files) && !e.admits(req):
		w.Header().Set("WWW-Authenticate", `Basic realm="AppDB"`)
		http.Error(w, "unauthorized", http.StatusUnauthorized)
	case isList && list != nil:
		w.Header().Set("Content-Type", list.kind)
		sum := sha256.Sum256(list.body)
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
		http.ServeContent(w, req, "", list.modified, strings.NewReader(string(list.body)))
	case f != nil:
		f.serve(w, req)
	default:
		http.NotFound(w, req)
	}
}

// admits tells whether who asks has shown the token.
func (e *Endorser) admits(req *http.Request) bool {
	user, word, _ := req.BasicAuth()
	return e.opts.Token == "" || user == e.opts.Token && word == password
}

// described gives one of the publisher's files with its checksum.
func (e *Endorser) described(path string) (*file, error) {
	f := e.files[path]
	if f == nil {
		return nil, fmt.Errorf("there is no file %s", path)
	}
	if f.sum == "" {
		h := sha512.New()
		if _, err := io.Copy(h, io.NewSectionReader(f.content, 0, f.content.Size())); err != nil {
			return nil, fmt.Errorf("read the file %s: %w", path, err)
		}
		f.sum = hex.EncodeToString(h.Sum(nil))
	}
	return f, nil
}

package openstack

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrFull is the kind of failure of object storage that takes no more: a quota, or its disks.
var ErrFull = errors.New("no room left")

// MostObject is how many bytes an object of a Container may have. Documents are small; a larger one is a mistake.
const MostObject = 64 << 20

// Limits of names, in bytes, as Swift has them by default.
const (
	longestContainer = 256
	longestObject    = 1024
)

// listed is how many entries of a container are asked for at once.
const listed = 1000

// Container is one container of a project's object storage, Swift's or Ceph's, asked with a token of that project. Its
// methods may be called at the same time. An expired token leads to one new sign-in with the same scope.
type Container struct {
	session *session
	account string // URL of the project's account, ends in a slash
	name    string
}

// Object is an entry of a container's listing.
type Object struct {
	Name        string
	Bytes       int64
	Hash        string // MD5 of the content in hexadecimal, or whatever the store has in its place
	ContentType string
	Modified    time.Time // UTC; zero = it is not said
}

// Container signs in to a project; without an id to that of the credential's own token. Nothing is asked of the object
// storage yet. The HTTP client must be one that may write.
func (c *Cloud) Container(ctx context.Context, project, name string) (*Container, error) {
	if err := checkName("a container", name, longestContainer); err != nil || strings.Contains(name, "/") {
		return nil, &Error{Kind: ErrConfiguration, Service: objectStore, Message: fmt.Sprintf("%q is no name of a container", name), Remedy: "name the container, without a slash", Cause: err}
	}
	if project == "" {
		base, err := c.start(ctx)
		if err != nil {
			return nil, err
		}
		if project = base.projectID; project == "" {
			return nil, &Error{Kind: ErrScope, Service: "identity", Message: fmt.Sprintf("no project is named, and the credential gives a token of %s", base.scope()),
				Remedy: "name the project whose object storage is used, or use an application credential, which is of one"}
		}
	}
	s, err := c.signInTo(ctx, project)
	if err != nil {
		return nil, err
	}
	account, err := s.endpoint(objectStore, c.cfg.Region, c.cfg.Interface)
	if err != nil {
		return nil, err
	}
	return &Container{session: s, account: account, name: name}, nil
}

// objectStore is the type of the service in the catalog.
const objectStore = "object-store"

// Ensure makes the container, unless it is there.
func (c *Container) Ensure(ctx context.Context) error {
	res, err := c.send(ctx, http.MethodPut, c.url(), nil, []byte{}, http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent)
	if err != nil {
		return err
	}
	drain(res)
	return nil
}

// Put stores an object whole, in place of one of that name. nil says that the store has what was sent, by its MD5: when no
// answer came, or one without a sum, it is looked what is there. Without the container it is ErrNotFound.
func (c *Container) Put(ctx context.Context, object, contentType string, body []byte) error {
	target, err := c.at(object)
	if err != nil {
		return err
	}
	if len(body) > MostObject {
		return &Error{Kind: ErrFull, Service: objectStore, Method: http.MethodPut, Path: pathOf(target), Message: fmt.Sprintf("the object has %d bytes, and more than %d are not sent", len(body), MostObject),
			Remedy: "publish less in one document"}
	}
	sum := sumOf(body)
	res, err := c.send(ctx, http.MethodPut, target, map[string]string{"Content-Type": contentType, "ETag": sum}, body, http.StatusOK, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		if errors.Is(err, ErrUnavailable) && c.holds(ctx, target, sum) {
			return nil // it arrived, and the answer got lost
		}
		return err
	}
	drain(res)
	switch etag := etagOf(res.Header); {
	case etag == sum:
		return nil
	case isSum(etag):
		return c.changed(http.MethodPut, target, res, fmt.Sprintf("what is stored has the MD5 %s instead of %s", etag, sum))
	}
	back, err := c.Get(ctx, object, int64(len(body)))
	if errors.Is(err, ErrNotFound) || (err == nil && !bytes.Equal(back, body)) {
		err = c.changed(http.MethodPut, target, res, "what is read back is not what was to be stored")
	}
	return err
}

// holds tells whether the object there has the MD5.
func (c *Container) holds(ctx context.Context, target, sum string) bool {
	res, err := c.send(ctx, http.MethodHead, target, nil, nil, http.StatusOK, http.StatusNoContent)
	if err != nil {
		return false
	}
	drain(res)
	return etagOf(res.Header) == sum
}

// Get reads an object of at most limit bytes, whole: its MD5 is checked where the store says it. One that is not there is
// ErrNotFound.
func (c *Container) Get(ctx context.Context, object string, limit int64) ([]byte, error) {
	target, err := c.at(object)
	if err != nil {
		return nil, err
	}
	res, err := c.send(ctx, http.MethodGet, target, nil, nil, http.StatusOK, http.StatusNoContent)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		e := c.changed(http.MethodGet, target, res, "the answer was cut")
		e.Kind, e.Cause = ErrUnavailable, err
		return nil, e
	}
	if int64(len(body)) > limit {
		return nil, &Error{Kind: ErrBadAnswer, Service: objectStore, Method: http.MethodGet, Path: pathOf(target), Message: fmt.Sprintf("the object has more than %d bytes, and is not read", limit),
			Remedy: "see who puts what into container " + c.name}
	}
	pieces := res.Header.Get("X-Object-Manifest") != "" || res.Header.Get("X-Static-Large-Object") != "" // the sum is of something else
	if etag := etagOf(res.Header); isSum(etag) && !pieces && !res.Uncompressed && etag != sumOf(body) {
		return nil, c.changed(http.MethodGet, target, res, fmt.Sprintf("what was read has the MD5 %s instead of %s", sumOf(body), etag))
	}
	return body, nil
}

// Delete takes an object away; that it is not there is no error.
func (c *Container) Delete(ctx context.Context, object string) error {
	target, err := c.at(object)
	if err != nil {
		return err
	}
	res, err := c.send(ctx, http.MethodDelete, target, nil, nil, http.StatusOK, http.StatusAccepted, http.StatusNoContent, http.StatusNotFound)
	if err != nil {
		return err
	}
	drain(res)
	return nil
}

// List gives the objects whose names begin with the prefix, in the store's order, page by page until one is empty: a short
// page need not be the last one.
func (c *Container) List(ctx context.Context, prefix string) ([]Object, error) {
	var all []Object
	query, markers := url.Values{"format": {"json"}, "limit": {strconv.Itoa(listed)}}, map[string]bool{}
	if prefix != "" {
		query.Set("prefix", prefix)
	}
	for range mostPages {
		page, err := c.page(ctx, c.url()+"?"+query.Encode())
		if err != nil || len(page) == 0 {
			return all, err
		}
		marker := page[len(page)-1].Name
		if all = append(all, page...); markers[marker] || marker == "" || len(all) > mostEntries {
			break
		}
		markers[marker] = true
		query.Set("marker", marker)
	}
	return nil, tooLong(objectStore, c.url())
}

// page reads one page of the listing.
func (c *Container) page(ctx context.Context, target string) ([]Object, error) {
	res, err := c.send(ctx, http.MethodGet, target, nil, nil, http.StatusOK, http.StatusNoContent)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	var entries []struct {
		Name        string   `json:"name"`
		Bytes       int64    `json:"bytes"`
		Hash        string   `json:"hash"`
		ContentType string   `json:"content_type"`
		Modified    novaTime `json:"last_modified"`
	}
	if err := json.NewDecoder(res.Body).Decode(&entries); err != nil {
		e := c.changed(http.MethodGet, target, res, "the answer is no listing")
		if e.Cause = err; errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			e.Kind, e.Message = ErrUnavailable, "the answer was cut"
		}
		return nil, e
	}
	page := make([]Object, len(entries))
	for i, o := range entries {
		page[i] = Object{Name: o.Name, Bytes: o.Bytes, Hash: o.Hash, ContentType: o.ContentType, Modified: o.Modified.Time}
	}
	return page, nil
}

// url is the container's.
func (c *Container) url() string { return c.account + url.PathEscape(c.name) }

// at is the URL of an object. Slashes stay what they are; a name that a proxy would take for another path is refused.
func (c *Container) at(object string) (string, error) {
	err := checkName("an object", object, longestObject)
	segments := strings.Split(object, "/")
	for i, s := range segments {
		if s == "." || s == ".." || s == "" {
			err = fmt.Errorf("%q is no name of an object", object)
		}
		segments[i] = url.PathEscape(s)
	}
	if err != nil {
		return "", &Error{Kind: ErrConfiguration, Service: objectStore, Cause: err, Remedy: "publish under another name"}
	}
	return c.url() + "/" + strings.Join(segments, "/"), nil
}

// checkName tells what is wrong with a name; control characters have no place in one, though Swift would take some.
func checkName(what, name string, longest int) error {
	switch {
	case name == "" || name == "." || name == ".." || !utf8.ValidString(name) || printable(name) != name:
		return fmt.Errorf("%q is no name of %s", name, what)
	case len(name) > longest:
		return fmt.Errorf("%.40q… is no name of %s: it has %d bytes, and may have %d", name, what, len(name), longest)
	}
	return nil
}

func sumOf(body []byte) string {
	sum := md5.Sum(body)
	return hex.EncodeToString(sum[:])
}

// etagOf gives the sum in an answer's ETag: some put it in quotes, and what compresses on the way marks it as weak.
func etagOf(h http.Header) string {
	return strings.ToLower(strings.Trim(strings.TrimPrefix(strings.TrimSpace(h.Get("ETag")), "W/"), `"`))
}

// isSum tells whether a text has the form of an MD5; an encrypted store may say something else.
func isSum(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == md5.Size
}

func drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	_ = res.Body.Close()
}

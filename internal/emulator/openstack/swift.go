package openstack

import (
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Storage is the cloud's object storage, Swift, or Ceph's RADOS gateway in its place. What is stored stays in the emulator:
// it is no part of the world.
type Storage struct {
	Ceph   bool  // errors are JSON, and times have a zone
	Quoted bool  // sums stand in quotes, as with Swift's filter etag-quoter
	Quota  int64 // bytes of an account; 0 = no limit
	Full   bool  // the disks are: 507
	Page   int   // entries of a listing; 0 = 10,000
}

// Limits of Swift, as its default configuration has them.
const (
	longestContainer = 256
	longestObject    = 1024
	largestObject    = 5 << 30
	longestPage      = 10_000
)

// swiftOperators are the roles that may do anything in the account of their project (Swift's operator_roles as the
// installation guides set it). Whoever has another one may do nothing.
var swiftOperators = []string{"admin", "member", "swiftoperator"}

// storage is the state of the object storage.
type storage struct {
	mu       sync.Mutex
	accounts map[string]map[string]*container // by project and name
}

type container struct {
	created time.Time
	meta    http.Header
	objects map[string]*stored
}

type stored struct {
	body        []byte
	sum         string
	contentType string
	meta        http.Header
	at          time.Time
}

// Stored gives an object of a project's container; false when it is not there.
func (c *Cloud) Stored(project, name, object string) ([]byte, bool) {
	c.storage.mu.Lock()
	defer c.storage.mu.Unlock()
	if b := c.storage.accounts[project][name]; b != nil && b.objects[object] != nil {
		return slices.Clone(b.objects[object].body), true
	}
	return nil, false
}

// Store puts an object into a project's container, which is made if it is not there.
func (c *Cloud) Store(project, name, object, contentType string, body []byte) {
	c.storage.mu.Lock()
	defer c.storage.mu.Unlock()
	c.storage.make(project, name, c.now()).put(object, contentType, body, nil, c.now())
}

// Objects gives what is stored, as project/container/object, sorted.
func (c *Cloud) Objects() []string {
	c.storage.mu.Lock()
	defer c.storage.mu.Unlock()
	var all []string
	for project, containers := range c.storage.accounts {
		for name, b := range containers {
			for object := range b.objects {
				all = append(all, project+"/"+name+"/"+object)
			}
		}
	}
	slices.Sort(all)
	return all
}

func (s *storage) make(project, name string, now time.Time) *container {
	if s.accounts[project] == nil {
		s.accounts[project] = map[string]*container{}
	}
	if s.accounts[project][name] == nil {
		s.accounts[project][name] = &container{created: now, meta: http.Header{}, objects: map[string]*stored{}}
	}
	return s.accounts[project][name]
}

func (b *container) put(object, contentType string, body []byte, meta http.Header, now time.Time) *stored {
	sum := md5.Sum(body)
	b.objects[object] = &stored{body: slices.Clone(body), sum: hex.EncodeToString(sum[:]), contentType: cmp.Or(contentType, "application/octet-stream"), meta: meta, at: now}
	return b.objects[object]
}

func (b *container) bytes() (n int64) {
	for _, o := range b.objects {
		n += int64(len(o.body))
	}
	return n
}

// Content types of Swift's answers.
const (
	htmlType = "text/html; charset=UTF-8"
	jsonType = "application/json; charset=utf-8"
)

// swiftPath is where the accounts are.
const swiftPath = "/object-store/v1/AUTH_"

// swift serves the object storage, if the cloud has one.
func (c *Cloud) swift() {
	c.storage.accounts = map[string]map[string]*container{}
	if c.opts.Storage == nil {
		return
	}
	c.mux.HandleFunc("/object-store/", func(w http.ResponseWriter, r *http.Request) {
		id := "tx" + hexID(w.Header().Get("X-Openstack-Request-Id"))[:21]
		w.Header().Set("X-Openstack-Request-Id", id)
		w.Header().Set("X-Trans-Id", id)
		t := c.tokenOf(r)
		below, account := strings.CutPrefix(r.URL.Path, swiftPath)
		project, path, _ := strings.Cut(below, "/")
		name, object, _ := strings.Cut(path, "/")
		q := &swiftCall{c: c, w: w, r: r, project: project, name: name, object: object}
		switch {
		case t == nil:
			w.Header().Set("WWW-Authenticate", `Swift realm="AUTH_`+project+`"`)
			w.Header().Add("WWW-Authenticate", `Keystone uri="`+c.Base()+`/identity"`)
			q.refuse(http.StatusUnauthorized, "This server could not verify that you are authorized to access the document you requested.")
		case !account:
			q.refuse(http.StatusPreconditionFailed, "Bad URL")
		case t.project != project || !slices.ContainsFunc(swiftOperators, func(role string) bool { return slices.Contains(t.roles, role) }):
			q.refuse(http.StatusForbidden, "Access was denied to this resource.")
		case len(name) > longestContainer || len(object) > longestObject:
			q.refuse(http.StatusBadRequest, "the name is too long")
		default:
			q.body, q.cut = io.ReadAll(io.LimitReader(r.Body, 1<<30))
			c.storage.mu.Lock()
			defer c.storage.mu.Unlock()
			q.serve()
		}
	})
}

// swiftCall is one request to the object storage. Its methods run under the storage's lock.
type swiftCall struct {
	c                     *Cloud
	w                     http.ResponseWriter
	r                     *http.Request
	project, name, object string
	body                  []byte
	cut                   error // why the body is not whole
}

// refuse answers as Swift does, in HTML, or as Ceph.
func (q *swiftCall) refuse(status int, message string) {
	title := http.StatusText(status)
	if q.c.opts.Storage.Ceph {
		reply(q.w, status, object{"Code": strings.ReplaceAll(title, " ", ""), "Message": message, "RequestId": q.w.Header().Get("X-Trans-Id"), "HostId": "rgw-default"})
		return
	}
	q.w.Header().Set("Content-Type", htmlType)
	q.w.WriteHeader(status)
	if q.r.Method != http.MethodHead {
		fmt.Fprintf(q.w, "<html><h1>%s</h1><p>%s</p></html>", title, message)
	}
}

func (q *swiftCall) missing() { q.refuse(http.StatusNotFound, "The resource could not be found.") }

func (q *swiftCall) serve() {
	do := map[string]func(*container){
		"HEAD account": func(*container) { q.showAccount() }, "GET account": func(*container) { q.listAccount() }, "POST account": func(*container) { q.w.WriteHeader(http.StatusNoContent) },
		"PUT container": q.makeContainer, "HEAD container": q.showContainer, "GET container": q.listContainer, "POST container": q.changeContainer, "DELETE container": q.deleteContainer,
		"PUT object": q.putObject, "HEAD object": q.getObject, "GET object": q.getObject, "POST object": q.changeObject, "DELETE object": q.deleteObject,
	}
	what := "object"
	if q.object == "" {
		what = "container"
	}
	if q.name == "" {
		what = "account"
	}
	b := q.c.storage.accounts[q.project][q.name]
	switch f := do[q.r.Method+" "+what]; {
	case f == nil:
		q.refuse(http.StatusMethodNotAllowed, "The method is not allowed for this resource.")
	case b == nil && what != "account" && q.r.Method+what != http.MethodPut+"container":
		q.missing()
	default:
		f(b)
	}
}

// stamped is a time as Swift's X-Timestamp has it.
func stamped(at time.Time) string {
	return fmt.Sprintf("%d.%05d", at.Unix(), at.Nanosecond()/10_000)
}

// modified is a time as Swift's listings have it, and Ceph's.
func (q *swiftCall) modified(at time.Time) string {
	if q.c.opts.Storage.Ceph {
		return at.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return at.UTC().Format("2006-01-02T15:04:05.000000")
}

func (q *swiftCall) used() (n, size int64) {
	for _, b := range q.c.storage.accounts[q.project] {
		n, size = n+int64(len(b.objects)), size+b.bytes()
	}
	return n, size
}

func (q *swiftCall) showAccount() {
	n, size := q.used()
	h := q.w.Header()
	h.Set("X-Account-Container-Count", strconv.Itoa(len(q.c.storage.accounts[q.project])))
	h.Set("X-Account-Object-Count", strconv.FormatInt(n, 10))
	h.Set("X-Account-Bytes-Used", strconv.FormatInt(size, 10))
	if quota := q.c.opts.Storage.Quota; quota != 0 {
		h.Set("X-Account-Meta-Quota-Bytes", strconv.FormatInt(quota, 10))
	}
	q.w.WriteHeader(http.StatusNoContent)
}

func (q *swiftCall) makeContainer(b *container) {
	status := http.StatusCreated
	if b != nil {
		status = http.StatusAccepted
	}
	q.changed(q.c.storage.make(q.project, q.name, q.c.now()).meta, "X-Container-")
	q.w.Header().Set("Content-Type", htmlType)
	q.w.WriteHeader(status)
	if status == http.StatusAccepted {
		fmt.Fprint(q.w, "<html><h1>Accepted</h1><p>The request is accepted for processing.</p></html>")
	}
}

func (q *swiftCall) changeContainer(b *container) {
	q.changed(b.meta, "X-Container-")
	q.w.WriteHeader(http.StatusNoContent)
}

// changed takes over the request's headers with a prefix; an empty one takes away.
func (q *swiftCall) changed(meta http.Header, prefix string) {
	for key, values := range q.r.Header {
		if strings.HasPrefix(key, prefix) && values[0] == "" {
			meta.Del(key)
		} else if strings.HasPrefix(key, prefix) {
			meta[key] = slices.Clone(values)
		}
	}
}

func (q *swiftCall) showContainer(b *container) {
	q.describe(b)
	q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if q.r.Header.Get("Accept") != "" {
		q.w.Header().Set("Vary", "Accept")
	}
	if q.asJSON() {
		q.w.Header().Set("Content-Type", jsonType)
	}
	q.w.WriteHeader(http.StatusNoContent)
}

func (q *swiftCall) describe(b *container) {
	h := q.w.Header()
	for key, values := range b.meta {
		h[key] = values
	}
	h.Set("X-Container-Object-Count", strconv.Itoa(len(b.objects)))
	h.Set("X-Container-Bytes-Used", strconv.FormatInt(b.bytes(), 10))
	h.Set("X-Timestamp", stamped(b.created))
	h.Set("X-Storage-Policy", "Policy-0")
	h.Set("Last-Modified", b.created.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
}

func (q *swiftCall) deleteContainer(b *container) {
	if len(b.objects) > 0 {
		q.refuse(http.StatusConflict, "There was a conflict when trying to complete your request.")
		return
	}
	delete(q.c.storage.accounts[q.project], q.name)
	q.w.Header().Set("Content-Type", htmlType)
	q.w.WriteHeader(http.StatusNoContent)
}

// putObject stores an object whole, if what arrives is as long and has the sum as was said.
func (q *swiftCall) putObject(b *container) {
	body := q.body
	said := strings.ToLower(strings.Trim(q.r.Header.Get("ETag"), `"`))
	sum := md5.Sum(body)
	_, size := q.used()
	if old := b.objects[q.object]; old != nil {
		size -= int64(len(old.body))
	}
	switch quota := q.c.opts.Storage.Quota; {
	case q.cut != nil || (q.r.ContentLength >= 0 && int64(len(body)) != q.r.ContentLength):
		q.refuse(499, "Client Disconnect")
	case q.r.ContentLength < 0 && !slices.Contains(q.r.TransferEncoding, "chunked"):
		q.refuse(http.StatusLengthRequired, "Missing Content-Length header.")
	case quota != 0 && size+int64(len(body)) > quota, int64(len(body)) > largestObject:
		q.refuse(http.StatusRequestEntityTooLarge, "Upload exceeds quota.")
	case q.c.opts.Storage.Full:
		q.refuse(http.StatusInsufficientStorage, "There was not enough space to save the resource.")
	case said != "" && said != hex.EncodeToString(sum[:]):
		q.w.Header().Set("Last-Modified", q.c.now().UTC().Format(http.TimeFormat))
		q.refuse(http.StatusUnprocessableEntity, "Unable to process the contained instructions")
	default:
		meta := http.Header{}
		q.changed(meta, "X-Object-")
		o := b.put(q.object, q.r.Header.Get("Content-Type"), body, meta, q.c.now())
		q.head(o)
		q.w.Header().Set("Content-Type", htmlType)
		q.w.WriteHeader(http.StatusCreated)
	}
}

// head gives an answer the headers of an object.
func (q *swiftCall) head(o *stored) {
	h := q.w.Header()
	h.Set("Last-Modified", o.at.UTC().Format(http.TimeFormat))
	if h.Set("ETag", o.sum); q.c.opts.Storage.Quoted {
		h.Set("ETag", `"`+o.sum+`"`)
	}
}

func (q *swiftCall) getObject(b *container) {
	o := b.objects[q.object]
	if o == nil {
		q.missing()
		return
	}
	q.head(o)
	h := q.w.Header()
	for key, values := range o.meta {
		h[key] = values
	}
	h.Set("Content-Type", o.contentType)
	h.Set("X-Timestamp", stamped(o.at))
	h.Set("Accept-Ranges", "bytes")
	if match := q.r.Header.Get("If-None-Match"); match != "" && !strings.Contains(match, `"`) { // sums stand without quotes, too
		if strings.Contains(match, o.sum) {
			q.w.WriteHeader(http.StatusNotModified)
			return
		}
		q.r.Header.Del("If-None-Match")
	}
	http.ServeContent(q.w, q.r, "", o.at, strings.NewReader(string(o.body)))
}

func (q *swiftCall) changeObject(b *container) {
	o := b.objects[q.object]
	if o == nil {
		q.missing()
		return
	}
	o.meta = http.Header{} // what is not said again is gone
	q.changed(o.meta, "X-Object-")
	q.w.WriteHeader(http.StatusAccepted)
}

func (q *swiftCall) deleteObject(b *container) {
	if b.objects[q.object] == nil {
		q.missing()
		return
	}
	delete(b.objects, q.object)
	q.w.Header().Set("Content-Type", htmlType)
	q.w.WriteHeader(http.StatusNoContent)
}

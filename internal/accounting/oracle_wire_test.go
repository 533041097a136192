package accounting_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

// collectTroubles are what may happen to a collection.
var collectTroubles = []string{"kill before request", "kill after request", "kill after commit", "no connection", "no answer", "cut answer", "status 500", "status 503", "status 429", "status 401", "status 403", "status 404", "tokens expire"}

// sendTroubles are what may happen to a sending.
var sendTroubles = []string{"kill before delivery", "kill after delivery", "kill after commit", "lost on the way", "lost answer", "late arrival", "refused", "busy", "too large"}

// wire carries requests to the emulated cloud in memory: one timeline costs no sockets. Each request takes some time.
type wire struct {
	trial   *trial
	handler http.Handler

	mu      sync.Mutex
	chance  dice
	trouble trouble
	cancel  context.CancelCauseFunc
	met     int
	struck  bool
	slow    bool // the clock goes on from request to request
}

func newWire(tr *trial) *wire {
	return &wire{trial: tr, handler: tr.cloud.Handler()}
}

func (w *wire) client() *http.Client { return &http.Client{Transport: w} }

// arm starts a step.
func (w *wire) arm(s step, cancel context.CancelCauseFunc) {
	w.chance, w.trouble, w.cancel, w.met, w.struck = newDice(s.seed, 2), s.trouble, cancel, 0, false
	w.slow = w.trial.parallel == 1 && !s.final && !w.trial.still
}

// RoundTrip answers a request, or does not.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	if w.slow {
		w.trial.clock.Add(int64(w.chance.IntN(1500)) * int64(time.Millisecond))
	}
	w.trial.show()
	w.met++
	strikes := w.trouble.kind != "" && w.met == w.trouble.nth && w.fits(r)
	if w.met == w.trouble.nth && !strikes {
		w.trouble.nth++ // the next one that it fits
	}
	w.struck = w.struck || strikes
	if strikes {
		switch w.trouble.kind {
		case "kill before request":
			w.cancel(errKilled)
			return nil, errKilled
		case "no connection":
			return nil, errors.New("connection refused")
		case "tokens expire":
			w.trial.cloud.ExpireTokens()
		}
		var status int
		if _, err := fmt.Sscanf(w.trouble.kind, "status %d", &status); err == nil {
			return respond(r, status, http.Header{}, []byte("{}")), nil
		}
	}
	res := w.serve(r)
	if strikes {
		switch w.trouble.kind {
		case "kill after request":
			w.cancel(errKilled)
			return nil, errKilled
		case "no answer":
			return nil, errors.New("connection reset")
		case "cut answer":
			body, _ := io.ReadAll(res.Body)
			res.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), brokenReader{}))
		}
	}
	return res, nil
}

// fits tells whether the trouble may strike this request: a definite no about one VM has a meaning of its own, and is rolled
// as timeline.denied and life.hidden.
func (w *wire) fits(r *http.Request) bool {
	if w.trouble.kind == "kill after commit" {
		return false
	}
	one, _ := path.Match("/compute/v2.1/servers/*", r.URL.Path)
	one = one && !strings.HasSuffix(r.URL.Path, "/detail")
	return !(one || strings.HasSuffix(r.URL.Path, "/os-instance-actions")) || (w.trouble.kind != "status 403" && w.trouble.kind != "status 404")
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func respond(r *http.Request, status int, h http.Header, body []byte) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r}
}

// serve gives the cloud's answer, without the VMs that are hidden now.
func (w *wire) serve(r *http.Request) *http.Response {
	hidden := w.trial.hiddenNow()
	if rest, ok := strings.CutPrefix(r.URL.Path, "/compute/v2.1/servers/"); ok {
		id, _, _ := strings.Cut(rest, "/")
		switch {
		case slices.Contains(hidden, id):
			return respond(r, http.StatusNotFound, http.Header{}, []byte(`{"itemNotFound":{"code":404,"message":"Instance could not be found."}}`))
		case w.trial.denied && strings.HasSuffix(rest, "/os-instance-actions"):
			return respond(r, http.StatusForbidden, http.Header{}, []byte(`{"forbidden":{"code":403,"message":"Policy doesn't allow os_compute_api:os-instance-actions:list to be performed."}}`))
		}
	}
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.Host = r.URL.Host
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, in)
	body := rec.Body.Bytes()
	if len(hidden) > 0 && strings.HasSuffix(r.URL.Path, "/servers/detail") {
		body = without(body, hidden)
	}
	return respond(r, rec.Code, rec.Result().Header, body) //nolint:bodyclose // read above
}

func without(body []byte, hidden []string) []byte {
	var doc map[string]json.RawMessage
	var servers []json.RawMessage
	if json.Unmarshal(body, &doc) != nil || json.Unmarshal(doc["servers"], &servers) != nil {
		return body
	}
	servers = slices.DeleteFunc(servers, func(s json.RawMessage) bool {
		var named struct{ ID string }
		return json.Unmarshal(s, &named) == nil && slices.Contains(hidden, named.ID)
	})
	doc["servers"], _ = json.Marshal(servers)
	changed, _ := json.Marshal(doc)
	return changed
}

// hiddenNow gives the VMs that are in no answer now. One that ended, also softly, before it was ever seen is not
// hidden: no later listing shows it.
func (tr *trial) hiddenNow() (ids []string) {
	now := tr.cloudNow()
	for _, l := range tr.lives {
		if l.vm.ID == tr.blind {
			ids = append(ids, l.vm.ID)
		}
		for _, h := range l.hidden {
			if h.holds(now) && (!over(l.vm, now) || tr.known(l.vm.ID)) {
				ids = append(ids, l.vm.ID)
			}
		}
	}
	return ids
}

// door is the destination: it reads a message as the accounting server does.
type door struct {
	trial   *trial
	mu      sync.Mutex
	trouble trouble
	cancel  context.CancelCauseFunc
	met     int
	struck  bool
	chance  dice
	bodies  map[string]string        // of every message, by name
	onWay   []onWay                  // messages that will still arrive
	edit    func(body []byte) []byte // what a wrong pipeline makes of a message
	after   func(body []byte)        // called when a message was read
}

type onWay struct {
	due  time.Time // the host's time
	body []byte
}

func (o *door) arm(s step, cancel context.CancelCauseFunc) {
	o.trouble, o.cancel, o.met, o.struck, o.chance = s.trouble, cancel, 0, false, newDice(s.seed, 3)
}

// Name, MaxBytes, Seal, Deliver and Gone make it an accounting.Destination.
func (o *door) Name() string { return "oracle" }

func (o *door) MaxBytes() int { return 0 }

func (o *door) Seal(m accounting.Message, _ time.Time) ([]byte, error) { return m.Body, nil }

func (o *door) Gone(context.Context, accounting.Message) (bool, error) { return false, nil }

func (o *door) Deliver(ctx context.Context, m accounting.Message, sealed []byte) (accounting.Receipt, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return accounting.Receipt{}, &accounting.DeliveryError{Verdict: accounting.Unanswered, Err: err}
	}
	o.arrive()
	if was, ok := o.bodies[m.Name]; ok && was != string(sealed) {
		o.trial.wrong("message %s went out with another text", m.Name)
	}
	o.bodies[m.Name] = string(sealed)
	o.met++
	if o.trouble.kind == "" || o.met != o.trouble.nth || o.trouble.kind == "kill after commit" {
		o.load(sealed)
		return accounting.Receipt{Remote: "1"}, nil
	}
	o.struck = true
	fail := func(v accounting.Verdict) error {
		return &accounting.DeliveryError{Verdict: v, Err: errors.New(o.trouble.kind)}
	}
	switch o.trouble.kind {
	case "kill before delivery":
		o.cancel(errKilled)
		return accounting.Receipt{}, fail(accounting.Unanswered)
	case "kill after delivery":
		o.load(sealed)
		o.cancel(errKilled)
		return accounting.Receipt{}, fail(accounting.Unanswered)
	case "lost on the way":
		return accounting.Receipt{}, fail(accounting.Unanswered)
	case "lost answer":
		o.load(sealed)
		return accounting.Receipt{}, fail(accounting.Unanswered)
	case "late arrival": // at most 10 minutes after the attempt began
		due := time.Unix(m.LastAttempt, 0).Add(o.chance.span(time.Second, 10*time.Minute-time.Second))
		o.onWay = append(o.onWay, onWay{due, bytes.Clone(sealed)})
		return accounting.Receipt{}, fail(accounting.Unanswered)
	case "refused":
		return accounting.Receipt{}, fail(accounting.Refused)
	case "busy":
		return accounting.Receipt{}, fail(accounting.Busy)
	default:
		if m.Records == 1 { // it would be parked, which is no matter of the oracle
			o.load(sealed)
			return accounting.Receipt{Remote: "1"}, nil
		}
		return accounting.Receipt{}, fail(accounting.TooLarge)
	}
}

// arrive loads what has come in late by now.
func (o *door) arrive() {
	o.onWay = slices.DeleteFunc(o.onWay, func(w onWay) bool {
		if w.due.After(o.trial.hostNow()) {
			return false
		}
		o.load(w.body)
		return true
	})
}

// load gives a message to the accounting server, and looks at what it makes of it.
func (o *door) load(body []byte) {
	before := o.trial.rowsNow()
	if o.edit != nil {
		body = o.edit(body)
	}
	if v := o.trial.server.Load(body, "/DC=org/CN=oracle"); !v.Accepted {
		o.trial.wrong("the accounting server rejected a message: %s\n%s", v.Reason, body)
	}
	o.trial.compareRows(before)
	if o.after != nil {
		o.after(body)
	}
}

// over tells whether only what changed since then lists the VM at the instant: it is deleted, or softly so.
func over(vm world.VM, now time.Time) (is bool) {
	for _, e := range vm.Events {
		if !e.At.After(now) {
			is = e.Kind == world.Delete || e.Kind == world.Soft
		}
	}
	return is
}

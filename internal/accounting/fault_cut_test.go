package accounting_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/openstack"
)

// everyCut gives every place at which an answer of so many bytes can be cut: in its body and, 400 bytes further up, in its
// headers, with the connection; and in its body, as if it ended there. With -short some of them.
func everyCut(length int, do func(name string, e faults.Effect, n int)) {
	step := 1
	if testing.Short() {
		step = 37
	}
	for n := 1; n <= length+400; n += step {
		do(fmt.Sprintf("cut %d bytes before the end", n), faults.Effect{CutAt: -n}, n)
	}
	for n := 0; n < length; n += step {
		do(fmt.Sprintf("ending after %d bytes", n), faults.Effect{Change: func(body []byte) []byte { return body[:min(n, len(body))] }}, length-n)
	}
}

// TestCutAtAnyByte cuts answers of OpenStack at every byte: what was cut is an error, and never a shorter listing.
func TestCutAtAnyByte(t *testing.T) {
	c := newCourse(t, 2)
	source := func() accounting.Source { return c.fresh(c.hasty, c.cloud.AuthURL()) }
	compute := func() (accounting.Compute, error) { return source().Project(t.Context(), project) }
	p, err := compute()
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]struct {
		path string
		do   func() (int, error)
	}{
		"sign-in":  {"/identity/v3/auth/tokens", func() (int, error) { _, err := compute(); return 1, err }},
		"projects": {"/identity/v3/auth/projects", func() (int, error) { all, err := source().Projects(t.Context()); return len(all), err }},
		"version":  {"/compute/v2.1/", func() (int, error) { _, err := compute(); return 1, err }},
		"listing": {"/compute/v2.1/servers/detail", func() (n int, err error) {
			err = p.Existing(t.Context(), func(page openstack.Page) error { n += len(page.Servers); return nil })
			return n, err
		}},
		"actions": {"/os-instance-actions", func() (int, error) { all, err := p.Actions(t.Context(), id(2)); return len(all), err }},
		"a VM":    {"/compute/v2.1/servers/" + id(2), func() (int, error) { _, err := p.Server(t.Context(), id(2)); return 1, err }},
		"user":    {"/identity/v3/users/u-one", func() (int, error) { n, err := source().Lookup().UserName(t.Context(), "u-one"); return len(n), err }},
	} {
		t.Run(name, func(t *testing.T) {
			length, last := 0, ""
			strike := func(e faults.Effect) {
				c.faults.Clear()
				c.faults.Add(faults.Fault{Times: -1, Effect: e, Fits: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ask.path) }})
			}
			strike(faults.Effect{Change: func(body []byte) []byte {
				length, last = len(body), string(body)
				return body
			}})
			want, err := ask.do()
			if err != nil || length == 0 {
				t.Fatalf("undisturbed: %d bytes, %v", length, err)
			}
			space := len(last) - len(bytes.TrimSpace([]byte(last)))
			everyCut(length, func(name string, e faults.Effect, left int) {
				strike(e)
				got, err := ask.do()
				if err == nil && (got != want || left > space) {
					t.Errorf("%s of %d: taken for whole, %d instead of %d", name, length, got, want)
				}
			})
			c.faults.Clear()
		})
	}
}

// TestCutAnswersOfTheBroker cuts the broker's answers at every byte: without a whole one a message is not taken for sent,
// nor for refused.
func TestCutAnswersOfTheBroker(t *testing.T) {
	c := newCourse(t, 2)
	dest := c.broker("SITE-A")
	prepare(t, dest, c.clock.now())
	length, last := 0, ""
	strike := func(e faults.Effect) {
		c.fed.Faults.Clear()
		c.fed.Faults.Add(faults.Fault{Method: http.MethodPost, Times: -1, Effect: e})
	}
	deliver := func() error {
		_, err := dest.Deliver(t.Context(), accounting.Message{Name: "65ecf140/65ecf14c123450"}, []byte("x"))
		return err
	}
	strike(faults.Effect{Change: func(body []byte) []byte { length, last = len(body), string(body); return body }})
	if err := deliver(); err != nil || length == 0 {
		t.Fatal(err)
	}
	space := len(last) - len(bytes.TrimSpace([]byte(last)))
	everyCut(length, func(name string, e faults.Effect, left int) {
		strike(e)
		err := deliver()
		if de, ok := errors.AsType[*accounting.DeliveryError](err); err == nil && left > space || err != nil && (!ok || de.Verdict != accounting.Unanswered) {
			t.Errorf("%s of %d: %v", name, length, err)
		}
	})
}

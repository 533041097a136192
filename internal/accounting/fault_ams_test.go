package accounting_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/smime"
)

// names gives the names of the messages that were received from the n-th on.
func (b *bed) names(n int) []string {
	var all []string
	for _, r := range b.fed.Received()[n:] {
		all = append(all, r.Empaid)
	}
	return all
}

// TestBrokerTroubles has what may go wrong with AMS and authn besides plain answers (TestAMSAnswers): nothing is cut
// without a token; a message that may have arrived goes again as the same, and no newer revision of its records before ten
// minutes are over; then everything arrives, and each message counts once.
func TestBrokerTroubles(t *testing.T) {
	type states = map[string]int64
	fed := newBed(t, small(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01").fed // its keys take their time
	authn := func(e faults.Effect) func(*bed) {
		return func(b *bed) {
			b.fed.Faults.Add(faults.Fault{Path: "/service-types/ams/hosts/*", Times: -1, Effect: e})
		}
	}
	publish := func(e faults.Effect) func(*bed) {
		return func(b *bed) { b.fed.Faults.Add(faults.Fault{Method: http.MethodPost, Times: -1, Effect: e}) }
	}
	answer := func(text string) func([]byte) []byte { return func([]byte) []byte { return []byte(text) } }
	for name, c := range map[string]struct {
		spoil  func(b *bed)
		exit   int
		cut    int64 // messages that wait afterwards
		stored int   // times the message has arrived by then
		says   string
	}{
		"nothing listens":     {func(b *bed) { b.down() }, run.ExitUnavailable, 0, 0, "connection refused"},
		"DN not in GOCDB":     {authn(faults.Effect{Status: 404, Body: said(404, "Binding was not found", "NOT FOUND")}), run.ExitFailed, 0, 0, "must equal the Host DN in GOCDB"},
		"certificate revoked": {authn(faults.Effect{Status: 403, Body: said(403, "Your certificate has been revoked", "ACCESS_FORBIDDEN")}), run.ExitNotAuthorised, 0, 0, "renew the host certificate"},
		"no revocation list":  {authn(faults.Effect{Status: 500, Body: said(500, "Internal Error: Could not access CRL http://crl/", "INTERNAL SERVER ERROR")}), run.ExitUnavailable, 0, 0, "passes by itself"},
		"authn is a portal":   {authn(faults.Effect{Status: 200, Body: apology}), run.ExitUnavailable, 0, 0, "not JSON"},
		"authn without token": {authn(faults.Effect{Change: answer(`{"token": ""}`)}), run.ExitUnavailable, 0, 0, "has no token"},
		"authn cut":           {authn(faults.Effect{Cut: true}), run.ExitUnavailable, 0, 0, "200, then unexpected EOF"},
		"token of a stranger": {authn(faults.Effect{Change: answer(`{"token": "0123"}`)}), run.ExitNotAuthorised, 1, 0, "401"},
		"429 for an hour":     {publish(faults.Effect{Status: 429, RetryAfter: "3600"}), run.ExitUnavailable, 1, 0, "429"},
		"429 until a date":    {publish(faults.Effect{Status: 429, RetryIn: time.Hour}), run.ExitUnavailable, 1, 0, "429"},
		"403 by a proxy":      {publish(faults.Effect{Status: 403, Body: apology}), run.ExitNotAuthorised, 1, 0, "403"},
		"409":                 {publish(faults.Effect{Status: 409, Body: said(409, "Topic already exists", "ALREADY_EXISTS")}), run.ExitFailed, 1, 0, "409"},
		"answer lost":         {publish(faults.Effect{Lost: true}), run.ExitUnavailable, 1, 3, "cut"},
		"504 when stored":     {publish(faults.Effect{Status: 504, Body: apology, Worked: true}), run.ExitUnavailable, 1, 3, "504"},
		"408 when stored":     {publish(faults.Effect{Status: 408, Worked: true}), run.ExitUnavailable, 1, 3, "408"},
		"ids of another form": {publish(faults.Effect{Change: answer(`{"messageIds": "all"}`)}), run.ExitUnavailable, 1, 3, "not JSON of the expected form"},
		"two ids":             {publish(faults.Effect{Change: answer(`{"messageIds": ["1", "2"]}`)}), run.ExitUnavailable, 1, 3, "2 message ids"},
		"an empty body":       {publish(faults.Effect{Change: answer("")}), run.ExitUnavailable, 1, 3, "not JSON"},
		"answer cut":          {publish(faults.Effect{Cut: true}), run.ExitUnavailable, 1, 3, "200, then unexpected EOF"},
		"too slow":            {publish(faults.Effect{Delay: time.Minute}), run.ExitUnavailable, 1, 3, "no answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCloudBed(t, crowd(2, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
			b.fed, fed.Server = fed, apelserver.New()
			dest := b.brokerWith("SITE-A", func(cfg *accounting.AMSConfig) {
				if name == "too slow" {
					hasty, err := transport.New(transport.Config{Roots: fed.CA.Pool(), Timeout: 300 * time.Millisecond})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(hasty.CloseIdleConnections)
					cfg.Client.HTTP = hasty.Client
					cfg.Present = func(id smime.Identity) { hasty.SetCertificate(id.TLS()) }
				}
			})
			b.target.Destinations = []accounting.Destination{dest}
			before := len(fed.Received())
			b.clean(b.collect(""))
			c.spoil(b)
			if r := b.slowly(); r.Exit() != c.exit {
				t.Errorf("exit %d, want %d: %+v", r.Exit(), c.exit, r.Problems)
			}
			b.told("destination ams", c.says)
			if p := b.last.Problems[0]; p.Hint == "" || p.Notice {
				t.Errorf("%+v", p)
			}
			if n := b.states()["cut"]; n != c.cut || b.states()["parked"] != 0 {
				t.Errorf("messages by state: %v, want %d waiting", b.states(), c.cut)
			}
			b.mend()
			if n := len(b.fed.Received()) - before; n != c.stored {
				t.Errorf("%d messages arrived, want %d", n, c.stored)
			}
			b.clean(b.collect("2024-03-10T00:11:00Z")) // a newer revision of both records
			b.clean(b.slowly())
			sent := b.names(before)
			if c.cut > 0 && len(slices.Compact(slices.Clone(sent))) != 1 {
				t.Errorf("a newer revision is sent six minutes after an attempt that may arrive late: %q", sent)
			}
			b.clock.set("2024-03-10T00:22:00Z")
			b.arrived(way{onward: func() {}})
			if d := cmp.Diff(states{"sent": c.cut + 1}, b.states()); d != "" {
				t.Errorf("messages by state:\n%s", d)
			}
		})
	}
}

// down takes broker and authn away.
func (b *bed) down() {
	b.t.Helper()
	if err := b.fed.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// mend ends every fault when what was asked for is done, and brings broker and authn back.
func (b *bed) mend() {
	b.t.Helper()
	b.fed.Faults.Clear()
	if err := errors.Join(b.fed.Close(), b.fed.Listen()); err != nil {
		b.t.Fatal(err)
	}
}

package faults

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Place is where a named fault strikes.
type Place string

// Places of faults.
const (
	Cloud  Place = "cloud"  // an answer of OpenStack
	Broker Place = "broker" // an answer of AMS to a message that is published
	Authn  Place = "authn"  // the exchange of the certificate for a token
	GOCDB  Place = "GOCDB"  // an answer of GOCDB
	Net    Place = "net"    // broker, authn and GOCDB are not there at all
	Clock  Place = "clock"  // a clock that jumps
	World  Place = "world"  // what the cloud's databases show
)

// Named is a fault that has a name. The demo shows each, and the campaign of the tests runs each on every request that it
// can strike.
type Named struct {
	Name  string
	Place Place
	Text  string // what happens, and what becomes of it
	Fault Fault  // which requests of a run it strikes, and how; of Cloud, Broker, Authn and GOCDB
	Heals bool   // passes within the run that it strikes: nothing is reported as a problem

	Ours, Theirs time.Duration // by how much this machine's clock, and the cloud's, are off during a run; of Clock
}

// Find gives the fault of that name, of those that the demo shows.
func Find(name string) (Named, bool) {
	for _, n := range Shown() {
		if n.Name == name {
			return n, true
		}
	}
	return Named{}, false
}

// All gives the named faults that accounting and discovery meet, in the order in which they are shown.
func All() []Named {
	all := cloudFaults()
	all = append(all, brokerFaults()...)
	all = append(all, GOCDBFaults()...)
	all = append(all, clockFaults()...)
	return append(all, worldFaults()...)
}

// Shown gives the faults that the demo shows: All, and those that images meet.
func Shown() []Named { return slices.Concat(All(), Images(), Published()) }

// balancer is what a balancer answers in a service's place.
const balancer = "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"

// cloudFaults strike the listings of VMs. Those that heal strike once, the others all listings of the run.
func cloudFaults() []Named {
	var all []Named
	add := func(name, text string, heals bool, e Effect) {
		n := Named{Name: name, Place: Cloud, Text: text, Heals: heals, Fault: Fault{Service: "compute", Method: http.MethodGet, Path: "/v2.1/servers/detail", Times: -1, Effect: e}}
		if heals {
			n.Fault.Times, n.Fault.Nth = 1, 2
		}
		all = append(all, n)
	}
	add("token-expired", "a token is refused in the middle of a run (401): fedsite signs in anew, and goes on", true, Effect{Status: 401, Body: nova("unauthorized", 401, "Unauthorized")})
	add("403", "listings are forbidden: the run says which role is missing, and the next one covers its window", false, Effect{Status: 403, Body: nova("forbidden", 403, "Policy doesn't allow os_compute_api:servers:detail to be performed.")})
	add("404", "listings are not found: the run fails, and the next one covers its window", false, Effect{Status: 404, Body: nova("itemNotFound", 404, "The resource could not be found.")})
	add("429", "too many requests, come again in 1 second (Retry-After in seconds): fedsite does", true, Effect{Status: 429, RetryAfter: "1"})
	add("429-date", "too many requests, with Retry-After as a date: fedsite waits until then", true, Effect{Status: 429, RetryIn: time.Second})
	add("429-hour", "too many requests for an hour: the run fails instead of waiting, and the next one covers its window", false, Effect{Status: 429, RetryAfter: "3600"})
	add("500", "Nova fails (500): the run fails, and the next one covers its window", false, Effect{Status: 500, Body: nova("computeFault", 500, "Unexpected API Error.")})
	add("503", "a balancer finds no Nova (503, HTML): tried again, then the run fails, and the next one covers its window", false, Effect{Status: 503, Body: balancer})
	add("503-retry-after", "Nova is being restarted (503 with Retry-After): fedsite waits as long as it was asked to", true, Effect{Status: 503, RetryAfter: "1", Body: balancer})
	add("slow", "an answer takes a second: nothing else happens", true, Effect{Delay: time.Second})
	add("no-answer", "connections are closed without an answer: tried again, then the run fails, and the next one covers its window", false, Effect{Unread: true})
	add("cut", "answers are cut in the middle: nothing of them counts, and the next run covers the window", false, Effect{Cut: true})
	add("wrong-type", "an answer says Content-Type text/plain: what it holds is what counts", true, Effect{Header: http.Header{"Content-Type": {"text/plain"}}})
	add("html", "an HTML page comes with status 200, as from a captive portal: refused, and the next run covers the window", false, Effect{Change: func([]byte) []byte { return []byte(balancer) }})
	add("page-repeats", "a listing's next page is the same page again: fedsite does not go in circles", false, Effect{Change: repeating})
	return all
}

// nova is an error as Nova puts it.
func nova(kind string, code int, message string) string {
	return fmt.Sprintf(`{%q: {"code": %d, "message": %q}}`, kind, code, message)
}

// repeating gives a listing a link to a page that never gets further.
func repeating(body []byte) []byte {
	text, list := strings.CutSuffix(string(bytes.TrimSpace(body)), "}")
	if !list || strings.Contains(text, "servers_links") {
		return body
	}
	return []byte(text + `,"servers_links":[{"rel":"next","href":"http://nova/servers/detail?marker=00000000-0000-4000-8000-000000000000"}]}`)
}

// ams is an error as AMS puts it.
func ams(code int, message, status string) string {
	return fmt.Sprintf(`{"error": {"code": %d, "message": %q, "status": %q}}`, code, message, status)
}

// brokerFaults strike messages on their way (spec ams §3, §4, §8).
func brokerFaults() []Named {
	var all []Named
	add := func(name, text string, heals bool, e Effect) {
		n := Named{Name: name, Place: Broker, Text: text, Heals: heals, Fault: Fault{Service: "v1", Method: http.MethodPost, Path: "/projects/*/topics/*", Times: -1, Effect: e}}
		if heals {
			n.Fault.Times = 1
		}
		all = append(all, n)
	}
	const stays = ": what was cut stays, and goes with the next run"
	add("ams-400", "AMS takes the text of no record: cut down to single ones, which are parked with the reason, and go when that is mended", false, Effect{Status: 400, Body: ams(400, "Invalid Message Arguments", "INVALID_ARGUMENT")})
	add("ams-401", "AMS does not know the token, and authn gives no other one"+stays, false, Effect{Status: 401, Body: ams(401, "Unauthorized", "UNAUTHORIZED")})
	add("ams-403", "AMS: may not publish to the topic"+stays, false, Effect{Status: 403, Body: ams(403, "Access to this resource is forbidden", "FORBIDDEN")})
	add("ams-404-project", "AMS does not know the project"+stays, false, Effect{Status: 404, Body: ams(404, "project doesn't exist", "NOT_FOUND")})
	add("ams-404-topic", "AMS does not know the topic"+stays, false, Effect{Status: 404, Body: ams(404, "Topic doesn't exist", "NOT_FOUND")})
	add("ams-408", "AMS does not answer in time (408)"+stays, false, Effect{Status: 408})
	add("ams-409", "AMS: conflict"+stays, false, Effect{Status: 409, Body: ams(409, "Topic already exists", "ALREADY_EXISTS")})
	add("ams-413", "AMS finds a message too large: cut in two, and both go", true, Effect{Status: 413, Body: ams(413, "Message size is too large", "INVALID_ARGUMENT")})
	add("ams-429", "too many messages (429 with Retry-After): fedsite waits as long as it was asked to", true, Effect{Status: 429, RetryAfter: "1"})
	add("ams-500", "AMS fails (500)"+stays, false, Effect{Status: 500, Body: ams(500, "Backend Error", "INTERNAL_SERVER_ERROR")})
	add("ams-502", "a balancer gets no answer of AMS (502, HTML)"+stays, false, Effect{Status: 502, Body: balancer})
	add("ams-503", "a balancer finds no AMS (503, HTML)"+stays, false, Effect{Status: 503, Body: balancer})
	add("ams-504", "a balancer gives up waiting (504, HTML) although AMS stored the message: the same one goes again", true, Effect{Status: 504, Body: balancer, Worked: true})
	add("ams-lost-answer", "AMS stores every message of a run, and no answer arrives: the same ones go again, and count once", false, Effect{Lost: true})
	add("ams-wrong-json", "AMS stores the message and answers JSON without a message id: the same one goes again, and counts once", true, Effect{Change: func([]byte) []byte { return []byte(`{"messageIds": "all"}`) }})
	add("ams-no-ids", "AMS answers 200 and stores nothing (an empty list of ids): not taken for sent", true, Effect{Status: 200, Body: `{"messageIds": []}`})
	add("ams-html", "a proxy answers a page with status 200: not taken for sent", true, Effect{Status: 200, Body: balancer})
	add("ams-slow", "AMS answers after a second: nothing else happens", true, Effect{Delay: time.Second})
	return append(all,
		Named{Name: "ams-refused", Place: Net, Text: "nothing listens at the broker" + stays},
		Named{Name: "authn-404", Place: Authn, Text: "authn does not know the certificate's DN: the run says what must be in GOCDB; nothing is cut before there is a token",
			Fault: Fault{Service: "v1", Path: "/service-types/ams/hosts/*", Times: -1, Effect: Effect{Status: 404, Body: ams(404, "Binding was not found", "NOT FOUND")}}},
		Named{Name: "authn-500", Place: Authn, Text: "authn cannot fetch the authority's revocation list (500): passes by itself",
			Fault: Fault{Service: "v1", Path: "/service-types/ams/hosts/*", Times: -1, Effect: Effect{Status: 500, Body: ams(500, "Internal Error: Could not access CRL http://crl.example.org/ca.crl", "INTERNAL SERVER ERROR")}}})
}

// GOCDBFaults strike all that GOCDB is asked.
func GOCDBFaults() []Named {
	var all []Named
	add := func(name, text string, e Effect) {
		all = append(all, Named{Name: name, Place: GOCDB, Text: text, Fault: Fault{Service: "gocdbpi", Path: "/public/", Times: -1, Effect: e}})
	}
	const stays = ": its last good answer counts, and is marked"
	add("gocdb-down", "GOCDB closes connections without an answer"+stays, Effect{Unread: true})
	add("gocdb-slow", "GOCDB takes longer than anybody waits"+stays+", and nothing is held up", Effect{Delay: time.Hour, Unread: true})
	add("gocdb-500", "GOCDB fails (500)"+stays, Effect{Status: 500})
	add("gocdb-garbage", "a page for maintenance comes with status 200 in GOCDB's place"+stays, Effect{Status: 200, Body: balancer})
	return all
}

// clockFaults let clocks be wrong during one run.
func clockFaults() []Named {
	const day = 24 * time.Hour
	return []Named{
		{Name: "clock-forwards", Place: Clock, Ours: day, Text: "this machine's clock is a day ahead in one run: it differs from Keystone's, and nothing is collected"},
		{Name: "clock-backwards", Place: Clock, Ours: -60 * day, Text: "this machine's clock is 60 days behind in one run: nothing is collected until it is right again"},
		{Name: "keystone-skew", Place: Clock, Theirs: 10 * time.Minute, Text: "the cloud's clock is 10 minutes ahead in one run: nothing is collected"},
		{Name: "site-forwards", Place: Clock, Ours: time.Hour, Theirs: time.Hour, Text: "all clocks of the site are an hour ahead in one run: the same hour is not counted twice"},
		{Name: "site-backwards", Place: Clock, Ours: -60 * day, Theirs: -60 * day, Text: "all clocks of the site are 60 days behind in one run: it is said, and nothing is counted back"},
	}
}

// worldFaults are properties of what the cloud shows; who makes the world brings them about.
func worldFaults() []Named {
	return []Named{
		{Name: "late-commit", Place: World, Text: "Nova writes ends into its database some minutes late: they are found all the same"},
		{Name: "archived", Place: World, Text: "ended VMs are purged before fedsite has seen their end: closed when they were last seen, and reported"},
		{Name: "hidden", Place: World, Text: "some VMs are in no answer for a while: their records go on when they are back"},
		{Name: "down-cell", Place: World, Text: "a cell is down, and shows its VMs without data: their last state is kept"},
	}
}

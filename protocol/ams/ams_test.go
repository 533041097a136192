package ams

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const empaid = "6b041ecc/6b041eeeec6156"

func TestPublish(t *testing.T) {
	s := recorded(t, "01")
	id, err := s.client().Publish(t.Context(), token, "eu-egi-cloud-accounting", Message{Attributes: map[string]string{"empaid": empaid}, Data: []byte("hello accounting")})
	if err != nil || id != "0" {
		t.Errorf("id %q, %v", id, err)
	}
	if got, want := s.request.Method+" "+s.request.URL.String(), "POST https://msg.example.org/v1/projects/accounting/topics/eu-egi-cloud-accounting:publish"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if s.request.Header.Get("X-Api-Key") != token || s.request.ContentLength != int64(len(s.sent)) {
		t.Errorf("header %v, length %d of %d", s.request.Header, s.request.ContentLength, len(s.sent))
	}
	if want := `{"messages":[{"attributes":{"empaid":"` + empaid + `"},"data":"aGVsbG8gYWNjb3VudGluZw=="}]}`; s.sent != want {
		t.Errorf("sent %s, want %s", s.sent, want)
	}
}

// A document is sent as the catch-all and its peers sent it: with attributes that are none (spec ams §10).
func TestPublishWithoutAttributes(t *testing.T) {
	for want, m := range map[string]Message{
		`{"messages":[{"attributes":{},"data":"e30="}]}`: {Attributes: map[string]string{}, Data: []byte("{}")},
		`{"messages":[{"data":"e30="}]}`:                 {Data: []byte("{}")},
	} {
		s := &server{status: 200, body: `{"messageIds":["1"]}`}
		if _, err := s.client().Publish(t.Context(), token, "topic", m); err != nil || s.sent != want {
			t.Errorf("sent %s, want %s, %v", s.sent, want, err)
		}
	}
}

func TestPublishRefusesAttributesThatSpoilTheTopic(t *testing.T) {
	for _, a := range []map[string]string{{"empaid": `a"b`}, {"empaid": `a\b`}, {"empaid": "a\nb"}, {"k\"": "v"}, {"empaid": "ñ"}, {"empaid": "a b"}} {
		s := &server{status: 200, body: `{"messageIds":["1"]}`}
		if _, err := s.client().Publish(t.Context(), token, "topic", Message{Attributes: a}); err == nil || s.request != nil {
			t.Errorf("%q: %v, sent: %v", a, err, s.request != nil)
		}
	}
}

// An answer of 200 counts only with one id in it (spec ams §8). Whether the message is stored stays open otherwise.
func TestPublishNeedsAnID(t *testing.T) {
	for name, c := range map[string]struct {
		s    *server
		want string
	}{
		"two ids":             {recorded(t, "02"), "2 message ids"},
		"none":                {&server{status: 200, body: `{"messageIds":[]}`}, "0 message ids"},
		"other JSON":          {&server{status: 200, body: `{}`}, "0 message ids"},
		"an error inside 200": {&server{status: 200, body: `{"error":{"code":500,"message":"x"}}`}, "0 message ids"},
		"ids that are none":   {&server{status: 200, body: `{"messageIds":7}`}, "not JSON of the expected form"},
		"a list":              {&server{status: 200, body: `["1"]`}, "not JSON of the expected form"},
		"empty":               {&server{status: 200}, "not JSON of the expected form: 0 bytes"},
		"HTML":                {&server{status: 200, body: "<html>\n<b>Please  sign in</b>"}, "<html> <b>Please sign in</b>"},
		"cut":                 {&server{status: 200, body: `{"messageIds":["1`, cut: true}, "200, then unexpected EOF"},
		"larger than read":    {&server{status: 200, body: strings.Repeat(" ", maxAnswer+1)}, "more than"},
		"204":                 {&server{status: 204}, "204"},
	} {
		_, err := c.s.client().Publish(t.Context(), token, "topic", Message{Data: []byte("x")})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "publish") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			continue
		}
		if e := failed(t, err); e.Answered() || e.TooLarge(800_000) || e.BadBody() {
			t.Errorf("%s: AMS did not say no", name)
		}
	}
}

func TestPull(t *testing.T) {
	s := recorded(t, "104")
	got, err := s.client().Pull(t.Context(), token, "sub", 10)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"maxMessages":"10","returnImmediately":"true"}`; s.sent != want {
		t.Errorf("sent %s, want %s: AMS refuses numbers and booleans", s.sent, want)
	}
	want := []Received{
		{"projects/accounting/subscriptions/attr:1", "1", map[string]string{"injected": "w", "q": "v"}, []byte("x"), time.Date(2026, 11, 23, 11, 8, 7, 786830102, time.UTC)},
		{"projects/accounting/subscriptions/attr:2", "2", map[string]string{"q": "é中"}, []byte("x"), time.Date(2026, 11, 23, 11, 8, 8, 502681249, time.UTC)},
		{"projects/accounting/subscriptions/attr:3", "3", nil, []byte("x"), time.Date(2026, 11, 23, 11, 8, 8, 554352932, time.UTC)},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("messages (-want +got):\n%s", d)
	}
	if got, err := recorded(t, "124").client().Pull(t.Context(), token, "sub", 1); err != nil || len(got) != 0 {
		t.Errorf("nothing to read: %v, %v", got, err)
	}
	_, err = recorded(t, "98").client().Pull(t.Context(), token, "sub", 1)
	if e := failed(t, err); e.HTTPStatus != 500 || !strings.Contains(e.Message, "invalid JSON Structure") {
		t.Errorf("a poisoned subscription: %v", err)
	}
	if _, err := recorded(t, "27").client().Pull(t.Context(), token, "sub", 10); err == nil || !strings.Contains(err.Error(), "message 4 of subscription sub is not base64") {
		t.Errorf("%v", err)
	}
}

func TestAcknowledge(t *testing.T) {
	s := &server{status: 200, body: "{}"}
	if err := s.client().Acknowledge(t.Context(), token, "sub", []string{"projects/p/subscriptions/sub:3", "projects/p/subscriptions/sub:4"}); err != nil {
		t.Fatal(err)
	}
	if want := `{"ackIds":["projects/p/subscriptions/sub:3","projects/p/subscriptions/sub:4"]}`; s.sent != want || !strings.HasSuffix(s.request.URL.Path, "/subscriptions/sub:acknowledge") {
		t.Errorf("sent %s to %s", s.sent, s.request.URL)
	}
	err := recorded(t, "60").client().Acknowledge(t.Context(), token, "sub", []string{"a"})
	if e := failed(t, err); e.HTTPStatus != http.StatusRequestTimeout || e.Message != "ack timeout" {
		t.Errorf("too late: %v", err)
	}
}

func TestProfile(t *testing.T) {
	s := recorded(t, "83")
	p, err := s.client().Profile(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if s.request.Method+" "+s.request.URL.Path != "GET /v1/users/profile" {
		t.Errorf("%s %s", s.request.Method, s.request.URL)
	}
	if p.Name != "eu-egi-cloud-accounting---caso-site-example-org---EXAMPLE-SITE" || len(p.Projects) != 2 || p.Projects[0].Topics[0] != "eu-egi-cloud-accounting" || p.Projects[0].Roles[0] != "publisher" {
		t.Errorf("%+v", p)
	}
	if _, err := recorded(t, "193").client().Profile(t.Context(), token); failed(t, err).HTTPStatus != 401 {
		t.Errorf("%v", err)
	}
}

func TestToken(t *testing.T) {
	s := recorded(t, "140")
	got, err := s.client().Token(t.Context())
	if err != nil || got != "site-token" {
		t.Errorf("%q, %v", got, err)
	}
	if s.request.Header.Get("X-Api-Key") != "" || s.request.Method != http.MethodGet {
		t.Errorf("%s with %v", s.request.Method, s.request.Header)
	}
	if _, err := (&server{status: 200, body: `{}`}).client().Token(t.Context()); err == nil || !strings.Contains(err.Error(), "no token") {
		t.Errorf("an answer without one: %v", err)
	}
}

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		host            string
		port, authnPort int
		base, authn     string
	}{
		{"msg.example.org", 0, 0, "https://msg.example.org/v1", "https://msg.example.org:8443/v1/service-types/ams/hosts/msg.example.org:authx509"},
		{"msg.example.org", 443, 443, "https://msg.example.org/v1", "https://msg.example.org:443/v1/service-types/ams/hosts/msg.example.org:authx509"},
		{"msg.example.org", 9443, 0, "https://msg.example.org:9443/v1", "https://msg.example.org:8443/v1/service-types/ams/hosts/msg.example.org:authx509"},
		{"192.0.2.7", 0, 9000, "https://192.0.2.7/v1", "https://192.0.2.7:9000/v1/service-types/ams/hosts/192.0.2.7:authx509"},
		{"2001:db8::7", 0, 0, "https://[2001:db8::7]/v1", "https://[2001:db8::7]:8443/v1/service-types/ams/hosts/2001:db8::7:authx509"},
		{"::1", 19443, 0, "https://[::1]:19443/v1", "https://[::1]:8443/v1/service-types/ams/hosts/::1:authx509"},
	} {
		s := &server{status: 200, body: `{"token":"x"}`}
		client := &Client{HTTP: &http.Client{Transport: s}, Host: c.host, Port: c.port, AuthnPort: c.authnPort}
		if got := client.base(); got != c.base {
			t.Errorf("%s %d: %s, want %s", c.host, c.port, got, c.base)
		}
		if _, err := client.Token(t.Context()); err != nil || s.request.URL.String() != c.authn {
			t.Errorf("%s %d: %v, want %s, %v", c.host, c.authnPort, s.request.URL, c.authn, err)
		}
	}
}

// stored is what AMS measures: the JSON that it stores, and 36 bytes (spec ams §4). Broker ids have at most 20 digits.
func stored(m Message) int {
	frame := "{\n   \"messageId\": \"N\",\n   \"attributes\": {\n      \"empaid\": \"" + m.Attributes["empaid"] + "\"\n   },\n   \"data\": \"" +
		"\",\n   \"publishTime\": \"2026-11-23T11:08:07.786830102Z\"\n}"
	return len(frame) + base64.StdEncoding.EncodedLen(len(m.Data)) + 36
}

// What was measured at the brokers tells whether stored is right, and that tells whether our limits are.
func TestSizes(t *testing.T) {
	of := func(n int) Message {
		return Message{Attributes: map[string]string{"empaid": empaid}, Data: make([]byte, n)}
	}
	for limit, largest := range map[int]int{1_000_000: 749_853, 1_500_000: 1_124_853} {
		if stored(of(largest)) > limit || stored(of(largest+3)) <= limit {
			t.Errorf("%d bytes of data are stored as %d, %d as %d; the broker's limit is %d", largest, stored(of(largest)), largest+3, stored(of(largest+3)), limit)
		}
	}
	for limit, broker := range map[int]int{DefaultLimit: 1_000_000, 1_499_000: 1_500_000, 100_000: 101_000} {
		m := of(MaxData(limit))
		if Size(m) > limit || Size(m) < limit-100 {
			t.Errorf("limit %d: MaxData gives a message of %d", limit, Size(m))
		}
		if n := stored(m) + 19; n > broker { // with an id of 20 digits
			t.Errorf("limit %d: a message of MaxData is stored as %d", limit, n)
		}
	}
}

func TestNoTokenInErrors(t *testing.T) {
	for name, s := range map[string]*server{
		"echoed by a gateway":         {status: 502, body: "<html>x-api-key: " + token + "</html>"},
		"echoed as AMS's own message": {status: 403, body: `{"error":{"message":"no access for ` + token + `","status":"FORBIDDEN"}}`},
		"a profile that is cut":       {status: 200, body: `{"token":"` + token + `","name":`},
		"a profile of another form":   {status: 200, body: `{"token":"` + token + `","projects":"all"}`},
		"a list":                      {status: 200, body: `["` + token + `"]`},
	} {
		_, err := s.client().Profile(t.Context(), token)
		failed(t, err)
		if s.status != 200 {
			continue
		}
		_, err = s.client().Token(t.Context())
		if err == nil { // this answer does hold a token
			continue
		}
		if failed(t, err); strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(200, `{"messageIds":["1"]}`)
	f.Add(200, `{"receivedMessages":[{"ackId":"a","message":{"messageId":"0","attributes":{"empaid":"x"},"data":"aGVsbG8=","publishTime":"2026-11-23T11:00:53.984231638Z"}}]}`)
	f.Add(404, `{"error":{"code":404,"message":"Topic doesn't exist","status":"NOT_FOUND"}}`)
	f.Add(503, "<html>\xff</html>")
	f.Add(200, `{"token":"x","projects":[{"project":"p","roles":["publisher"],"topics":["t"]}]}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		s := &server{status: status, body: body}
		c := s.client()
		_, publish := c.Publish(t.Context(), token, "topic", Message{Data: []byte("x")})
		_, pull := c.Pull(t.Context(), token, "sub", 1)
		_, profile := c.Profile(t.Context(), token)
		_, exchange := c.Token(t.Context())
		for _, err := range []error{publish, pull, profile, exchange, c.Acknowledge(t.Context(), token, "sub", nil)} {
			if err == nil {
				continue
			}
			if status != 200 {
				failed(t, err).Hint()
			}
			if text := err.Error(); len(text) > 500 || strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
				t.Errorf("the error is long or not on one line: %q", text)
			}
		}
	})
}

func TestErrorText(t *testing.T) {
	for want, e := range map[string]*Error{
		"publish to topic t at msg.example.org: 404 Topic doesn't exist":              {Op: "publish to topic t", Host: "msg.example.org", HTTPStatus: 404, Message: "Topic doesn't exist"},
		"publish to topic t at msg.example.org: no answer":                            {Op: "publish to topic t", Host: "msg.example.org", Cause: errNoAnswer},
		"publish to topic t at msg.example.org: 200, then no answer":                  {Op: "publish to topic t", Host: "msg.example.org", HTTPStatus: 200, Cause: errNoAnswer},
		"publish to topic t: 200 the answer has 0 message ids instead of one message": {Op: "publish to topic t", HTTPStatus: 200, Message: "the answer has 0 message ids instead of one message"},
	} {
		if d := cmp.Diff(want, e.Error()); d != "" {
			t.Error(d)
		}
	}
}

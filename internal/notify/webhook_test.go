package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hook is a server that keeps the last request.
type hook struct {
	*httptest.Server
	status  int
	method  string
	header  http.Header
	body    string
	arrived int
}

func newHook(t *testing.T) *hook {
	h := &hook{status: http.StatusNoContent}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.method, h.header, h.body = r.Method, r.Header, string(body)
		h.arrived++
		w.WriteHeader(h.status)
	}))
	t.Cleanup(h.Close)
	return h
}

func at(text string) func() (string, error) { return func() (string, error) { return text, nil } }

// TestWebhook: what is posted, and which answers count.
func TestWebhook(t *testing.T) {
	h := newHook(t)
	w := &Webhook{HTTP: h.Client(), URL: at(h.URL + "/services/T0/B0/secret"), Headers: func() (map[string]string, error) { return map[string]string{"Authorization": "Bearer s3cret"}, nil }}
	type item struct {
		Part  string `json:"part"`
		State string `json:"state"`
	}
	m := Message{Kind: "change", Subject: "SITE\n: 1 failed", Text: "one\ntwo\n", At: noon, Items: []item{{"accounting", "fail"}}}
	if err := w.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal([]byte(h.body), &got); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(`{"kind":"change","subject":"SITE : 1 failed","text":"one\ntwo\n","at":"2026-11-26T12:00:00Z","items":[{"part":"accounting","state":"fail"}]}`), &want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if h.method != http.MethodPost || h.header.Get("Authorization") != "Bearer s3cret" || h.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", h.method, h.header)
	}
	for status, fine := range map[int]bool{200: true, 202: true, 400: false, 404: false, 500: false} {
		h.status = status
		if err := w.Send(t.Context(), m); (err == nil) != fine {
			t.Errorf("%d: %v", status, err)
		} else if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the URL is in: %v", err)
		}
	}
}

// TestHeartbeat calls the URL, and no more.
func TestHeartbeat(t *testing.T) {
	h := newHook(t)
	b := &Heartbeat{HTTP: h.Client(), URL: at(h.URL + "/ping/secret")}
	if err := b.Ping(t.Context()); err != nil || h.method != http.MethodGet || h.body != "" || h.arrived != 1 {
		t.Errorf("%v, %s %q", err, h.method, h.body)
	}
}

// TestCallFails: no error holds the URL's path, which often is the secret.
func TestCallFails(t *testing.T) {
	h := newHook(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	for name, c := range map[string]struct {
		url  func() (string, error)
		want string
	}{
		"nothing there": {at(closed.URL + "/secret"), "heartbeat: 127.0.0.1:"},
		"no URL":        {at("secret"), "heartbeat: the URL is none"},
		"odd scheme":    {at("ftp://user:secret@host/secret"), "heartbeat: the URL is none"},
		"odd host":      {at("https://ho st/secret"), "heartbeat: the URL is none"},
		"unread":        {func() (string, error) { return "", errors.New("no such file") }, "heartbeat: URL: no such file"},
	} {
		err := (&Heartbeat{HTTP: h.Client(), URL: c.url}).Ping(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&Heartbeat{HTTP: h.Client(), URL: at(h.URL)}).Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	w := &Webhook{HTTP: h.Client(), URL: at(h.URL), Headers: func() (map[string]string, error) { return nil, errors.New("no such file") }}
	if err := w.Send(t.Context(), Message{}); err == nil || h.arrived != 0 {
		t.Errorf("%v", err)
	}
	w = &Webhook{HTTP: h.Client(), URL: at(h.URL)}
	if err := w.Send(t.Context(), Message{Items: make(chan int)}); err == nil || h.arrived != 0 {
		t.Errorf("%v", err)
	}
}

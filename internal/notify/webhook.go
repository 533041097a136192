package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// callTime bounds one call of a webhook or a heartbeat.
const callTime = 30 * time.Second

// Webhook posts messages as JSON.
type Webhook struct {
	HTTP *http.Client // proxy, authorities, limits: the caller's
	// URL gives where to, and Headers what else is sent; they are asked anew for each message.
	URL     func() (string, error)
	Headers func() (map[string]string, error) // may be nil
}

var _ Channel = (*Webhook)(nil)

// Name is "webhook".
func (w *Webhook) Name() string { return "webhook" }

// Send posts {"kind", "subject", "text", "at", "items"}; every answer of 2xx counts as delivered.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(struct {
		Kind    string    `json:"kind"`
		Subject string    `json:"subject"`
		Text    string    `json:"text"`
		At      time.Time `json:"at"`
		Items   any       `json:"items"`
	}{m.Kind, line(m.Subject), m.Text, m.At.UTC(), m.Items})
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	headers := map[string]string{}
	if w.Headers != nil {
		if headers, err = w.Headers(); err != nil {
			return fmt.Errorf("webhook: a header's value: %w", err)
		}
	}
	return call(ctx, w.HTTP, "webhook", http.MethodPost, w.URL, headers, body)
}

// Heartbeat tells a watcher that fedsite lives: it alarms when the sign does not come.
type Heartbeat struct {
	HTTP *http.Client
	URL  func() (string, error)
}

// Ping calls the URL once.
func (h *Heartbeat) Ping(ctx context.Context) error {
	return call(ctx, h.HTTP, "heartbeat", http.MethodGet, h.URL, nil, nil)
}

// call asks a URL once. Errors name its host only.
func call(ctx context.Context, client *http.Client, what, method string, where func() (string, error), headers map[string]string, body []byte) error {
	raw, err := where()
	if err != nil {
		return fmt.Errorf("%s: URL: %w", what, err)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return fmt.Errorf("%s: the URL is none (https://host/…)", what) // it may be secret as a whole
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, raw, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: no request can be made for %s", what, u.Host)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // without the URL
		}
		return fmt.Errorf("%s: %s: %w", what, u.Host, err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("%s: %s answers %d", what, u.Host, res.StatusCode)
	}
	return nil
}

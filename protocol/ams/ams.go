// Package ams speaks the HTTP interface of the ARGO Messaging Service: publish, pull, acknowledge, and the exchange of a
// certificate for a token (spec ams §2–6). Connections are the caller's; nothing is retried here, but every error says
// what is known of the message.
package ams

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Default ports: AMS, and authn, which exchanges a certificate for a token. They are settings of their own: an AMS behind
// another port keeps its authn where it is (spec ams §2).
const (
	DefaultPort      = 443
	DefaultAuthnPort = 8443
)

// DefaultLimit is how many bytes of base64 and attributes one message may have: EGI's rule is below 1 MB, and brokers
// differ in what they count (spec ams §4).
const DefaultLimit = 990_000

// maxAnswer bounds every answer that is read, in bytes.
const maxAnswer = 16 << 20

// Client speaks to one AMS. HTTP carries time-outs, proxies, CAs and, for Token, the TLS client certificate.
type Client struct {
	HTTP      *http.Client
	Host      string
	Port      int // 0 = DefaultPort
	AuthnPort int // 0 = DefaultAuthnPort
	Project   string
}

// Message is what is published: attributes and data. Attributes that are none are sent as {}, nil ones not at all.
type Message struct {
	Attributes map[string]string
	Data       []byte
}

// Received is a message as it is pulled.
type Received struct {
	AckID       string
	ID          string
	Attributes  map[string]string
	Data        []byte
	PublishTime time.Time
}

// Publish publishes one message, and gives the broker's id of it, which is for logs only: it need not be unique. One
// message a request, because a list is not stored as a whole (spec ams §4).
func (c *Client) Publish(ctx context.Context, token, topic string, m Message) (string, error) {
	for k, v := range m.Attributes {
		if !plain(k) || !plain(v) {
			return "", fmt.Errorf("publish to topic %s: attribute %q is not of letters, digits and /_.-: AMS would store it unescaped", topic, k)
		}
	}
	type wire struct {
		Attributes map[string]string `json:"attributes,omitzero"`
		Data       string            `json:"data"`
	}
	data := base64.StdEncoding.EncodeToString(m.Data)
	var answer struct {
		IDs []string `json:"messageIds"`
	}
	err := c.post(ctx, token, "publish to topic "+topic, "topics/"+url.PathEscape(topic)+":publish", map[string][]wire{"messages": {{m.Attributes, data}}}, &answer)
	if err != nil {
		return "", err
	}
	if len(answer.IDs) != 1 {
		return "", &Error{Op: "publish to topic " + topic, HTTPStatus: http.StatusOK, Message: fmt.Sprintf("the answer has %d message ids instead of one", len(answer.IDs))}
	}
	return answer.IDs[0], nil
}

// Pull gives up to n messages of a subscription, at once, without waiting for more. Until they are acknowledged they come
// again with every pull.
func (c *Client) Pull(ctx context.Context, token, subscription string, n int) ([]Received, error) {
	var answer struct {
		Messages []struct {
			AckID   string `json:"ackId"`
			Message struct {
				ID          string            `json:"messageId"`
				Attributes  map[string]string `json:"attributes"`
				Data        string            `json:"data"`
				PublishTime time.Time         `json:"publishTime"`
			} `json:"message"`
		} `json:"receivedMessages"`
	}
	// Both values are strings: AMS refuses numbers and booleans (spec ams §5).
	err := c.post(ctx, token, "pull from subscription "+subscription, "subscriptions/"+url.PathEscape(subscription)+":pull", map[string]string{"maxMessages": strconv.Itoa(n), "returnImmediately": "true"}, &answer)
	if err != nil {
		return nil, err
	}
	all := make([]Received, len(answer.Messages))
	for i, m := range answer.Messages {
		data, err := base64.StdEncoding.DecodeString(m.Message.Data)
		if err != nil {
			return nil, fmt.Errorf("message %s of subscription %s is not base64: %w", m.Message.ID, subscription, err)
		}
		all[i] = Received{m.AckID, m.Message.ID, m.Message.Attributes, data, m.Message.PublishTime}
	}
	return all, nil
}

// Acknowledge tells that the messages of one pull are dealt with; once per pull, with all ids (spec ams §6).
func (c *Client) Acknowledge(ctx context.Context, token, subscription string, ackIDs []string) error {
	return c.post(ctx, token, "acknowledge to subscription "+subscription, "subscriptions/"+url.PathEscape(subscription)+":acknowledge", map[string][]string{"ackIds": ackIDs}, nil)
}

// Profile is what AMS knows of a token's user.
type Profile struct {
	Name     string `json:"name"`
	Projects []struct {
		Project string   `json:"project"`
		Roles   []string `json:"roles"`
		Topics  []string `json:"topics"`
	} `json:"projects"`
}

// Profile asks whose token it is: the cheap way to see that it is good, and what it may publish to.
func (c *Client) Profile(ctx context.Context, token string) (Profile, error) {
	var p Profile
	return p, c.do(ctx, "ask for the token's profile", http.MethodGet, c.base()+"/users/profile", token, nil, &p)
}

// exchange names the call of authn in errors.
const exchange = "exchange the certificate for a token"

// Token exchanges the TLS client certificate that HTTP presents for a token (spec ams §2).
func (c *Client) Token(ctx context.Context) (string, error) {
	port := c.AuthnPort
	if port == 0 {
		port = DefaultAuthnPort
	}
	u := "https://" + net.JoinHostPort(c.Host, strconv.Itoa(port)) + "/v1/service-types/ams/hosts/" + url.PathEscape(c.Host) + ":authx509"
	var answer struct {
		Token string `json:"token"`
	}
	if err := c.do(ctx, exchange, http.MethodGet, u, "", nil, &answer); err != nil {
		return "", err
	}
	if answer.Token == "" {
		return "", &Error{Op: exchange, HTTPStatus: http.StatusOK, Message: "the answer has no token"}
	}
	return answer.Token, nil
}

func (c *Client) base() string {
	port := c.Port
	if port == 0 {
		port = DefaultPort
	}
	host := net.JoinHostPort(c.Host, strconv.Itoa(port))
	return "https://" + strings.TrimSuffix(host, ":443") + "/v1"
}

// post calls something of the project; op says what in errors.
func (c *Client) post(ctx context.Context, token, op, path string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return c.do(ctx, op, http.MethodPost, c.base()+"/projects/"+url.PathEscape(c.Project)+"/"+path, token, data, answer)
}

func (c *Client) do(ctx context.Context, op, method, u, token string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if token != "" {
		req.Header.Set("x-api-key", token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the URL is said already
		}
		return &Error{Op: op, Host: req.URL.Host, Cause: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	if err != nil {
		return &Error{Op: op, Host: req.URL.Host, HTTPStatus: res.StatusCode, Cause: err}
	}
	if res.StatusCode != http.StatusOK {
		e := refusal(op, req.URL.Host, res, text)
		if token != "" { // something in between may have echoed the request
			e.Message = strings.ReplaceAll(e.Message, token, "***")
		}
		return e
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return &Error{Op: op, Host: req.URL.Host, HTTPStatus: res.StatusCode, Message: "the answer is not JSON of the expected form: " + unexpected(text)}
	}
	return nil
}

// unexpected describes the body of a success that cannot be read. It is quoted only where it is no JSON at all, such as a
// page of a balancer: answers of AMS and authn hold tokens.
func unexpected(text []byte) string {
	if t := bytes.TrimSpace(text); len(t) > 0 && t[0] == '<' {
		return shorten(t)
	}
	return fmt.Sprintf("%d bytes", len(text))
}

// plain tells whether AMS stores the text as it is; other characters are not escaped there and spoil every later pull
// (spec ams §4).
func plain(text string) bool {
	for _, c := range []byte(text) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '/', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}

// Size is what AMS counts of a message with the attribute empaid: base64 and attributes, in bytes, without the frame that
// it puts around them.
func Size(m Message) int {
	n := base64.StdEncoding.EncodedLen(len(m.Data))
	for k, v := range m.Attributes {
		n += len(k) + len(v) + 8
	}
	return n
}

// MaxData is how many bytes of data a message of the given limit can carry beside an empaid.
func MaxData(limit int) int { return (limit - 64) / 4 * 3 }

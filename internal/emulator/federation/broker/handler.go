package broker

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var nameForm = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// AMS serves the messaging interface below /v1.
func (b *Broker) AMS() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.requests++
		b.mu.Unlock()
		parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
		switch {
		case r.URL.Path == "/v1/status" && r.Method == http.MethodGet:
			fmt.Fprint(w, "{\n \"status\": \"ok\",\n \"push_functionality\": \"disabled\"\n}")
		case r.URL.Path == "/v1/users/profile" && r.Method == http.MethodGet:
			b.profile(w, r)
		case len(parts) == 5 && parts[0] == "v1" && parts[1] == "projects" && (parts[3] == "topics" || parts[3] == "subscriptions"):
			b.route(w, r, parts[2], parts[3], parts[4])
		default:
			notFound(w)
		}
	})
}

func notFound(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, "404 page not found\n")
}

// request is one call after its route is known.
type request struct {
	b       *Broker
	w       http.ResponseWriter
	r       *http.Request
	project *project
	name    string // project's
	user    User
	object  string // topic or subscription
}

// route checks in AMS's order: route, names, token, project, user, role; then the handler checks the rest.
func (b *Broker) route(w http.ResponseWriter, r *http.Request, projectName, kind, rest string) {
	object, verb, _ := strings.Cut(rest, ":")
	var (
		role string
		do   func(*request)
	)
	singular := strings.TrimSuffix(kind, "s")
	switch key := r.Method + " " + kind + ":" + verb; key {
	case "POST topics:publish":
		role, do = "publisher", (*request).publish
	case "POST subscriptions:pull":
		role, do = "consumer", (*request).pull
	case "POST subscriptions:acknowledge":
		role, do = "consumer", (*request).acknowledge
	case "GET subscriptions:offsets":
		role, do = "consumer", (*request).offsets
	case "GET topics:":
		role, do = "publisher", (*request).showTopic
	default:
		if r.Method == http.MethodGet || r.Method == http.MethodPut || r.Method == http.MethodDelete {
			object, do = rest, func(q *request) { notFound(q.w) } // the plain route takes the verb for a part of the name
			break
		}
		notFound(w)
		return
	}
	for _, v := range [][2]string{{"project", projectName}, {singular, object}} {
		if !nameForm.MatchString(v[1]) {
			(&failure{400, "Invalid " + v[0] + " name", "INVALID_ARGUMENT", true}).write(w)
			return
		}
	}
	token := r.Header.Get("x-api-key")
	if token == "" {
		token = r.URL.Query().Get("key")
	}
	b.mu.Lock()
	p := b.projects[projectName]
	user, known := b.users[token]
	b.mu.Unlock()
	switch {
	case token == "":
		unauthorized.write(w)
	case p == nil:
		(&failure{404, "project doesn't exist", "NOT_FOUND", true}).write(w)
	case !known || len(user.Roles[projectName]) == 0:
		unauthorized.write(w)
	case !slices.Contains(user.Roles[projectName], role) && !slices.Contains(user.Roles[projectName], "project_admin"):
		(&failure{403, forbidden, "FORBIDDEN", true}).write(w)
	default:
		do(&request{b, w, r, p, projectName, user, object})
	}
}

func (q *request) fail(code int, message, status string) {
	(&failure{code, message, status, false}).write(q.w)
}

func (q *request) body() ([]byte, bool) {
	data, err := io.ReadAll(io.LimitReader(q.r.Body, 64<<20))
	return data, err == nil
}

func (q *request) admin() bool { return slices.Contains(q.user.Roles[q.name], "project_admin") }

type wireMessage struct {
	Attributes map[string]string `json:"attributes"`
	Data       string            `json:"data"`
}

// publish stores each message of the list in turn.
func (q *request) publish() {
	b := q.b
	b.mu.Lock()
	t := q.project.topics[q.object]
	b.mu.Unlock()
	switch {
	case t == nil:
		q.fail(404, "Topic doesn't exist", "NOT_FOUND")
		return
	case !slices.Contains(t.acl, q.user.Name) && !q.admin():
		q.fail(403, forbidden, "FORBIDDEN")
		return
	}
	data, ok := q.body()
	var in struct {
		Messages []wireMessage `json:"messages"`
	}
	if !ok || json.Unmarshal(data, &in) != nil {
		q.fail(400, "Invalid Message Arguments", "INVALID_ARGUMENT")
		return
	}
	for _, m := range in.Messages {
		for k, v := range m.Attributes {
			if strings.ContainsFunc(k+v, func(r rune) bool { return r < 0x20 || r == '"' || r == '\\' }) {
				q.fail(400, "Invalid Message Arguments", "INVALID_ARGUMENT")
				return
			}
		}
	}
	fault, struck := b.fault()
	if struck && fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-q.r.Context().Done():
		}
	}
	if struck && !fault.Store {
		q.strike(fault)
		return
	}
	ids := []string{}
	for _, m := range in.Messages {
		id, large := b.store(q.name, t, m)
		if large != 0 {
			message, status := "Message size is too large", "INVALID_ARGUMENT"
			if large == http.StatusInternalServerError {
				message, status = "Backend Error", "INTERNAL_SERVER_ERROR"
			}
			q.fail(large, message, status)
			return
		}
		ids = append(ids, id)
	}
	if struck {
		q.strike(fault)
		return
	}
	reply(q.w, http.StatusOK, map[string]any{"messageIds": ids})
}

// fault takes the next fault that is due, if there is one.
func (b *Broker) fault() (Fault, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.faults {
		if b.faults[i].Times > 0 {
			b.faults[i].Times--
			return b.faults[i], true
		}
	}
	return Fault{}, false
}

// strike answers as the fault says; without a status the connection is cut.
func (q *request) strike(f Fault) {
	if f.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	if f.RetryAfter != "" {
		q.w.Header().Set("Retry-After", f.RetryAfter)
	}
	q.w.Header().Set("Content-Type", "text/html")
	q.w.WriteHeader(f.Status)
	_, _ = io.WriteString(q.w, f.Body)
}

// store keeps a message, or gives the status with which it is too large.
func (b *Broker) store(projectName string, t *topic, m wireMessage) (string, int) {
	b.mu.Lock()
	stored := Stored{Topic: t.name, ID: strconv.Itoa(len(t.messages)), Attributes: m.Attributes, Data: m.Data, Published: b.now().UTC()}
	if frame(stored) > b.limit.Bytes {
		defer b.mu.Unlock()
		return "", b.limit.Status
	}
	t.messages = append(t.messages, stored)
	told := b.onStored
	b.mu.Unlock()
	if told != nil {
		told(stored)
	}
	return stored.ID, 0
}

// frame is the size that the broker counts: the message as it is stored, and 36 bytes (spec ams §4).
func frame(m Stored) int {
	text, _ := json.MarshalIndent(map[string]any{"messageId": m.ID, "attributes": m.Attributes, "data": m.Data, "publishTime": m.Published.Format(time.RFC3339Nano)}, "", "   ")
	return len(text) + 36
}

func (q *request) pull() {
	b := q.b
	b.mu.Lock()
	defer b.mu.Unlock()
	s := q.project.subs[q.object]
	switch {
	case s == nil:
		q.fail(404, "Subscription doesn't exist", "NOT_FOUND")
		return
	case !slices.Contains(s.acl, q.user.Name) && !q.admin():
		q.fail(403, forbidden, "FORBIDDEN")
		return
	case s.topic == nil:
		q.fail(409, "Subscription's topic doesn't exist", "CONFLICT")
		return
	}
	data, ok := q.body()
	var in struct {
		Max  string `json:"maxMessages"`
		Wait string `json:"returnImmediately"`
	}
	if !ok || json.Unmarshal(data, &in) != nil {
		q.fail(400, "Invalid Pull Parameters Arguments", "INVALID_ARGUMENT")
		return
	}
	n, err := strconv.Atoi(in.Max)
	if err != nil || n <= 0 {
		n = 1
	}
	list := []any{}
	for i := s.offset; i < len(s.topic.messages) && len(list) < n; i++ {
		m := s.topic.messages[i]
		message := map[string]any{"messageId": m.ID, "data": m.Data, "publishTime": m.Published.Format(time.RFC3339Nano)}
		if len(m.Attributes) > 0 {
			message["attributes"] = m.Attributes
		}
		list = append(list, map[string]any{"ackId": fmt.Sprintf("projects/%s/subscriptions/%s:%d", q.name, s.name, i), "message": message})
	}
	s.nextOffset, s.pulledAt = s.offset+len(list), b.now().Unix()
	reply(q.w, http.StatusOK, map[string]any{"receivedMessages": list})
}

// acknowledge moves the subscription on past the highest id of the list (spec ams §6).
func (q *request) acknowledge() {
	b := q.b
	data, ok := q.body()
	var in struct {
		IDs []string `json:"ackIds"`
	}
	if !ok || json.Unmarshal(data, &in) != nil {
		q.fail(400, "Invalid ack parameter", "INVALID_ARGUMENT")
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := q.project.subs[q.object]
	if s == nil {
		q.fail(404, "Subscription doesn't exist", "NOT_FOUND")
		return
	}
	highest := -1
	for _, id := range in.IDs {
		text, found := strings.CutPrefix(id, fmt.Sprintf("projects/%s/subscriptions/%s:", q.name, s.name))
		n, err := strconv.Atoi(text)
		if !found || err != nil || n < 0 {
			highest = -1
			break
		}
		highest = max(highest, n)
	}
	deadline := s.deadline
	if deadline == 0 {
		deadline = 10
	}
	next := highest + 1
	switch {
	case highest < 0:
		q.fail(400, "Invalid ack id", "INVALID_ARGUMENT")
	case s.nextOffset == 0:
		q.fail(500, "no ack pending", "INTERNAL_SERVER_ERROR")
	case next <= s.offset || next > s.nextOffset:
		q.fail(500, "wrong ack", "INTERNAL_SERVER_ERROR")
	case b.now().Unix()-s.pulledAt > int64(deadline):
		q.fail(408, "ack timeout", "TIMEOUT")
	default:
		s.offset, s.nextOffset = next, 0
		q.w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(q.w, "{}")
	}
}

func (q *request) offsets() {
	q.b.mu.Lock()
	defer q.b.mu.Unlock()
	s := q.project.subs[q.object]
	if s == nil || s.topic == nil {
		q.fail(404, "Subscription doesn't exist", "NOT_FOUND")
		return
	}
	reply(q.w, http.StatusOK, map[string]int{"max": len(s.topic.messages), "min": 0, "current": s.offset})
}

func (q *request) showTopic() {
	q.b.mu.Lock()
	defer q.b.mu.Unlock()
	t := q.project.topics[q.object]
	if t == nil {
		q.fail(404, "Topic doesn't exist", "NOT_FOUND")
		return
	}
	reply(q.w, http.StatusOK, map[string]string{"name": "/projects/" + q.name + "/topics/" + t.name, "created_on": t.created.UTC().Format("2006-01-02T15:04:05Z")})
}

func (b *Broker) profile(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("x-api-key")
	if token == "" {
		token = r.URL.Query().Get("key")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	u, ok := b.users[token]
	if !ok {
		unauthorized.write(w)
		return
	}
	list := []any{}
	for _, p := range b.seed.Projects {
		if len(u.Roles[p.Name]) == 0 {
			continue
		}
		topics := []string{}
		for name, acl := range p.Topics {
			if slices.Contains(acl, u.Name) {
				topics = append(topics, name)
			}
		}
		slices.Sort(topics)
		list = append(list, map[string]any{"project": p.Name, "roles": u.Roles[p.Name], "topics": topics, "subscriptions": []string{}})
	}
	reply(w, http.StatusOK, map[string]any{"uuid": "u-" + u.Name, "projects": list, "name": u.Name, "token": u.Token, "email": "", "service_roles": []string{},
		"created_on": b.now().UTC().Format("2006-01-02T15:04:05Z"), "modified_on": b.now().UTC().Format("2006-01-02T15:04:05Z")})
}

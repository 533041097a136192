// Package broker emulates the ARGO Messaging Service and its authn, in memory, with their order of checks and their errors
// (spec ams §3–6).
//
// On purpose not reproduced: the 300 s lock of a waiting pull, duplicate message ids, an acknowledge without the
// subscription's ACL, an offset set despite its 400, and attribute poisoning, which is refused with 400. Administration
// is limited to what a publisher and a consumer need.
package broker

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Seed is what the broker knows at its start.
type Seed struct {
	Host     string // name under which authn knows this AMS
	Projects []Project
	Users    []User
	Bindings map[string]string // DN in authn's form → user name
}

// Project of the broker.
type Project struct {
	Name          string
	Topics        map[string][]string // topic → users that may publish
	Subscriptions map[string]Subscription
}

// Subscription to a topic. AckDeadline in seconds; 0 = 10.
type Subscription struct {
	Topic       string
	Consumers   []string
	AckDeadline int
}

// User of the broker; Roles by project.
type User struct {
	Name, Token string
	Roles       map[string][]string
}

// Stored is a message that the broker has.
type Stored struct {
	Topic      string
	ID         string
	Attributes map[string]string
	Data       string // base64, as it was sent
	Published  time.Time
}

// Broker is the emulated service.
type Broker struct {
	now  func() time.Time
	seed Seed

	mu       sync.Mutex
	users    map[string]User // by token
	projects map[string]*project
	faults   []Fault
	limit    Limit
	onStored func(Stored)
	requests int
}

type project struct {
	topics map[string]*topic
	subs   map[string]*subscription
}

type topic struct {
	name     string
	acl      []string
	messages []Stored
	created  time.Time
}

type subscription struct {
	name       string
	topic      *topic
	acl        []string
	deadline   int
	offset     int
	nextOffset int
	pulledAt   int64
}

// Limit is the size from which on a message is refused, and how.
type Limit struct {
	Bytes  int // of the stored message; 0 = 1,048,552: what a Kafka with its own default lets through
	Status int // 413 (AMS ≤ 1.6) or 500 (1.7); 0 = 413
}

// whole puts the defaults in.
func (l Limit) whole() Limit {
	return Limit{cmp.Or(l.Bytes, 1_048_552), cmp.Or(l.Status, http.StatusRequestEntityTooLarge)}
}

// Fault is something that goes wrong with the next publish requests.
type Fault struct {
	Times      int           // how many requests it meets; it is used up afterwards
	Status     int           // answer this, with Body; 0 = no answer: the connection is closed
	Body       string        // HTML of a balancer, say
	RetryAfter string        // header
	Store      bool          // store the message before that: the answer is lost
	Delay      time.Duration // wait before answering
}

// New gives a broker that knows the seed.
func New(seed Seed, now func() time.Time) *Broker {
	b := &Broker{now: now, seed: seed, users: map[string]User{}, projects: map[string]*project{}, limit: Limit{}.whole()}
	for _, u := range seed.Users {
		b.users[u.Token] = u
	}
	for _, p := range seed.Projects {
		q := &project{topics: map[string]*topic{}, subs: map[string]*subscription{}}
		for name, acl := range p.Topics {
			q.topics[name] = &topic{name: name, acl: acl, created: now()}
		}
		for name, s := range p.Subscriptions {
			q.subs[name] = &subscription{name: name, topic: q.topics[s.Topic], acl: s.Consumers, deadline: s.AckDeadline}
		}
		b.projects[p.Name] = q
	}
	return b
}

// OpenTopic makes a topic, its project if need be, and a subscription of the topic's name; users may publish there and read.
// One that is there stays, with more users. It must not be in use meanwhile.
func (b *Broker) OpenTopic(projectName, topicName string, users ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	projects := slices.Clone(b.seed.Projects) // a seed may be shared
	at := slices.IndexFunc(projects, func(p Project) bool { return p.Name == projectName })
	if at < 0 {
		at = len(projects)
		projects = append(projects, Project{Name: projectName})
		b.projects[projectName] = &project{topics: map[string]*topic{}, subs: map[string]*subscription{}}
	}
	p := b.projects[projectName]
	if p.topics[topicName] == nil {
		p.topics[topicName] = &topic{name: topicName, created: b.now()}
	}
	t := p.topics[topicName]
	if p.subs[topicName] == nil {
		p.subs[topicName] = &subscription{name: topicName, topic: t}
	}
	t.acl = append(slices.Clip(t.acl), users...)
	p.subs[topicName].acl = append(slices.Clip(p.subs[topicName].acl), users...)
	projects[at].Topics = also(projects[at].Topics, topicName, t.acl...)
	b.seed.Projects = projects
	for token, u := range b.users {
		if slices.Contains(users, u.Name) {
			u.Roles = also(u.Roles, projectName, "publisher", "consumer")
			b.users[token] = u
		}
	}
}

// also gives a copy of a map, with more values for a key.
func also(m map[string][]string, key string, more ...string) map[string][]string {
	with := map[string][]string{}
	maps.Copy(with, m)
	with[key] = slices.Clone(with[key])
	for _, v := range more {
		if !slices.Contains(with[key], v) {
			with[key] = append(with[key], v)
		}
	}
	return with
}

// OnStored calls f for every message that is stored, before it is answered.
func (b *Broker) OnStored(f func(Stored)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onStored = f
}

// SetLimit sets the size limit.
func (b *Broker) SetLimit(l Limit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = l.whole()
}

// Inject adds a fault for publish requests to come.
func (b *Broker) Inject(f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, f)
}

// SetToken replaces a user's token, as an administrator's refresh does; the old one is unknown at once.
func (b *Broker) SetToken(userName, fresh string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for old, u := range b.users {
		if u.Name == userName {
			delete(b.users, old)
			u.Token = fresh
			b.users[fresh] = u
			return
		}
	}
}

// Messages gives what a topic holds, in order.
func (b *Broker) Messages(projectName, topicName string) []Stored {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.projects[projectName]; p != nil && p.topics[topicName] != nil {
		return slices.Clone(p.topics[topicName].messages)
	}
	return nil
}

// Requests is how many requests were answered.
func (b *Broker) Requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests
}

// reply writes a handler's JSON, indented as AMS does.
func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if body == nil {
		return
	}
	text, _ := json.MarshalIndent(body, "", "   ")
	_, _ = w.Write(text)
}

// failure is an answer that is no success.
type failure struct {
	code            int
	message, status string
	early           bool // of the checks before the handler: its JSON is called text/plain
}

func (f *failure) write(w http.ResponseWriter) {
	kind := "application/json; charset=utf-8"
	if f.early {
		kind = "text/plain; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(f.code)
	text, _ := json.MarshalIndent(map[string]any{"error": map[string]any{"code": f.code, "message": f.message, "status": f.status}}, "", "   ")
	_, _ = w.Write(text)
}

var (
	unauthorized = &failure{401, "Unauthorized", "UNAUTHORIZED", true}
	forbidden    = "Access to this resource is forbidden"
)

// Authn serves the exchange of a client certificate for a token; the connection's TLS state names the certificate.
func (b *Broker) Authn() http.Handler {
	mux := http.NewServeMux()
	refuse := func(w http.ResponseWriter, code int, message, status string) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(code)
		text, _ := json.MarshalIndent(map[string]any{"error": map[string]any{"message": message, "code": code, "status": status}}, "", " ")
		_, _ = w.Write(text)
	}
	mux.HandleFunc("GET /v1/service-types/{type}/hosts/{host}", func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			refuse(w, 400, "No certificate provided", "BAD REQUEST")
			return
		}
		cert := r.TLS.PeerCertificates[0]
		switch now := b.now(); {
		case r.PathValue("type") != "ams":
			refuse(w, 404, "Service-type was not found", "NOT FOUND")
		case r.PathValue("host") != b.seed.Host+":authx509":
			refuse(w, 404, "Host was not found", "NOT FOUND")
		case now.After(cert.NotAfter):
			refuse(w, 403, "Your certificate has expired", "ACCESS_FORBIDDEN")
		case now.Before(cert.NotBefore):
			refuse(w, 403, "Your certificate is not active yet", "ACCESS_FORBIDDEN")
		case len(cert.CRLDistributionPoints) == 0:
			refuse(w, 403, "Your certificate is invalid. No CRLDistributionPoints found on the certificate", "ACCESS_FORBIDDEN")
		default:
			name, ok := b.seed.Bindings[AuthnDN(cert)]
			if !ok {
				refuse(w, 404, "Binding was not found", "NOT FOUND")
				return
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, u := range b.users {
				if u.Name == name {
					w.Header().Set("Content-Type", "application/json; charset=utf-8")
					fmt.Fprintf(w, "{\n \"token\": %q\n}", u.Token)
					return
				}
			}
			refuse(w, 404, "Binding was not found", "NOT FOUND")
		}
	})
	return mux
}

// NewToken gives a token of the form that AMS makes, for a name.
func NewToken(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

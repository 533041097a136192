//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// answer is what a cloud said to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// features says an answer in lines that are equal where two clouds answer alike: the status, the headers, and of the JSON
// every place with what stands there (a type, a layout of a time or an id, or the value itself where it is a word of the
// protocol), which keys are always there and which not. Elements of a list are one place: they are alike.
func features(t *testing.T, a answer, s *side) []string {
	t.Helper()
	all := map[string]bool{fmt.Sprintf("status %d", a.status): true}
	for name, values := range a.header {
		switch {
		case passing[name]:
		case valued[name]:
			all["header "+name+" = "+s.neutral(strings.ReplaceAll(strings.Join(values, ","), " ", ""))] = true // Apache joins equal ones
		default:
			all["header "+name] = true
		}
	}
	f := &places{side: s, lines: all, objects: map[string]int{}, keys: map[string]map[string]int{}}
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.UseNumber()
	var body any
	switch err := decoder.Decode(&body); {
	case len(bytes.TrimSpace(a.body)) == 0:
		all["no body"] = true
	case err == nil:
		f.walk("$", body)
		f.optional()
	default:
		all["body is no JSON: "+s.neutral(firstLine(a.body))] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line
}

// passing are headers of the connection or of the moment.
var passing = map[string]bool{"Date": true, "Server": true, "Connection": true, "Content-Length": true, "Transfer-Encoding": true, "Keep-Alive": true}

// valued are the headers that clients read the value of; others are only there or not.
var valued = map[string]bool{
	"Content-Type": true, "Vary": true, "Openstack-Api-Version": true, "X-Openstack-Nova-Api-Version": true, "Www-Authenticate": true,
	"Location": true, "Retry-After": true, "Allow": true,
}

// places collects what stands where.
type places struct {
	side    *side
	lines   map[string]bool
	objects map[string]int            // place → objects found there
	keys    map[string]map[string]int // place → key → objects that have it
}

func (p *places) walk(place string, v any) {
	switch v := v.(type) {
	case map[string]any:
		p.lines[place+": object"] = true
		p.objects[place]++
		if p.keys[place] == nil {
			p.keys[place] = map[string]int{}
		}
		free := named[place[strings.LastIndexByte(place, '.')+1:]]
		for key, value := range v {
			if free {
				key = "*"
			} else {
				p.keys[place][key]++
			}
			p.walk(place+"."+key, value)
		}
	case []any:
		p.lines[place+": list"] = true
		for _, e := range v {
			p.walk(place+"[]", e)
		}
	default:
		p.lines[place+": "+p.scalar(place, v)] = true
	}
}

// optional adds the keys that not all objects of a place have.
func (p *places) optional() {
	for place, keys := range p.keys {
		for key, n := range keys {
			if n < p.objects[place] {
				p.lines[place+"."+key+": not always there"] = true
			}
		}
	}
}

// named are the objects whose keys are chosen by tenants or administrators.
var named = map[string]bool{"addresses": true, "metadata": true, "extra_specs": true}

// said are the keys of texts that are written for people, or that the world does not know: only whether there is one counts.
var said = map[string]bool{
	"message": true, "details": true, "description": true, "title": true, "detail": true, "checksum": true, "os_hash_value": true,
	"email": true, "audit_ids[]": true, "hostId": true, "OS-EXT-SRV-ATTR:instance_name": true, "OS-EXT-SRV-ATTR:reservation_id": true, "volume_type": true, "OS-EXT-SRV-ATTR:host": true, "locked_reason": true,
}

// layouts are the forms of texts that differ from one cloud, or one moment, to the other.
var layouts = []struct {
	is   *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`), "time 2006-01-02T15:04:05.000000Z"},
	{regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$`), "time 2006-01-02T15:04:05.000000"},
	{regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`), "time 2006-01-02T15:04:05Z"},
	{regexp.MustCompile(`^[0-9a-f]{32}$`), "id of 32 digits"},
	{regexp.MustCompile(`^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`), "UUID"},
	{regexp.MustCompile(`^req-[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`), "id of a request"},
	{regexp.MustCompile(`^\d+\.\d+\.\d+\.\d+$`), "IPv4 address"},
	{regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`), "MAC address"},
	{regexp.MustCompile(`^gAAAA[-_=A-Za-z0-9]+$`), "token"},
}

func (p *places) scalar(place string, v any) string {
	key := place[strings.LastIndexByte(place, '.')+1:]
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(v)
	case json.Number:
		switch {
		case strings.ContainsAny(v.String(), ".eE"):
			return "number with a point"
		case sized[key]:
			return v.String()
		}
		return "whole number"
	}
	text := v.(string)
	if text == "" {
		return `""`
	}
	if said[key] {
		return "text"
	}
	for _, l := range layouts {
		if l.is.MatchString(text) {
			return l.name
		}
	}
	return fmt.Sprintf("%q", p.side.neutral(text))
}

// sized are the keys of numbers that must be equal: the world knows them.
var sized = map[string]bool{"code": true, "vcpus": true, "ram": true, "ephemeral": true, "version": true, "OS-EXT-STS:power_state": true}

// side is one of the two clouds.
type side struct {
	name     string
	password string            // of all accounts
	roots    map[string]string // service → URL of its root
	tokens   map[string]string // USER@PROJECT → token
	client   *http.Client
}

var (
	ids     = regexp.MustCompile(`[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}\b`)
	moments = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d(:|%3A)\d\d(:|%3A)\d\d(\.\d+)?(Z|%2B00(:|%3A)00)?`)
)

// neutral gives a text without what the cloud's own place and ids put into it.
func (s *side) neutral(text string) string {
	services := slices.SortedFunc(maps.Keys(s.roots), func(a, b string) int { return len(s.roots[b]) - len(s.roots[a]) })
	for _, service := range services {
		text = strings.ReplaceAll(text, s.roots[service], "{"+service+"}")
	}
	return moments.ReplaceAllString(ids.ReplaceAllString(text, "ID"), "TIME")
}

// ask sends a request: to a path below a service's root, with the token of an account of the cloud, or with none.
func (s *side) ask(t *testing.T, r request) answer {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), r.method(), s.roots[r.service]+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", "application/json")
	q.Header.Set("User-Agent", "e2e")
	if r.body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	if r.as != "" {
		q.Header.Set("X-Auth-Token", s.token(t, r.as))
	}
	if r.version != "" {
		q.Header.Set("OpenStack-API-Version", "compute "+r.version)
		q.Header.Set("X-OpenStack-Nova-API-Version", r.version)
	}
	for name, value := range r.header {
		q.Header.Set(name, strings.ReplaceAll(value, "{token}", q.Header.Get("X-Auth-Token")))
	}
	resp, err := s.client.Do(q)
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

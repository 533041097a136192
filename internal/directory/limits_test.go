package directory

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// message is a request of a client, made by hand.
func message(id int, op []byte) []byte { return appendMessage(nil, id, op, nil) }

func bindRequest(version int, name string, auth byte, secret string) []byte {
	in := appendNumber(nil, tagInteger, version)
	in = appendOctets(in, tagOctets, name)
	return appendOctets(nil, opBind, appendOctets(in, auth, secret))
}

func search(base string, scope int, filter []byte) []byte {
	in := appendOctets(nil, tagOctets, base)
	in = appendNumber(in, tagEnumerated, scope)
	in = appendNumber(in, tagEnumerated, 0)
	in = appendNumber(in, tagInteger, 0)
	in = appendNumber(in, tagInteger, 0)
	in = append(in, tagBoolean, 1, 0)
	in = append(in, filter...)
	return appendOctets(nil, opSearch, appendOctets(in, tagSequence, ""))
}

var present = appendOctets(nil, filterPresent, "objectClass")

// TestMalformed: what is no LDAP is told so and ends the connection; a request that is LDAP and makes no sense gets its
// result, and the connection lives on.
func TestMalformed(t *testing.T) {
	deep := present
	for range 40 {
		deep = appendOctets(nil, filterNot, deep)
	}
	bind := message(1, bindRequest(3, "", 0x80, ""))
	wide := appendOctets(nil, filterOr, bytes.Repeat(present, 1_001))
	many := appendOctets(nil, filterSubstrings, appendOctets(appendOctets(nil, tagOctets, "o"), tagSequence, bytes.Repeat([]byte{partAny, 1, 'x'}, 1_001)))
	piece := func(tags ...byte) []byte {
		var list []byte
		for _, tag := range tags {
			list = appendOctets(list, tag, "x")
		}
		return message(1, search("o=glue", 2, appendOctets(nil, filterSubstrings, appendOctets(appendOctets(nil, tagOctets, "o"), tagSequence, list))))
	}
	_, address, _ := start(t, Options{}, some()...)
	for what, c := range map[string]struct {
		bytes []byte
		op    byte // of the answer; 0 = a notice
		code  Code
	}{
		"HTTP":                        {[]byte("GET / HTTP/1.1\r\n\r\n"), 0, ProtocolError},
		"TLS":                         {[]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc}, 0, ProtocolError},
		"2 GiB":                       {[]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 2, 1, 1}, 0, ProtocolError},
		"2⁶³":                         {[]byte{0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}, 0, ProtocolError},
		"a length of 126 bytes":       {append([]byte{0x30, 0xfe}, make([]byte, 126)...), 0, ProtocolError},
		"no definite length":          {[]byte{0x30, 0x80, 2, 1, 1, 0x42, 0, 0, 0}, 0, ProtocolError},
		"nothing":                     {[]byte{0x30, 0}, 0, ProtocolError},
		"id 0":                        {message(0, search("", 0, present)), 0, ProtocolError},
		"negative id":                 {[]byte{0x30, 5, 2, 1, 0xff, 0x42, 0}, 0, ProtocolError},
		"id of 9 bytes":               {append([]byte{0x30, 13, 2, 9}, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x42, 0), 0, ProtocolError},
		"inner length beyond":         {[]byte{0x30, 5, 2, 1, 1, 0x63, 9}, 0, ProtocolError},
		"an answer":                   {message(1, appendOctets(nil, opSearchDone, "")), 0, ProtocolError},
		"an unknown operation":        {message(1, appendOctets(nil, 0x7e, "")), 0, ProtocolError},
		"a tag of two bytes":          {message(1, []byte{0x7f, 0x63, 0}), 0, ProtocolError},
		"17 controls":                 {appendMessage(nil, 1, search("", 0, present), bytes.Repeat(appendOctets(nil, tagSequence, appendOctets(nil, tagOctets, "1.2")), 17)), 0, ProtocolError},
		"controls that are none":      {appendMessage(nil, 1, search("", 0, present), []byte{1, 2, 3}), 0, ProtocolError},
		"an empty search":             {message(1, appendOctets(nil, opSearch, "")), opSearchDone, ProtocolError},
		"scope 4":                     {message(1, search("", 4, present)), opSearchDone, ProtocolError},
		"no filter":                   {message(1, search("", 0, nil)), opSearchDone, ProtocolError},
		"a filter that is none":       {message(1, search("", 0, []byte{0xaf, 0})), opSearchDone, ProtocolError},
		"not of nothing":              {message(1, search("", 0, []byte{filterNot, 0})), opSearchDone, ProtocolError},
		"not of two":                  {message(1, search("", 0, appendOctets(nil, filterNot, slices.Concat(present, present)))), opSearchDone, ProtocolError},
		"equal without value":         {message(1, search("", 0, appendOctets(nil, filterEqual, appendOctets(nil, tagOctets, "o")))), opSearchDone, ProtocolError},
		"no pieces":                   {piece(), opSearchDone, ProtocolError},
		"pieces out of order":         {piece(partAny, partInitial), opSearchDone, ProtocolError},
		"pieces after the last":       {piece(partFinal, partAny), opSearchDone, ProtocolError},
		"pieces of no kind":           {piece(0x83), opSearchDone, ProtocolError},
		"pieces in order":             {piece(partInitial, partAny, partAny, partFinal), opSearchDone, Success},
		"a match of nothing":          {message(1, search("", 0, appendOctets(nil, filterExtensible, appendOctets(nil, 0x83, "x")))), opSearchDone, ProtocolError},
		"a filter too deep":           {message(1, search("", 0, deep)), opSearchDone, AdminLimitExceeded},
		"a filter too wide":           {message(1, search("", 0, wide)), opSearchDone, AdminLimitExceeded},
		"a filter of too many pieces": {message(1, search("", 0, many)), opSearchDone, AdminLimitExceeded},
		"an empty bind":               {message(1, appendOctets(nil, opBind, "")), opBindResponse, ProtocolError},
		"version 2":                   {message(1, bindRequest(2, "", 0x80, "")), opBindResponse, ProtocolError},
		"an empty extension":          {message(1, appendOctets(nil, opExtended, "")), opExtendedDone, ProtocolError},
		"an empty comparison":         {message(1, appendOctets(nil, opCompare, "")), opCompare + 1, ProtocolError},
		"a length in four bytes":      {append([]byte{0x30, 0x84, 0, 0, 0, byte(len(bind) - 2)}, bind[2:]...), opBindResponse, Success}, // as OpenLDAP writes it
	} {
		t.Run(what, func(t *testing.T) {
			n := dial(t, address)
			if _, err := n.Write(c.bytes); err != nil {
				t.Fatal(err)
			}
			op, got := answerOf(t, n)
			want := c.op
			if want == 0 {
				want = opExtendedDone
			}
			if op != want || got != c.code {
				t.Errorf("operation %#x, result %d; want %#x, %d", op, got, want, c.code)
			}
			if c.op == 0 {
				if rest, err := io.ReadAll(n); err != nil || len(rest) > 0 {
					t.Errorf("%q after the notice, %v", rest, err)
				}
				return
			}
			if _, err := n.Write(append(message(2, []byte{opAbandon, 1, 1}), message(3, search("", 0, present))...)); err != nil {
				t.Fatal(err)
			}
			if op, _ := answerOf(t, n); op != opEntry {
				t.Errorf("no entry but %#x follows", op)
			}
		})
	}
}

// answerOf reads an answer of a server: its operation, and its result.
func answerOf(t *testing.T, n net.Conn) (byte, Code) {
	t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(n, head[:]); err != nil {
		t.Fatal(err)
	}
	length := int(head[1])
	if length >= 0x80 {
		more := make([]byte, length&0x7f)
		if _, err := io.ReadFull(n, more); err != nil {
			t.Fatal(err)
		}
		length = 0
		for _, b := range more {
			length = length<<8 | int(b)
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(n, body); err != nil {
		t.Fatal(err)
	}
	e := &elements{rest: body}
	e.number(tagInteger)
	op := e.next()
	if op.tag == opEntry {
		return op.tag, Success
	}
	in := &elements{rest: op.body}
	out := Code(in.number(tagEnumerated))
	if in.bad || e.bad {
		t.Fatalf("an answer that is none: %q", body)
	}
	return op.tag, out
}

// TestRequestSize: a request within the limit is read, one byte more is refused before it has arrived.
func TestRequestSize(t *testing.T) {
	_, address, _ := start(t, Options{Limits: Limits{Request: 1_000}}, some()...)
	ask := func(size int) (byte, Code) {
		n := dial(t, address)
		request := message(1, search("o="+strings.Repeat("x", 500), 0, appendOctets(nil, filterEqual, appendOctets(appendOctets(nil, tagOctets, "o"), tagOctets, strings.Repeat("x", size)))))
		if _, err := n.Write(request[:len(request)-1]); err != nil {
			t.Fatal(err)
		}
		if len(request)-4 <= 1_000 {
			if _, err := n.Write(request[len(request)-1:]); err != nil {
				t.Fatal(err)
			}
		}
		return answerOf(t, n)
	}
	small := 1_000 - (len(message(1, search("o="+strings.Repeat("x", 500), 0, appendOctets(nil, filterEqual, appendOctets(appendOctets(nil, tagOctets, "o"), tagOctets, strings.Repeat("x", 300)))))) - 4 - 300)
	if op, got := ask(small); op != opSearchDone || got != NoSuchObject {
		t.Errorf("at the limit: %#x %d", op, got)
	}
	if op, got := ask(small + 1); op != opExtendedDone || got != ProtocolError {
		t.Errorf("beyond the limit: %#x %d", op, got)
	}
}

// TestRoom: who finds no room is told so; when others leave there is room again.
func TestRoom(t *testing.T) {
	for what, limits := range map[string]Limits{"connections": {Connections: 2}, "address": {PerAddress: 2}} {
		t.Run(what, func(t *testing.T) {
			var mu sync.Mutex
			var reasons []string
			_, address, _ := start(t, Options{Limits: limits, Refused: func(reason string) {
				mu.Lock()
				defer mu.Unlock()
				reasons = append(reasons, reason)
			}}, some()...)
			first := dial(t, address)
			second := dial(t, address)
			for _, n := range []net.Conn{first, second} {
				n.Write(message(1, bindRequest(3, "", 0x80, "")))
				if _, got := answerOf(t, n); got != Success {
					t.Fatal(got)
				}
			}
			if op, got := answerOf(t, dial(t, address)); op != opExtendedDone || got != Busy {
				t.Errorf("%#x %d", op, got)
			}
			first.Close()
			for got := Busy; got != Success; { // until the server has noticed
				third := dial(t, address)
				third.Write(message(1, bindRequest(3, "", 0x80, "")))
				if _, got = answerOf(t, third); got != Success && got != Busy {
					t.Fatal(got)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if len(reasons) == 0 || slices.ContainsFunc(reasons, func(r string) bool { return r != what }) {
				t.Errorf("%q", reasons)
			}
		})
	}
}

// TestSlow: who sends nothing, sends a request byte by byte, or takes no answer is left behind.
func TestSlow(t *testing.T) {
	s := New(Options{Source: &source{documents: some(), version: "1"}, Limits: Limits{Idle: 20 * time.Millisecond, Write: 20 * time.Millisecond}})
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func(net.Conn){
		"nothing":   func(net.Conn) {},
		"half":      func(n net.Conn) { n.Write([]byte{0x30, 0x50, 2, 1}) },
		"no reader": func(n net.Conn) { n.Write(message(1, search("o=glue", 2, present))) },
		"trickle": func(n net.Conn) {
			go func() {
				_, err := n.Write([]byte{0x30, 0x83, 1, 0, 0})
				for tick := time.Tick(time.Millisecond); err == nil; <-tick {
					_, err = n.Write([]byte{0})
				}
			}()
		},
	} {
		ours, theirs := net.Pipe()
		s.take(ours)
		do(theirs)
		s.serving.Wait() // for ever, if the server waits
		if n := s.Status().Connections; n != 0 {
			t.Errorf("%s: %d connections", what, n)
		}
		theirs.Close()
	}
}

// TestAnswerLimits: sizes and times, the client's and ours, whichever is less; what was found until then goes out.
func TestAnswerLimits(t *testing.T) {
	_, address, _ := start(t, Options{Limits: Limits{Entries: 10}}, some()...)
	c := client(t, address)
	for _, try := range []struct{ limit, page, want int }{{0, 0, 10}, {4, 0, 4}, {20, 0, 10}, {0, 20, 10}} {
		request := ldap.NewSearchRequest("o=glue", 2, 0, try.limit, 0, false, "(objectClass=*)", nil, nil)
		if try.page > 0 {
			request.Controls = []ldap.Control{ldap.NewControlPaging(uint32(try.page))}
		}
		got, err := c.Search(request)
		if code(err) != SizeLimitExceeded || len(got.Entries) != try.want {
			t.Errorf("%+v: %v, %d entries", try, err, len(got.Entries))
		}
	}
	if got, err := c.Search(ldap.NewSearchRequest("o=glue", 1, 0, 3, 0, false, "(objectClass=*)", nil, nil)); err != nil || len(got.Entries) != 3 {
		t.Errorf("exactly as many as the limit: %v, %d", err, len(got.Entries))
	}
	_, address, _ = start(t, Options{Limits: Limits{Search: 1}}, some()...)
	c = client(t, address)
	if got, err := find(c, "o=glue", "(o=nobody)"); code(err) != TimeLimitExceeded || len(got.Entries) != 0 {
		t.Errorf("%v", err)
	}
	if got, err := find(c, "o=glue", "(objectClass=*)"); code(err) != TimeLimitExceeded || len(got.Entries) != lookAtClock {
		t.Errorf("%v, %d entries", err, len(got.Entries))
	}
}

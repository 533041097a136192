package directory

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// FuzzConn: whatever bytes arrive, the connection ends without a panic, what goes out are whole messages, and nothing stays.
func FuzzConn(f *testing.F) {
	for _, seed := range [][]byte{
		message(1, bindRequest(3, "", 0x80, "")), message(1, bindRequest(3, "o=x", 0x80, "secret")), message(2, search("o=glue", 2, present)),
		message(3, appendOctets(nil, opExtended, appendOctets(nil, 0x80, extendedWhoAmI))), {0x30, 5, 2, 1, 1, 0x42, 0},
		appendMessage(nil, 4, search("o=glue", 2, present), page{asked: true}.answer("1")), []byte("GET / HTTP/1.0\r\n\r\n"), {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff},
	} {
		f.Add(seed)
		f.Add(append(bytes.Clone(seed), message(9, search("", 0, present))...))
	}
	documents := []Document{{"S", "d", cloud("https://h", "S", 1, 1, 1, "x")}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var log bytes.Buffer
		s := New(Options{Source: &source{documents: documents, version: "1"}, Log: slog.New(slog.NewTextHandler(&log, nil)), Limits: Limits{Idle: time.Hour, Grace: time.Hour, Request: 4 << 10}})
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		ours, theirs := net.Pipe()
		s.take(ours)
		out := make(chan []byte, 1)
		go func() {
			all, _ := io.ReadAll(theirs)
			out <- all
		}()
		theirs.Write(raw)
		s.stop() // it ends before its grace, or the test is stuck
		for e := (&elements{rest: <-out}); e.more(); {
			in := e.within(tagSequence)
			in.of(tagInteger)
			if in.next(); in.bad {
				t.Fatal("an answer is none")
			}
		}
		if log.Len() > 0 {
			t.Error(log.String())
		}
	})
}

package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestListen: only loopback addresses are listened on, and the refusal says what to do.
func TestListen(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "[::1]:0", "127.9.8.7:0"} {
		l, err := Listen(t.Context(), addr)
		if err != nil && addr == "[::1]:0" {
			continue // a machine without IPv6
		}
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		_ = l.Close()
	}
	for _, addr := range []string{":8080", "0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080", "[2001:db8::1]:8080", "example.org:8080", "[::ffff:192.0.2.1]:80", "localhost.evil.example.org:80"} {
		_, err := Listen(t.Context(), addr)
		if err == nil || !strings.Contains(err.Error(), "only loopback addresses, because there is no sign-in yet: write 127.0.0.1:") || !strings.Contains(err.Error(), "ssh -L") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, addr := range []string{"", "8080", "127.0.0.1", "::1"} {
		if _, err := Listen(t.Context(), addr); err == nil || !strings.Contains(err.Error(), "write 127.0.0.1:8470") {
			t.Errorf("%q: %v", addr, err)
		}
	}
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(t.Context(), l.Addr().String()); err == nil || !strings.HasSuffix(err.Error(), ": address already in use: end what listens there, or choose another port") {
		t.Errorf("a port that is taken: %v", err)
	}
}

// serve starts a server, and gives its address, what ends it, and what Serve says then.
func serve(t *testing.T, handler http.Handler) (addr string, stop func(), ended <-chan error) {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, NewHTTPServer(handler, slog.New(slog.DiscardHandler))) }()
	return l.Addr().String(), stop, done
}

// TestStop: an answer under way is finished, and no new one begun.
func TestStop(t *testing.T) {
	asked, answer := make(chan bool), make(chan bool)
	addr, stop, ended := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- true
		<-answer
		_, _ = io.WriteString(w, "whole")
	}))
	got := make(chan string, 1)
	go func() {
		r, err := http.Get("http://" + addr) //nolint:noctx
		if err != nil {
			got <- err.Error()
			return
		}
		defer r.Body.Close()
		text, _ := io.ReadAll(r.Body)
		got <- string(text)
	}()
	<-asked
	stop()
	for { // until the listener is closed
		c, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		_ = c.Close()
	}
	close(answer)
	if text := <-got; text != "whole" {
		t.Errorf("the answer is %q", text)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// TestServeFails: a listener that breaks ends Serve with an error.
func TestServeFails(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := Serve(t.Context(), l, NewHTTPServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// TestLimits: headers beyond the limit are refused, and every time-out is set.
func TestLimits(t *testing.T) {
	addr, _, _ := serve(t, http.NotFoundHandler())
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 40<<10))
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	if !strings.HasPrefix(line, "HTTP/1.1 431 ") {
		t.Errorf("%q, %v", line, err)
	}
	s := NewHTTPServer(http.NotFoundHandler(), slog.Default())
	if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout <= patience || s.IdleTimeout == 0 {
		t.Errorf("a time-out is missing: %+v", s)
	}
}

package directory

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/fedsite/fedsite/internal/listen"
)

// connection serves one client, one request after the other.
type connection struct {
	server  *Server
	net     net.Conn
	origin  string
	r       *bufio.Reader
	w       *bufio.Writer
	out     []byte // memory for answers
	scratch []byte
	kept    kept
	pages   int // that have been begun
}

func newConnection(s *Server, n net.Conn) *connection {
	return &connection{
		server: s, net: n, origin: listen.Origin(n.RemoteAddr()),
		r: bufio.NewReader(n), w: bufio.NewWriterSize(timedWriter{n, s.limits.Write}, 32<<10),
	}
}

// timedWriter gives the reader at the other end a time for every piece.
type timedWriter struct {
	net.Conn
	time.Duration
}

func (w timedWriter) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(w.Duration)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

// serve answers until the client leaves, is idle for too long or sends what is no LDAP, or the server stops.
func (c *connection) serve() {
	defer c.net.Close()
	defer func() {
		if r := recover(); r != nil {
			c.server.log.Error("a request to the directory ended in a panic, its connection was closed", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	err := c.requests()
	var timeout net.Error
	switch {
	case errors.Is(err, errMalformed), errors.Is(err, errTooLarge):
		c.end(ProtocolError, err.Error())
	case c.server.stopping.Load():
		c.end(Unavailable, "the service is stopping")
	case errors.As(err, &timeout) && timeout.Timeout():
		c.server.log.Debug("a client of the directory was too slow", "client", c.origin)
	case err != nil && !errors.Is(err, io.EOF):
		c.server.log.Debug("a client of the directory went away", "client", c.origin, slog.Any("error", err))
	}
}

// requests answers one after the other; nil says that the client took its leave.
func (c *connection) requests() error {
	for {
		if err := c.net.SetReadDeadline(time.Now().Add(c.server.limits.Idle)); err != nil {
			return err
		}
		if c.server.stopping.Load() { // after the deadline was set: whoever stops the server sets another one
			return errStopping
		}
		body, err := readMessage(c.r, c.server.limits.Request)
		if err != nil {
			return err
		}
		r, err := parseRequest(body)
		if err != nil {
			return err
		}
		if r.op == opUnbind {
			return nil
		}
		if err := c.answer(r); err != nil {
			return err
		}
		if err := c.w.Flush(); err != nil {
			return err
		}
	}
}

var errStopping = errors.New("the service is stopping")

// refuse tells a client that there is no room, and leaves. It never waits long.
func refuse(n net.Conn, message string) {
	defer n.Close()
	_, _ = timedWriter{n, 100 * time.Millisecond}.Write(notice(Busy, message))
}

// end says why the connection ends. It reads on for a moment: a connection that is closed with something unread takes the
// message with it.
func (c *connection) end(code Code, message string) {
	if _, err := c.w.Write(notice(code, message)); err != nil || c.w.Flush() != nil {
		return
	}
	half, ok := c.net.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.net.SetReadDeadline(time.Now().Add(lingering)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.net, 1<<20)
}

const lingering = 500 * time.Millisecond

// notice is the Notice of Disconnection (RFC 4511, section 4.4.1).
func notice(code Code, message string) []byte {
	return appendResult(nil, 0, opExtendedDone, result{code: code, message: message}, appendOctets(nil, 0x8a, noticeEnd), nil)
}

// finish writes the result of an operation.
func (c *connection) finish(r request, op byte, res result, controls []byte) error {
	c.out = appendResult(c.out[:0], r.id, op, res, nil, controls)
	_, err := c.w.Write(c.out)
	return err
}

// entry writes an entry.
func (c *connection) entry(cur *cursor, id int, n *node, typesOnly bool) error {
	c.out, c.scratch = cur.appendEntry(c.out[:0], c.scratch, id, n, typesOnly)
	_, err := c.w.Write(c.out)
	return err
}

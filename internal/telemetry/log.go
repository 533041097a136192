// Package telemetry says what fedsite does: logs now, metrics with the service.
//
//	record → redact → fold repeats → write
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
)

// Options says how logs are written.
type Options struct {
	Level    string           // debug, info, warn, error; "" = info
	Format   string           // text, json; "" = text
	Terminal bool             // colours
	Now      func() time.Time // for the folding of repeats; nil = time.Now
}

// NewLogger gives the program's log. Times are UTC, secrets are not written, and a record that is repeated within a
// minute is one line with a count (design §4, Logs).
func NewLogger(w io.Writer, o Options) (*slog.Logger, error) {
	level, ok := levels[strings.ToLower(o.Level)]
	if !ok {
		return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", o.Level)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	var h slog.Handler
	switch {
	case o.Format == "json":
		h = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: replace})
	case o.Format != "" && o.Format != "text":
		return nil, fmt.Errorf("log format %q is none of text, json", o.Format)
	case o.Terminal:
		h = tint.NewTextHandler(w, &tint.Options{Level: level, ReplaceAttr: replace, TimeFormat: time.TimeOnly})
	default:
		h = slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: replace})
	}
	return slog.New(&folding{Handler: h, last: &last{now: o.Now}}), nil
}

var levels = map[string]slog.Level{"": slog.LevelInfo, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// secretEnds are the ends of names, in lower case, under which no value is written: token, x-auth-token, client_secret.
var secretEnds = []string{"password", "passphrase", "token", "secret", "authorization", "api-key", "api_key"}

func secret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretEnds, func(end string) bool { return strings.HasSuffix(name, end) })
}

// replace hides secrets and turns times to UTC.
func replace(groups []string, a slog.Attr) slog.Attr {
	if secret(a.Key) || slices.ContainsFunc(groups, secret) {
		return slog.String(a.Key, "***")
	}
	if a.Value.Kind() == slog.KindTime {
		return slog.Time(a.Key, a.Value.Time().UTC())
	}
	return a
}

// foldFor is how long an equal record is counted instead of written.
const foldFor = time.Minute

// folding passes records on, but an equal one that follows within foldFor is only counted. The count is written with the
// next different record, or by Flush.
type folding struct {
	slog.Handler
	with string // attributes and groups that were added to the handler, as key writes them
	last *last
}

// last is the last record that was written, shared by all loggers that come from one.
type last struct {
	mu       sync.Mutex
	now      func() time.Time
	text     string
	record   slog.Record
	handler  slog.Handler
	at       time.Time
	repeated int
}

// Handle writes or counts a record.
func (f *folding) Handle(ctx context.Context, r slog.Record) error {
	text := f.key(r)
	f.last.mu.Lock()
	defer f.last.mu.Unlock()
	now := f.last.now()
	if text == f.last.text && now.Sub(f.last.at) < foldFor {
		f.last.repeated++
		return nil
	}
	// A count that cannot be written does not keep the record from being tried.
	err := f.last.flush(ctx)
	f.last.text, f.last.record, f.last.handler, f.last.at = text, r.Clone(), f.Handler, now
	return errors.Join(err, f.Handler.Handle(ctx, r))
}

// flush writes how often the last record was repeated.
func (l *last) flush(ctx context.Context) error {
	n := l.repeated
	l.repeated, l.text = 0, ""
	if n == 0 {
		return nil
	}
	again := l.record.Clone()
	again.Time = l.now()
	again.AddAttrs(slog.Int("repeated", n))
	return l.handler.Handle(ctx, again)
}

// key is what makes records equal: all but their time.
func (f *folding) key(r slog.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q%s", r.Level, r.Message, f.with)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %q=%q", a.Key, a.Value.Resolve())
		return true
	})
	return b.String()
}

// WithAttrs keeps the folding.
func (f *folding) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := f.with
	for _, a := range attrs {
		with += fmt.Sprintf(" %q=%q", a.Key, a.Value.Resolve())
	}
	return &folding{f.Handler.WithAttrs(attrs), with, f.last}
}

// WithGroup keeps the folding.
func (f *folding) WithGroup(name string) slog.Handler {
	return &folding{f.Handler.WithGroup(name), f.with + fmt.Sprintf(" %q:", name), f.last}
}

// Flush writes the count of repeats that is still held back. It is called before the program ends.
func Flush(log *slog.Logger) {
	if f, ok := log.Handler().(*folding); ok {
		f.last.mu.Lock()
		defer f.last.mu.Unlock()
		_ = f.last.flush(context.Background()) // there is nowhere to say that the log cannot be written
	}
}

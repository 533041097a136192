package discovery_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/discovery/sinktest"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestSinks runs the suite over this package's sinks, in both formats.
func TestSinks(t *testing.T) {
	for _, f := range []discovery.Format{discovery.JSON, discovery.LDIF} {
		t.Run("directory of "+string(f), func(t *testing.T) { sinktest.Run(t, sinktest.Case{New: directory(f)}) })
	}
	t.Run("stdout", func(t *testing.T) {
		sinktest.Run(t, sinktest.Case{Final: true, New: func(*testing.T) sinktest.Bed {
			var out stream
			return sinktest.Bed{Sink: discovery.NewStdout("stdout", &out, discovery.JSON), Read: out.newest, Breaks: map[string]func(*testing.T) func(){
				"a closed pipe": func(*testing.T) func() { out.closed = true; return func() { out.closed = false } },
			}}
		}})
	})
}

// stream is standard output, whose reader takes of each cloud the newest line.
type stream struct {
	mu     sync.Mutex
	text   []byte
	closed bool
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	s.text = append(s.text, b...)
	return len(b), nil
}

func (s *stream) newest(_ *testing.T, p discovery.Publication) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var newest []byte
	for line := range bytes.Lines(s.text) {
		if bytes.Contains(line, []byte(`"`+p.Endpoint+`_cloud.compute"`)) && bytes.Contains(line, []byte(`"AdminDomain": ["`+p.Site+`"]`)) {
			newest = bytes.Clone(line)
		}
	}
	return newest, newest != nil
}

// TestStoreSink runs the suite over what fedsite serves itself.
func TestStoreSink(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		db := storetest.Open(t, cfg)
		sinktest.Run(t, sinktest.Case{New: func(t *testing.T) sinktest.Bed {
			name := "api of " + t.Name() // a place of its own on the one database
			open := func() discovery.Sink { return discovery.NewStore(name, db) }
			sink := &breakable{Remover: discovery.NewStore(name, db)}
			return sinktest.Bed{Sink: sink, Again: open, Breaks: map[string]func(*testing.T) func(){
				"ended before it is committed": func(*testing.T) func() { sink.breaks = true; return func() { sink.breaks = false } },
			}, Others: func(t *testing.T) []string {
				var n int
				must(t, db.Read(t.Context(), func(tx *store.Tx) error {
					return tx.QueryRow(`SELECT count(*) FROM document WHERE NOT EXISTS (SELECT 1 FROM publication p WHERE p.digest = document.digest)`).Scan(&n)
				}))
				return []string{fmt.Sprint(n, " documents of nobody")}
			}}
		}})
	})
}

// breakable is a store sink whose run ends just before the database is told to commit.
type breakable struct {
	discovery.Remover
	breaks bool
}

func (b *breakable) Publish(ctx context.Context, p discovery.Publication) error {
	if b.breaks {
		var cancel func()
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		ctx = store.Watched(ctx, func(bool) { cancel() })
	}
	return b.Remover.Publish(ctx, p)
}

// directory is the sink to a directory that is to be made, in one where other files stand.
func directory(f discovery.Format) func(t *testing.T) sinktest.Bed {
	return func(t *testing.T) sinktest.Bed {
		above := t.TempDir()
		dir := filepath.Join(above, "documents")
		must(t, os.WriteFile(filepath.Join(above, "escaped.json"), []byte("stays"), 0o600))
		open := func() discovery.Sink { return discovery.NewFile("file", dir, f) }
		return sinktest.Bed{Sink: open(), Again: open, Breaks: map[string]func(*testing.T) func(){
			"no right to write": func(t *testing.T) func() {
				must(t, os.MkdirAll(dir, 0o755))
				if os.Getuid() == 0 { // who may write everywhere
					must(t, os.Rename(dir, dir+".away"))
					must(t, os.WriteFile(dir, nil, 0o600))
					return func() { must(t, os.Remove(dir)); must(t, os.Rename(dir+".away", dir)) }
				}
				must(t, os.Chmod(dir, 0o500))
				return func() { must(t, os.Chmod(dir, 0o755)) }
			},
		}, Others: func(t *testing.T) []string { return beside(t, above, dir) }}
	}
}

// beside gives all files that are no documents, and where nothing is written what is in them.
func beside(t *testing.T, above, dir string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(above, func(path string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) { // a temporary file
			return nil
		}
		if err != nil || d.IsDir() || filepath.Dir(path) == dir && filepath.Ext(path) != ".tmp" {
			return err
		}
		text, err := os.ReadFile(path)
		all = append(all, path+": "+string(text))
		return err
	}))
	slices.Sort(all)
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package information

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Object is an object of a container, as its listing has it.
type Object struct {
	Name     string
	Hash     string // changes with the content
	Bytes    int64
	Modified time.Time
}

// Objects is a container of an object store.
type Objects interface {
	// List gives all objects.
	List(ctx context.Context) ([]Object, error)
	// Get gives the content of one, and an error when it has more bytes than most.
	Get(ctx context.Context, name string, most int64) ([]byte, error)
}

// together is how many objects are got at once.
const together = 4

// Container reads *.json of a container of an object store: where the federation's publishers put their documents.
type Container struct {
	name    string
	objects Objects
	limits  Limits

	mu      sync.Mutex
	held    map[string]held
	version int
}

type held struct {
	object Object
	doc    Document
}

// NewContainer gives the source of a container, with its name for people: "container cloud-info of site-a".
func NewContainer(name string, objects Objects, limits Limits) *Container {
	return &Container{name: name, objects: objects, limits: limits.orDefault(), held: map[string]held{}}
}

// Name is the given name.
func (c *Container) Name() string { return c.name }

// Documents gets the objects that changed, and takes the others as they were got.
func (c *Container) Documents(ctx context.Context) ([]Document, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	listed, err := c.objects.List(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("%s: list: %w", c.name, err)
	}
	listed = slices.DeleteFunc(slices.Clone(listed), func(o Object) bool { return !strings.HasSuffix(o.Name, ".json") })
	if len(listed) > c.limits.Documents {
		return nil, "", fmt.Errorf("%s: %d documents, and at most %d are taken: is it the right container?", c.name, len(listed), c.limits.Documents)
	}
	slices.SortFunc(listed, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	listed = slices.CompactFunc(listed, func(a, b Object) bool { return a.Name == b.Name })
	got, changed := c.get(ctx, listed)
	if err := ctx.Err(); err != nil {
		return nil, "", fmt.Errorf("%s: %w", c.name, context.Cause(ctx))
	}
	docs := make([]Document, len(got))
	now := make(map[string]held, len(got))
	for i, h := range got {
		docs[i], now[h.object.Name] = h.doc, h
	}
	if changed || len(now) != len(c.held) {
		c.version++
	}
	c.held = now
	return docs, fmt.Sprint(c.version), nil
}

// differs tells whether a document is otherwise than before, or fails otherwise.
func differs(old, now Document) bool {
	if old.Err != nil && now.Err != nil {
		return old.Err.Error() != now.Err.Error()
	}
	return (old.Err == nil) != (now.Err == nil) || !old.Changed.Equal(now.Changed) || string(old.Body) != string(now.Body)
}

// get gets what changed, some at once, and tells whether anything did.
func (c *Container) get(ctx context.Context, listed []Object) ([]held, bool) {
	var (
		got   = make([]held, len(listed))
		fresh = make([]bool, len(listed))
		g     errgroup.Group
		total int64
	)
	g.SetLimit(together)
	for i, o := range listed {
		old, known := c.held[o.Name]
		tells := o.Hash != "" || !o.Modified.IsZero() // else a change may not show
		if known && old.doc.Err == nil && old.object == o && tells {
			got[i] = old
			total += int64(len(old.doc.Body))
			continue
		}
		h := held{object: o, doc: Document{Source: c.name, Name: o.Name, Changed: o.Modified}}
		if total += o.Bytes; o.Bytes < 0 || o.Bytes > c.limits.Bytes || total > c.limits.Total {
			total -= o.Bytes
			h.doc.Err = fmt.Errorf("object %q has %d bytes: that is too much, or too much with the others", o.Name, o.Bytes)
			got[i], fresh[i] = h, !known || differs(old.doc, h.doc)
			continue
		}
		g.Go(func() error {
			var err error
			// the listing may be older than the object
			if h.doc.Body, err = c.objects.Get(ctx, o.Name, min(max(o.Bytes, 1<<20), c.limits.Bytes)); err != nil {
				h.doc.Body, h.doc.Err = nil, fmt.Errorf("object %q: %w", o.Name, err)
			}
			got[i], fresh[i] = h, !known || differs(old.doc, h.doc)
			return nil
		})
	}
	_ = g.Wait()
	return got, slices.Contains(fresh, true)
}

package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
)

func delivers(b *bed) {
	before := b.others()
	p := b.doc("SITE-A", 3)
	b.publish(p)
	b.holds(p)
	b.undisturbed("after it", before)
	if b.Sink.Name() == "" {
		b.t.Error("a sink has a name")
	}
}

// replaces a document by a shorter and a longer one, by one with newer times only, and by the same again.
func replaces(b *bed) {
	before := b.others()
	first, shorter, longer := b.doc("SITE-A", 5), b.doc("SITE-A", 1), b.doc("SITE-A", 9)
	newer := Publication(b.t, b.Sink.Format(), "SITE-A", Endpoint, Document("SITE-A", Endpoint, 9, start.Add(time.Hour)), start.Add(time.Hour))
	if newer.Digest != longer.Digest || newer.Digest == shorter.Digest {
		b.t.Fatal("digests are to tell what is said, and not when")
	}
	for _, p := range []discovery.Publication{first, shorter, longer, newer, newer, first} {
		b.publish(p)
		b.holds(p)
	}
	b.undisturbed("after them", before)
}

func apart(b *bed) {
	one, two := b.doc("SITE-A", 1), b.doc("SITE-B", 2)
	const other = "https://other.example.org:5000/v3"
	three := Publication(b.t, b.Sink.Format(), "SITE-A", other, Document("SITE-A", other, 3, start), start)
	three.GOCDBKey = "16002G0"
	two.GOCDBKey = "16003G0"
	b.publish(one, two, three)
	for _, p := range []discovery.Publication{one, two, three} {
		b.holds(p)
	}
	next := b.doc("SITE-B", 4)
	next.GOCDBKey = two.GOCDBKey
	b.publish(next)
	for _, p := range []discovery.Publication{one, next, three} {
		b.holds(p)
	}
}

func copies(b *bed) {
	p := b.doc("SITE-A", 1)
	given := p
	given.Body = bytes.Clone(p.Body)
	b.publish(given)
	if !bytes.Equal(given.Body, p.Body) {
		b.t.Error("it wrote into the body")
	}
	clear(given.Body)
	b.holds(p)
}

// Names that lead elsewhere, or are no names at all.
var hostileNames = []string{"", ".", "..", "../escaped.json", "../../escaped.json", "a/../../escaped.json", "/escaped.json", "/etc/../escaped.json", "a/b.json",
	"a\\..\\b.json", "nul\x00.json", "new\nline.json", "..%2fescaped.json", "%2e%2e/escaped.json", "?delete=1", "a#b.json", "a?b=c.json", "a b.json",
	"ünï.json", "\xff\xfe.json", "-rf", ".hidden.json", ".tmp", "*", "$(id)", "con:1", "a;b.json", strings.Repeat("x", 300), strings.Repeat("x", 5000)}

// hostile gives names that no document has: each is refused, or held under exactly that name, and disturbs nothing else.
func hostile(b *bed) {
	neighbour := b.doc("SITE-A", 1)
	b.publish(neighbour)
	before := b.others()
	r, isRemover := b.Sink.(discovery.Remover)
	for i, name := range hostileNames {
		p := b.doc("SITE-B", i+2)
		p.Name = name
		err := b.Sink.Publish(b.t.Context(), p)
		if isRemover {
			held, herr := r.Held(b.t.Context(), name)
			if err == nil && (herr != nil || !bytes.Equal(held, p.Body)) {
				b.t.Errorf("%q was published, and is not held: %d bytes, %v", name, len(held), herr)
			}
			if err != nil && herr == nil {
				b.t.Errorf("%q was refused, and %d bytes of that name are held", name, len(held))
			}
			if rerr := r.Remove(b.t.Context(), name); err == nil && rerr != nil {
				b.t.Errorf("%q cannot be removed: %v", name, rerr)
			}
		}
		b.undisturbed(fmt.Sprintf("after %q", name), before)
	}
	b.holds(neighbour)
}

// cancelled publishes for a run that has ended: it says so, and what is there stays.
func cancelled(b *bed) {
	old, next := b.doc("SITE-A", 1), b.doc("SITE-A", 2)
	b.publish(old)
	before := b.others()
	ctx, cancel := context.WithCancel(b.t.Context())
	cancel()
	if err := b.Sink.Publish(ctx, next); !errors.Is(err, context.Canceled) {
		b.t.Errorf("publish: %v", err)
	}
	if r, ok := b.Sink.(discovery.Remover); ok {
		if err := r.Remove(ctx, old.Name); !errors.Is(err, context.Canceled) {
			b.t.Errorf("remove: %v", err)
		}
	}
	b.holds(old)
	b.undisturbed("after it", before)
}

// broken breaks a first delivery, and one that replaces another; then all is well again.
func broken(b *bed) {
	if len(b.Breaks) == 0 {
		b.t.Fatal("nothing of it breaks: no sink is so good")
	}
	before := b.others()
	for i, name := range sorted(b.Breaks) {
		site := fmt.Sprint("SITE-", i)
		first, second := b.doc(site, 1), b.doc(site, 2)
		mend := b.Breaks[name](b.t)
		if err := b.Sink.Publish(b.t.Context(), first); err == nil {
			b.holds(first)
		}
		mend()
		b.holdsOne(name+", the first", first)
		b.publish(first)
		b.holds(first)
		mend = b.Breaks[name](b.t)
		err := b.Sink.Publish(b.t.Context(), second)
		mend()
		if err == nil {
			b.holds(second)
		}
		b.holdsOne(name+", the second", first, second)
		b.publish(second)
		b.holds(second)
		b.undisturbed(name, before)
	}
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// large publishes 20 MB, or as much as the sink must refuse.
func large(b *bed) {
	size := b.limit
	if size == 0 {
		size = 20 << 20
	}
	small := b.doc("SITE-A", 1)
	const each = 100_000
	d := Document("SITE-A", Endpoint, size/each+1, start)
	for i := range d.Images {
		d.Images[i].Description = strings.Repeat("0123456789", each/10)
	}
	p := Publication(b.t, b.Sink.Format(), "SITE-A", Endpoint, d, start)
	if len(p.Body) <= size {
		b.t.Fatalf("%d bytes are not more than %d", len(p.Body), size)
	}
	b.publish(small)
	err := b.Sink.Publish(b.t.Context(), p)
	switch {
	case b.limit == 0 && err != nil:
		b.t.Errorf("%d bytes: %v", len(p.Body), err)
	case b.limit == 0:
		b.holds(p)
	case err == nil:
		b.t.Errorf("took %d bytes, more than %d", len(p.Body), b.limit)
	default:
		b.holds(small)
	}
}

func (b *bed) again() discovery.Sink {
	if b.Again == nil {
		return b.Sink
	}
	return b.Again()
}

// parallel publishes different names at once, and then one name from two sides.
func parallel(b *bed) {
	before := b.others()
	var all []discovery.Publication
	for i := range 8 {
		p := b.doc(fmt.Sprint("SITE-", i), i+1)
		p.GOCDBKey = fmt.Sprintf("1600%dG0", i)
		all = append(all, p)
	}
	b.atOnce(all...)
	for _, p := range all {
		b.holds(p)
	}
	one, two := b.doc("SITE-X", 11), b.doc("SITE-X", 12)
	b.atOnce(one, two, one, two, one, two)
	b.holdsOne("at once", one, two)
	b.undisturbed("after them", before)
}

// atOnce publishes through two sinks to the same place in turn.
func (b *bed) atOnce(all ...discovery.Publication) {
	b.t.Helper()
	sinks := []discovery.Sink{b.Sink, b.again()}
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() {
			if err := sinks[i%2].Publish(b.t.Context(), p); err != nil {
				b.t.Errorf("publish %q: %v", p.Name, err)
			}
		})
	}
	wg.Wait()
}

// reading reads all the while that a document is replaced.
func reading(b *bed) {
	one, two := b.doc("SITE-A", 200), b.doc("SITE-A", 300)
	b.publish(one)
	b.holds(one) // skips what cannot be read
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 20 {
			if err := b.Sink.Publish(b.t.Context(), []discovery.Publication{two, one}[i%2]); err != nil {
				b.t.Error(err)
			}
		}
	})
	defer wg.Wait()
	for {
		b.holdsOne("while it is replaced", one, two)
		select {
		case <-done:
			return
		default:
		}
	}
}

// twice publishes from two sides in turn.
func twice(b *bed) {
	first, second := b.doc("SITE-A", 1), b.doc("SITE-A", 2)
	b.publish(first)
	other := b.again()
	if other.Name() != b.Sink.Name() || other.Format() != b.Sink.Format() {
		b.t.Error("it is another sink")
	}
	if err := other.Publish(b.t.Context(), second); err != nil {
		b.t.Fatal(err)
	}
	b.holds(second)
	b.publish(first)
	b.holds(first)
	if r, ok := other.(discovery.Remover); ok {
		if held, err := r.Held(b.t.Context(), first.Name); err != nil || !bytes.Equal(held, first.Body) {
			b.t.Errorf("the other side holds %d bytes, %v", len(held), err)
		}
	}
}

func removes(b *bed) {
	r, ok := b.Sink.(discovery.Remover)
	if ok == b.final {
		b.t.Fatalf("a Remover: %v, and what it was given is final: %v", ok, b.final)
	}
	if b.final {
		return
	}
	before := b.others()
	one, two := b.doc("SITE-A", 1), b.doc("SITE-B", 2)
	gone := func(when string) {
		b.t.Helper()
		if body, err := r.Held(b.t.Context(), one.Name); !errors.Is(err, discovery.ErrNotHeld) {
			b.t.Errorf("%s: %d bytes, %v; want ErrNotHeld", when, len(body), err)
		}
	}
	gone("before it")
	if err := r.Remove(b.t.Context(), one.Name); err != nil {
		b.t.Errorf("remove what is not there, where nothing is: %v", err)
	}
	b.publish(one, two)
	if body, err := r.Held(b.t.Context(), one.Name); err != nil || !bytes.Equal(body, one.Body) {
		b.t.Errorf("held: %d bytes, %v", len(body), err)
	}
	for _, when := range []string{"removed", "removed again"} {
		if err := r.Remove(b.t.Context(), one.Name); err != nil {
			b.t.Errorf("%s: %v", when, err)
		}
		gone(when)
		b.holds(two)
	}
	b.publish(one)
	b.holds(one)
	b.undisturbed("after it", before)
}

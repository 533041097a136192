package health

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestOutcry: that the store cannot be used is told once, at the second look, and once that it can again; who could not be
// reached is told later.
func TestOutcry(t *testing.T) {
	w := watch(t, storetest.Open(t, sqlite(t)))
	var o Outcry
	now := noon
	looked := func(failed error) {
		o.Looked(t.Context(), w.Watcher, failed, now)
		now = now.Add(time.Minute)
	}
	full := store.ErrFull
	const (
		bad  = "[fedsite] SITE-A: FAILED: service: database"
		good = "[fedsite] SITE-A: well again: service: database"
	)
	looked(nil)
	looked(full)
	looked(nil)
	looked(full)
	w.told()
	w.hook.err = errors.New("away")
	looked(full)
	text := w.mail.got[0].Text
	for _, want := range []string{full.Error(), store.Hint(full), "12:03"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	w.hook.err = nil
	looked(full)
	looked(full)
	w.told(bad)
	w.hook.err = errors.New("away")
	looked(nil)
	w.hook.err = nil
	looked(nil)
	looked(nil)
	w.told(good)
	looked(full)
	looked(full)
	w.told(bad)
}

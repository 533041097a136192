package main

import (
	"slices"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/tasks"
)

// TestServeStoppedInMidSend: the service is told to stop while messages are under way. It waits for the answers, and so
// settles what the broker has; when none comes it gives up in its time. Both are a good end, and the next start repeats the
// messages that are not settled, and no other.
func TestServeStoppedInMidSend(t *testing.T) {
	t.Parallel()
	t.Run("the answers come", func(t *testing.T) {
		b := newSickbed(t, "")
		s := b.serve(b.ConfigFile(), 1)
		must(t, s.Start())
		b.later(6*time.Hour, s)
		under := b.amid(s)
		must(t, s.Terminate())
		must(t, s.Tells("STOPPING=1"))
		if got := b.unsettled(); len(got) != atOnce {
			t.Fatalf("%d messages are under way", len(got))
		}
		under.answer.release()
		under.listing.release()
		if code, err := s.Exit(); code != 0 || err != nil {
			t.Errorf("exit %d, %v", code, err)
		}
		if got := b.unsettled(); len(got) > 0 {
			t.Errorf("answered, and %d messages are not settled", len(got))
		}
		for _, kind := range []string{"accounting.collect", "accounting.send"} {
			if got := b.outcomes(kind); slices.Contains(got, tasks.Interrupted) {
				t.Errorf("%s was cut off: %v", kind, got)
			}
		}
		must(t, s.Start())
		b.later(2*time.Hour, s)
		b.stop(s)
		b.ended(nil)
	})
	t.Run("no answer comes", func(t *testing.T) {
		b := newSickbed(t, "")
		s := b.serve(b.ConfigFile(), hurried) // what runs has 6 s to end, not 30
		must(t, s.Start())
		b.later(6*time.Hour, s)
		under := b.amid(s)
		must(t, s.Terminate())
		if code, err := s.Exit(); code != 0 || err != nil {
			t.Errorf("exit %d, %v", code, err)
		}
		for _, r := range under.requests {
			<-r.Context().Done() // the broker has the messages all the same
		}
		if got := b.unsettled(); !slices.Equal(got, under.unsettled) || len(got) != atOnce {
			t.Errorf("%d messages are not settled, %d were under way", len(got), len(under.unsettled))
		}
		for _, kind := range []string{"accounting.collect", "accounting.send"} {
			if got := b.outcomes(kind); got[len(got)-1] != tasks.Interrupted {
				t.Errorf("%s: %v", kind, got)
			}
		}
		under.answer.release()
		under.listing.release()
		since := b.now()
		must(t, s.Start())
		b.done("accounting.collect", since) // what was interrupted is due at once
		b.done("accounting.send", since)
		b.later(2*time.Hour, s)
		b.stop(s)
		times := map[string]int{}
		for _, m := range b.Federation.Received() {
			times[string(m.Body)]++
		}
		for _, body := range under.unsettled {
			if times[body] != 2 {
				t.Errorf("a message that was not answered came %d times:\n%s", times[body], body)
			}
		}
		b.ended(under.unsettled)
	})
}

package app

import (
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/tasks"
)

// TestFailures: what is said of a task that keeps failing is a sentence.
func TestFailures(t *testing.T) {
	for want, s := range map[string]tasks.Status{
		"failed once since it last went well":    {Failures: 1, LastSuccess: time.Unix(1, 0)},
		"failed 7 times since it last went well": {Failures: 7, LastSuccess: time.Unix(1, 0)},
		"failed once, and never went well":       {Failures: 1},
		"failed 7 times, and never went well":    {Failures: 7},
	} {
		if got := failures(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

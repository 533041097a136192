package app

import (
	"testing"
	"time"

	"github.com/fedsite/fedsite/protocol/glue"
)

// TestPast: a document counts for as long as it says, and one that does not say counts.
func TestPast(t *testing.T) {
	made := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	doc := func(validity time.Duration) glue.Document {
		return glue.Document{Services: []glue.Service{{Entity: glue.Entity{CreationTime: made, Validity: validity}}}}
	}
	for name, c := range map[string]struct {
		doc  glue.Document
		at   time.Time
		want bool
	}{
		"fresh":          {doc(time.Hour), made.Add(time.Hour), false},
		"past":           {doc(time.Hour), made.Add(time.Hour + time.Second), true},
		"without an end": {doc(0), made.AddDate(1, 0, 0), false},
		"made in future": {doc(time.Hour), made.Add(-time.Hour), false},
		"nothing in it":  {glue.Document{}, made, false},
	} {
		if got := past(c.doc, c.at); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

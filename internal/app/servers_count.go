package app

import (
	"cmp"
	"slices"
	"strconv"
	"sync"

	"github.com/fedsite/fedsite/internal/directory"
	"github.com/fedsite/fedsite/internal/telemetry"
)

// traffic counts what the LDAP servers of this process answered, and whom they had no room for, since it began; a server that
// is begun anew counts on. A nil one counts nothing.
type traffic struct {
	mu      sync.Mutex
	answers map[[2]string]telemetry.DirectoryFigures // by operation and result
	refused map[string]int64                         // connections, by reason
}

// answered counts an answer.
func (t *traffic) answered(o directory.Operation) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.answers == nil {
		t.answers = map[[2]string]telemetry.DirectoryFigures{}
	}
	key := [2]string{o.Name, strconv.Itoa(int(o.Code))}
	f := t.answers[key]
	f.Operation, f.Result, f.Answers, f.Took = o.Name, key[1], f.Answers+1, f.Took+o.Took
	t.answers[key] = f
}

// refuse counts a connection that found no room.
func (t *traffic) refuse(reason string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused == nil {
		t.refused = map[string]int64{}
	}
	t.refused[reason]++
}

// figures gives what was counted, in a fixed order.
func (t *traffic) figures() (answers []telemetry.DirectoryFigures, refused []telemetry.RefusedFigures) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.answers {
		answers = append(answers, f)
	}
	slices.SortFunc(answers, func(a, b telemetry.DirectoryFigures) int {
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Result, b.Result))
	})
	for reason, n := range t.refused {
		refused = append(refused, telemetry.RefusedFigures{Reason: reason, Connections: n})
	}
	slices.SortFunc(refused, func(a, b telemetry.RefusedFigures) int { return cmp.Compare(a.Reason, b.Reason) })
	return answers, refused
}

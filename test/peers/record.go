package peers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/protocol/apel"
)

// Record is a Cloud record as it travels.
type Record struct {
	apel.CloudRecord
	Lines map[string]string // by name: the text on the wire, escapes and all
}

// Key is what the accounting server replaces a record by: VM and UTC month of measurement.
type Key struct{ VM, Period string }

// readRecord reads the lines of one record.
func readRecord(wire string) (Record, error) {
	parsed, err := apel.ParseCloud(apel.JoinCloud([]string{wire}))
	if err != nil {
		return Record{}, fmt.Errorf("%w in\n%s", err, wire)
	}
	r := Record{CloudRecord: parsed[0], Lines: map[string]string{}}
	for line := range strings.Lines(wire) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		r.Lines[name] = value
	}
	return r, nil
}

// fields gives the names of the lines that the records differ in.
func fields(a, b Record) []string {
	names := maps.Clone(a.Lines)
	maps.Copy(names, b.Lines)
	maps.DeleteFunc(names, func(name, _ string) bool {
		x, here := a.Lines[name]
		y, there := b.Lines[name]
		return here == there && x == y
	})
	return slices.Sorted(maps.Keys(names))
}

// Server holds what the accounting server would keep: of each VM and month the record that came last.
type Server map[Key]Record

// Take gives the messages to the server, in the order in which they were written. When is the instant at which a record
// was truly measured, where the sender dates it wrongly; nil takes the record's word. Messages of other kinds than Cloud
// records are counted, not kept.
func (s Server) Take(messages []string, when func(int64) int64) (others int, err error) {
	for i, m := range messages {
		if !strings.HasPrefix(m, apel.CloudHeader+"\n") {
			others++
			continue
		}
		for _, body := range apel.SplitCloud([]byte(m)) {
			r, err := readRecord(body)
			if err != nil {
				return others, fmt.Errorf("message %d: %w", i+1, err)
			}
			at := r.Measured()
			if when != nil {
				at = when(at)
			}
			s[Key{r.VMUUID, time.Unix(at, 0).UTC().Format("2006-01")}] = r
		}
	}
	return others, nil
}

// Ledger reads our records, as `fedsite accounting records -o json` prints them.
func Ledger(printed []byte) (Server, error) {
	var entries []struct{ VM, Period, Wire string }
	if err := json.Unmarshal(printed, &entries); err != nil {
		return nil, fmt.Errorf("records of fedsite: %w", err)
	}
	s := Server{}
	for _, e := range entries {
		r, err := readRecord(e.Wire)
		if err != nil {
			return nil, fmt.Errorf("record of VM %s, %s: %w", e.VM, e.Period, err)
		}
		if key := (Key{r.VMUUID, r.Period()}); key != (Key{e.VM, e.Period}) {
			return nil, fmt.Errorf("record %v is in the ledger under VM %s, %s", key, e.VM, e.Period)
		}
		s[Key{e.VM, e.Period}] = r
	}
	return s, nil
}

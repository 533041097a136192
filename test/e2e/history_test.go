//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
)

// done is something that was done to a server: an entry of instance_actions with its events, times in unix seconds.
type done struct {
	VM      string
	Action  string
	Start   int64
	Updated int64
	Message string   // of what failed
	Results []string // of its events
}

// A row per event, so that what failed in any step is seen; an action without events, as `attach_volume` of some releases,
// gives one row.
const actionRows = `SELECT JSON_OBJECT('ID', a.id, 'VM', a.instance_uuid, 'Action', a.action, 'Start', TIMESTAMPDIFF(SECOND, '1970-01-01', a.start_time),
	'Updated', TIMESTAMPDIFF(SECOND, '1970-01-01', a.updated_at), 'Message', IFNULL(a.message, ''), 'Result', IFNULL(e.result, IF(e.id IS NULL, 'none', 'unfinished')))
	FROM instance_actions a LEFT JOIN instance_actions_events e ON e.action_id = a.id ORDER BY a.id, e.id`

// readHistories gives what was done to each server, in order.
func readHistories(t *testing.T, l *lab) map[string][]done {
	t.Helper()
	all := map[string][]done{}
	last := int64(0)
	for _, r := range query[struct {
		ID int64
		done
		Result string
	}](t, l, "nova", actionRows) {
		if r.ID != last {
			all[r.VM] = append(all[r.VM], r.done)
			last = r.ID
		}
		if r.Result != "none" {
			d := &all[r.VM][len(all[r.VM])-1]
			d.Results = append(d.Results, r.Result)
		}
	}
	return all
}

// failed says how an action did not succeed, "" if it did.
func (d done) failed() string {
	switch {
	case d.Message != "":
		return d.Message
	case len(d.Results) == 0 && d.Action != "resetState":
		return "nothing was begun"
	}
	for _, result := range d.Results {
		if result != "Success" {
			return result
		}
	}
	return ""
}

// past is what was done to the seeded servers after they were made. Those that are not here were made only.
var past = map[string]string{
	"fed-web": "attach_volume", "fed-stopped": "stop", "fed-suspended": "suspend", "fed-paused": "pause", "fed-shelved": "shelve",
	"fed-deleted": "delete", "fed-soft-deleted": "delete", "fed-rescued": "rescue", "fed-rebuilt": "rebuild", "fed-verify-resize": "resize",
	"bio-resized": "resize confirmResize", "bio-reverted": "resize revertResize", "bio-error": "resetState",
}

// succeeded checks that a server was made and that what was done to it since is this, all with success.
func (w truth) succeeded(t *testing.T, name, id, want string) {
	t.Helper()
	got := []string{}
	for _, d := range w.histories[id] {
		got = append(got, d.Action)
		if problem := d.failed(); problem != "" {
			t.Errorf("%s: %s did not succeed: %s", name, d.Action, problem)
		}
	}
	if want := append([]string{"create"}, strings.Fields(want)...); !slices.Equal(got, want) {
		t.Errorf("%s: what was done is %q, want %q", name, got, want)
	}
}

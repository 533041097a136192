//go:build e2e

package e2e

import "testing"

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

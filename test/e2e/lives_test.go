//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// life is what the test does to a server of its own: before the first collection, and between that and the second.
type life struct {
	before  []string // commands of python-openstackclient, the server's id in the place of {}
	between []string
	actions string // as Nova records them in all, after `create`
	state   string // Nova's, in the end
}

// lives are the servers of the test's own. Each is made as m1.small (1 vCPU), of ubuntu-22.04. A command is sent when those
// before it have become true.
var lives = map[string]life{
	"e2e-grows":     {nil, []string{resizeTo4, confirm}, "resize confirmResize", "active"},
	"e2e-confirms":  {[]string{resizeTo4}, []string{confirm}, "resize confirmResize", "active"},
	"e2e-reverts":   {[]string{resizeTo4}, []string{revert}, "resize revertResize", "active"},
	"e2e-wavers":    {nil, []string{resizeTo4, revert}, "resize revertResize", "active"},
	"e2e-ends":      {nil, []string{remove}, "delete", "deleted"},
	"e2e-stops":     {nil, []string{"server stop {}"}, "stop", "stopped"},
	"e2e-starts":    {[]string{"server stop {}"}, []string{"server start {}"}, "stop start", "active"},
	"e2e-cycles":    {[]string{"server stop {}", "server start {}"}, []string{"server stop {}", "server start {}", "server stop {}"}, "stop start stop start stop", "stopped"},
	"e2e-rebuilt":   {[]string{"server stop {}"}, []string{"server rebuild --image almalinux-9 {}"}, "stop rebuild", "stopped"},
	"e2e-unseen":    {nil, []string{"server stop {}", "server rebuild --image almalinux-9 {}", remove}, "stop rebuild delete", "deleted"},
	"e2e-last":      {[]string{"server stop {}"}, []string{remove}, "stop delete", "deleted"},
	"e2e-shelves":   {nil, []string{"server shelve {}"}, "shelve", "shelved_offloaded"},
	"e2e-unshelves": {[]string{"server shelve {}"}, []string{"server unshelve {}"}, "shelve unshelve", "active"},
	"e2e-pauses":    {[]string{"server pause {}"}, []string{"server unpause {}", "server suspend {}", "server resume {}"}, "pause unpause suspend resume", "active"},
	"e2e-rescues":   {[]string{"server rescue {}"}, []string{"server unrescue {}"}, "rescue unrescue", "active"},
}

const (
	resizeTo4 = "server resize --flavor m1.large {}"
	confirm   = "server resize confirm {}"
	revert    = "server resize revert {}"
	remove    = "server delete {}"
)

// after is the state that a command leaves the server in.
var after = map[string]string{
	resizeTo4: "resized", confirm: "active", revert: "active", remove: "deleted", "server stop {}": "stopped", "server start {}": "active",
	"server rebuild --image almalinux-9 {}": "stopped", "server shelve {}": "shelved_offloaded", "server unshelve {}": "active", "server pause {}": "paused",
	"server unpause {}": "active", "server suspend {}": "suspended", "server resume {}": "active", "server rescue {}": "rescued", "server unrescue {}": "active",
}

// born makes the servers and gives their ids by name. They are deleted when the test ends.
func (l *lab) born(t *testing.T) map[string]string {
	t.Helper()
	var commands []string
	for name := range lives {
		commands = append(commands, "server create --flavor m1.small --image ubuntu-22.04 --network shared "+name)
	}
	var left []string // by a test that was killed
	for _, s := range query[standing](t, l, "nova", `SELECT JSON_OBJECT('ID', uuid) FROM instances WHERE display_name LIKE 'e2e-%' AND deleted = 0`) {
		left = append(left, s.ID)
	}
	l.remove(t, left)
	ids := map[string]string{}
	t.Cleanup(func() { l.remove(t, slices.Collect(maps.Values(ids))) })
	l.commands(t, commands)
	l.until(t, func(all []standing) (missing string) {
		clear(ids)
		for _, s := range all {
			if s.State == "active" && s.Task == "" {
				ids[s.Name] = s.ID
			}
		}
		if len(ids) == len(lives) {
			return ""
		}
		return fmt.Sprintf("%d of %d servers are active", len(ids), len(lives))
	})
	return ids
}

// live does to the servers what the stage of their life says, all at once, step by step.
func (l *lab) live(t *testing.T, ids map[string]string, stage func(life) []string) {
	t.Helper()
	for step := 0; ; step++ {
		var commands []string
		want := map[string]string{} // id → state
		for name, one := range lives {
			if all := stage(one); step < len(all) {
				commands = append(commands, strings.Replace(all[step], "{}", ids[name], 1))
				want[ids[name]] = after[all[step]]
			}
		}
		if len(commands) == 0 {
			return
		}
		l.commands(t, commands)
		l.until(t, func(all []standing) string {
			var missing []string
			for _, s := range all {
				if state := want[s.ID]; state != "" && (s.State != state || s.Task != "" && state != "deleted") {
					missing = append(missing, fmt.Sprintf("%s is %s %s, not %s", s.Name, s.State, s.Task, state))
				}
			}
			return strings.Join(missing, ", ")
		})
	}
}

// standing is a server of the test's own, as Nova has it.
type standing struct{ ID, Name, State, Task string }

// until waits until the servers of the test's own are as they should be.
func (l *lab) until(t *testing.T, missing func([]standing) string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		all := query[standing](t, l, "nova", `SELECT JSON_OBJECT('ID', uuid, 'Name', display_name, 'State', vm_state, 'Task', IFNULL(task_state, ''))
			FROM instances WHERE display_name LIKE 'e2e-%' AND created_at >= UTC_TIMESTAMP() - INTERVAL 15 MINUTE ORDER BY id`)
		text := missing(all)
		if text == "" {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after two minutes: %s", text)
		}
	}
}

// commands runs commands of python-openstackclient in one process, by the owner of the servers.
func (l *lab) commands(t *testing.T, all []string) {
	t.Helper()
	slices.Sort(all)
	if problems := l.interactive(t.Context(), all); problems != "" {
		t.Fatalf("openstack: %s\n%s", problems, strings.Join(all, "\n"))
	}
}

// interactive gives what the client complains of. Its exit code says nothing: where its input ends it is always 1.
func (l *lab) interactive(ctx context.Context, all []string) string {
	cmd := exec.CommandContext(ctx, l.client)
	cmd.Stdin = strings.NewReader(strings.Join(all, "\n") + "\n")
	cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+l.clouds(), "OS_CLOUD="+owner, "no_proxy=*", "LANG=C.UTF-8")
	var problems strings.Builder
	cmd.Stderr = &problems
	_ = cmd.Run()
	return strings.TrimSpace(problems.String())
}

// remove deletes servers, and waits until they are gone; those that are gone already don't matter.
func (l *lab) remove(t *testing.T, ids []string) {
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // the test's own has ended
	defer cancel()
	if problems := l.interactive(ctx, []string{"server delete --wait " + strings.Join(ids, " ")}); problems != "" {
		t.Logf("deleting the test's servers: %s", problems)
	}
}

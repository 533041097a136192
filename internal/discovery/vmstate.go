package discovery

import (
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/protocol/glue"
)

// vmState is GLUE's state of a VM; "" = none of them, so that it is in the total only.
type vmState string

const (
	vmRunning   vmState = "running"
	vmPending   vmState = "pending"
	vmSuspended vmState = "suspended"
	vmHalted    vmState = "halted"
)

// vmStates says what Nova's words mean in GLUE. A VM runs while its guest does, or is on its way there again; ERROR, DELETED,
// SOFT_DELETED, UNKNOWN and words that nobody knows are counted in the total only.
var vmStates = map[string]vmState{
	"ACTIVE": vmRunning, "REBOOT": vmRunning, "HARD_REBOOT": vmRunning, "PASSWORD": vmRunning, "RESCUE": vmRunning,
	"MIGRATING": vmRunning, "RESIZE": vmRunning, "VERIFY_RESIZE": vmRunning, "REVERT_RESIZE": vmRunning,
	"BUILD": vmPending, "REBUILD": vmPending,
	"SUSPENDED": vmSuspended, "PAUSED": vmSuspended,
	"SHUTOFF": vmHalted, "SHELVED": vmHalted, "SHELVED_OFFLOADED": vmHalted,
}

// countVMs counts by GLUE's states.
func countVMs(c openstack.VMCounts) glue.VMs {
	sum, n := int64(0), map[vmState]*int64{vmRunning: new(int64), vmPending: new(int64), vmSuspended: new(int64), vmHalted: new(int64)}
	for word, k := range c.ByStatus {
		if k < 0 {
			continue
		}
		sum += int64(k)
		if of := n[vmStates[word]]; of != nil {
			*of += int64(k)
		}
	}
	total := max(int64(c.Total), sum)
	return glue.VMs{Total: &total, Running: n[vmRunning], Pending: n[vmPending], Suspended: n[vmSuspended], Halted: n[vmHalted]}
}

package openstack

import (
	"context"
	"encoding/json"
	"fmt"
)

// VMCounts is how many VMs of a project exist.
type VMCounts struct {
	Total    int
	ByStatus map[string]int // Nova's words; UNKNOWN for those of a cell that does not answer
	Unusable int            // entries of the listing that have no status; they are in Total
}

// VMCounts counts the project's VMs by status, whatever their number: page by page, and pages as long as Nova makes them.
// The first one is asked for without any parameter, because only such a listing shows the VMs of cells that do not answer.
func (i *Inventory) VMCounts(ctx context.Context) (VMCounts, error) {
	n := i.compute(ctx)
	if n.err != nil {
		return VMCounts{}, n.err
	}
	microversion, _ := n.version.newestOf(69, 47)
	at := n.endpoint + "servers/detail"
	counts := VMCounts{ByStatus: map[string]int{}}
	err := i.session.pages(ctx, "compute", at, nil, microversion, "servers", func(raw json.RawMessage) error {
		var w struct {
			ID     string `json:"id"`
			Tenant string `json:"tenant_id"`
			Status string `json:"status"`
		}
		counts.Total++
		if err := json.Unmarshal(raw, &w); err != nil || w.Status == "" {
			counts.Unusable++
			return nil
		}
		if w.Tenant != i.session.projectID {
			return &Error{Kind: ErrScope, Service: "compute", Method: "GET", Path: pathOf(at),
				Message: fmt.Sprintf("the listing of project %s shows VM %s of project %s", i.session.projectID, w.ID, w.Tenant)}
		}
		counts.ByStatus[w.Status]++
		return nil
	})
	if err != nil {
		return VMCounts{}, err
	}
	return counts, nil
}

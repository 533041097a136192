package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Network is a network that a project can use.
type Network struct {
	ID, Name  string
	ProjectID string // of whom it is
	External  bool   // to the outside: floating addresses come from it
	Shared    bool   // with all projects, or with this one
	Status    string // Neutron's word: ACTIVE, DOWN …
	Default   bool   // it is the external one that is taken where none is named
	MTU       int64  // bytes; 0 = not said
	Type      string // the provider's word, vlan, vxlan …; "" = not said, which is so for all but administrators
}

// Networks lists the networks that the project can use: external ones, shared ones and its own. ErrNoService where the
// cloud has no Neutron.
func (i *Inventory) Networks(ctx context.Context) ([]Network, []BadEntry, error) {
	at, err := i.networkEndpoint()
	if err != nil {
		return nil, nil, err
	}
	at += "networks"
	k := kept[Network]{service: "network", at: at}
	err = i.session.pages(ctx, "network", at, nil, "", "networks", func(raw json.RawMessage) error {
		n, err := decodeNetwork(raw)
		if err == nil && !n.External && !n.Shared && n.ProjectID != i.session.projectID {
			return nil // an administrator's token shows it
		}
		return k.add(raw, n, err)
	})
	if err != nil {
		return nil, nil, err
	}
	return k.all, k.bad, nil
}

func decodeNetwork(raw json.RawMessage) (Network, error) {
	var w struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Project  string `json:"project_id"`
		Tenant   string `json:"tenant_id"` // the same, and all that there is before Newton
		External bool   `json:"router:external"`
		Shared   bool   `json:"shared"`
		Status   string `json:"status"`
		Default  bool   `json:"is_default"`
		MTU      int64  `json:"mtu"`
		Type     string `json:"provider:network_type"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return Network{}, fmt.Errorf("unusable entry of the listing: %w", err)
	}
	if w.ID == "" {
		return Network{}, errors.New("an entry of the listing has no id")
	}
	return Network{ID: w.ID, Name: w.Name, ProjectID: cmpOr(w.Project, w.Tenant), External: w.External, Shared: w.Shared, Status: w.Status, Default: w.Default, MTU: w.MTU, Type: w.Type}, nil
}

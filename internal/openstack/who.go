package openstack

import (
	"context"
	"time"
)

// Identity is who a credential is at a cloud.
type Identity struct {
	UserID, UserName string
	OnlyProject      string         // the credential cannot sign in to another one
	Ahead            *time.Duration // of Keystone's clock, to the second; nil = it said no date
}

// Who signs in, unless that was done, and tells as whom.
func (c *Cloud) Who(ctx context.Context) (Identity, error) {
	s, err := c.start(ctx)
	if err != nil {
		return Identity{}, err
	}
	return Identity{UserID: s.userID, UserName: s.userName, OnlyProject: s.onlyProject, Ahead: s.ahead}, nil
}

// Probe asks for one VM of the project: it tells whether the role that the credential has there lets it list them.
func (p *Project) Probe(ctx context.Context) error {
	microversion, _ := p.version.newestOf(69, 47)
	var answer struct{}
	return p.session.get(ctx, "compute", p.compute+"servers/detail?limit=1", microversion, &answer)
}

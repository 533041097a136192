package app

import (
	"context"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
)

// CloudSource gives accounting its view of a cloud.
func CloudSource(c *openstack.Cloud) accounting.Source { return cloudSource{c} }

type cloudSource struct{ cloud *openstack.Cloud }

func (s cloudSource) Projects(ctx context.Context) ([]site.Project, error) {
	return s.cloud.Projects(ctx)
}

func (s cloudSource) Project(ctx context.Context, id string) (accounting.Compute, error) {
	p, err := s.cloud.Project(ctx, id)
	if err != nil {
		return nil, err // not p: a nil *Project in an interface is not nil
	}
	return p, nil
}

// Who tells who the credential is, for the checks.
func (s cloudSource) Who(ctx context.Context) (openstack.Identity, error) { return s.cloud.Who(ctx) }

func (s cloudSource) Lookup() accounting.Lookup { return lookup{s.cloud.NewLookup()} }

type lookup struct{ *openstack.Lookup }

// Image asks for an image as the project sees it.
func (l lookup) Image(ctx context.Context, c accounting.Compute, id string) (openstack.Image, error) {
	p, ok := c.(*openstack.Project)
	if !ok {
		return openstack.Image{}, openstack.ErrNotFound
	}
	return l.Lookup.Image(ctx, p, id)
}

// Flavor asks for a flavor with the project's token.
func (l lookup) Flavor(ctx context.Context, c accounting.Compute, id string) (openstack.Flavor, error) {
	p, ok := c.(*openstack.Project)
	if !ok {
		return openstack.Flavor{}, openstack.ErrNotFound
	}
	return l.Lookup.Flavor(ctx, p, id)
}

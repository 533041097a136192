package openstack

import (
	"errors"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// TestEndpointOfARegion: which of a catalog's endpoints is used. Without a region there must be one only, whatever comes
// first.
func TestEndpointOfARegion(t *testing.T) {
	at := func(region, url string) tokens.Endpoint {
		return tokens.Endpoint{Interface: "public", RegionID: region, URL: url}
	}
	nova := func(endpoints ...tokens.Endpoint) []tokens.CatalogEntry {
		return []tokens.CatalogEntry{{Type: "identity", Endpoints: []tokens.Endpoint{at("Three", "http://no")}}, {Type: "compute", Endpoints: endpoints}}
	}
	internal := at("Two", "http://internal")
	internal.Interface = "internal"
	for name, c := range map[string]struct {
		catalog        []tokens.CatalogEntry
		region, url    string
		message, hints string
	}{
		"the only one":              {nova(at("One", "http://one")), "", "http://one/", "", ""},
		"another interface's":       {nova(internal, at("One", "http://one/")), "", "http://one/", "", ""},
		"twice in a region":         {nova(at("One", "http://one"), at("One", "http://two")), "", "http://one/", "", ""},
		"the region that is named":  {nova(at("Two", "http://two"), at("One", "http://one")), "One", "http://one/", "", ""},
		"none is named":             {nova(at("Two", "http://two"), at("One", "http://one")), "", "", "the catalog has compute endpoints in regions One, Two: one must be chosen", "region"},
		"one that is not there":     {nova(at("Two", "http://two"), at("One", "http://one")), "Three", "", "the catalog has no compute endpoint in region Three, only in One, Two", "openstack catalog list"},
		"nothing of the service":    {nova(), "", "", "the catalog of project p has no public endpoint for compute", "openstack catalog list"},
		"nothing of the service in": {nova(internal), "Two", "", "the catalog of project p has no public endpoint for compute", "openstack catalog list"},
	} {
		s := &session{granted: granted{projectID: "p", catalog: c.catalog}}
		url, err := s.endpoint("compute", c.region, "public")
		if url != c.url || (err == nil) != (c.message == "") {
			t.Errorf("%s: %q, %v", name, url, err)
		}
		if failed, ok := errors.AsType[*Error](err); err != nil && (!ok || !errors.Is(err, ErrNoService) || failed.Message != c.message || !strings.Contains(Hint(err), c.hints)) {
			t.Errorf("%s: %v (%s)", name, err, Hint(err))
		}
	}
}

package information

import (
	"net/http"
	"testing"

	"github.com/fedsite/fedsite/protocol/glue"
)

// TestRegions asks about a site of two regions: a VO has its project once, and the images of both regions, those that are in
// both once.
func TestRegions(t *testing.T) {
	d := offer(t, "SITE", "1G0", "https://a.example.org/v3", "ops", "biomed")
	second := glue.NewEndpoint("https://a.example.org/v3", "east", "SITE")
	d.Endpoints = append(d.Endpoints, second)
	for n, vo := range []string{"ops", "biomed"} {
		share := glue.NewShare(d.Services[0].ID, second.ID, vo, "p-"+vo)
		if share.ID == d.Shares[n].ID {
			t.Fatal("the regions' shares have one ID")
		}
		d.Shares, d.MappingPolicies = append(d.Shares, share), append(d.MappingPolicies, glue.NewMappingPolicy(share.ID, vo))
		d.Images[n].Shares = append(d.Images[n].Shares, share.ID)
		d.Images = append(d.Images, glue.Image{Entity: glue.Entity{ID: "east-" + vo, Name: "n"}, Shares: []string{share.ID}, MarketplaceURL: "elsewhere"})
	}
	s := serve(t, Options{Sources: []Source{&holding{docs: map[string]string{"a": string(body(t, d))}}}})
	const (
		projects = `[{"id":"p-ops","name":"ops"},{"id":"p-biomed","name":"biomed"}]`
		of       = `","endpoint":"https://a.example.org/v3","mpuri":"`
		ops      = `{"egi_id":"registry.egi.eu/x:ops","id":"i-ops` + of + `registry.egi.eu/x:ops","name":"image of ops","version":"","vo":"ops"}`
		biomed   = `{"egi_id":"registry.egi.eu/x:biomed","id":"i-biomed` + of + `registry.egi.eu/x:biomed","name":"image of biomed","version":"","vo":"biomed"}`
		eastOps  = `{"egi_id":"","id":"east-ops` + of + `elsewhere","name":"n","version":"","vo":"ops"}`
	)
	for target, want := range map[string]string{
		"/site/SITE/projects":                         projects,
		"/site/SITE/?include_projects=1":              `{"id":"1G0","name":"SITE","url":"https://a.example.org/v3","state":"","hostname":"a.example.org","projects":` + projects + `}`,
		"/site/SITE/ops/project":                      `{"id":"p-ops","name":"ops"}`,
		"/site/SITE/images":                           "[" + ops + "," + biomed + "]",
		"/site/SITE/ops/images":                       "[" + ops + "]",
		"/site/SITE/ops/images?only_egi_images=false": "[" + ops + "," + eastOps + "]",
		"/images/?vo_name=ops&only_egi_images=false":  "[" + ops + "," + eastOps + "]",
		"/fedcloudclient/SITE/": "endpoint: https://a.example.org/v3\ngocdb: SITE\nvos:\n" +
			"- auth:\n    project_id: p-ops\n  name: ops\n- auth:\n    project_id: p-biomed\n  name: biomed\n",
	} {
		if got := ask(t, s, http.MethodGet, target).Body.String(); got != want {
			t.Errorf("GET %s:\n%s\nwant\n%s", target, got, want)
		}
	}
}

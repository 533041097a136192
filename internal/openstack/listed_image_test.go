package openstack_test

import (
	"net/http"
	"testing"
)

// TestPrivateImagesOfOthers: a cloud that gives Glance's administrators another role than "admin" shows a token with that
// role every private image; none of another project is taken. Before Ocata a shared image is called private, too.
func TestPrivateImagesOfOthers(t *testing.T) {
	const others = `{"id":"others","status":"active","visibility":"private","owner":"x"`
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"today":        {`{"images":[` + others + `,"os_hidden":false},{"id":"own","status":"active","visibility":"private","owner":"` + oddProject + `","os_hidden":false}]}`, 1},
		"before Ocata": {`{"images":[` + others + `},{"id":"own","status":"active","visibility":"private","owner":"` + oddProject + `"}]}`, 2},
	} {
		i, _ := oddInventory(t, map[string][]func(http.ResponseWriter){"/images": once(200, c.body)})
		all, bad, err := i.Images(t.Context(), nil)
		if err != nil || len(bad) != 0 || len(all) != c.want || all[len(all)-1].ID != "own" {
			t.Errorf("%s: %+v, %v, %v", name, all, bad, err)
		}
	}
}

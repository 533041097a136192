package discovery_test

import (
	"bytes"
	"testing"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestServe polls what a store sink has.
func TestServe(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		var before []discovery.Served
		var d *desk
		poll := func(when string, changed bool, images ...int) []discovery.Served {
			t.Helper()
			all, got, err := discovery.Serve(t.Context(), d.db, "api", before)
			if err != nil || got != changed || len(all) != len(images) {
				t.Fatalf("%s: %d documents, changed: %v, %v", when, len(all), got, err)
			}
			for i, s := range all {
				if n := bytes.Count(s.Body, []byte(`"image-`)); n != images[i] {
					t.Errorf("%s: document %d has %d images, want %d", when, i, n, images[i])
				}
			}
			before = all
			return all
		}
		d = newDesk(t, cfg)
		d.target.Sinks = []discovery.Sink{discovery.NewStore("api", d.db), discovery.NewStore("ldap", d.db), newShelf("s")}
		poll("nothing", false)
		at := d.at
		d.publish(everything, d.doc(firstEP, 1), d.doc(secondEP, 2))
		s := poll("two", true, 1, 2)[0]
		if s.SiteID != "s1" || s.Site != "SITE.A" || s.Endpoint != firstEP || s.Name != nameOf("SITE.A", firstEP) || s.Digest == "" || !s.Delivered.Equal(at) || !s.Changed.Equal(at) {
			t.Errorf("%+v", s)
		}
		first := &s.Body[0]
		d.publish(everything, d.doc(firstEP, 1), d.doc(secondEP, 2))
		poll("the same, spared", false, 1, 2)
		d.publish(everything, d.doc(secondEP, 3))
		if s := poll("one says something else", true, 1, 3)[0]; &s.Body[0] != first {
			t.Error("a body that did not change was read again")
		}
		renewed := at.Add(4 * 60 * 60 * 1e9) // a third of twelve hours
		d.at = renewed
		d.publish(everything, d.doc(firstEP, 1))
		if s := poll("renewed", true, 1, 3)[0]; !s.Delivered.Equal(renewed) || !s.Changed.Equal(at) || !bytes.Contains(s.Body, []byte(renewed.Format("2006-01-02T15:04"))) {
			t.Errorf("delivered %v, changed %v", s.Delivered, s.Changed)
		}
		d.target.Site.Name = "SITE-B"
		d.publish(everything, d.doc(firstEP, 1))
		if s := poll("under another name", true, 1, 3)[0]; s.Site != "SITE-B" || s.Name != nameOf("SITE-B", firstEP) {
			t.Errorf("%+v", s)
		}
	})
}

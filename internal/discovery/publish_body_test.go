package discovery_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/discovery/sinktest"
	"github.com/fedsite/fedsite/protocol/glue"
)

// TestDigest changes one thing at a time in each class of a document: times make no difference, all else does.
func TestDigest(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	full := func() glue.Document {
		d := sinktest.Document("SITE", firstEP, 2, at)
		d.InstanceTypes = []glue.InstanceType{{Entity: glue.Entity{ID: "1"}}}
		d.VirtualAccelerators = []glue.VirtualAccelerator{{Entity: glue.Entity{ID: "1_gpu"}}}
		return d
	}
	digest := func(d glue.Document) string {
		s, err := discovery.Digest(d)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	same := digest(full())
	for i := range reflect.TypeFor[glue.Document]().NumField() {
		class := reflect.TypeFor[glue.Document]().Field(i).Name
		entity := func(d *glue.Document) *glue.Entity {
			return reflect.ValueOf(d).Elem().Field(i).Index(0).FieldByName("Entity").Addr().Interface().(*glue.Entity)
		}
		d := full()
		e := entity(&d)
		e.CreationTime, e.Validity = at.Add(time.Hour), time.Hour
		if digest(d) != same {
			t.Errorf("%s: times make a difference", class)
		}
		if entity(&d).Validity != time.Hour {
			t.Errorf("%s: the document was changed", class)
		}
		e.ID += "x"
		if digest(d) == same {
			t.Errorf("%s: an id makes no difference", class)
		}
	}
	d := full()
	d.Images[1].Network = []glue.NetworkConfiguration{{Direction: "inbound", Protocol: "tcp", Port: "80"}}
	if digest(d) == same {
		t.Error("what LDAP alone has makes no difference")
	}
}

func TestBody(t *testing.T) {
	d := sinktest.Document("SITE", firstEP, 1, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	for f, want := range map[discovery.Format]string{
		discovery.JSON: `{"CloudComputingService": [{"ID": "https://one.example.org:5000/v3_cloud.compute"`,
		discovery.LDIF: "dn: GLUE2ServiceID=https://one.example.org:5000/v3_cloud.compute,GLUE2GroupI\n D=cloud,GLUE2DomainID=SITE,o=glue\n",
	} {
		body, err := discovery.Body(f, d, glue.CloudBase("SITE"))
		if err != nil || !strings.HasPrefix(string(body), want) {
			t.Errorf("%s: %.200s, %v", f, body, err)
		}
	}
	if _, err := discovery.Body("xml", d, nil); err == nil {
		t.Error("any format is known")
	}
	if got := discovery.NameOf(discovery.LDIF, "a.b", firstEP); got != "a-b-2818663c81910db4e5d9d3665554008a.ldif" {
		t.Error(got)
	}
}

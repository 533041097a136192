package discovery

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/protocol/glue"
)

// TestTrafficSurvivesJSON: a document that was read back from JSON has the traffic of its images again.
func TestTrafficSurvivesJSON(t *testing.T) {
	info, err := glue.ParseInfo(`{"ad:traffic_in": [{"net_protocol": "tcp", "net_port": "80,443", "net_range": "0.0.0.0/0"}], "ad:traffic_out": "[{:net_protocol=>\"all\"}]"}`)
	if err != nil {
		t.Fatal(err)
	}
	doc := glue.Document{Images: []glue.Image{{Entity: glue.Entity{ID: "a", OtherInfo: info}, Network: networkOf(info)}, {Entity: glue.Entity{ID: "b"}}}}
	if len(doc.Images[0].Network) != 2 {
		t.Fatalf("%+v", doc.Images[0].Network)
	}
	var text bytes.Buffer
	if err := glue.WriteJSON(&text, doc); err != nil {
		t.Fatal(err)
	}
	read, _, err := glue.Parse(&text, glue.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(read.Images[0].Network) != 0 {
		t.Fatal("JSON carries traffic by now: WithTraffic has no use any more")
	}
	if d := cmp.Diff(doc.Images[0].Network, WithTraffic(read).Images[0].Network); d != "" {
		t.Error(d)
	}
}

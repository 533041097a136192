package discovery

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/glue"
)

// attributes is what an image's APPLIANCE_ATTRIBUTES says, and what is wrong with it.
type attributes struct {
	info    glue.Info
	network []glue.NetworkConfiguration
	err     error
}

// readAttributes reads an image's APPLIANCE_ATTRIBUTES, once for all images that have the same. A copy of ad:base_mpuri
// stands first in it, as in today's tool; what the information API reads is text.
func (x *renderer) readAttributes(i *Image) *attributes {
	text := i.Properties[propertyAttributes]
	if text == "" {
		return &attributes{}
	}
	a := x.attributes[text]
	if a == nil {
		a = parseAttributes(text)
		x.attributes[text] = a
	}
	if a.err != nil {
		x.add(glue.Finding{Level: glue.LevelWarning, Class: "CloudComputingImage", ID: i.ID, Attribute: "OtherInfo",
			Reason: "left out: APPLIANCE_ATTRIBUTES cannot be read: " + run.Line(a.err.Error(), 200)})
	}
	return a
}

func parseAttributes(text string) *attributes {
	info, err := glue.ParseInfo(text)
	if err != nil {
		return &attributes{err: err}
	}
	for k := range info {
		if name := info[k].Name; name == "eu.egi.cloud.image_ref" || name == "eu.egi.cloud.tag" {
			info[k].Value = asText(info[k].Value)
		}
	}
	a := &attributes{network: networkOf(info)}
	if base := info.Get("ad:base_mpuri"); base != nil {
		info = append(glue.Info{{Name: "base_mpuri", Value: base}}, info...)
	}
	if len(info) > 0 {
		a.info = info
	}
	return a
}

// networkOf gives the traffic that an image needs, as its attributes say it.
func networkOf(info glue.Info) []glue.NetworkConfiguration {
	return append(traffic(info.Get("ad:traffic_in"), "inbound"), traffic(info.Get("ad:traffic_out"), "outbound")...)
}

// WithTraffic fills in the traffic that images of a document need, after it was read from JSON: there only their OtherInfo
// has it. LDAP shows it as objects of their own.
func WithTraffic(d glue.Document) glue.Document {
	d.Images = slices.Clone(d.Images)
	for i := range d.Images {
		d.Images[i].Network = networkOf(d.Images[i].OtherInfo)
	}
	return d
}

// asText gives numbers and the like as text; what has parts stays, and the document shows it as JSON in a text.
func asText(v any) any {
	switch v.(type) {
	case nil, string, []any, glue.Info:
		return v
	}
	return fmt.Sprint(v)
}

// maxTraffic is how many rules of an image are taken for each direction.
const maxTraffic = 64

// traffic reads the rules of one direction: a list of objects, or one text that holds such a list as JSON or as Ruby prints
// it, [{:"ad:net_protocol"=>"tcp", …}]. What is none is left out; OtherInfo has it anyway.
func traffic(v any, direction string) []glue.NetworkConfiguration {
	var rules []glue.Info
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			if rule, ok := one.(glue.Info); ok {
				rules = append(rules, rule)
			}
		}
	case glue.Info:
		rules = []glue.Info{v}
	case string:
		rules = printedRules(v)
	}
	var out []glue.NetworkConfiguration
	for _, rule := range rules {
		n := glue.NetworkConfiguration{
			Direction: field(rule, "direction"), Protocol: field(rule, "protocol"), Port: field(rule, "port"), AddressRange: field(rule, "range"),
		}
		if n == (glue.NetworkConfiguration{}) {
			continue
		}
		if n.Direction == "" {
			n.Direction = direction
		}
		if out = append(out, n); len(out) == maxTraffic {
			break
		}
	}
	return out
}

// field gives a part of a rule, which is called "ad:net_port", "net_port" or, where several are meant, "ad:net_ports".
func field(rule glue.Info, name string) string {
	for _, n := range []string{"ad:net_" + name, "net_" + name, "ad:net_" + name + "s", "net_" + name + "s"} {
		switch v := rule.Get(n).(type) {
		case nil, glue.Info:
		case []any:
			var all []string
			for _, one := range v {
				all = append(all, fmt.Sprint(one))
			}
			return run.Line(strings.Join(all, ","), 255)
		default:
			return run.Line(fmt.Sprint(v), 255)
		}
	}
	return ""
}

// printed is a pair of a printed object: :"a"=>"b", "a"=>"b", :a=>"b", "a": "b" or 'a': 'b'.
var printed = regexp.MustCompile(`:?(?:"([^"{}]*)"|'([^'{}]*)'|([\w]+))\s*(?:=>|:)\s*(?:"([^"{}]*)"|'([^'{}]*)'|(\d+))`)

func printedRules(text string) []glue.Info {
	var out []glue.Info
	if len(text) > 64<<10 {
		return nil
	}
	for _, object := range strings.Split(text, "{")[1:] {
		object, _, closed := strings.Cut(object, "}")
		if !closed || len(out) == maxTraffic {
			break
		}
		var rule glue.Info
		for _, m := range printed.FindAllStringSubmatch(object, 32) {
			rule = append(rule, glue.Item{Name: m[1] + m[2] + m[3], Value: m[4] + m[5] + m[6]})
		}
		out = append(out, rule)
	}
	return out
}

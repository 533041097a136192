package config

import (
	"reflect"

	"github.com/fedsite/fedsite/internal/site"
)

// parts are the parts that something can be said for. Others are not there yet.
var parts = []site.Part{site.Accounting, site.Discovery, site.Images}

// perPart is one text for all parts, or a mapping of parts to texts: of a credential's name, or of a mode.
type perPart struct {
	said
	all text
	own map[site.Part]text
}

// of gives what is said for a part.
func (p perPart) of(part site.Part) text {
	if own, ok := p.own[part]; ok {
		return own
	}
	return p.all
}

// texts gives each text once.
func (p perPart) texts() []text {
	if p.own == nil {
		return []text{p.all}
	}
	var all []text
	for _, part := range parts {
		if own, ok := p.own[part]; ok {
			all = append(all, own)
		}
	}
	return all
}

func (p *perPart) decode(d *decoder, n *node, f field) {
	if n.kind != mapping {
		p.all.put(n)
		p.all.decode(d, n, f)
		return
	}
	known := map[string]int{}
	for i, part := range parts {
		known[string(part)] = i
	}
	d.unknown(n, known, false)
	p.own = map[site.Part]text{}
	for _, part := range parts {
		if value := n.get(string(part)); value != nil {
			var own text
			d.value(value, reflect.ValueOf(&own).Elem(), f)
			p.own[part] = own
		}
	}
}

// with gives a map with one more entry.
func with[K comparable, V any](m map[K]V, key K, value V) map[K]V {
	if m == nil {
		m = map[K]V{}
	}
	m[key] = value
	return m
}

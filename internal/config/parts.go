package config

import (
	"reflect"

	"github.com/fedsite/fedsite/internal/site"
)

// perPart is one text for all parts, or a mapping of parts to texts: of a credential's name, or of a mode.
type perPart struct {
	said
	accounting text
}

// The parts that something can be said for. Others are not there yet.
const partAccounting = string(site.Accounting)

func (p *perPart) decode(d *decoder, n *node, f field) {
	if n.kind != mapping {
		p.accounting.put(n)
		p.accounting.decode(d, n, f)
		return
	}
	d.unknown(n, map[string]int{partAccounting: 0}, false)
	if a := n.get(partAccounting); a != nil {
		d.value(a, reflect.ValueOf(&p.accounting).Elem(), f)
	}
}

// lower gives the mode that does less; "" is no mode of its own.
func lower(a, b site.Mode) site.Mode {
	rank := map[site.Mode]int{site.Disabled: 0, site.Observe: 1, site.Active: 2, "": 3}
	if rank[b] < rank[a] {
		return b
	}
	return a
}

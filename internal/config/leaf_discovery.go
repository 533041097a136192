package config

import (
	"net"
	"net/netip"
	"reflect"
	"strconv"
)

// discoveryCron is one schedule, of publishing, or a mapping with one for each task.
type discoveryCron struct {
	said
	publish, check cron
}

func (v *discoveryCron) decode(d *decoder, n *node, f field) {
	if n.kind != mapping {
		v.publish.put(n)
		v.publish.decode(d, n, f)
		return
	}
	d.unknown(n, map[string]int{"publish": 0, "check": 1}, false)
	for key, to := range map[string]*cron{"publish": &v.publish, "check": &v.check} {
		if value := n.get(key); value != nil {
			d.value(value, reflect.ValueOf(to).Elem(), f)
		}
	}
}

func (v *discoveryCron) schema(f field) map[string]any {
	one := (&cron{}).schema(f)
	return map[string]any{"oneOf": []any{one, map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{"publish": one, "check": one}}}}
}

func (v *discoveryCron) kind(field) string { return "cron expression, or {publish: …, check: …}" }

// urlOrOff is a URL, or off.
type urlOrOff struct {
	said
	V string
}

func (v *urlOrOff) decode(d *decoder, n *node, f field) {
	if n.kind == scalar && n.text == off {
		return
	}
	if !d.scalar(n, "a URL, or off") {
		return
	}
	v.V = n.text
	f.tag += ` format:"url"`
	d.checkText(n, f)
}

func (v *urlOrOff) schema(field) map[string]any {
	return map[string]any{"type": "string", "pattern": "^(off|https?://[^/@]+(/.*)?)$"}
}

func (v *urlOrOff) kind(field) string { return "URL, or off" }

// address is an address of this host with a port; others may reach it.
type address struct {
	said
	V string
}

func (v *address) decode(d *decoder, n *node, _ field) {
	if !d.scalar(n, "an address with a port like [::]:8080") {
		return
	}
	host, port, err := net.SplitHostPort(n.text)
	number, perr := strconv.ParseUint(port, 10, 16)
	_, herr := netip.ParseAddr(host)
	if err != nil || perr != nil || herr != nil && host != "localhost" || strconv.FormatUint(number, 10) != port {
		d.fail(n, "must be an address with a port like [::]:8080, 0.0.0.0:8080 or 127.0.0.1:8080")
		return
	}
	v.V = n.text
}

func (v *address) schema(field) map[string]any {
	return map[string]any{"type": "string", "pattern": `^(localhost|[0-9.]+|\[[0-9a-fA-F:.%a-z]+\]):\d+$`}
}

func (v *address) kind(field) string { return "address with port" }

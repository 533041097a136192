package config

import (
	"math"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
)

// imagesCron is one schedule, of bringing images, or a mapping with one for each task.
type imagesCron struct {
	said
	sync, check cron
}

func (v *imagesCron) decode(d *decoder, n *node, f field) {
	if n.kind != mapping {
		v.sync.put(n)
		v.sync.decode(d, n, f)
		return
	}
	d.unknown(n, map[string]int{"sync": 0, "check": 1}, false)
	for key, to := range map[string]*cron{"sync": &v.sync, "check": &v.check} {
		if value := n.get(key); value != nil {
			d.value(value, reflect.ValueOf(to).Elem(), f)
		}
	}
}

func (v *imagesCron) schema(f field) map[string]any {
	one := (&cron{}).schema(f)
	return map[string]any{"oneOf": []any{one, map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{"sync": one, "check": one}}}}
}

func (v *imagesCron) kind(field) string { return "cron expression, or {sync: …, check: …}" }

// listURL is a URL that may hold a token, as AppDB's: then it is a secret.
type listURL struct {
	said
	V Secret
}

func (v *listURL) decode(d *decoder, n *node, _ field) {
	if !d.scalar(n, "a URL") {
		return
	}
	u, err := url.Parse(n.text)
	if err != nil || u.User != nil {
		n.secret = true
		hide(n)
	}
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		hide(n)
		d.fail(n, "must be a URL like https://vmcaster.appdb.egi.eu/store/vo/ops/image.list")
		return
	}
	if in := n.at.in; in != nil && in.unit && n.secret {
		d.fail(n, "must not hold a token in a site's own file, whose text is kept in the database: say it beside, as token: {file: …}, {env: …} or {credential: …}")
	}
	v.V = NewSecret(n.text)
}

func (v *listURL) schema(field) map[string]any {
	return map[string]any{"type": "string", "pattern": "^https?://.+"}
}

func (v *listURL) kind(field) string { return "URL, with or without a token" }

// size is a number of bytes with its unit.
type size struct {
	said
	V int64
}

var sizeForm = regexp.MustCompile(`^(\d{1,12})(\.\d{1,3})? ?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$`)

var sizeUnits = map[string]float64{"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

func (v *size) decode(d *decoder, n *node, _ field) {
	if !d.scalar(n, "a size like 20GiB") {
		return
	}
	m := sizeForm.FindStringSubmatch(n.text)
	if m == nil {
		d.fail(n, "must be a size with its unit: 500MB, 20GiB or 1TB")
		return
	}
	number, err := strconv.ParseFloat(m[1]+m[2], 64)
	bytes := number * sizeUnits[m[3]]
	if err != nil || bytes >= math.MaxInt64/2 || bytes < 1 {
		d.fail(n, "must be at least 1B and below 4,000,000TB")
		return
	}
	v.V = int64(bytes)
}

func (v *size) schema(field) map[string]any {
	return map[string]any{"type": "string", "pattern": sizeForm.String()}
}

func (v *size) kind(field) string { return "size" }

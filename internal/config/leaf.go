package config

import (
	"fmt"
	"math"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// text is any text; a number is taken as it is written.
type text struct {
	said
	V string
}

func (t *text) decode(d *decoder, n *node, f field) {
	if !d.scalar(n, "a text") {
		return
	}
	t.V = n.text
	d.checkText(n, f)
}

// scalar reports what is no single value.
func (d *decoder) scalar(n *node, what string) bool {
	if n.kind != scalar {
		hide(n) // a key that was meant for something else may have secrets beneath it
		d.fail(n, "must be %s", what)
		return false
	}
	return true
}

// checkText holds a text against the tags of its field.
func (d *decoder) checkText(n *node, f field) {
	s := n.text
	if longest, err := strconv.Atoi(f.get("maxlen")); err == nil && utf8.RuneCountInString(s) > longest {
		d.fail(n, "must have at most %d characters", longest)
		return
	}
	if words := f.enum(); words != nil && !slices.Contains(words, s) {
		if isLaterValue(n.path, s) {
			d.fail(n, "%s: %s", s, notYet)
			return
		}
		d.fail(n, "must be %s, not %q%s", either(words), s, suggest(s, words))
		return
	}
	if s == "" {
		d.fail(n, "is empty: give it a value, or leave the key out")
		return
	}
	if p := f.get("pattern"); p != "" && !regexp.MustCompile(p).MatchString(s) {
		d.fail(n, "must be %s", f.get("words"))
		return
	}
	switch f.get("format") {
	case "url":
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			if strings.Contains(s, "@") {
				hide(n)
			}
			d.fail(n, "must be a URL like %s", f.get("words"))
		case u.User != nil:
			hide(n)
			d.fail(n, "must not hold a user or password: those belong under credentials")
		}
	case "path":
		if !filepath.IsAbs(s) {
			d.fail(n, "must be an absolute path: a relative one means something else wherever fedsite is started")
		}
	case "email":
		if a, err := mail.ParseAddress(s); err != nil || a.Address != s {
			d.fail(n, "must be a mail address alone, as ops@example.org")
		}
	case "ip":
		if _, err := netip.ParseAddr(s); err != nil {
			d.fail(n, "must be an IP address")
		}
	}
}

// either lists words: "a", "a or b", "a, b or c".
func either(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// words is one text or a list of them.
type words struct {
	said
	V []text
}

func (w *words) decode(d *decoder, n *node, f field) {
	items := n.items
	if n.kind != list {
		items = []*node{n}
	} else if len(items) == 0 {
		d.fail(n, "is an empty list: name one, or leave the key out")
	}
	for _, item := range items {
		t := text{}
		d.value(item, reflect.ValueOf(&t).Elem(), f)
		w.V = append(w.V, t)
	}
}

// number is a whole number.
type number struct {
	said
	V int
}

func (v *number) decode(d *decoder, n *node, f field) {
	i, err := strconv.Atoi(n.text)
	if n.kind != scalar || n.quoted || err != nil {
		d.fail(n, "must be a whole number")
		return
	}
	v.V = i
	d.bounds(n, f, float64(i))
}

// real is a number.
type real struct {
	said
	V float64
}

var decimal = regexp.MustCompile(`^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$`)

func (v *real) decode(d *decoder, n *node, f field) {
	x, err := strconv.ParseFloat(n.text, 64)
	if n.kind != scalar || n.quoted || err != nil || math.IsInf(x, 0) || !decimal.MatchString(n.text) {
		d.fail(n, "must be a number")
		return
	}
	v.V = x
	d.bounds(n, f, x)
}

func (d *decoder) bounds(n *node, f field, x float64) {
	if least, err := strconv.ParseFloat(f.get("min"), 64); err == nil && x < least {
		d.fail(n, "must be at least %s", f.get("min"))
	}
	if most, err := strconv.ParseFloat(f.get("max"), 64); err == nil && x > most {
		d.fail(n, "must be at most %s", f.get("max"))
	}
	if below, err := strconv.ParseFloat(f.get("below"), 64); err == nil && x >= below {
		d.fail(n, "must be below %s", f.get("below"))
	}
}

// flag is true or false.
type flag struct {
	said
	V bool
}

func (v *flag) decode(d *decoder, n *node, _ field) {
	if n.kind != scalar || n.quoted || n.text != "true" && n.text != "false" {
		d.fail(n, "must be true or false")
		return
	}
	v.V = n.text == "true"
}

// duration is a length of time with its units.
type duration struct {
	said
	V time.Duration
}

func (v *duration) decode(d *decoder, n *node, f field) {
	if !d.scalar(n, "a duration like 15m") {
		return
	}
	x, ok := parseDuration(n.text)
	if !ok {
		d.fail(n, "must be a duration with its unit: 90s, 15m, 1h or 2d")
		return
	}
	v.V = x
	if least, ok := parseDuration(f.get("min")); ok && x < least {
		d.fail(n, "must be at least %s", f.get("min"))
	}
	if most, ok := parseDuration(f.get("max")); ok && x > most {
		d.fail(n, "must be at most %s", f.get("max"))
	}
}

var days = regexp.MustCompile(`^([+-]?)(\d{1,5})d(.*)$`)

// parseDuration reads Go's form, with days of 24 hours before it: 2d, 1d12h.
func parseDuration(s string) (time.Duration, bool) {
	m := days.FindStringSubmatch(s)
	if m == nil {
		x, err := time.ParseDuration(s)
		return x, err == nil && strings.ContainsAny(s, "hmsuµn")
	}
	n, err := strconv.Atoi(m[2])
	if err != nil {
		return 0, false
	}
	x := time.Duration(n) * 24 * time.Hour
	if m[3] != "" {
		rest, err := time.ParseDuration(m[3])
		if err != nil || rest < 0 || strings.ContainsAny(m[3][:1], "+-") {
			return 0, false
		}
		x += rest
	}
	if x < 0 {
		return 0, false
	}
	if m[1] == "-" {
		x = -x
	}
	return x, true
}

// date is a day, or a moment; UTC unless it says otherwise.
type date struct {
	said
	V time.Time
}

func (v *date) decode(d *decoder, n *node, _ field) {
	if !d.scalar(n, "a day like 2026-11-01") {
		return
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if x, err := time.Parse(form, n.text); err == nil && x.Year() >= 1 && x.Year() <= 9998 {
			v.V = x.UTC()
			return
		}
	}
	d.fail(n, "must be a day like 2026-11-01, or a moment like 2026-11-01T00:00:00Z")
}

// secret is said in the file, or where to read it.
type secret struct {
	said
	V Secret
}

var secretForms = []string{fromFile, fromEnv, fromCredential}

func (v *secret) decode(d *decoder, n *node, f field) {
	switch n.kind {
	case scalar:
		n.secret, n.proxy = f.get("format") != "proxy", f.get("format") == "proxy"
		hide(n)
		v.V = NewSecret(n.text)
		d.checkSecret(n, f)
		if in := n.at.in; in != nil && in.unit && (n.secret || hasPassword(n.text)) {
			d.fail(n, "must not stand in a site's own file, whose text is kept in the database: {file: …}, {env: …} or {credential: …}")
		}
	case mapping:
		d.unknown(n, map[string]int{fromFile: 0, fromEnv: 1, fromCredential: 2}, true)
		if len(n.pairs) != 1 {
			d.fail(n, "must be the secret itself, or one of {file: …}, {env: …}, {credential: …}")
			return
		}
		p := n.pairs[0]
		switch {
		case p.value.kind != scalar || p.value.text == "":
			d.fail(p.value, "must be the name of a %s", map[string]string{fromFile: "file", fromEnv: "variable", fromCredential: "credential of the unit"}[p.key])
		case p.key == fromCredential && (strings.ContainsAny(p.value.text, "/\\") || strings.Trim(p.value.text, ".") == ""):
			d.fail(p.value, "must be the name of a credential of the unit, not a path")
		default:
			v.V = secretFrom(p.key, p.value.text)
		}
	default:
		hide(n)
		d.fail(n, "must be the secret itself, or one of {file: …}, {env: …}, {credential: …}")
	}
}

func (d *decoder) checkSecret(n *node, f field) {
	switch f.get("format") {
	case "proxy":
		if n.text != "" && !isProxy(n.text) {
			d.fail(n, "must be a URL like http://proxy.example.org:3128, or \"\" for none")
		}
	case "url":
		if u, err := url.Parse(n.text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			d.fail(n, "must be a URL like https://hooks.example.org/…")
		}
	case "postgres":
		if !isPostgres(n.text) {
			d.fail(n, "must be a URL like postgres://user@host/database")
		}
	default:
		if n.text == "" {
			d.fail(n, "is empty")
		}
	}
}

func isProxy(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && slices.Contains([]string{"http", "https", "socks5"}, u.Scheme)
}

func isPostgres(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql")
}

func hasPassword(s string) bool { return withoutPassword(s) != s }

// withoutPassword gives a URL as it may be shown.
func withoutPassword(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return hidden
	}
	if u.User == nil {
		return s
	}
	user := ""
	if name := u.User.Username(); name != "" {
		user = url.PathEscape(name)
	}
	if _, has := u.User.Password(); has {
		user += ":" + hidden
	}
	u.User = nil
	scheme, rest, _ := strings.Cut(u.String(), "//")
	return fmt.Sprintf("%s//%s@%s", scheme, user, rest)
}

package gocdb

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// place is what is compared of a URL.
type place struct{ scheme, host, port, path string }

func (p place) String() string {
	host := strings.ReplaceAll(p.host, "%", "%25") // before the zone of an IPv6 address
	switch {
	case p.port != "":
		host = net.JoinHostPort(host, p.port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return strings.TrimSuffix(p.scheme+"://"+host+"/"+p.path, "/")
}

// names brings hosts to one form: small letters, and IDNs as they stand in the DNS. GOCDB takes names with "_".
var names = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// Normalize gives a URL in the form in which URLs are compared: scheme and host in small letters and an IDN as it stands
// in the DNS, without default port, slashes at the path's ends, user, query and fragment. An error says what is wrong
// with the URL, and never quotes it: there may be a password in it.
func Normalize(address string) (string, error) {
	p, err := parse(address)
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

func parse(address string) (place, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || !utf8.ValidString(address) {
		return place{}, errors.New("it is no URL")
	}
	p := place{scheme: u.Scheme, path: strings.Trim(u.EscapedPath(), "/")}
	if p.scheme != "http" && p.scheme != "https" {
		return place{}, errors.New("it does not begin with https:// or http://")
	}
	if p.host, err = host(u.Hostname()); err != nil {
		return place{}, err
	}
	if p.port = u.Port(); p.port != "" {
		n, err := strconv.ParseUint(p.port, 10, 16)
		if err != nil || n == 0 {
			return place{}, errors.New("it has no such port")
		}
		if p.port = strconv.FormatUint(n, 10); p.port == map[string]string{"http": "80", "https": "443"}[p.scheme] {
			p.port = ""
		}
	}
	return p, nil
}

// host gives a host's name or address in its one form.
func host(name string) (string, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.String(), nil
	}
	if ascii, err := names.ToASCII(name); err == nil {
		name = ascii
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`/?#@\[]<>^|%"`+"`{}:", c) >= 0 {
			return "", errors.New("it has no such host")
		}
	}
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return "", errors.New("it has no such host")
	}
	if name == "" {
		return "", errors.New("it has no host")
	}
	return name, nil
}

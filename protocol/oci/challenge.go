package oci

import (
	"net/http"
	"strings"
)

// Challenge is one way of signing in that a server names in WWW-Authenticate.
type Challenge struct {
	Scheme string            // in lower case: "bearer", "basic"
	Params map[string]string // names in lower case
}

// maxChallenge is how much of a header is read.
const maxChallenge = 8 << 10

// ParseChallenges reads WWW-Authenticate (RFC 9110 §11.6.1). What cannot be read ends it: the challenges before count.
func ParseChallenges(h http.Header) []Challenge {
	var all []Challenge
	for _, v := range h.Values("WWW-Authenticate") {
		if len(v) <= maxChallenge {
			all = append(all, challenges(v)...)
		}
	}
	return all
}

func challenges(text string) []Challenge {
	var all []Challenge
	for {
		text = strings.TrimLeft(text, " \t,")
		name, rest := cutToken(text)
		if name == "" {
			return all
		}
		after := strings.TrimLeft(rest, " \t")
		if value, ok := strings.CutPrefix(after, "="); ok && len(all) > 0 { // a parameter of the challenge before
			var good bool
			if value, text, good = cutValue(strings.TrimLeft(value, " \t")); !good {
				return all
			}
			key := strings.ToLower(name)
			if _, twice := all[len(all)-1].Params[key]; twice {
				return all[:len(all)-1] // which of the two counts cannot be told
			}
			all[len(all)-1].Params[key] = value
			continue
		}
		if len(after) == len(rest) && after != "" && after[0] != ',' {
			return all
		}
		all = append(all, Challenge{Scheme: strings.ToLower(name), Params: map[string]string{}})
		text = after
	}
}

// cutToken cuts a token of RFC 9110 off the front.
func cutToken(text string) (token, rest string) {
	i := strings.IndexFunc(text, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
	if i < 0 {
		i = len(text)
	}
	return text[:i], text[i:]
}

// cutValue cuts a token or a quoted string off the front.
func cutValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		value, rest = cutToken(text)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}

// nextLink gives the target of the Link whose rel is next (RFC 8288); "" if there is none.
func nextLink(h http.Header) string {
	for _, v := range h.Values("Link") {
		for len(v) <= maxChallenge {
			v = strings.TrimLeft(v, " \t,")
			target, rest, ok := strings.Cut(strings.TrimPrefix(v, "<"), ">")
			if !ok || !strings.HasPrefix(v, "<") {
				break
			}
			next := false
			for {
				rest = strings.TrimLeft(rest, " \t")
				if !strings.HasPrefix(rest, ";") {
					break
				}
				name, after := cutToken(strings.TrimLeft(rest[1:], " \t"))
				rest = strings.TrimLeft(after, " \t")
				value, good := "", true
				if raw, has := strings.CutPrefix(rest, "="); has {
					value, rest, good = cutValue(strings.TrimLeft(raw, " \t"))
				}
				if !good || name == "" {
					return ""
				}
				for _, rel := range strings.Fields(value) {
					next = next || strings.EqualFold(name, "rel") && strings.EqualFold(rel, "next")
				}
			}
			if next {
				return target
			}
			v = rest
		}
	}
	return ""
}

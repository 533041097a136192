package glue

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// DN is the name of an LDAP entry, its own part first.
type DN []RDN

// RDN is one part of a DN.
type RDN struct{ Name, Value string }

// ResourceBase is GLUE2GroupID=resource,o=glue: where a service stands in the tree of its own resource.
func ResourceBase() DN { return DN{{"GLUE2GroupID", "resource"}, {"o", "glue"}} }

// CloudBase is GLUE2GroupID=cloud,GLUE2DomainID=SITE,o=glue: where a service stands in the tree of its site.
func CloudBase(site string) DN {
	return DN{{"GLUE2GroupID", "cloud"}, {"GLUE2DomainID", site}, {"o", "glue"}}
}

func (d DN) child(name, value string) DN {
	return append(DN{{name, value}}, d...)
}

// String writes the DN by RFC 4514. Control characters are written by their codes, and what is no UTF-8 as U+FFFD.
func (d DN) String() string {
	var b strings.Builder
	for i, r := range d {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(r.Name)
		b.WriteByte('=')
		escapeDN(&b, valid(r.Value))
	}
	return b.String()
}

func escapeDN(b *strings.Builder, value string) {
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(b, `\%02X`, c)
			continue
		case strings.IndexByte(`,+"\<>;`, c) >= 0,
			c == ' ' && (i == 0 || i == len(value)-1),
			c == '#' && i == 0:
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
}

// maxRDN is how long the first part of a DN may be: OpenLDAP keeps it twice, as it is and normalised, in 511 bytes.
const maxRDN = 240

// size is how long OpenLDAP writes the part: with the characters that matter in a DN as \\XX.
func (r RDN) size() int {
	n := len(r.Name) + len("=") + len(valid(r.Value))
	for i := 0; i < len(r.Value); i++ {
		if c := r.Value[i]; c < ' ' || c == 0x7f || strings.IndexByte(`,+"\<>;#= `, c) >= 0 && (c != ' ' || i == 0 || i == len(r.Value)-1) {
			n += 2
		}
	}
	return n
}

// Key is a form of the DN that is the same for DNs that a server takes for the same: names of attributes in small letters,
// blanks folded.
func (d DN) Key() string {
	n := make(DN, len(d))
	for i, r := range d {
		n[i] = RDN{strings.ToLower(r.Name), fold(r.Value)}
	}
	return n.String()
}

// fold removes the blanks that do not count when a server compares values.
func fold(s string) string {
	if !strings.Contains(s, " ") {
		return valid(s)
	}
	return strings.Join(strings.FieldsFunc(valid(s), func(r rune) bool { return r == ' ' }), " ")
}

// valid replaces every byte that is no UTF-8 by U+FFFD, as the JSON has it.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// ParseDN reads a DN by RFC 4514, and with blanks around its parts as people write them. Parts with several attributes and
// values in hexadecimal (#04…) are errors: GLUE has none.
func ParseDN(text string) (DN, error) {
	var d DN
	rest := text
	for first := true; first && strings.TrimSpace(rest) != "" || !first; first = false {
		name, after, ok := strings.Cut(rest, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, `,+"\<>; `) {
			return nil, fmt.Errorf("DN %q: no attribute=value in %q", text, rest)
		}
		value, left, more, err := unescapeDN(strings.TrimLeft(after, " "))
		if err != nil {
			return nil, fmt.Errorf("DN %q: %w", text, err)
		}
		d = append(d, RDN{name, value})
		if !more {
			break
		}
		rest = left
	}
	return d, nil
}

// unescapeDN reads a value up to the comma that ends it.
func unescapeDN(s string) (value, rest string, more bool, err error) {
	if strings.HasPrefix(s, "#") {
		return "", "", false, errors.New("a value in hexadecimal")
	}
	var b strings.Builder
	keep := 0 // bytes of b that are not blanks at its end
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == ',' || c == ';':
			return b.String()[:keep], s[i+1:], true, nil
		case c == '+' || c == '"' || c == '<' || c == '>' || c == 0:
			return "", "", false, fmt.Errorf("%q has to be escaped", c)
		case c != '\\':
			b.WriteByte(c)
			if c == ' ' {
				continue
			}
		case i+1 == len(s):
			return "", "", false, errors.New(`a \ at the end`)
		case strings.IndexByte(` ,+"\<>;=#`, s[i+1]) >= 0:
			b.WriteByte(s[i+1])
			i++
		default:
			x, err := hex.DecodeString(s[i+1 : min(i+3, len(s))])
			if err != nil || len(x) != 1 {
				return "", "", false, fmt.Errorf("a bad escape %q", s[i:min(i+3, len(s))])
			}
			b.Write(x)
			i += 2
		}
		keep = b.Len()
	}
	if out := b.String()[:keep]; utf8.ValidString(out) {
		return out, "", false, nil
	}
	return "", "", false, errors.New("no UTF-8")
}

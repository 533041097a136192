package broker

import (
	"crypto/x509"
	"encoding/asn1"
	"strings"
)

// AuthnDN gives a certificate's subject as authn matches it: attribute types in a fixed order, the values of one type
// joined by "+" in certificate order (spec ams §2).
func AuthnDN(c *x509.Certificate) string {
	values := map[string][]string{}
	var sets []asn1.RawValue
	if _, err := asn1.Unmarshal(c.RawSubject, &sets); err != nil {
		return ""
	}
	for _, set := range sets {
		for rest := set.Bytes; len(rest) > 0; {
			var pair struct {
				Type  asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			var err error
			if rest, err = asn1.Unmarshal(rest, &pair); err != nil {
				return ""
			}
			values[pair.Type.String()] = append(values[pair.Type.String()], string(pair.Value.Bytes))
		}
	}
	var parts []string
	for _, t := range []struct{ name, oid string }{{"E", "1.2.840.113549.1.9.1"}, {"CN", "2.5.4.3"}, {"OU", "2.5.4.11"}, {"O", "2.5.4.10"}, {"POSTALCODE", "2.5.4.17"}, {"STREET", "2.5.4.9"},
		{"L", "2.5.4.7"}, {"ST", "2.5.4.8"}, {"C", "2.5.4.6"}, {"DC", "0.9.2342.19200300.100.1.25"}} {
		if v := values[t.oid]; len(v) > 0 {
			joined := v[0]
			for _, more := range v[1:] {
				joined += "+" + t.name + "=" + more
			}
			parts = append(parts, t.name+"="+joined)
		}
	}
	return strings.Join(parts, ",")
}

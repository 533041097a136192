package smime

import (
	"encoding/asn1"
	"strconv"
	"strings"
	"testing"
)

// subject builds a raw distinguished name of one attribute per set, in the given order: "2.5.4.3=host".
func subject(pairs ...string) []byte {
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value string `asn1:"utf8"`
	}
	var sets []asn1.RawValue
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		var oid asn1.ObjectIdentifier
		for _, n := range strings.Split(name, ".") {
			i, err := strconv.Atoi(n)
			must(err)
			oid = append(oid, i)
		}
		der, err := asn1.Marshal(attribute{oid, value})
		must(err)
		sets = append(sets, asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: der})
	}
	der, err := asn1.Marshal(sets)
	must(err)
	return der
}

func TestSlashDN(t *testing.T) {
	got := SlashDN(subject("2.5.4.6=ES", "2.5.4.10=Ünï", "1.2.840.113549.1.9.1=a@b", "1.2.3.4=x", "2.5.4.3=h"))
	if want := `/C=ES/O=\xC3\x9Cn\xC3\xAF/emailAddress=a@b/1.2.3.4=x/CN=h`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

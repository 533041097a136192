package endorser

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/protocol/smime"
)

// member is a key with its value; object keeps their order.
type (
	member struct {
		key   string
		value any
	}
	object []member
)

// MarshalJSON writes the members in their order; what is "" is left out.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	sep := "{"
	for _, m := range o {
		if m.value == "" {
			continue
		}
		value, err := marshal(m.value)
		if err != nil {
			return nil, err
		}
		key, err := marshal(m.key)
		if err != nil {
			return nil, err
		}
		b.WriteString(sep)
		b.Write(key)
		b.WriteString(":")
		b.Write(value)
		sep = ","
	}
	if sep == "{" {
		b.WriteString(sep)
	}
	b.WriteString("}")
	return b.Bytes(), nil
}

// marshal writes <, > and & as they are.
func marshal(value any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return bytes.TrimSpace(b.Bytes()), err
}

// document writes a list as the AppDB does: all values are texts (spec images §1.4).
func (e *Endorser) document(l List) ([]byte, error) {
	images := []object{}
	for _, i := range l.Images {
		o, err := e.image(l, i)
		if err != nil {
			return nil, err
		}
		images = append(images, object{{"hv:image", o}})
	}
	dn, ca := cmp.Or(l.DN, smime.SlashDN(e.signer.Certificate.RawSubject)), cmp.Or(l.CA, smime.SlashDN(e.signer.Certificate.RawIssuer))
	text, err := marshal(object{{"hv:imagelist", object{
		{"dc:date:created", date(l.Created)},
		{"dc:date:expires", date(l.Expires)},
		{"dc:identifier", l.Identifier},
		{"dc:title", l.Title},
		{"dc:description", l.Description},
		{"dc:source", e.base + "/"},
		{"ad:vo", l.VO},
		{"hv:version", l.Version},
		{"hv:uri", e.base + Path(l.VO)},
		{"hv:endorser", object{{"hv:x509", object{{"dc:creator", "Emulated Applications Database"}, {"hv:ca", ca}, {"hv:dn", dn}, {"hv:email", "appdb@example.org"}}}}},
		{"hv:images", images},
	}}})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "   "); err != nil {
		return nil, err
	}
	b.WriteString("\n")
	return b.Bytes(), nil
}

func (e *Endorser) image(l List, i Image) (object, error) {
	instance := 1
	if strings.HasPrefix(i.URI, "/") {
		f, err := e.described(i.URI)
		switch {
		case err == nil:
			i.Size, i.SHA512, instance = cmp.Or(i.Size, f.content.Size()), cmp.Or(i.SHA512, f.sum), f.number
		case i.Size == 0 || i.SHA512 == "": // otherwise all is said of a file that is not there
			return nil, err
		}
		i.URI = e.base + i.URI
	}
	if i.Expires.IsZero() {
		i.Expires = l.Expires
	}
	o := object{
		{"dc:identifier", i.Identifier},
		{"ad:mpuri", cmp.Or(i.MPURI, "https://appdb.example.org/store/vo/image/"+i.Identifier+":"+strconv.Itoa(instance)+"/")},
		{"dc:title", i.Title},
		{"dc:description", i.Description},
		{"dc:date:expires", date(i.Expires)},
		{"hv:version", i.Version},
		{"hv:format", i.Format},
		{"hv:hypervisor", "QEMU,KVM"},
		{"hv:size", number(i.Size)},
		{"hv:uri", i.URI},
		{"hv:ram_minimum", number(i.RAM)},
		{"hv:core_minimum", number(int64(i.Cores))},
		{"sl:arch", i.Arch},
		{"sl:os", i.OS},
		{"sl:osname", i.OSName},
		{"sl:osversion", i.OSVersion},
		{"sl:checksum:sha512", i.SHA512},
	}
	for _, key := range slices.Sorted(maps.Keys(i.More)) {
		o = append(o, member{key, i.More[key]})
	}
	return o, nil
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

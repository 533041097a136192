package vmlist

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// image reads an image. What it must have is an error if it is missing; what it may have is passed over with a note if it
// cannot be read.
func (l *List) image(o, endorser object) (i Image, err error) {
	for _, f := range []struct {
		key   string
		to    *string
		limit int
	}{
		{"dc:identifier", &i.ID, maxID}, {"ad:mpuri", &i.MPURI, maxURI}, {"ad:base_mpuri", &i.BaseMPURI, maxURI}, {"ad:appid", &i.AppID, maxID}, {"ad:group", &i.Group, maxID},
		{"dc:title", &i.Title, maxText}, {"dc:description", &i.Description, maxText}, {"hv:version", &i.Version, maxID}, {"hv:format", &i.Format, maxID},
		{"hv:hypervisor", &i.Hypervisor, maxID}, {"hv:uri", &i.URI, maxURI}, {"sl:checksum:sha512", &i.SHA512, maxID}, {"sl:arch", &i.Arch, maxID}, {"sl:os", &i.OS, maxID},
		{"sl:osname", &i.OSName, maxID}, {"sl:osversion", &i.OSVersion, maxID}, {"sl:comments", &i.Comments, maxText},
	} {
		if *f.to, err = o.text(f.key, f.limit); err != nil {
			return i, err
		}
		*f.to = clean(*f.to)
	}
	for _, required := range []struct{ key, value string }{{"dc:identifier", i.ID}, {"hv:uri", i.URI}, {"sl:checksum:sha512", i.SHA512}} {
		if required.value == "" {
			return i, fmt.Errorf("%s is missing", required.key)
		}
	}
	if err := checkURI(i.URI); err != nil {
		return i, fmt.Errorf("hv:uri: %w", err)
	}
	i.SHA512 = strings.ToLower(i.SHA512)
	if sum, err := hex.DecodeString(i.SHA512); err != nil || len(sum) != sha512.Size {
		return i, fmt.Errorf("sl:checksum:sha512: %.40q is no checksum of 128 hexadecimal digits", i.SHA512)
	}
	if i.Expires, err = o.time("dc:date:expires"); err != nil {
		return i, err
	}
	if i.Expires.IsZero() {
		i.Expires = l.Expires
	}
	i.readSizes(o)
	i.Attributes = attributes(o, endorser)
	if len(i.Attributes) > maxImage {
		return i, fmt.Errorf("its keys and values have %d bytes, which is more than Glance takes", len(i.Attributes))
	}
	i.ApplianceDigest, i.ImageDigest = digest(o, applianceKeys), digest(o, imageKeys)
	return i, nil
}

// checkURI tells whether an image can be fetched from an address. It does not repeat the address, which may hold a
// password.
func checkURI(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return errors.New("no address that can be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("http or https is needed, not %.20q", u.Scheme)
	case u.Hostname() == "":
		return errors.New("it names no host")
	}
	return nil
}

// Shown gives an address without user and password, for people and for what others can read.
func Shown(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	if u.User == nil {
		return uri
	}
	u.User = nil
	return u.String()
}

// bytesFrom is the number from which on hv:ram_minimum is in bytes: the AppDB wrote MB until 2015, and bytes later.
const bytesFrom = 1 << 20

func (i *Image) readSizes(o object) {
	i.Size = i.number(o, "hv:size", 1<<50)
	i.Cores = int(i.number(o, "hv:core_minimum", 1<<16))
	if i.RAM = i.number(o, "hv:ram_minimum", 1<<50); i.RAM >= bytesFrom {
		i.RAM = (i.RAM + 1<<20 - 1) >> 20
	}
}

// number reads a number from 0 to most; anything else is noted and counts as not said.
func (i *Image) number(o object, key string, most int64) int64 {
	t, err := o.text(key, maxID)
	if t = strings.TrimSpace(t); err == nil && t == "" {
		return 0
	}
	n, parsed := strconv.ParseInt(t, 10, 64)
	if err != nil || parsed != nil || n < 0 || n > most {
		i.Notes = append(i.Notes, fmt.Sprintf("%s: %.40q is no number that can be used", key, t))
		return 0
	}
	return n
}

// attributes gives the keys of an image, then those of its endorser, with all values as texts. Credentials in the address
// are left out: everybody who sees the image in Glance can read this.
func attributes(o, endorser object) string {
	var b strings.Builder
	sep := "{"
	for n, m := range slices.Concat(o, endorser) {
		if n >= len(o) && o.get(m.key) != nil {
			continue
		}
		value, err := text(m.value)
		if err != nil {
			value = compact(m.value)
		}
		if m.key == "hv:uri" {
			value = Shown(value)
		}
		b.WriteString(sep + marshal(m.key) + ":" + marshal(value))
		sep = ","
	}
	return b.String() + "}"
}

func compact(value json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return "" // a decoder gave it: it is JSON
	}
	return b.String()
}

// Keys that cloudkeeper 2.0 tells versions apart by (spec images §1.5).
var (
	applianceKeys = []string{"dc:identifier", "ad:mpuri", "dc:date:expires", "dc:title", "dc:description", "ad:group", "hv:ram_minimum", "hv:core_minimum", "hv:version", "sl:arch",
		"ad:base_mpuri", "ad:appid", "sl:os", "sl:osname", "sl:osversion"}
	imageKeys = []string{"hv:uri", "sl:checksum:sha512", "hv:size", "hv:version"}
)

// digest gives SHA-512 of the keys that are there, as a compact object in the list's order, written as Ruby on Rails
// does: with <, >, & and the two separators of lines as \u003c and so on, which is Go's way, too.
func digest(o object, keys []string) string {
	h := sha512.New()
	sep := "{"
	for _, m := range o {
		if !slices.Contains(keys, m.key) {
			continue
		}
		var value any
		dec := json.NewDecoder(bytes.NewReader(m.value))
		dec.UseNumber()
		if err := dec.Decode(&value); err != nil {
			return ""
		}
		key, err1 := json.Marshal(m.key)
		text, err2 := json.Marshal(value)
		if err1 != nil || err2 != nil {
			return ""
		}
		fmt.Fprintf(h, "%s%s:%s", sep, key, text)
		sep = ","
	}
	if sep == "{" {
		return ""
	}
	h.Write([]byte("}"))
	return hex.EncodeToString(h.Sum(nil))
}

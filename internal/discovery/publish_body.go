package discovery

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/protocol/glue"
)

// NameOf is the name of the document of a site's endpoint in containers and directories: the federation's for JSON, and
// the same with another ending for LDIF.
func NameOf(f Format, site, endpoint string) string {
	name := glue.ObjectName(site, endpoint)
	if f == LDIF {
		name = strings.TrimSuffix(name, ".json") + ".ldif"
	}
	return name
}

// Body writes a document in a format. Base is where the entries of LDIF stand; JSON has none.
func Body(f Format, d glue.Document, base glue.DN) ([]byte, error) { return bodyOf(f, d, base, 0) }

// bodyOf is Body for one that will have about so many bytes: a large document, written into a buffer that grows, takes
// several times its size of memory.
func bodyOf(f Format, d glue.Document, base glue.DN, size int) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(size)
	switch f {
	case JSON:
		if err := glue.WriteJSON(&out, d); err != nil {
			return nil, err
		}
	case LDIF:
		if err := glue.WriteLDIF(&out, glue.Entries(d, base, nil)); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("there is no format %q: %s and %s are known", f, JSON, LDIF)
	}
	return out.Bytes(), nil
}

// Digest is the SHA-256 of what a document says, in any format, but for when it was made and how long it counts.
func Digest(d glue.Document) (string, error) {
	digest, _, err := digestOf(d)
	return digest, err
}

// timesSize is what an object's times take in JSON, at most: "Validity": 43200, "CreationTime": "…", .
const timesSize = 84

// digestOf is Digest, with how many bytes the document has in JSON, at most.
func digestOf(d glue.Document) (digest string, size int, err error) {
	sum := &summing{Hash: sha256.New()}
	if err := glue.WriteJSON(sum, timeless(d)); err != nil {
		return "", 0, err
	}
	size = sum.written + timesSize*(len(d.Services)+len(d.Managers)+len(d.Endpoints)+len(d.Images)+len(d.InstanceTypes)+len(d.VirtualAccelerators)+
		len(d.Shares)+len(d.MappingPolicies)+len(d.AccessPolicies))
	for i := range d.Images { // LDAP alone has them
		if n := d.Images[i].Network; len(n) > 0 {
			fmt.Fprintf(sum, "%d %q\n", i, n)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), size, nil
}

// summing is a hash that counts what it is given.
type summing struct {
	hash.Hash
	written int
}

func (s *summing) Write(p []byte) (int, error) {
	s.written += len(p)
	return s.Hash.Write(p)
}

// timeless is a copy of a document without its times.
func timeless(d glue.Document) glue.Document {
	d.Services = without(d.Services, func(o *glue.Service) *glue.Entity { return &o.Entity })
	d.Managers = without(d.Managers, func(o *glue.Manager) *glue.Entity { return &o.Entity })
	d.Endpoints = without(d.Endpoints, func(o *glue.Endpoint) *glue.Entity { return &o.Entity })
	d.Images = without(d.Images, func(o *glue.Image) *glue.Entity { return &o.Entity })
	d.InstanceTypes = without(d.InstanceTypes, func(o *glue.InstanceType) *glue.Entity { return &o.Entity })
	d.VirtualAccelerators = without(d.VirtualAccelerators, func(o *glue.VirtualAccelerator) *glue.Entity { return &o.Entity })
	d.Shares = without(d.Shares, func(o *glue.Share) *glue.Entity { return &o.Entity })
	d.MappingPolicies = without(d.MappingPolicies, func(o *glue.MappingPolicy) *glue.Entity { return &o.Entity })
	d.AccessPolicies = without(d.AccessPolicies, func(o *glue.AccessPolicy) *glue.Entity { return &o.Entity })
	return d
}

func without[T any](all []T, entity func(*T) *glue.Entity) []T {
	all = slices.Clone(all)
	for i := range all {
		e := entity(&all[i])
		e.CreationTime, e.Validity = time.Time{}, 0
	}
	return all
}

// expires tells until when a document counts, as the information API sees it: by its service. Zero = for ever.
func expires(d glue.Document) time.Time {
	if len(d.Services) == 0 || d.Services[0].CreationTime.IsZero() || d.Services[0].Validity <= 0 {
		return time.Time{}
	}
	return d.Services[0].CreationTime.Add(d.Services[0].Validity)
}

// sumOf is the SHA-256 of a body as it went out.
func sumOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

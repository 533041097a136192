package glue

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// Merged gives the document with images, instance types and accelerators that differ in their shares only as one object
// with the ids of all of these shares. The information API reads both forms alike; with many VOs this one is a fraction of
// the size. Order is that of the first of each. The receiver stays as it is.
func (d Document) Merged() Document {
	d.Images = merged(d.Images, func(i *Image) *[]string { return &i.Shares }, func(i *Image) any { return i.Network })
	d.InstanceTypes = merged(d.InstanceTypes, func(t *InstanceType) *[]string { return &t.Shares }, nil)
	d.VirtualAccelerators = merged(d.VirtualAccelerators, func(a *VirtualAccelerator) *[]string { return &a.Shares }, nil)
	return d
}

// merged joins objects that are the same but for their shares; more gives what the JSON does not show.
func merged[T any, P interface {
	*T
	object
}](all []T, shares func(*T) *[]string, more func(*T) any) []T {
	e := encoder{}
	place := make(map[[sha256.Size]byte]int, len(all))
	out := make([]T, 0, len(all))
	for _, o := range all {
		own := *shares(&o)
		*shares(&o) = nil
		e.buf = e.buf[:0]
		e.object(P(&o))
		if more != nil {
			e.buf = fmt.Appendf(e.buf, "%q", more(&o))
		}
		key := sha256.Sum256(e.buf)
		k, ok := place[key]
		if !ok {
			k = len(out)
			place[key] = k
			out = append(out, o)
		}
		to := shares(&out[k])
		for _, id := range own {
			if !slices.Contains(*to, id) {
				*to = append(*to, id)
			}
		}
	}
	return out
}

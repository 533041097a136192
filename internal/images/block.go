package images

import "time"

// Block is an image that is not to be here: by its content, or by what it is called.
type Block struct {
	Digest Digest // "" = by Ref
	Ref    string // id, source/id, market place URI with or without version; "" = by Digest
	Reason string
	Since  time.Time
	By     string
}

// blocking gives the block that an image of a source falls under.
func blocking(all []Block, e Entry) (Block, bool) {
	for _, b := range all {
		if (b.Digest != "" && b.Digest == e.Digest) || (b.Ref != "" && e.is(b.Ref)) {
			return b, true
		}
	}
	return Block{}, false
}

// blockingMarked gives the block that an image in Glance falls under, by its marks.
func blockingMarked(all []Block, m Marks) (Block, bool) {
	for _, b := range all {
		if b.Digest != "" && (b.Digest == m.Digest || b.Digest.Hex() == m.Hash) {
			return b, true
		}
		e := Entry{Key: m.Key, Source: m.Source, Kind: m.Kind, Digest: m.Digest, MPURI: m.MPURI}
		if b.Ref != "" && e.is(b.Ref) {
			return b, true
		}
	}
	return Block{}, false
}

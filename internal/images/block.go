package images

import (
	"fmt"
	"time"
)

// Block is an image that is not to be here: by its content, or by what it is called.
type Block struct {
	Digest Digest // "" = by Ref
	Ref    string // id, source/id, market place URI with or without version; "" = by Digest
	Reason string
	Since  time.Time
	By     string
}

// blockedReason begins the reason of what a block does.
const blockedReason = "blocked: "

// blocking gives the block that an image of a source falls under.
func blocking(all []Block, e Entry) (Block, bool) {
	for _, b := range all {
		if (b.Digest != "" && b.Digest == e.Digest) || (b.Ref != "" && e.is(b.Ref)) {
			return b, true
		}
	}
	return Block{}, false
}

// barred says why an image may not be brought that could when the run began.
func (t *Target) barred(e Entry) error {
	if t.Reblock == nil {
		return nil
	}
	all, err := t.Reblock()
	if err != nil {
		return fmt.Errorf("images.blocks: %w", err)
	}
	if b, blocked := blocking(all, e); blocked {
		return fmt.Errorf("%s%s", blockedReason, cut(b.Reason, longestReason))
	}
	return nil
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

package smime

import "fmt"

// maxDepth is how deeply the elements of a structure may be nested. Signatures and envelopes have about 15 levels; the
// library that reads them goes down without a limit of its own, and a stack that is used up cannot be recovered from.
const maxDepth = 40

// checkDepth walks over the elements of a BER structure in the library's order, without recursion. It does not tell
// whether the structure is sound otherwise.
func checkDepth(ber []byte) error {
	var ends []int // where each open element ends; -1 = at an end-of-contents mark
	for at := 0; at < len(ber); {
		start, length := element(ber, at)
		if start < 0 || start+max(length, 0) > len(ber) {
			return nil // unreadable: the library says how
		}
		if constructed := ber[at]&0x20 != 0; constructed && length != 0 {
			if len(ends) == maxDepth {
				return fmt.Errorf("%w: more than %d levels in the structure", ErrFormat, maxDepth)
			}
			end := -1
			if length > 0 {
				end = start + length
			}
			ends, at = append(ends, end), start
			continue
		}
		var err error
		if ends, at, err = closeEnded(ber, ends, start+max(length, 0)); err != nil || len(ends) == 0 {
			return err
		}
	}
	return nil
}

// closeEnded closes the elements that end where one inside them ended, and gives where the next begins.
func closeEnded(ber []byte, ends []int, at int) ([]int, int, error) {
	for len(ends) > 0 {
		end := ends[len(ends)-1]
		switch {
		case end >= 0 && at > end:
			return nil, 0, fmt.Errorf("%w: an element is longer than the one around it", ErrFormat)
		case end >= 0 && at < end, end < 0 && (at+1 >= len(ber) || ber[at] != 0 || ber[at+1] != 0):
			return ends, at, nil
		case end < 0:
			at += 2
		}
		ends = ends[:len(ends)-1]
	}
	return nil, at, nil
}

// element gives where the content of the element at an offset starts, -1 if it does not, and its length, -1 if indefinite.
func element(ber []byte, at int) (start, length int) {
	multi := ber[at]&0x1F == 0x1F
	for at++; multi && at < len(ber) && ber[at] >= 0x80; at++ {
	}
	if multi {
		at++
	}
	if at >= len(ber) {
		return -1, 0
	}
	l := int(ber[at])
	at++
	if l <= 0x80 {
		if l == 0x80 {
			l = -1
		}
		return at, l
	}
	n := l & 0x7F
	if n > 4 || at+n > len(ber) {
		return -1, 0
	}
	for l = 0; n > 0; n, at = n-1, at+1 {
		l = l<<8 | int(ber[at])
	}
	return at, l
}

package directory

import (
	"bufio"
	"errors"
	"io"
)

// Tags of BER that LDAP has (RFC 4511, section 5.1: definite lengths only, and no tag beyond one byte).
const (
	tagBoolean    = 0x01
	tagInteger    = 0x02
	tagOctets     = 0x04
	tagEnumerated = 0x0a
	tagSequence   = 0x30
	tagSet        = 0x31
)

var (
	errMalformed = errors.New("the request is malformed")
	errTooLarge  = errors.New("the request is too large")
)

// readMessage reads one message of at most limit bytes, and gives what is within its outer sequence. The length is believed
// only as far as bytes arrive: who announces much and sends nothing takes no memory.
func readMessage(r *bufio.Reader, limit int) ([]byte, error) {
	tag, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	if tag != tagSequence {
		return nil, errMalformed
	}
	first, err := r.ReadByte()
	if err != nil {
		return nil, unexpected(err)
	}
	n := int(first)
	if first >= 0x80 {
		n = 0
		if first == 0x80 || first > 0x88 {
			return nil, errMalformed
		}
		for range first & 0x7f {
			b, err := r.ReadByte()
			if err != nil {
				return nil, unexpected(err)
			}
			if n = n<<8 | int(b); n > limit {
				return nil, errTooLarge
			}
		}
	}
	if n > limit {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(body) < n {
		err = io.ErrUnexpectedEOF
	}
	return body, err
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// element is a tag with its content.
type element struct {
	tag  byte
	body []byte
}

// elements reads elements one after the other. After a mistake it gives nothing any more, and bad is set.
type elements struct {
	rest []byte
	bad  bool
}

// more tells whether another element follows.
func (e *elements) more() bool { return !e.bad && len(e.rest) > 0 }

// next gives the next element.
func (e *elements) next() element {
	tag, length, head := header(e.rest)
	if e.bad || head == 0 || length > len(e.rest)-head {
		e.bad = true
		return element{}
	}
	body := e.rest[head : head+length]
	e.rest = e.rest[head+length:]
	return element{tag, body}
}

// header reads a tag and a length; head is how many bytes they take, 0 = they are none.
func header(b []byte) (tag byte, length, head int) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return 0, 0, 0
	}
	if b[1] < 0x80 {
		return b[0], int(b[1]), 2
	}
	n := int(b[1] & 0x7f)
	if n == 0 || n > 8 || len(b) < 2+n {
		return 0, 0, 0
	}
	for _, c := range b[2 : 2+n] {
		if length = length<<8 | int(c); length > 1<<30 {
			return 0, 0, 0
		}
	}
	return b[0], length, 2 + n
}

// of gives the content of the next element, which must bear the tag.
func (e *elements) of(tag byte) []byte {
	n := e.next()
	if n.tag != tag {
		e.bad = true
		return nil
	}
	return n.body
}

// within gives the elements within the next element, which must bear the tag.
func (e *elements) within(tag byte) *elements {
	body := e.of(tag)
	return &elements{rest: body, bad: e.bad}
}

func (e *elements) text() string { return string(e.of(tagOctets)) }

// number reads an integer, or an enumeration, from 0 to 2³¹-1 (maxInt of RFC 4511).
func (e *elements) number(tag byte) int {
	body := e.of(tag)
	if len(body) == 0 || len(body) > 8 {
		e.bad = true
		return 0
	}
	n := int64(int8(body[0]))
	for _, c := range body[1:] {
		n = n<<8 | int64(c)
	}
	if n < 0 || n > 1<<31-1 {
		e.bad = true
		return 0
	}
	return int(n)
}

func (e *elements) boolean() bool {
	body := e.of(tagBoolean)
	if len(body) != 1 {
		e.bad = true
		return false
	}
	return body[0] != 0
}

// appendHeader writes a tag and a length.
func appendHeader(b []byte, tag byte, length int) []byte {
	b = append(b, tag)
	if length < 0x80 {
		return append(b, byte(length))
	}
	n := 1
	for length>>(8*n) > 0 {
		n++
	}
	b = append(b, 0x80|byte(n))
	for n--; n >= 0; n-- {
		b = append(b, byte(length>>(8*n)))
	}
	return b
}

// size is how long an element with so much content is.
func size(length int) int {
	n := 2 + length
	if length >= 0x80 {
		for ; length > 0; length >>= 8 {
			n++
		}
	}
	return n
}

func appendOctets[T string | []byte](b []byte, tag byte, content T) []byte {
	return append(appendHeader(b, tag, len(content)), content...)
}

// appendNumber writes a number that is not negative.
func appendNumber(b []byte, tag byte, n int) []byte {
	length := numberSize(n) - 2
	b = appendHeader(b, tag, length)
	for length--; length >= 0; length-- {
		b = append(b, byte(n>>(8*length)))
	}
	return b
}

// numberSize is how long appendNumber writes it.
func numberSize(n int) int {
	length := 1
	for n>>(8*length-1) > 0 {
		length++
	}
	return 2 + length
}

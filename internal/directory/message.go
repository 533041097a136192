package directory

import "time"

// Tags of operations (RFC 4511, section 4).
const (
	opBind         = 0x60
	opBindResponse = 0x61
	opUnbind       = 0x42
	opSearch       = 0x63
	opEntry        = 0x64
	opSearchDone   = 0x65
	opModify       = 0x66
	opAdd          = 0x68
	opDelete       = 0x4a
	opRename       = 0x6c
	opCompare      = 0x6e
	opAbandon      = 0x50
	opExtended     = 0x77
	opExtendedDone = 0x78

	tagControls = 0xa0
)

// Code is an LDAP result (RFC 4511, appendix A).
type Code int

// The results that a Server gives.
const (
	Success              Code = 0
	ProtocolError        Code = 2
	TimeLimitExceeded    Code = 3
	SizeLimitExceeded    Code = 4
	CompareFalse         Code = 5
	CompareTrue          Code = 6
	AuthNotSupported     Code = 7
	AdminLimitExceeded   Code = 11
	UnavailableExtension Code = 12
	NoSuchAttribute      Code = 16
	NoSuchObject         Code = 32
	InvalidDN            Code = 34
	InvalidCredentials   Code = 49
	Busy                 Code = 51
	Unavailable          Code = 52
	Unwilling            Code = 53
	OtherError           Code = 80
)

// Extensions that are known.
const (
	controlPaged     = "1.2.840.113556.1.4.319"  // RFC 2696
	controlManageDSA = "2.16.840.1.113730.3.4.2" // RFC 3296: nothing to do, there are no referrals
	extendedWhoAmI   = "1.3.6.1.4.1.4203.1.11.3" // RFC 4532
	noticeEnd        = "1.3.6.1.4.1.1466.20036"  // RFC 4511, section 4.4.1
	featureAllOper   = "1.3.6.1.4.1.4203.1.5.1"  // RFC 3673: "+"
	featureTrueFalse = "1.3.6.1.4.1.4203.1.5.3"  // RFC 4526: (&) and (|)
	maxControls      = 16                        // of one request
	maxAttributes    = 1_000                     // that one search asks for
)

// request is a message of a client.
type request struct {
	id       int
	op       byte
	body     []byte
	controls []control
}

type control struct {
	oid      string
	critical bool
	value    []byte
}

// parseRequest reads what is within the outer sequence of a message.
func parseRequest(body []byte) (request, error) {
	e := &elements{rest: body}
	r := request{id: e.number(tagInteger)}
	op := e.next()
	r.op, r.body = op.tag, op.body
	if e.more() {
		for list := e.within(tagControls); list.more(); {
			one := list.within(tagSequence)
			c := control{oid: one.text()}
			if one.more() && one.rest[0] == tagBoolean {
				c.critical = one.boolean()
			}
			if one.more() {
				c.value = one.of(tagOctets)
			}
			list.bad = list.bad || one.bad || len(r.controls) == maxControls
			if e.bad = list.bad; !e.bad {
				r.controls = append(r.controls, c)
			}
		}
	}
	if e.bad || r.id == 0 {
		return request{}, errMalformed
	}
	return r, nil
}

// result is how an operation ended.
type result struct {
	code    Code
	matched string
	message string // in words that may be told to anybody
}

// appendResult writes an answer that is a result alone, with what may follow in it and the controls, both encoded.
func appendResult(b []byte, id int, op byte, r result, more, controls []byte) []byte {
	in := appendNumber(nil, tagEnumerated, int(r.code))
	in = appendOctets(in, tagOctets, r.matched)
	in = appendOctets(in, tagOctets, r.message)
	in = append(in, more...)
	return appendMessage(b, id, appendOctets(nil, op, in), controls)
}

func appendMessage(b []byte, id int, op, controls []byte) []byte {
	number := appendNumber(nil, tagInteger, id)
	n := len(number) + len(op)
	if controls != nil {
		n += size(len(controls))
	}
	b = append(appendHeader(b, tagSequence, n), number...)
	b = append(b, op...)
	if controls != nil {
		b = appendOctets(b, tagControls, controls)
	}
	return b
}

// searchRequest is what a search asks for.
type searchRequest struct {
	base       string
	scope      int
	sizeLimit  int
	timeLimit  time.Duration
	typesOnly  bool
	filter     *filter
	attributes []string
}

// Scopes of a search.
const (
	scopeBase = iota
	scopeOne
	scopeSub
	scopeChildren // sub without the base: OpenLDAP's
)

// parseSearch reads a search; what is wrong with it is the result.
func parseSearch(body []byte, limits Limits) (searchRequest, result) {
	e := &elements{rest: body}
	s := searchRequest{base: e.text(), scope: e.number(tagEnumerated)}
	e.number(tagEnumerated) // whether aliases are followed: there are none
	s.sizeLimit = e.number(tagInteger)
	s.timeLimit = time.Duration(e.number(tagInteger)) * time.Second
	s.typesOnly = e.boolean()
	if e.bad || s.scope > scopeChildren {
		return s, result{code: ProtocolError, message: "the search is malformed"}
	}
	var wrong result
	if s.filter, wrong = parseFilter(e, limits); wrong.code != Success {
		return s, wrong
	}
	for list := e.within(tagSequence); list.more(); {
		s.attributes = append(s.attributes, list.text())
		if e.bad = list.bad; len(s.attributes) > maxAttributes {
			return s, result{code: AdminLimitExceeded, message: "more attributes are asked for than this server takes"}
		}
	}
	if e.bad {
		return s, result{code: ProtocolError, message: "the list of attributes is malformed"}
	}
	return s, result{}
}

package directory

import (
	"time"

	"github.com/fedsite/fedsite/protocol/glue"
)

// Operation is a request that was answered, for counting.
type Operation struct {
	Name    string // bind, search, compare, extended, change
	Code    Code
	Entries int // that went out
	Took    time.Duration
}

// answer answers a request. An error ends the connection.
func (c *connection) answer(r request) error {
	began := time.Now()
	done := Operation{}
	var err error
	op, known := responses[r.op]
	switch {
	case r.op == opAbandon:
		return nil // what it names has been answered already
	case !known:
		return errMalformed
	case !supported(r):
		done.Name, done.Code = op.name, UnavailableExtension
		err = c.finish(r, op.tag, result{code: UnavailableExtension, message: "a critical control is not supported"}, nil)
	case r.op == opSearch:
		var res result
		res, done.Entries, err = c.search(r)
		done.Name, done.Code = op.name, res.code
	case r.op == opExtended:
		res := extended(r.body)
		done.Name, done.Code = op.name, res.code
		var nobody []byte
		if res.code == Success {
			nobody = appendOctets(nil, 0x8b, "")
		}
		_, err = c.w.Write(appendResult(nil, r.id, op.tag, res, nobody, nil))
	default:
		res := result{code: Unwilling, message: "this directory cannot be changed"}
		switch r.op {
		case opBind:
			c.kept = kept{}
			res = bind(r.body)
		case opCompare:
			res = c.compare(r.body)
		}
		done.Name, done.Code = op.name, res.code
		err = c.finish(r, op.tag, res, nil)
	}
	done.Took = time.Since(began)
	if c.server.answered != nil {
		c.server.answered(done)
	}
	return err
}

// responses are the operations that are answered.
var responses = map[byte]struct {
	name string
	tag  byte
}{
	opBind: {"bind", opBindResponse}, opSearch: {"search", opSearchDone}, opCompare: {"compare", opCompare + 1}, opExtended: {"extended", opExtendedDone},
	opModify: {"change", opModify + 1}, opAdd: {"change", opAdd + 1}, opDelete: {"change", 0x6b}, opRename: {"change", opRename + 1},
}

// supported tells whether all controls are known that the client cannot do without.
func supported(r request) bool {
	for _, c := range r.controls {
		if c.critical && !(c.oid == controlManageDSA || c.oid == controlPaged && r.op == opSearch) {
			return false
		}
	}
	return true
}

// bind lets nobody in but those who are nobody.
func bind(body []byte) result {
	e := &elements{rest: body}
	version, name, auth := e.number(tagInteger), e.text(), e.next()
	_, err := glue.ParseDN(name)
	switch {
	case e.bad:
		return result{code: ProtocolError, message: "the bind is malformed"}
	case version != 3:
		return result{code: ProtocolError, message: "only version 3 of LDAP is spoken"}
	case err != nil:
		return result{code: InvalidDN, message: "the name is no DN"}
	case auth.tag != 0x80:
		return result{code: AuthNotSupported, message: "nobody can sign in here: ask anonymously"}
	case len(auth.body) > 0:
		return result{code: InvalidCredentials}
	case name != "":
		return result{code: Unwilling, message: "a name without a password proves nothing: ask anonymously"}
	}
	return result{}
}

// extended knows "Who am I?" alone, whose answer is nobody.
func extended(body []byte) result {
	e := &elements{rest: body}
	if name := e.of(0x80); !e.bad && string(name) == extendedWhoAmI && len(e.rest) == 0 {
		return result{}
	}
	return result{code: ProtocolError, message: "this extended operation is not supported"}
}

// compare tells whether an entry has a value.
func (c *connection) compare(body []byte) result {
	e := &elements{rest: body}
	base := e.text()
	ava := e.within(tagSequence)
	f := &filter{op: filterEqual, description: ava.text(), value: ava.text()}
	if e.bad || ava.bad || e.more() || ava.more() {
		return result{code: ProtocolError, message: "the comparison is malformed"}
	}
	t := c.server.current.Load()
	if t == nil {
		return result{code: Unavailable, message: "nothing is known yet"}
	}
	cur, wrong := t.open(searchRequest{base: base, scope: scopeBase, filter: &filter{op: filterPresent, description: f.description}})
	if wrong.code != Success {
		return wrong
	}
	if cur.next() == nil {
		return result{code: NoSuchAttribute}
	}
	cur, _ = t.open(searchRequest{base: base, scope: scopeBase, filter: f})
	if cur.next() == nil {
		return result{code: CompareFalse}
	}
	return result{code: CompareTrue}
}

package directory

import "strconv"

// page is what a client asks for by the control for paged results (RFC 2696).
type page struct {
	asked  bool
	size   int
	cookie string
}

// kept is a search whose next page may be asked for. A connection has one.
type kept struct {
	cursor *cursor
	cookie string
	body   string // of the request: the next one must be the same
}

// pageOf reads the controls of a search.
func pageOf(controls []control) (page, result) {
	var p page
	for _, c := range controls {
		if c.oid != controlPaged {
			continue
		}
		e := &elements{rest: c.value}
		in := e.within(tagSequence)
		p = page{asked: true, size: in.number(tagInteger), cookie: in.text()}
		if in.bad || in.more() || e.more() {
			return page{}, result{code: ProtocolError, message: "the control for paged results is malformed"}
		}
	}
	return p, result{}
}

// answer is the control of an answer; an empty cookie says that there is no more.
func (p page) answer(cookie string) []byte {
	if !p.asked {
		return nil
	}
	value := appendNumber(nil, tagInteger, 0) // how many there are in all is not told
	value = appendOctets(nil, tagSequence, appendOctets(value, tagOctets, cookie))
	in := appendOctets(nil, tagOctets, controlPaged)
	return appendOctets(nil, tagSequence, appendOctets(in, tagOctets, value))
}

// keep keeps a search for its next page.
func (c *connection) keep(cur *cursor, r request) string {
	c.pages++
	c.kept = kept{cursor: cur, cookie: strconv.Itoa(c.pages), body: string(r.body)}
	return c.kept.cookie
}

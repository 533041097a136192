package openstack

import (
	"encoding/json"
	"errors"
	"fmt"
)

// listing is the answer to a listing of servers, read entry by entry: a page's text is never in memory as a whole.
type listing struct {
	Links []pageLink
	entry func(json.RawMessage) error // the text is the next entry's, too, once it returns
}

// pageLink is a link of a listing to another page.
type pageLink struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

// decode reads the answer. One without a list of servers is none: to take it for an empty one would lose what it does not
// say.
func (l *listing) decode(d *json.Decoder) error {
	listed := false
	if err := expect(d, '{'); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		switch key {
		case "servers":
			listed, err = true, l.entries(d)
		case "servers_links":
			err = d.Decode(&l.Links)
		default:
			var ignored json.RawMessage
			err = d.Decode(&ignored)
		}
		if err != nil {
			return err
		}
	}
	if err := expect(d, '}'); err != nil || listed {
		return err
	}
	return errors.New("it has no list of servers")
}

func (l *listing) entries(d *json.Decoder) error {
	if err := expect(d, '['); err != nil {
		return err
	}
	var raw json.RawMessage
	for d.More() {
		raw = raw[:0]
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if err := l.entry(raw); err != nil {
			return err
		}
	}
	return expect(d, ']')
}

func expect(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err == nil && t != want {
		err = fmt.Errorf("%v in the answer where %v was expected", t, want)
	}
	return err
}

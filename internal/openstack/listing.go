package openstack

import (
	"encoding/json"
	"errors"
	"fmt"
)

// listing is the answer to a listing, read entry by entry: a page's text is never in memory as a whole.
type listing struct {
	of    string // what is listed: servers, flavors, images, networks
	Links []pageLink
	entry func(json.RawMessage) error // the text is the next entry's, too, once it returns
}

// pageLink is a link of a listing to another page.
type pageLink struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

// decode reads the answer. One without the list is none: to take it for an empty one would lose what it does not say.
// Glance says next where the others have links.
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
		switch {
		case key == l.of:
			listed, err = true, l.entries(d)
		case key == l.of+"_links":
			err = d.Decode(&l.Links)
		case key == "next" && l.of == "images":
			next := ""
			if err = d.Decode(&next); next != "" {
				l.Links = append(l.Links, pageLink{Rel: "next", Href: next})
			}
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
	return errors.New("it has no list of " + l.of)
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

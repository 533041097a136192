package vmlist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a document.
const (
	MaxImages = 10_000
	maxID     = 255       // bytes of an identifier
	maxURI    = 4096      // bytes of an address
	maxText   = 64 << 10  // bytes of any other text: Glance takes no longer ones
	maxImage  = 1<<16 - 1 // bytes of all an image's keys and values, as Glance's attribute holds them
)

// Parse reads the document of a list, without any look at who made it. It fails with ErrDocument.
func Parse(document []byte) (List, error) {
	l, err := parse(document)
	if err != nil {
		return List{}, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return l, nil
}

func parse(document []byte) (l List, err error) {
	if len(document) > MaxSize {
		return l, fmt.Errorf("%d bytes are too many", len(document))
	}
	if !utf8.Valid(document) {
		return l, errors.New("it is not UTF-8")
	}
	outer, err := readObject(bytes.TrimPrefix(document, []byte("\ufeff")))
	if err != nil {
		return l, fmt.Errorf("no JSON document: %w", err)
	}
	inner := outer.get("hv:imagelist")
	if inner == nil {
		return l, errors.New("it has no hv:imagelist")
	}
	o, err := readObject(inner)
	if err != nil {
		return l, fmt.Errorf("hv:imagelist: %w", err)
	}
	if err := l.readHead(o); err != nil {
		return l, err
	}
	endorser, err := l.readEndorser(o.get("hv:endorser"))
	if err != nil {
		return l, fmt.Errorf("hv:endorser: %w", err)
	}
	images := o.get("hv:images")
	if images == nil {
		return l, errors.New("hv:images is missing")
	}
	all, err := readArray(images, MaxImages)
	if err != nil {
		return l, fmt.Errorf("hv:images: %w", err)
	}
	l.readImages(all, endorser)
	return l, nil
}

func (l *List) readHead(o object) (err error) {
	for _, f := range []struct {
		key   string
		to    *string
		limit int
	}{
		{"dc:identifier", &l.ID, maxID}, {"dc:title", &l.Title, maxText}, {"dc:description", &l.Description, maxText}, {"dc:source", &l.Source, maxText},
		{"ad:vo", &l.VO, maxID}, {"hv:version", &l.Version, maxID}, {"hv:uri", &l.URI, maxURI},
	} {
		if *f.to, err = o.text(f.key, f.limit); err != nil {
			return err
		}
		*f.to = clean(*f.to)
	}
	l.URI = Shown(l.URI)
	if l.ID == "" {
		return errors.New("dc:identifier is missing")
	}
	if l.Created, err = o.time("dc:date:created"); err != nil {
		return err
	}
	if l.Expires, err = o.time("dc:date:expires"); err != nil {
		return err
	}
	if l.Expires.IsZero() {
		return errors.New("dc:date:expires is missing")
	}
	return nil
}

// readEndorser gives the keys of the endorser as they stand, too: each image's attributes have them.
func (l *List) readEndorser(value json.RawMessage) (object, error) {
	if value == nil {
		return nil, nil
	}
	outer, err := readObject(value)
	if err != nil {
		return nil, err
	}
	inner := outer.get("hv:x509")
	if inner == nil {
		return nil, errors.New("hv:x509 is missing")
	}
	o, err := readObject(inner)
	if err != nil {
		return nil, err
	}
	var known object
	for _, f := range []struct {
		key string
		to  *string
	}{{"dc:creator", &l.Endorser.Creator}, {"hv:ca", &l.Endorser.CA}, {"hv:dn", &l.Endorser.DN}, {"hv:email", &l.Endorser.Email}} {
		if *f.to, err = o.text(f.key, maxURI); err != nil {
			return nil, err
		}
		*f.to = clean(*f.to)
		if v := o.get(f.key); v != nil {
			known = append(known, member{f.key, v})
		}
	}
	return known, nil
}

// time reads a date of a list: YYYY-MM-DDTHH:MM:SSZ, or with an offset. It is zero if there is none.
func (o object) time(key string) (time.Time, error) {
	t, err := o.text(key, maxID)
	if err != nil || t == "" {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, t)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %.40q is no date as 2006-01-02T15:04:05Z is", key, t)
	}
	return at.UTC(), nil
}

// clean takes away what a line of text must not hold: control characters become blanks, but not the line ends and tabs of
// longer texts.
func clean(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return ' '
		}
		return r
	}, text))
}

// readImages judges each image by itself. Of images with one identifier none is taken: which one is meant cannot be told.
func (l *List) readImages(all []json.RawMessage, endorser object) {
	objects, problems, ids := make([]object, len(all)), make([]error, len(all)), make([]string, len(all))
	times := map[string]int{}
	for n, one := range all {
		objects[n], problems[n] = readImage(one)
		if id, err := objects[n].text("dc:identifier", maxID); err == nil {
			ids[n] = clean(id)
			times[ids[n]]++
		}
	}
	told := map[string]bool{}
	for n, o := range objects {
		id, err := ids[n], problems[n]
		if id != "" && times[id] > 1 {
			if !told[id] {
				told[id] = true
				l.Bad = append(l.Bad, Bad{ID: id, Place: n + 1, Reason: fmt.Sprintf("%d images of the list have this dc:identifier", times[id])})
			}
			continue
		}
		var i Image
		if err == nil {
			i, err = l.image(o, endorser)
		}
		if err != nil {
			l.Bad = append(l.Bad, Bad{ID: id, Place: n + 1, Reason: err.Error()})
			continue
		}
		l.Images = append(l.Images, i)
	}
}

// readImage gives the keys of an image.
func readImage(value json.RawMessage) (object, error) {
	outer, err := readObject(value)
	if err != nil {
		return nil, err
	}
	inner := outer.get("hv:image")
	if inner == nil {
		return nil, errors.New("hv:image is missing")
	}
	return readObject(inner)
}

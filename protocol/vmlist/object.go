package vmlist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// member is a key of a JSON object with its value.
type member struct {
	key   string
	value json.RawMessage
}

// object is a JSON object in the order in which it is written.
type object []member

// maxKeys is how many keys an object may have. Images have about 30.
const maxKeys = 200

// readObject reads an object. A key that stands twice is an error: readers differ in which of the two they take.
func readObject(text []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := open(dec, '{'); err != nil {
		return nil, err
	}
	var (
		o    object
		seen = map[string]bool{}
	)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		m := member{key: token.(string)} // between the values of an object stand keys, or Token fails
		switch {
		case seen[m.key]:
			return nil, fmt.Errorf("key %.80q stands twice", m.key)
		case len(o) == maxKeys:
			return nil, fmt.Errorf("more than %d keys", maxKeys)
		}
		seen[m.key] = true
		if err := dec.Decode(&m.value); err != nil {
			return nil, err
		}
		o = append(o, m)
	}
	return o, end(dec)
}

// readArray reads an array of at most limit elements.
func readArray(text []byte, limit int) ([]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := open(dec, '['); err != nil {
		return nil, err
	}
	var all []json.RawMessage
	for dec.More() {
		if len(all) == limit {
			return nil, fmt.Errorf("more than %d elements", limit)
		}
		var one json.RawMessage
		if err := dec.Decode(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, end(dec)
}

func open(dec *json.Decoder, mark json.Delim) error {
	token, err := dec.Token()
	if err != nil {
		return unexpected(err)
	}
	if token != mark {
		return fmt.Errorf("%q is missing where it begins", mark.String())
	}
	return nil
}

// end reads the closing mark, behind which nothing more stands.
func end(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return unexpected(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind its end")
	}
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("it ends too soon")
	}
	return err
}

// get gives the value of a key, nil if there is none.
func (o object) get(key string) json.RawMessage {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// text gives the value of a key as text, whether it is written as string or as number; "" if there is none.
func (o object) text(key string, limit int) (string, error) {
	t, err := text(o.get(key))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", key, err)
	case len(t) > limit:
		return "", fmt.Errorf("%s: %d bytes are too many", key, len(t))
	}
	return t, nil
}

func text(value json.RawMessage) (string, error) {
	if len(value) == 0 || value[0] == 'n' {
		return "", nil
	}
	switch value[0] {
	case '"':
		var t string
		err := json.Unmarshal(value, &t)
		return t, err
	case '{', '[':
		return "", errors.New("it is not a text")
	}
	return string(value), nil
}

// marshal writes a value as JSON, with <, > and & as they are.
func marshal(value string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return `""` // no string fails
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

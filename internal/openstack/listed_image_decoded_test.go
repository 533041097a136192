package openstack

import (
	"encoding/json"
	"reflect"
	"testing"
)

// TestDecodedImages: the same text of a public or shared image is read once, whoever asks and for as long as there is room; what is a
// project's, or cannot be read, is read each time. What comes out is the same with and without a cache.
func TestDecodedImages(t *testing.T) {
	const public = `{"id":"1","name":"a","status":"active","visibility":"public","os_distro":"x"}`
	for name, c := range map[string]struct {
		first, second string
		room          int
		same          bool
	}{
		"the same":       {public, public, mostDecoded, true},
		"just room":      {public, public, len(public), true},
		"no room":        {public, public, len(public) - 1, false},
		"another name":   {public, `{"id":"1","name":"b","status":"active","visibility":"public","os_distro":"x"}`, mostDecoded, false},
		"a project's":    {`{"id":"1","status":"active","visibility":"private"}`, `{"id":"1","status":"active","visibility":"private"}`, mostDecoded, false},
		"shared":         {`{"id":"1","status":"active","visibility":"shared"}`, `{"id":"1","status":"active","visibility":"shared"}`, mostDecoded, true},
		"not active":     {`{"id":"1","status":"queued","visibility":"public"}`, `{"id":"1","status":"queued","visibility":"public"}`, mostDecoded, false},
		"no id":          {`{"status":"active","visibility":"public"}`, `{"status":"active","visibility":"public"}`, mostDecoded, false},
		"no JSON object": {`7`, `7`, mostDecoded, false},
	} {
		cache := NewDecodedImages()
		cache.room = c.room
		var got [2]ListedImage
		raw := json.RawMessage{}
		for n, text := range []string{c.first, c.second} {
			raw = append(raw[:0], text...) // the next entry's text stands where this one's stood
			want, wantErr := decodeImage(json.RawMessage(text))
			var err error
			if got[n], err = cache.decode(raw); !reflect.DeepEqual(got[n], want) || (err == nil) != (wantErr == nil) {
				t.Errorf("%s: %+v, %v, want %+v, %v", name, got[n], err, want, wantErr)
			}
		}
		at := func(i ListedImage) uintptr { return reflect.ValueOf(i.Properties).Pointer() }
		if left := c.room - cache.room; c.same && left != len(c.first) {
			t.Errorf("%s: %d bytes are taken", name, left)
		}
		if same := at(got[0]) == at(got[1]) && got[0].Properties != nil; same != c.same {
			t.Errorf("%s: read once: %v", name, same)
		}
	}
}

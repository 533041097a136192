package vmlist

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseAppDB(t *testing.T) {
	l, err := Parse(read("json", "vo-list-1.json"))
	if err != nil || len(l.Bad) > 0 || len(l.Images) != 3 {
		t.Fatalf("%d images, bad %v, %v", len(l.Images), l.Bad, err)
	}
	never := time.Date(2499, 12, 31, 22, 0, 0, 0, time.UTC)
	ubuntu := l.Images[0]
	l.Images = nil
	if d := cmp.Diff(List{
		Edition: Edition{Version: "20240301100000", Created: time.Date(2024, 3, 1, 10, 0, 0, 0, time.UTC)},
		ID:      "76fdee70-8119-5d33-9f40-3c57e1c60df1", Title: "VO-wide image list for vo.example.eu", Description: "This is a VO-wide image list for vo.example.eu VO.",
		Source: "https://appdb.example.org/", VO: "vo.example.eu", URI: "https://vmcaster.example.org/store/vo/vo.example.eu/image.list", Expires: never,
		Endorser: Endorser{Creator: "EGI Applications Database", DN: endorserDN, CA: rootDN, Email: "appdb-support@example.org"},
	}, l); d != "" {
		t.Errorf("list (-want +got):\n%s", d)
	}
	attributes := ubuntu.Attributes
	ubuntu.Attributes, ubuntu.ApplianceDigest, ubuntu.ImageDigest = "", "", ""
	if d := cmp.Diff(Image{
		ID: "c0482bc2-bf41-5d49-a000-a750174a186b", MPURI: "https://appdb.example.org/store/vo/image/c0482bc2-bf41-5d49-a000-a750174a186b:484/",
		BaseMPURI: "https://appdb.example.org/store/vm/image/9d778a41-28b3-435e-8493-3bc6e513950a:7920/", AppID: "1130", Group: "General group",
		Title: "Image for EGI Ubuntu 22.04 [Ubuntu/22.04/KVM]", Description: "Minimal Ubuntu <22.04> & cloud-init", Version: "2024.02.01", Format: "OVA", Hypervisor: "QEMU,KVM",
		URI:    "http://127.0.0.1:18099/images/disk.ova",
		SHA512: "819f7b4a5d52c39284d8ff327a8a528cb3f9c1d778a2f844cfb45f8d29bbd115efc9047e590ef4c0e839ebdef06bda7dbc58f738288f7d7ea72ce8096c488f27",
		Size:   143360, RAM: 512, Cores: 1, Arch: "x86_64", OS: "Linux", OSName: "Ubuntu", OSVersion: "22.04", Expires: never,
	}, ubuntu); d != "" {
		t.Errorf("image (-want +got):\n%s", d)
	}
	// As cloudkeeper has it in Glance: every key of the image and the endorser's four, as texts.
	start, end := `{"dc:description":"Minimal Ubuntu <22.04> & cloud-init","dc:identifier":"c0482bc2-`, `"ad:appid":"1130","dc:creator":"EGI Applications Database","hv:ca":"`+rootDN+`","hv:dn":"`+endorserDN+`","hv:email":"appdb-support@example.org"}`
	if !strings.HasPrefix(attributes, start) || !strings.HasSuffix(attributes, end) {
		t.Errorf("attributes %s", attributes)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(attributes), &back); err != nil || len(back) != 30 {
		t.Errorf("%d attributes, %v", len(back), err)
	}
}

// A key that image and endorser both have is the image's.
func TestAttributesOfTheImageFirst(t *testing.T) {
	endorser := map[string]any{"hv:x509": map[string]any{"hv:email": "endorser", "hv:dn": "x", "more": 1}}
	l := must(Parse(listOf(map[string]any{"hv:endorser": endorser}, map[string]any{"hv:image": imageOf(map[string]any{"hv:email": "image"})})))
	var got map[string]string
	if err := json.Unmarshal([]byte(l.Images[0].Attributes), &got); err != nil || got["hv:email"] != "image" || got["hv:dn"] != "x" || got["more"] != "" || strings.Count(l.Images[0].Attributes, "hv:email") != 1 {
		t.Errorf("%s, %v", l.Images[0].Attributes, err)
	}
}

func TestParseHEPiX(t *testing.T) {
	l, err := Parse(read("json", "hepix-plain.json"))
	if err != nil || len(l.Images) != 1 || l.VO != "" {
		t.Fatalf("%+v, %v", l, err)
	}
	i := l.Images[0]
	if i.MPURI != "" || !i.Expires.Equal(l.Expires) || i.Size != 1048576 || i.RAM != 0 || len(i.Notes) > 0 || !strings.Contains(i.Attributes, `"hv:size":"1048576"`) {
		t.Errorf("%+v", i)
	}
}

// Digests as cloudkeeper 2.0.0 computed them (spec images §1.5).
func TestCloudkeepersDigests(t *testing.T) {
	l := must(Parse(read("json", "vo-list-1.json")))
	for n, want := range [][2]string{{"1ef058d3de8e981c9dfeee0f1c185d30", "5b8faa3410993caf8a888c67738050b2"}, {"5434e8c30dc164df9d81cab603b5af23", "51164cf3d67a1cd53189529fd9e4150f"}} {
		i := l.Images[n]
		if len(i.ApplianceDigest) != 128 || i.ApplianceDigest[:32] != want[0] || len(i.ImageDigest) != 128 || i.ImageDigest[:32] != want[1] {
			t.Errorf("%s: %s / %s", i.Title, i.ApplianceDigest, i.ImageDigest)
		}
	}
}

// Each document of the vectors, by what its name says.
func TestParseEveryDocument(t *testing.T) {
	const u1, u2, u3, u4 = "c0482bc2-bf41-5d49-a000-a750174a186b", "662b0e71-3e21-5f43-b6a1-cc2f51319fa7", "1fc7dce9-8b56-5a5d-8269-7ea473971c29", "7a2f1d11-52a3-5a1b-9c5e-111111111111"
	for name, c := range map[string]struct {
		images  []string
		bad     []Bad
		expired []string
		list    bool // the list has ended
	}{
		"vo-list-1":          {images: []string{u1, u2, u3}},
		"vo-list-2":          {images: []string{u1, u2, u4}},
		"bad-checksum":       {images: []string{u2, u3}},
		"missing-image":      {images: []string{u2, u3}},
		"no-vo":              {images: []string{u1}},
		"dn-mismatch":        {images: []string{u1}},
		"ca-mismatch":        {images: []string{u1}},
		"other-vo-same-disk": {images: []string{u4}},
		"empty":              {},
		"image-expired":      {images: []string{u1, u2}, expired: []string{u2}},
		"list-expired":       {images: []string{u1, u2}, list: true},
		"one-bad-image":      {images: []string{u1, u3}, bad: []Bad{{u2, 2, "hv:uri is missing"}}},
		"duplicate-id":       {bad: []Bad{{u1, 1, "2 images of the list have this dc:identifier"}}},
	} {
		l, err := Parse(read("json", name+".json"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var images, expired []string
		for _, i := range l.Images {
			images = append(images, i.ID)
			if i.Expired(day) {
				expired = append(expired, i.ID)
			}
		}
		if d := cmp.Diff([]any{c.images, c.bad, c.expired, c.list}, []any{images, l.Bad, expired, l.Expired(day)}); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// imageOf gives an image that can be used, with some keys otherwise; nil = without it.
func imageOf(change map[string]any) map[string]any {
	i := map[string]any{"dc:identifier": "id", "hv:uri": "https://images.example.org/x", "sl:checksum:sha512": strings.Repeat("0a", 64)}
	maps.Copy(i, change)
	maps.DeleteFunc(i, func(_ string, v any) bool { return v == nil })
	return i
}

func listOf(change map[string]any, images ...any) []byte {
	l := map[string]any{"dc:identifier": "list", "dc:date:expires": "2030-01-01T00:00:00Z", "hv:images": append([]any{}, images...)}
	maps.Copy(l, change)
	maps.DeleteFunc(l, func(_ string, v any) bool { return v == nil })
	return must(json.Marshal(map[string]any{"hv:imagelist": l}))
}

func TestImages(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		keys map[string]any
		bad  string // reason; "" = it can be used
		want func(Image) bool
	}{
		"the least":              {nil, "", func(i Image) bool { return i.Size == 0 && i.RAM == 0 && i.Expires.Year() == 2030 && i.MPURI == "" }},
		"no identifier":          {map[string]any{"dc:identifier": nil}, "dc:identifier is missing", nil},
		"an empty one":           {map[string]any{"dc:identifier": " "}, "dc:identifier is missing", nil},
		"a long one":             {map[string]any{"dc:identifier": long(256)}, "dc:identifier: 256 bytes are too many", nil},
		"a number":               {map[string]any{"dc:identifier": 17}, "", func(i Image) bool { return i.ID == "17" }},
		"no texts":               {map[string]any{"dc:title": []int{1}}, "dc:title: it is not a text", nil},
		"a title for a terminal": {map[string]any{"dc:title": "a\x1b[31m\u0085b\n"}, "", func(i Image) bool { return i.Title == "a [31m b" }},
		"lines":                  {map[string]any{"dc:description": "a\n\tb\r\n"}, "", func(i Image) bool { return i.Description == "a\n\tb" }},
		"null":                   {map[string]any{"dc:title": json.RawMessage("null")}, "", func(i Image) bool { return i.Title == "" }},
		"true":                   {map[string]any{"sl:comments": true}, "", func(i Image) bool { return i.Comments == "true" }},
		"no address":             {map[string]any{"hv:uri": ""}, "hv:uri is missing", nil},
		"a file":                 {map[string]any{"hv:uri": "file:///etc/passwd"}, `hv:uri: http or https is needed, not "file"`, nil},
		"ftp":                    {map[string]any{"hv:uri": "ftp://x/"}, "http or https", nil},
		"no host":                {map[string]any{"hv:uri": "http:///x"}, "no host", nil},
		"a port alone":           {map[string]any{"hv:uri": "http://:80/x"}, "no host", nil},
		"no URI":                 {map[string]any{"hv:uri": "http://secret@x:y/"}, "no address that can be read", nil},
		"HTTP in capitals":       {map[string]any{"hv:uri": "HTTPS://x/"}, "", func(i Image) bool { return i.URI == "HTTPS://x/" }},
		"no checksum":            {map[string]any{"sl:checksum:sha512": nil}, "sl:checksum:sha512 is missing", nil},
		"a short one":            {map[string]any{"sl:checksum:sha512": long(127)}, "no checksum", nil},
		"half a one":             {map[string]any{"sl:checksum:sha512": strings.Repeat("0a", 32)}, "no checksum", nil},
		"no hexadecimal one":     {map[string]any{"sl:checksum:sha512": strings.Repeat("g", 128)}, "no checksum", nil},
		"in capitals":            {map[string]any{"sl:checksum:sha512": strings.Repeat("0A", 64)}, "", func(i Image) bool { return i.SHA512 == strings.Repeat("0a", 64) }},
		"its own end": {map[string]any{"dc:date:expires": "2027-01-01T01:00:00+01:00"}, "", func(i Image) bool {
			return i.Expires.Equal(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)) && i.Expires.Location() == time.UTC
		}},
		"an end that is no date":      {map[string]any{"dc:date:expires": "tomorrow"}, `dc:date:expires: "tomorrow" is no date`, nil},
		"an end without zone":         {map[string]any{"dc:date:expires": "2027-01-01T00:00:00"}, "is no date", nil},
		"a size":                      {map[string]any{"hv:size": 1 << 40}, "", func(i Image) bool { return i.Size == 1<<40 }},
		"a size below zero":           {map[string]any{"hv:size": "-1"}, "", noted("hv:size", func(i Image) bool { return i.Size == 0 })},
		"a size that is none":         {map[string]any{"hv:size": "big"}, "", noted(`hv:size: "big"`, func(i Image) bool { return i.Size == 0 })},
		"memory in MB":                {map[string]any{"hv:ram_minimum": "512"}, "", func(i Image) bool { return i.RAM == 512 }},
		"memory in MB, much":          {map[string]any{"hv:ram_minimum": 1<<20 - 1}, "", func(i Image) bool { return i.RAM == 1<<20-1 }},
		"memory in bytes, little":     {map[string]any{"hv:ram_minimum": 1 << 20}, "", func(i Image) bool { return i.RAM == 1 }},
		"memory in bytes":             {map[string]any{"hv:ram_minimum": "536870912"}, "", func(i Image) bool { return i.RAM == 512 }},
		"memory in bytes, and a half": {map[string]any{"hv:ram_minimum": "536870913"}, "", func(i Image) bool { return i.RAM == 513 }},
		"memory beyond":               {map[string]any{"hv:ram_minimum": "9223372036854775808"}, "", noted("hv:ram_minimum", func(i Image) bool { return i.RAM == 0 })},
		"cores":                       {map[string]any{"hv:core_minimum": "4"}, "", func(i Image) bool { return i.Cores == 4 }},
		"half a core":                 {map[string]any{"hv:core_minimum": 0.5}, "", noted("hv:core_minimum", func(i Image) bool { return i.Cores == 0 })},
		"credentials": {map[string]any{"hv:uri": "https://token:x-oauth-basic@images.example.org/x?y=<z>"}, "", func(i Image) bool {
			return strings.Contains(i.URI, "token") && !strings.Contains(i.Attributes, "token") && strings.Contains(i.Attributes, `"hv:uri":"https://images.example.org/x?y=<z>"`)
		}},
		"more keys": {map[string]any{"x:y": map[string]any{"a": []any{1, "b"}}}, "", func(i Image) bool { return strings.Contains(i.Attributes, `"x:y":"{\"a\":[1,\"b\"]}"`) }},
		"long":      {map[string]any{"x": long(maxImage)}, "more than Glance takes", nil},
		"many keys": {func() map[string]any {
			m := map[string]any{}
			for n := range maxKeys {
				m[fmt.Sprint(n)] = n
			}
			return m
		}(), "more than 200 keys", nil},
	} {
		good := map[string]any{"hv:image": imageOf(map[string]any{"dc:identifier": "another"})}
		l, err := Parse(listOf(nil, map[string]any{"hv:image": imageOf(c.keys)}, good))
		if err != nil || len(l.Images)+len(l.Bad) != 2 || l.Images[len(l.Images)-1].ID != "another" {
			t.Errorf("%s: %d images, bad %v, %v", name, len(l.Images), l.Bad, err)
			continue
		}
		switch {
		case c.bad == "" && len(l.Bad) > 0, c.bad != "" && (len(l.Bad) == 0 || !strings.Contains(l.Bad[0].Reason, c.bad) || l.Bad[0].Place != 1 || strings.Contains(l.Bad[0].Reason, "secret")):
			t.Errorf("%s: bad %v, want %q", name, l.Bad, c.bad)
		case c.want != nil && !c.want(l.Images[0]):
			t.Errorf("%s: %+v", name, l.Images[0])
		case c.bad == "" && !json.Valid([]byte(l.Images[0].Attributes)):
			t.Errorf("%s: attributes %s", name, l.Images[0].Attributes)
		}
	}
}

// noted expects one note that begins so, and what the test wants otherwise.
func noted(words string, want func(Image) bool) func(Image) bool {
	return func(i Image) bool { return len(i.Notes) == 1 && strings.HasPrefix(i.Notes[0], words) && want(i) }
}

// Of images with one identifier none is taken, although others of them cannot be used anyway.
func TestOneIdentifierTwice(t *testing.T) {
	broken := map[string]any{"hv:image": imageOf(map[string]any{"hv:uri": nil})}
	good := map[string]any{"hv:image": imageOf(nil)}
	blank := map[string]any{"hv:image": imageOf(map[string]any{"dc:identifier": " id\n"})}
	another := map[string]any{"hv:image": imageOf(map[string]any{"dc:identifier": "another"})}
	nameless := map[string]any{"hv:image": imageOf(map[string]any{"dc:identifier": nil})}
	l, err := Parse(listOf(nil, nameless, broken, another, good, blank, nameless, 17))
	if err != nil || len(l.Images) != 1 || l.Images[0].ID != "another" {
		t.Fatalf("%+v, %v", l.Images, err)
	}
	want := []Bad{{"", 1, "dc:identifier is missing"}, {"id", 2, "3 images of the list have this dc:identifier"}, {"", 6, "dc:identifier is missing"}, {"", 7, `"{" is missing where it begins`}}
	if d := cmp.Diff(want, l.Bad); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestListsThatCannotBeRead(t *testing.T) {
	many := make([]any, MaxImages+1)
	text := func(change map[string]any) string { return string(listOf(change)) }
	for name, c := range map[string]struct{ document, words string }{
		"nothing":                      {"", "it ends too soon"},
		"no object":                    {"[]", `"{" is missing`},
		"cut off":                      {text(nil)[:50], "no JSON document"},
		"another document":             {"{}", "hv:imagelist"},
		"something behind":             {text(nil) + "{}", "behind its end"},
		"not UTF-8":                    {strings.Replace(text(nil), "list", "l\xffst", 2), "UTF-8"},
		"list that is none":            {`{"hv:imagelist":[]}`, "hv:imagelist"},
		"no identifier":                {text(map[string]any{"dc:identifier": nil}), "dc:identifier is missing"},
		"identifier that is none":      {text(map[string]any{"dc:identifier": []int{}}), "dc:identifier: it is not a text"},
		"no end":                       {text(map[string]any{"dc:date:expires": nil}), "dc:date:expires is missing"},
		"end that is no date":          {text(map[string]any{"dc:date:expires": "\x1b[31m"}), `dc:date:expires: "\x1b[31m"`},
		"beginning that is none":       {text(map[string]any{"dc:date:created": "x"}), "dc:date:created"},
		"no images":                    {text(map[string]any{"hv:images": nil}), "hv:images is missing"},
		"images that are none":         {text(map[string]any{"hv:images": map[string]any{}}), "hv:images"},
		"too many":                     {string(listOf(nil, many...)), "more than 10000"},
		"endorser that is none":        {text(map[string]any{"hv:endorser": "x"}), "hv:endorser"},
		"endorser without certificate": {text(map[string]any{"hv:endorser": map[string]any{}}), "hv:x509 is missing"},
		"endorser of no text":          {text(map[string]any{"hv:endorser": map[string]any{"hv:x509": map[string]any{"hv:dn": []int{}}}}), "hv:dn: it is not a text"},
		"a key twice":                  {strings.Replace(text(nil), `"dc:identifier"`, `"dc:identifier":"x","dc:identifier"`, 1), `"dc:identifier" stands twice`},
		"nested":                       {`{"hv:imagelist":` + strings.Repeat("[", 100_000), "hv:imagelist"},
		"too large":                    {strings.Repeat(" ", MaxSize+1), "too many"},
	} {
		if l, err := Parse([]byte(c.document)); !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), c.words) && name != "nested" || strings.Contains(err.Error(), "\x1b") || l.ID != "" {
			t.Errorf("%s: %q, %v, want %q", name, l.ID, err, c.words)
		}
	}
	for name, document := range map[string]string{"with a mark": "\ufeff" + text(nil), "blanks around": "\n " + text(nil) + "\r\n"} {
		if _, err := Parse([]byte(document)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := Parse(listOf(map[string]any{"hv:uri": "https://token:x@lists.example.org/l", "hv:version": 7, "dc:date:created": "2026-01-01T00:00:00.5Z"}))
	if err != nil || l.URI != "https://lists.example.org/l" || l.Version != "7" || l.Created.Nanosecond() != 5e8 || len(l.Images) != 0 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestEditions(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		a, b Edition
		want int
	}{
		{Edition{"1", at(1)}, Edition{"1", at(1)}, 0},
		{Edition{"2", at(1)}, Edition{"10", at(1)}, -1},
		{Edition{"20240301100000", at(1)}, Edition{"20240301100001", at(1)}, -1},
		{Edition{"1.2", at(1)}, Edition{"1.2.1", at(1)}, -1},
		{Edition{"1.10", at(1)}, Edition{"1.9", at(1)}, 1},
		{Edition{"v01-002", at(1)}, Edition{"1.2", at(1)}, 0},
		{Edition{"2", at(1)}, Edition{"1", at(9)}, 1}, // the version first
		{Edition{"1", at(2)}, Edition{"1", at(1)}, 1},
		{Edition{"", at(2)}, Edition{"", at(1)}, 1},
		{Edition{"1", time.Time{}}, Edition{"1", at(1)}, 0},
		{Edition{"x", at(1)}, Edition{"y", at(1)}, 0},
		{Edition{strings.Repeat("9", 30), at(1)}, Edition{strings.Repeat("9", 29) + "8", at(1)}, 1},
	} {
		if got := Compare(c.a, c.b); got != c.want || Compare(c.b, c.a) != -c.want || Newer(c.a, c.b) != (c.want > 0) {
			t.Errorf("%v and %v: %d", c.a, c.b, got)
		}
	}
	one, two := must(Parse(read("json", "vo-list-1.json"))), must(Parse(read("json", "vo-list-2.json")))
	if !Newer(two.Edition, one.Edition) {
		t.Error("the second list is not newer than the first")
	}
}

func TestVersionless(t *testing.T) {
	for mpuri, want := range map[string]string{
		"https://appdb.egi.eu/store/vo/image/u:10044/":           "https://appdb.egi.eu/store/vo/image/u",
		"https://appdb.egi.eu/store/vo/image/u:10044":            "https://appdb.egi.eu/store/vo/image/u",
		"https://appdb.egi.eu/store/vm/image/u:7920:1469784811/": "https://appdb.egi.eu/store/vm/image/u:7920",
		"https://appdb.egi.eu/store/vo/image/u/":                 "https://appdb.egi.eu/store/vo/image/u",
		"registry.egi.eu/egi_vm_images/ubuntu:22.04":             "registry.egi.eu/egi_vm_images/ubuntu:22.04",
		"https://appdb.egi.eu/u:":                                "https://appdb.egi.eu/u:",
		"":                                                       "",
	} {
		if got := Versionless(mpuri); got != want {
			t.Errorf("%s: %s", mpuri, got)
		}
	}
}

// FuzzList: whatever a document says, what is given of it can be used.
func FuzzList(f *testing.F) {
	for _, name := range []string{"vo-list-1", "hepix-plain", "one-bad-image", "duplicate-id", "empty"} {
		f.Add(read("json", name+".json"))
	}
	f.Add(listOf(map[string]any{"hv:version": 1.5}, map[string]any{"hv:image": imageOf(map[string]any{"hv:uri": "http://a:b@c/", "x": []int{1}})}))
	f.Fuzz(func(t *testing.T, document []byte) {
		l, err := Parse(document)
		if err != nil {
			if !errors.Is(err, ErrDocument) {
				t.Errorf("%v", err)
			}
			return
		}
		if l.ID == "" || l.Expires.IsZero() {
			t.Errorf("%+v", l)
		}
		ids := map[string]bool{}
		for _, i := range l.Images {
			var attributes map[string]string
			if err := json.Unmarshal([]byte(i.Attributes), &attributes); err != nil || len(i.SHA512) != 128 || i.Size < 0 || i.RAM < 0 || i.Cores < 0 || i.Expires.IsZero() || checkURI(i.URI) != nil || len(i.ApplianceDigest) != 128 {
				t.Errorf("%+v, %v", i, err)
			}
			if ids[i.ID] || i.ID == "" || slices.ContainsFunc(l.Bad, func(b Bad) bool { return b.ID == i.ID }) {
				t.Errorf("image %q is there twice, or bad", i.ID)
			}
			ids[i.ID] = true
			if u, err := url.Parse(attributes["hv:uri"]); err != nil || u.User != nil {
				t.Errorf("credentials are shown: %s, %v", attributes["hv:uri"], err)
			}
		}
	})
}

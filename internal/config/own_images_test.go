package config

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// TestParseOwnImages: what is right is read, and one wrong entry spoils itself alone.
func TestParseOwnImages(t *testing.T) {
	long, short := strings.Repeat("aB", 64), strings.Repeat("0", 64)
	images, bad, err := ParseOwnImages("images.yaml", []byte(`images:
  - {name: Debian 13, url: "https://example.org/a", sha512: `+long+`, version: "1", format: qcow2, os: debian, os_version: "13", arch: x86_64, min_ram: 512, min_disk: 10, properties: {hw: x}, size: 1GiB}
  - {name: other, id: x, url: "https://example.org/b", sha256: "`+short+`"}
  - {name: no sum, url: "https://example.org/c"}
  - {name: both sums, url: "https://example.org/c", sha256: "`+short+`", sha512: `+long+`}
  - {name: no URL, sha256: "`+short+`"}
  - {name: odd, url: "https://example.org/c", sha256: "`+short+`", formt: raw}
  - {name: twice, url: "https://example.org/d", sha256: "`+short+`"}
  - {name: again, id: twice, url: "https://example.org/e", sha256: "`+short+`"}
  - text
  - {name: A name, id: kept, url: "https://example.org/c"}
  - {name: 'x', id: "a\tb", url: "https://example.org/c", sha256: "`+short+`"}
  - {name: marked, url: "https://example.org/c", sha256: "`+short+`", properties: {fedsite_state: active}}
  - {name: core, url: "https://example.org/c", sha256: "`+short+`", properties: {visibility: public}}
  - {name: half, url: "https://example.org/c", sha256: "`+short+`"}
  - {name: half, url: "https://example.org/c"}
  - {name: "`+strings.Repeat("n", 201)+`", url: "https://example.org/c", sha256: "`+short+`"}
  - {name: "esc\e[31m", url: "https://user:hunter2@example.org/c", sha256: "`+short+`"}
  - {nme: Debian, url: "https://example.org/c", sha256: "`+short+`"}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []OwnImage{{ID: "Debian 13", Name: "Debian 13", URL: "https://example.org/a", Checksum: "sha512:" + strings.ToLower(long), Version: "1", Format: "qcow2", OS: "debian", OSVersion: "13", Arch: "x86_64", MinRAM: 512, MinDisk: 10,
		Properties: map[string]string{"hw": "x"}, Size: 1 << 30}, {ID: "x", Name: "other", URL: "https://example.org/b", Checksum: "sha256:" + short}}
	if d := cmp.Diff(want, images); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	line := "without line breaks and control characters"
	if d := cmp.Diff([]BadImage{
		{"no sum", "no sum", "line 4: images[2]: must have a sha512 or a sha256, one of them"},
		{"both sums", "both sums", "line 5: images[3]: must have a sha512 or a sha256, one of them"},
		{"no URL", "no URL", "line 6: images[4].url: is required"},
		{"odd", "odd", "line 7: images[5].formt: is no key here: did you mean format?"},
		{"", "entry in line 10", "line 10: images[8]: must be a mapping"},
		{"kept", "A name", "line 11: images[9]: must have a sha512 or a sha256, one of them"},
		{"", "x", "line 12: images[10].id: must be " + line},
		{"marked", "marked", "line 13: images[11].properties.fedsite_state: is set by fedsite itself"},
		{"core", "core", "line 14: images[12].properties.visibility: is no property: Glance has it for itself"},
		{"half", "half", "line 16: images[14]: must have a sha512 or a sha256, one of them"},
		{"", strings.Repeat("n", 80) + "…", "line 17: images[15].name: must have at most 200 characters"},
		{"", "esc?[31m", "line 18: images[16].name: must be " + line},
		{"", "entry in line 19", "line 19: images[17].nme: is no key here: did you mean name?"},
		{"twice", "twice", "another entry has the same id \"twice\""},
		{"twice", "again", "another entry has the same id \"twice\""},
		{"half", "half", "another entry has the same id \"half\""},
	}, bad); d != "" {
		t.Errorf("bad (-want +got)\n%s", d)
	}
	for _, text := range []string{"", "images: 5", "- {name: x}", "images: []\nother: 1", "images: [", "images: [] #" + strings.Repeat("x", 1<<20)} {
		if _, _, err := ParseOwnImages("images.yaml", []byte(text)); err == nil {
			t.Errorf("%.40q is a list", text)
		}
	}
}

// TestWhatListsLookLike: a list that is empty, or something else, is told what it is to look like; it is no configuration.
func TestWhatListsLookLike(t *testing.T) {
	for text, want := range map[string]string{"": "is empty: it is to be like ", "# nothing\n": "is empty: it is to be like ", "- {name: x}": "must be like ", "{}": "is required, a list of images like ", "images:": "is required, a list of images like "} {
		_, _, err := ParseOwnImages("own.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want+"images: [{name: Debian 13, url: ") || strings.Contains(err.Error(), "config") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{"# nothing\n": "is empty: it is to be like ", "- {ref: x}": "must be like ", "{}": "is required, a list of blocks like "} {
		_, err := ParseBlocks("blocks.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want+"blocks: [{checksum: ") || strings.Contains(err.Error(), "config") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestOwnImageSizes: a size is a number of bytes, or has a unit.
func TestOwnImageSizes(t *testing.T) {
	for text, want := range map[string]int64{"12345": 12345, `"12345"`: 12345, "1": 1, "100000000000": 100_000_000_000, "999999999999999999": 999_999_999_999_999_999, "12345B": 12345, "1.5GiB": 3 << 29, "500 MB": 500_000_000} {
		images, bad, err := ParseOwnImages("images.yaml", []byte(`images: [{name: a, url: "https://example.org/a", sha256: "`+strings.Repeat("0", 64)+`", size: `+text+"}]"))
		if err != nil || len(bad) > 0 || len(images) != 1 || images[0].Size != want {
			t.Errorf("%s: %+v, %+v, %v", text, images, bad, err)
		}
	}
	unit := "must be a number of bytes, or a size with its unit: 500MB, 20GiB or 1TB"
	for text, want := range map[string]string{"0": unit, "-5": unit, "1.5": unit, "1e6": unit, "0x10": unit, "012": unit, "12 bytes": unit, "9999999999999999999": unit, "9999999TB": "must be at least 1B", "[1]": "must be a size like 20GiB"} {
		images, bad, err := ParseOwnImages("images.yaml", []byte(`images: [{name: a, url: "https://example.org/a", sha256: "`+strings.Repeat("0", 64)+`", size: `+text+"}]"))
		if err != nil || len(images) > 0 || len(bad) != 1 || !strings.Contains(bad[0].Reason, "images[0].size: "+want) {
			t.Errorf("%s: %+v, %+v, %v", text, images, bad, err)
		}
	}
}

// TestBlocks: what is written is read again, and what is not understood is an error.
func TestBlocks(t *testing.T) {
	all := []ImageBlock{{Checksum: "sha512:" + strings.Repeat("a", 128), Reason: "miner: \"x\"\n", Since: "2026-11-27T00:00:00Z", By: "ops"}, {Ref: "egi/egi_vm_images/ubuntu:24.04", Reason: "CVE"}}
	for _, want := range [][]ImageBlock{nil, all} {
		text, err := FormatBlocks(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseBlocks("blocks.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	}
	for _, text := range []string{"a: 1", "blocks: [{reason: x}]", "blocks: [{ref: x}]", "blocks: [{ref: x, checksum: y, reason: z}]", "blocks: [{checksum: md5:1, reason: z}]", "blocks: [{ref: x, reason: y, unknown: z}]", "blocks: [{ref: x, reason: y, since: soon}]", "["} {
		if _, err := ParseBlocks("blocks.yaml", []byte(text)); err == nil {
			t.Errorf("%s are blocks", text)
		}
	}
	day, err := ParseBlocks("blocks.yaml", []byte("blocks: [{ref: x, reason: y, since: 2026-11-27}]"))
	if d := cmp.Diff([]ImageBlock{{Ref: "x", Reason: "y", Since: "2026-11-27T00:00:00Z"}}, day); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
}

func FuzzOwnImages(f *testing.F) {
	f.Add([]byte("images:\n  - {name: a, url: \"https://e/a\", sha256: \"00\"}\n"))
	f.Add([]byte("images: []"))
	f.Add([]byte("images:\n  - {id: a, name: b, url: \"https://e/a\", sha512: " + strings.Repeat("0f", 64) + ", format: qcow2, size: 1.5GiB, min_ram: 512, properties: {hw_disk_bus: scsi}}\n  - {id: a, name: c}\n  - x\n"))
	f.Add([]byte("images: [&a {name: \"\\e]0;x\", properties: {owner: y}}, *a, {id: [], name: {}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		images, bad, err := ParseOwnImages("images.yaml", data)
		if err != nil && len(images)+len(bad) > 0 {
			t.Error("an error, and images")
		}
		ids := map[string]bool{}
		for _, i := range images {
			if ids[i.ID] || i.ID == "" || i.Name == "" || i.URL == "" || !checksumForm.MatchString(i.Checksum) || strings.ContainsFunc(i.ID+i.Name, unicode.IsControl) {
				t.Errorf("%+v is an image", i)
			}
			ids[i.ID] = true
		}
		for _, b := range bad {
			if ids[b.ID] || b.Name == "" || b.Reason == "" || strings.ContainsFunc(b.ID+b.Name+b.Reason, unicode.IsControl) || len([]rune(b.Name+b.Reason)) > 400 {
				t.Errorf("%+v is a bad image", b)
			}
		}
	})
}

func FuzzBlocks(f *testing.F) {
	f.Add([]byte("blocks:\n  - {ref: a, reason: b}\n"))
	f.Add([]byte("blocks:\n  - {checksum: \"sha512:" + strings.Repeat("0F", 64) + "\", reason: \"a: #\\nb\", since: 2026-11-27T01:02:03+02:00, by: '1'}\n"))
	f.Add([]byte("blocks: [{ref: \"\\u2028\", reason: ~}, {checksum: x, ref: y, reason: \"null\"}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := ParseBlocks("blocks.yaml", data)
		if err != nil {
			return
		}
		text, err := FormatBlocks(all)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseBlocks("blocks.yaml", text)
		if d := cmp.Diff(all, again); err != nil || d != "" {
			t.Errorf("%v (-read +written)\n%s\n%s", err, d, text)
		}
	})
}

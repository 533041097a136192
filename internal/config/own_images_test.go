package config

import (
	"strings"
	"testing"

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
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []OwnImage{{ID: "Debian 13", Name: "Debian 13", URL: "https://example.org/a", Checksum: "sha512:" + strings.ToLower(long), Version: "1", Format: "qcow2", OS: "debian", OSVersion: "13", Arch: "x86_64", MinRAM: 512, MinDisk: 10,
		Properties: map[string]string{"hw": "x"}, Size: 1 << 30}, {ID: "x", Name: "other", URL: "https://example.org/b", Checksum: "sha256:" + short}}
	if d := cmp.Diff(want, images); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	var names []string
	for _, b := range bad {
		if names = append(names, b.Name); b.Reason == "" {
			t.Errorf("%s is bad without a reason", b.Name)
		}
	}
	if d := cmp.Diff([]string{"no sum", "both sums", "no URL", "odd", "entry in line 10", "twice", "again"}, names); d != "" {
		t.Errorf("bad (-want +got)\n%s", d)
	}
	for _, text := range []string{"", "images: 5", "- {name: x}", "images: []\nother: 1", "images: [", strings.Repeat("x", 5<<20)} {
		if _, _, err := ParseOwnImages("images.yaml", []byte(text)); err == nil {
			t.Errorf("%.40q is a list", text)
		}
	}
}

// TestBlocks: what is written is read again, and what is not understood is an error.
func TestBlocks(t *testing.T) {
	all := []ImageBlock{{Checksum: "sha512:" + strings.Repeat("a", 128), Reason: "miner: \"x\"\n", Since: "2026-11-27", By: "ops"}, {Ref: "egi/egi_vm_images/ubuntu:24.04", Reason: "CVE"}}
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
	for _, text := range []string{"a: 1", "blocks: [{reason: x}]", "blocks: [{ref: x}]", "blocks: [{ref: x, checksum: y, reason: z}]", "blocks: [{checksum: md5:1, reason: z}]", "blocks: [{ref: x, reason: y, unknown: z}]", "["} {
		if _, err := ParseBlocks("blocks.yaml", []byte(text)); err == nil {
			t.Errorf("%s are blocks", text)
		}
	}
}

func FuzzOwnImages(f *testing.F) {
	f.Add([]byte("images:\n  - {name: a, url: \"https://e/a\", sha256: \"00\"}\n"))
	f.Add([]byte("images: []"))
	f.Fuzz(func(t *testing.T, data []byte) {
		images, _, err := ParseOwnImages("images.yaml", data)
		if err != nil && len(images) > 0 {
			t.Error("an error, and images")
		}
	})
}

func FuzzBlocks(f *testing.F) {
	f.Add([]byte("blocks:\n  - {ref: a, reason: b}\n"))
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
		if err != nil || len(again) != len(all) {
			t.Errorf("%v: %d of %d", err, len(again), len(all))
		}
	})
}

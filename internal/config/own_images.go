package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// OwnImage is an image of a site's own list.
type OwnImage struct {
	ID              string // as the list has it, else its name
	Name, URL       string
	Checksum        string // sha512:… or sha256:…
	Format          string // "" = not said
	Size            int64  // bytes; 0 = not said
	Version         string
	Description     string
	OS, OSVersion   string
	Arch            string
	MinRAM, MinDisk int64 // MiB, GiB
	Properties      map[string]string
}

// BadImage is an entry of a site's own list that cannot be used.
type BadImage struct {
	ID     string // as OwnImage has it, so that the image that is there already is kept; "" = the entry does not tell
	Name   string // for people: its name or id, else its line
	Reason string
}

// maxOwnImages is the largest list of a site's own, in bytes: some thousand images.
const maxOwnImages = 1 << 20

type fileOwnImage struct {
	said
	ID          text       `key:"id" maxlen:"200" pattern:"^[^\\p{C}\\x{FFFD}]+$" words:"without line breaks and control characters"`
	Name        text       `key:"name" required:"true" maxlen:"200" pattern:"^[^\\p{C}\\x{FFFD}]+$" words:"without line breaks and control characters"`
	URL         text       `key:"url" required:"true" format:"url" words:"https://www.example.org/image.qcow2"`
	SHA512      text       `key:"sha512" pattern:"^[0-9a-fA-F]{128}$" words:"128 hexadecimal digits"`
	SHA256      text       `key:"sha256" pattern:"^[0-9a-fA-F]{64}$" words:"64 hexadecimal digits"`
	Format      text       `key:"format" enum:"qcow2|raw|vmdk|vdi|vhd|vhdx|ova|iso"`
	Size        fileSize   `key:"size"`
	Version     text       `key:"version" maxlen:"200"`
	Description text       `key:"description"`
	OS          text       `key:"os" maxlen:"200"`
	OSVersion   text       `key:"os_version" maxlen:"200"`
	Arch        text       `key:"arch" maxlen:"200"`
	MinRAM      number     `key:"min_ram" min:"0" max:"10000000"`
	MinDisk     number     `key:"min_disk" min:"0" max:"1000000"`
	Properties  dict[text] `key:"properties"`
}

// fileSize is a size whose unit may be left out, as programs and people write down what a file has.
type fileSize struct{ size }

var bareBytes = regexp.MustCompile(`^[1-9]\d{0,17}$`)

func (v *fileSize) decode(d *decoder, n *node, f field) {
	if n.kind == scalar && bareBytes.MatchString(n.text) {
		v.V, _ = strconv.ParseInt(n.text, 10, 64)
		return
	}
	if n.kind == scalar && !sizeForm.MatchString(n.text) {
		d.fail(n, "must be a number of bytes, or a size with its unit: 500MB, 20GiB or 1TB")
		return
	}
	v.size.decode(d, n, f)
}

// ParseOwnImages reads a site's own list of images:
//
//	images:
//	  - {name: Debian 13, url: https://www.example.org/debian.qcow2, sha512: …, version: "1", os: debian, os_version: "13", arch: x86_64, min_ram: 512, min_disk: 10, size: 342360064}
//
// An entry that is wrong, or has the id of another one, is among the bad ones; only what is no such list, or is larger than
// 1 MiB, is an error.
func ParseOwnImages(name string, data []byte) (images []OwnImage, bad []BadImage, err error) {
	if len(data) > maxOwnImages {
		return nil, nil, fmt.Errorf("%s has %d bytes, and a list of images at most %d: split it over several sources", name, len(data), maxOwnImages)
	}
	p, root := read(name, data)
	if root == nil || len(p.list) > 0 {
		return nil, nil, otherwise(p, name, ownImagesForm)
	}
	d := &decoder{problems: p, complete: true}
	d.unknown(root, map[string]int{"images": 0}, false)
	all := root.get("images")
	if all == nil || all.kind != list {
		d.add(root.head(), "images", "is required, a list of images like "+ownImagesForm)
	}
	if len(p.list) > 0 {
		return nil, nil, p.err()
	}
	count := map[string]int{}
	for _, item := range all.items {
		i, reason := ownImage(item, p.document)
		count[i.ID]++
		if reason != "" {
			bad = append(bad, BadImage{ID: i.ID, Name: label(item), Reason: reason})
			continue
		}
		images = append(images, i)
	}
	var once []OwnImage
	for _, i := range images { // neither of two: order must not decide
		if count[i.ID] > 1 {
			bad = append(bad, BadImage{ID: i.ID, Name: i.Name, Reason: fmt.Sprintf("another entry has the same id %.80q", i.ID)})
			continue
		}
		once = append(once, i)
	}
	return once, bad, nil
}

// ownImage reads an entry; of one that is wrong it gives the reason, and the id if that is right.
func ownImage(item *node, in *document) (OwnImage, string) {
	d := &decoder{problems: &problems{document: in, in: map[string]*document{}, noted: map[Error]bool{}}, complete: true}
	var f fileOwnImage
	d.value(item, reflect.ValueOf(&f).Elem(), field{})
	d.properties(f.Properties)
	i := f.image()
	wrong := func(of text) bool {
		return slices.ContainsFunc(d.problems.list, func(e Error) bool { return of.at != nil && e.Path == of.at.where() })
	}
	if wrong(f.ID) || !f.ID.isSet() && wrong(f.Name) {
		i.ID = ""
	}
	if len(d.problems.list) == 0 && i.Checksum == "" {
		d.fail(item, "must have a sha512 or a sha256, one of them")
	}
	if len(d.problems.list) == 0 {
		return i, ""
	}
	e := d.problems.list[0]
	return i, cutText(fmt.Sprintf("line %d: %s: %s", e.Line, e.Path, e.Message), 300)
}

// cutText keeps a text of others within one line of so many characters.
func cutText(s string, most int) string {
	all := []rune(s)
	for i, r := range all {
		if !unicode.IsPrint(r) {
			all[i] = '?'
		}
	}
	if len(all) > most {
		return string(all[:most]) + "…"
	}
	return string(all)
}

// What files beside the configuration look like.
const (
	ownImagesForm = `images: [{name: Debian 13, url: "https://www.example.org/debian-13.qcow2", sha512: …}]`
	blocksForm    = `blocks: [{checksum: "sha512:…", reason: default password}]`
)

// otherwise is what is wrong with a file that could not be read, or has nothing. What the reader says of a configuration is said
// of this file: what it looks like.
func otherwise(p *problems, name, form string) error {
	for i, e := range p.list {
		if e.Path != "" {
			continue
		}
		if strings.HasPrefix(e.Message, "is empty") {
			p.list[i].Message = "is empty: it is to be like " + form
		} else if strings.HasPrefix(e.Message, "must be a mapping") {
			p.list[i].Message = "must be like " + form
		}
	}
	if err := p.err(); err != nil {
		return err
	}
	return fmt.Errorf("%s is empty: it is to be like %s", name, form)
}

// label names an entry as well as can be.
func label(n *node) string {
	for _, key := range []string{"name", "id"} {
		if text := textOf(n.get(key)); text != "" {
			return cutText(text, 80)
		}
	}
	return fmt.Sprintf("entry in line %d", n.head().line)
}

func (f fileOwnImage) image() OwnImage {
	i := OwnImage{ID: f.ID.V, Name: f.Name.V, URL: f.URL.V, Format: f.Format.V, Size: f.Size.V, Version: f.Version.V, Description: f.Description.V, OS: f.OS.V, OSVersion: f.OSVersion.V, Arch: f.Arch.V,
		MinRAM: int64(f.MinRAM.V), MinDisk: int64(f.MinDisk.V)}
	if i.ID == "" {
		i.ID = i.Name
	}
	for _, e := range f.Properties.entries {
		i.Properties = with(i.Properties, e.name, e.value.V)
	}
	switch {
	case f.SHA512.V != "" && f.SHA256.V == "":
		i.Checksum = "sha512:" + strings.ToLower(f.SHA512.V)
	case f.SHA256.V != "" && f.SHA512.V == "":
		i.Checksum = "sha256:" + strings.ToLower(f.SHA256.V)
	}
	return i
}

// ImageBlock is an image that is not to be brought, in the file of blocks.
type ImageBlock struct {
	Checksum string `json:"checksum,omitempty"` // sha512:… or sha256:…; or Ref
	Ref      string `json:"ref,omitempty"`
	Reason   string `json:"reason"`
	Since    string `json:"since,omitempty"` // RFC 3339; "" = not said
	By       string `json:"by,omitempty"`
}

type fileBlock struct {
	said
	Checksum text `key:"checksum"`
	Ref      text `key:"ref" maxlen:"500"`
	Reason   text `key:"reason" required:"true" maxlen:"500"`
	Since    date `key:"since"`
	By       text `key:"by" maxlen:"200"`
}

var checksumForm = regexp.MustCompile(`^(sha512:[0-9a-fA-F]{128}|sha256:[0-9a-fA-F]{64})$`)

// ParseBlocks reads a file of blocks, blocks: and a list of {checksum: …, or ref: …, reason, since, by}. It is strict: a block that is not
// understood could be one that matters. An empty file has none.
func ParseBlocks(name string, data []byte) ([]ImageBlock, error) {
	if strings.TrimSpace(string(data)) == "" {
		return nil, nil
	}
	p, root := read(name, data)
	if root == nil || len(p.list) > 0 {
		return nil, otherwise(p, name, blocksForm)
	}
	d := &decoder{problems: p, complete: true}
	d.unknown(root, map[string]int{"blocks": 0}, false)
	blocks := root.get("blocks")
	if blocks == nil || blocks.kind != list {
		d.add(root.head(), "blocks", "is required, a list of blocks like "+blocksForm)
		return nil, p.err()
	}
	var all []ImageBlock
	for _, item := range blocks.items {
		var f fileBlock
		d.value(item, reflect.ValueOf(&f).Elem(), field{})
		if item.kind == mapping && (f.Checksum.V == "") == (f.Ref.V == "") {
			d.fail(item, "must have a checksum or a ref, one of them")
		}
		if f.Checksum.V != "" && !checksumForm.MatchString(f.Checksum.V) {
			d.fail(f.Checksum.at, "must be sha512: and 128 hexadecimal digits, or sha256: and 64")
		}
		b := ImageBlock{Checksum: strings.ToLower(f.Checksum.V), Ref: f.Ref.V, Reason: f.Reason.V, By: f.By.V}
		if !f.Since.V.IsZero() {
			b.Since = f.Since.V.Format(time.RFC3339)
		}
		all = append(all, b)
	}
	return all, p.err()
}

// FormatBlocks writes a file of blocks, as ParseBlocks reads it.
func FormatBlocks(all []ImageBlock) ([]byte, error) {
	if all == nil {
		all = []ImageBlock{}
	}
	text, err := MarshalYAML(map[string][]ImageBlock{"blocks": all})
	return append([]byte("# images that fedsite never brings; fedsite images block writes this file\n"), text...), err
}

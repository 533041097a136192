package diskimage

import (
	"strconv"
	"strings"
)

// Kinds of VMDK that are one file.
const (
	vmdkSparse = "monolithicSparse"
	vmdkStream = "streamOptimized"
)

// vmdkDescriptor judges the text within a VMDK, and gives its createType.
func vmdkDescriptor(text []byte, capacity uint64, info *Info) (string, error) {
	var kind, parent string
	var extents []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if word, _, _ := strings.Cut(line, " "); strings.EqualFold(word, "RW") || strings.EqualFold(word, "RDONLY") || strings.EqualFold(word, "NOACCESS") {
			extents = append(extents, line)
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch key = strings.ToLower(strings.TrimSpace(key)); {
		case key == "createtype" && kind != "", key == "parentcid" && parent != "":
			return "", refuse(VMDK, Corrupt, "its descriptor has %s twice", key)
		case key == "createtype":
			kind = value
		case key == "parentcid":
			parent = strings.ToLower(value)
		}
	}
	switch {
	case kind != vmdkSparse && kind != vmdkStream:
		return "", refuse(VMDK, Descriptor, "createType %.80q", kind)
	case parent != "ffffffff":
		return "", refuse(VMDK, BackingFile, "parentCID %.80q", parent)
	case len(extents) != 1:
		return "", refuse(VMDK, Descriptor, "%d extents", len(extents))
	}
	return kind, vmdkExtent(extents[0], capacity, info)
}

// vmdkExtent judges the only extent: `RW 2048 SPARSE "disk.vmdk"`.
func vmdkExtent(line string, capacity uint64, info *Info) error {
	front, name, found := strings.Cut(line, `"`)
	words := strings.Fields(front)
	name, rest, ended := strings.Cut(name, `"`)
	switch {
	case !found || !ended || len(words) != 3 || strings.TrimSpace(rest) != "":
		return refuse(VMDK, Descriptor, "extent %.80q", line)
	case !strings.EqualFold(words[2], "SPARSE"):
		return refuse(VMDK, Descriptor, "an extent of type %.80q", words[2])
	case strings.ContainsAny(name, `/\`):
		return refuse(VMDK, Descriptor, "an extent of the file %.80q", name)
	}
	if n, err := strconv.ParseUint(words[1], 10, 64); err != nil || n != capacity {
		info.warn("its descriptor says %.40q sectors, and its header %d", words[1], capacity)
	}
	return nil
}

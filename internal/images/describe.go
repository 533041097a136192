package images

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fedsite/fedsite/protocol/vmlist"
)

// Names of the properties that other programs read (images spec §2.4).
const (
	propMPURI       = "vmcatcher_event_ad_mpuri" // cloud-info-provider, cASO
	propDescription = "vmcatcher_event_dc_description"
	propAttributes  = "APPLIANCE_ATTRIBUTES"
	propDistro      = "os_distro"
	propOSVersion   = "os_version"
	propArch        = "architecture"
	propID          = "APPLIANCE_ID"
	propListID      = "APPLIANCE_IMAGE_LIST_ID"
	propVO          = "APPLIANCE_VO"
	propStatus      = "APPLIANCE_STATUS"
)

// described are all properties by which an image of ours says what its source says; what is not said any more is taken away.
var described = []string{propMPURI, propDescription, propAttributes, propDistro, propOSVersion, propArch, propID, propListID, propVO, propStatus,
	markManager, markSource, markKind, markList, markImage, markDigest, markURI, markVersion, markListVersion, markListCreated, markStatic, markAlso}

// Limits of Glance over MySQL (images spec §6.1), in bytes.
const (
	longestName  = 255
	longestValue = 65535
)

// Description is what an image in Glance is to say.
type Description struct {
	Name       string
	MinRAM     int64 // MiB
	MinDisk    int64 // GiB; 0 = it is not to be changed
	Properties map[string]string
}

// describe gives what the image of an entry is to say. Those under also are the same disk under other names, virtual is the
// size of the disk in it, 0 as long as it is not known.
func describe(e Entry, also []Entry, virtual int64, s Settings) Description {
	vos := slices.Clone(e.VOs)
	var keys []Key
	for _, a := range also {
		keys = append(keys, a.Key)
		vos = append(vos, a.VOs...)
	}
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Or(strings.Compare(a.List, b.List), strings.Compare(a.ID, b.ID)) })
	slices.Sort(vos)
	p := map[string]string{
		propMPURI: e.MPURI, propDescription: e.Description, propAttributes: e.Attributes, propDistro: strings.ToLower(e.OS), propOSVersion: e.OSVersion, propArch: e.Architecture,
		propID: e.ID, propListID: e.List, propVO: strings.Join(slices.Compact(vos), ","), propStatus: "ACTIVE",
		markManager: s.Instance, markSource: e.Source, markKind: string(e.Kind), markList: e.List, markImage: e.ID, markDigest: string(e.Digest), markURI: vmlist.Shown(e.At.URL), markVersion: e.Version,
		markListVersion: e.ListVersion, markListCreated: writeTime(e.ListCreated), markAlso: writeAlso(keys),
	}
	static := map[string]string{}
	for name, value := range s.Properties {
		static[name] = value
	}
	maps.Copy(static, e.Properties)
	for name := range static {
		if _, ours := p[name]; ours || strings.HasPrefix(name, markPrefix) {
			delete(static, name)
		}
	}
	p[markStatic] = strings.Join(slices.Sorted(maps.Keys(static)), ",")
	maps.Copy(p, static)
	for name, value := range p {
		if value = cut(value, longestValue); value == "" {
			delete(p, name)
		} else {
			p[name] = value
		}
	}
	if len(e.Attributes) > longestValue { // half a JSON object is none
		delete(p, propAttributes)
	}
	d := Description{Name: cut(s.Prefix+e.Name(), longestName), MinRAM: e.MinRAM, MinDisk: e.MinDisk, Properties: p}
	if s.MinDisk && virtual > 0 {
		d.MinDisk = max(d.MinDisk, (virtual+1<<30-1)>>30)
	}
	return d
}

// cut gives a text of at most so many bytes, whole characters, without control characters.
func cut(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, text)
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

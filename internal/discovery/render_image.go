package discovery

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fedsite/fedsite/protocol/glue"
)

// Properties of images that rendering reads; the catalog need not keep others.
const (
	propertyAttributes = "APPLIANCE_ATTRIBUTES"
	propertyImageType  = "image_type"
	propertyDevices    = "block_device_mapping"
)

// The properties and, behind them, the names in APPLIANCE_ATTRIBUTES from which an attribute is taken, the first that says
// something. Those of CLOUDKEEPER_ are of cloudkeeper-os, which today's tool does not read.
var (
	marketplaceFrom = sources{properties: []string{"vmcatcher_event_ad_mpuri", "marketplace", "CLOUDKEEPER_mpuri"}}
	descriptionFrom = sources{
		properties: []string{"vmcatcher_event_dc_description", "vmcatcher_event_dc_title", "CLOUDKEEPER_description", "CLOUDKEEPER_title"},
		attributes: []string{"eu.egi.cloud.description", "dc:description", "dc:title"}}
	osPlatformFrom = sources{
		properties: []string{"architecture", "hw_architecture", "CLOUDKEEPER_architecture"},
		attributes: []string{"org.openstack.glance.architecture", "sl:arch"}}
	osNameFrom = sources{
		properties: []string{"os_distro", "CLOUDKEEPER_operating_system"},
		attributes: []string{"org.openstack.glance.os_distro", "sl:osname"}}
	osVersionFrom = sources{
		properties: []string{"os_version"},
		attributes: []string{"org.openstack.glance.os_version", "sl:osversion"}}
	osTypeFrom = sources{
		properties: []string{"os_type"},
		attributes: []string{"org.openstack.glance.os_type", "sl:os"}}
	versionFrom = sources{
		properties: []string{"image_version", "CLOUDKEEPER_version"},
		attributes: []string{"eu.egi.cloud.tag", "hv:version"}}
	minCPUFrom = sources{
		properties: []string{"CLOUDKEEPER_core"},
		attributes: []string{"hv:core_minimum"}}
	basePropertyFrom = sources{properties: []string{"CLOUDKEEPER_base_mpuri"}}
)

// sources is where a text about an image may stand.
type sources struct{ properties, attributes []string }

// text gives what the first source says that says something; UNKNOWN says nothing.
func (s sources) text(properties map[string]string, info glue.Info) string {
	for _, n := range s.properties {
		if v := properties[n]; said(v) {
			return v
		}
	}
	for _, n := range s.attributes {
		if v := info.Text(n); said(v) {
			return v
		}
	}
	return ""
}

func said(s string) bool { return strings.TrimSpace(s) != "" && s != "UNKNOWN" }

// renderedProperties are the names of all properties that Render reads.
func renderedProperties() []string {
	out := []string{propertyAttributes, propertyImageType, propertyDevices, "ad:traffic_in", "ad:traffic_out"}
	for _, s := range []sources{marketplaceFrom, descriptionFrom, osPlatformFrom, osNameFrom, osVersionFrom, osTypeFrom, versionFrom, minCPUFrom,
		basePropertyFrom} {
		out = append(out, s.properties...)
	}
	return out
}

// renderedImage is an image as it was rendered for the first share that has it.
type renderedImage struct {
	from  Image
	image glue.Image
}

// shareImages adds the images of a share that are chosen.
func (x *renderer) shareImages(all []Image, to spot) {
	shares, endpoints, managers := []string{to.share}, []string{to.endpoint}, []string{to.manager}
	seen := make(map[string]bool, len(all))
	for i := range all {
		if !x.chosen(&all[i]) || !x.usableID(seen, "CloudComputingImage", all[i].ID) {
			continue
		}
		out := x.image(&all[i])
		out.Shares, out.Endpoints, out.Managers = shares, endpoints, managers
		x.doc.Images = append(x.doc.Images, out)
	}
}

// chosen tells whether an image is one of those to be published. Snapshots have their image's properties, the marketplace
// URI too, so that they are asked about first.
func (x *renderer) chosen(i *Image) bool {
	if !x.r.Snapshots && isSnapshot(i.Properties) {
		return false
	}
	if marketplaceFrom.text(i.Properties, nil) != "" {
		return true
	}
	switch x.r.Images {
	case AllImages:
		return true
	case Shared:
		return i.Visibility == "public" || !i.Own
	}
	return false
}

// isSnapshot tells what was made of a VM: by Nova's word, or from snapshots of volumes.
func isSnapshot(properties map[string]string) bool {
	t := properties[propertyImageType]
	return t == "snapshot" || t == "backup" || strings.Contains(properties[propertyDevices], `"snapshot`)
}

// image renders an image, once for all shares that see it alike.
func (x *renderer) image(i *Image) glue.Image {
	if r, ok := x.images[i.ID]; ok && sameImage(&r.from, i) {
		return r.image
	}
	a := x.readAttributes(i)
	p := i.Properties
	out := glue.Image{
		Entity:         glue.Entity{ID: i.ID, Name: i.Name, OtherInfo: a.info},
		MarketplaceURL: cmp.Or(marketplaceFrom.text(p, nil), i.File),
		OSPlatform:     osPlatformFrom.text(p, a.info),
		OSFamily:       osFamily(osTypeFrom.text(p, a.info), osNameFrom.text(p, a.info)),
		OSName:         osNameFrom.text(p, a.info),
		OSVersion:      osVersionFrom.text(p, a.info),
		Version:        versionFrom.text(p, a.info),
		Description:    descriptionFrom.text(p, a.info),
		AccessInfo:     glue.AccessNone,
		DiskSize:       diskSize(i),
		Network:        a.network,
	}
	if out.Network == nil {
		out.Network = append(traffic(p["ad:traffic_in"], "inbound"), traffic(p["ad:traffic_out"], "outbound")...)
	}
	if n, err := strconv.ParseInt(minCPUFrom.text(p, a.info), 10, 32); err == nil && n > 0 {
		out.MinCPU = &n
	}
	if i.MinRAM > 0 {
		out.MinRAM = new(i.MinRAM)
	}
	if base := basePropertyFrom.text(p, nil); base != "" && a.info == nil {
		out.OtherInfo = glue.Info{{Name: "base_mpuri", Value: base}}
	}
	x.images[i.ID] = renderedImage{*i, out}
	return out
}

func sameImage(a, b *Image) bool {
	return a.Name == b.Name && a.Size == b.Size && a.VirtualSize == b.VirtualSize && a.MinDisk == b.MinDisk && a.MinRAM == b.MinRAM && a.File == b.File &&
		maps.Equal(a.Properties, b.Properties)
}

// diskSize is how many GiB an instance's disk needs: the largest of what the owner says, what the image unpacks to, and its
// content. Nova refuses a smaller disk for each of them.
func diskSize(i *Image) *int64 {
	const gib = 1 << 30
	n := max(i.MinDisk, 0)
	if bytes := max(i.VirtualSize, i.Size); bytes > 0 {
		n = max(n, (bytes-1)/gib+1)
	}
	if n == 0 {
		return nil
	}
	return &n
}

// families are the systems that are not Linux, by how the names of their distributions begin.
var families = []struct{ prefix, family string }{
	{"windows", "windows"}, {"win", "windows"}, {"msdos", "windows"},
	{"freebsd", "bsd"}, {"openbsd", "bsd"}, {"netbsd", "bsd"}, {"dragonfly", "bsd"},
	{"macos", "macosx"}, {"osx", "macosx"},
	{"solaris", "solaris"}, {"opensolaris", "solaris"}, {"openindiana", "solaris"}, {"illumos", "solaris"}, {"omnios", "solaris"}, {"smartos", "solaris"},
}

// distributions are those of Linux whose name tells it.
var distributions = []string{"alma", "alpine", "amazon", "amzn", "arch", "centos", "cirros", "clear-linux", "coreos", "cos", "debian", "devuan", "fedora",
	"flatcar", "gentoo", "kali", "linux", "mandrake", "mandriva", "mageia", "nixos", "opensuse", "ol", "oracle", "photon", "raspbian", "redhat",
	"rhel", "rocky", "scientific", "silverblue", "slackware", "sled", "sles", "suse", "talos", "ubuntu", "void", "vz"}

// osFamily is the family by the image's os_type, else by the name of its system.
func osFamily(osType, name string) string {
	if osType != "" {
		return strings.ToLower(osType)
	}
	name = strings.ToLower(strings.TrimSpace(name))
	for _, f := range families {
		if strings.HasPrefix(name, f.prefix) {
			return f.family
		}
	}
	first := strings.FieldsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' })
	if len(first) > 0 && slices.ContainsFunc(distributions, func(d string) bool { return first[0] == d || len(d) > 3 && strings.HasPrefix(first[0], d) }) {
		return "linux"
	}
	return ""
}

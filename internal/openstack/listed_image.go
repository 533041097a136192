package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"
)

// ListedImage is an active image that a project can use, with everything that its owner wrote to it. The texts are tenants':
// they may hold anything, line breaks and NUL too.
type ListedImage struct {
	ID, Name, Owner   string
	Visibility        string // public, shared, private; before Ocata shared ones are called private
	DiskFormat        string
	Size, VirtualSize int64 // bytes; 0 = not known
	MinDisk           int64 // GiB
	MinRAM            int64 // MiB
	Created, Updated  time.Time
	Protected         bool
	File              string // path of its content below Glance's endpoint
	Tags              []string
	Properties        map[string]string // all others, image_type and os_distro among them; numbers and lists as they stand in JSON
	Left              []string          // properties that were too long to keep

	newer bool // of a Glance (2.7 and newer) that does not call shared images private
}

// notProperties are the keys of an image that are Glance's own.
var notProperties = []string{"id", "name", "owner", "visibility", "status", "disk_format", "container_format", "size", "virtual_size", "min_disk", "min_ram", "created_at", "updated_at",
	"protected", "file", "tags", "self", "schema", "checksum", "os_hidden", "os_hash_algo", "os_hash_value", "locations", "direct_url", "stores"}

// imagesPerPage is how many images are asked for at once: with long properties, a few MB.
const imagesPerPage = "500"

// mostShared is how many images of others an administrator's token is asked about, whether they are shared with the
// project.
const mostShared = 500

// Images lists the active images that the project can use: public ones, its own, and those that are shared with it and
// accepted. An administrator's token shows all that there are, so that each one of others is asked about. The texts of an image
// that the cache has are shared with it: they are not to be changed. nil is no cache.
func (i *Inventory) Images(ctx context.Context, cache *DecodedImages) ([]ListedImage, []BadEntry, error) {
	endpoint, err := imageEndpoint(i.session)
	if err != nil {
		return nil, nil, err
	}
	at := endpoint + "images"
	k := kept[ListedImage]{service: "image", at: at}
	query := url.Values{"status": {"active"}, "limit": {imagesPerPage}}
	err = i.session.pages(ctx, "image", at, query, "", "images", func(raw json.RawMessage) error {
		image, err := cache.decode(raw)
		if err == nil && i.session.admin && image.Owner != i.session.projectID && image.Visibility == "community" {
			return nil // a listing shows these to nobody else
		}
		return k.add(raw, image, err)
	})
	if err != nil {
		return nil, nil, err
	}
	// Whose role makes an administrator for Glance is its policy's to say: private images of others are shown to nobody else.
	newer := slices.ContainsFunc(k.all, func(image ListedImage) bool { return image.newer || image.Visibility == "shared" })
	k.all = slices.DeleteFunc(k.all, func(image ListedImage) bool {
		return newer && image.Visibility == "private" && image.Owner != i.session.projectID
	})
	if !i.session.admin {
		return k.all, k.bad, nil
	}
	return i.accepted(ctx, endpoint, k)
}

// accepted leaves out what an administrator's token shows beyond what the project can use.
func (i *Inventory) accepted(ctx context.Context, endpoint string, k kept[ListedImage]) ([]ListedImage, []BadEntry, error) {
	asked, mine := 0, k.all[:0]
	for _, image := range k.all {
		switch {
		case image.Visibility == "public" || image.Owner == i.session.projectID:
			mine = append(mine, image)
		case asked == mostShared:
			k.bad = append(k.bad, BadEntry{ID: image.ID, Reason: fmt.Sprintf("not asked whether it is shared with the project: an administrator's token shows more than %d images of others", mostShared)})
		default:
			asked++
			yes, err := isMember(ctx, i.session, endpoint, image.ID)
			if err != nil {
				return nil, nil, err
			}
			if yes {
				mine = append(mine, image)
			}
		}
	}
	return mine, k.bad, nil
}

// mostDecoded is how many bytes of images' texts are remembered: what the images of a large cloud that several projects see need some times over.
const mostDecoded = 16 << 20

// DecodedImages keeps public and shared images as they were read, by their text in the listing: each project that sees them is
// told the same, and reading them is most of what a large catalog costs. It may be used from several goroutines, and for several clouds.
type DecodedImages struct {
	mu   sync.Mutex
	room int // bytes
	all  map[string]ListedImage
}

// NewDecodedImages gives an empty cache, for one run.
func NewDecodedImages() *DecodedImages {
	return &DecodedImages{room: mostDecoded, all: map[string]ListedImage{}}
}

// decode reads an image, or gives what the same text was read as.
func (d *DecodedImages) decode(raw json.RawMessage) (ListedImage, error) {
	if d == nil {
		return decodeImage(raw)
	}
	d.mu.Lock()
	image, ok := d.all[string(raw)]
	d.mu.Unlock()
	if ok {
		return image, nil
	}
	image, err := decodeImage(raw)
	if err != nil || image.Visibility == "private" {
		return image, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.all[string(raw)]; !ok && len(raw) <= d.room {
		d.room -= len(raw)
		d.all[string(raw)] = image
	}
	return image, nil
}

func decodeImage(raw json.RawMessage) (ListedImage, error) {
	var (
		object           map[string]json.RawMessage
		i                ListedImage
		status           string
		created, updated novaTime
	)
	if err := json.Unmarshal(raw, &object); err != nil {
		return ListedImage{}, fmt.Errorf("unusable entry of the listing: %w", err)
	}
	if err := exactly(object, map[string]any{"id": &i.ID, "name": &i.Name, "owner": &i.Owner, "visibility": &i.Visibility, "status": &status, "disk_format": &i.DiskFormat, "size": &i.Size,
		"virtual_size": &i.VirtualSize, "min_disk": &i.MinDisk, "min_ram": &i.MinRAM, "created_at": &created, "updated_at": &updated, "protected": &i.Protected, "file": &i.File, "tags": &i.Tags}); err != nil {
		return ListedImage{}, err
	}
	switch {
	case i.ID == "":
		return ListedImage{}, errors.New("an entry of the listing has no id")
	case status != "active":
		return ListedImage{}, fmt.Errorf("active images were asked for, and it is %.40q", status)
	}
	i.Created, i.Updated = created.Time, updated.Time
	_, i.newer = object["os_hidden"]
	i.Properties, i.Left = texts(object, notProperties...)
	return i, nil
}

package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kinds of failure of Glance that a caller decides by, beside those of all services.
var (
	ErrInUse     = errors.New("in use")                       // a deletion that the storage refuses
	ErrProtected = errors.New("protected")                    // the image may not be deleted or changed
	ErrFormat    = errors.New("not of the format it is said") // Glance looked into the content
	ErrConflict  = errors.New("not in a state for this")      // content for an image that has some, a member that is there
)

// ImageStore is Glance as one project sees it, to be written to, and the project's VMs by the images they run from. Its
// methods may be called at the same time. An expired token leads to one new sign-in with the same scope; an upload begins
// with a fresh one.
type ImageStore struct {
	session  *session
	endpoint string // ends in a slash

	mu    sync.Mutex
	abler *abilities
	nova  *nova
}

// abilities are what a Glance can do that older ones cannot.
type abilities struct {
	hides  bool // os_hidden and os_hash_*: from 2.7 (Rocky)
	shared bool // visibility shared and community: from 2.5 (Ocata)
}

// StoredImage is an image of a project, in whatever state.
type StoredImage struct {
	ID, Name, Owner             string
	Status                      string // queued, saving, importing, active, deactivated, killed, deleted, pending_delete
	Visibility                  string
	Hidden, Protected           bool
	DiskFormat, ContainerFormat string
	Size, VirtualSize           int64 // bytes; 0 = not known
	MinDisk                     int64 // GiB
	MinRAM                      int64 // MiB
	Created, Updated            time.Time
	Tags                        []string
	Properties                  map[string]string // all others; numbers and lists as they stand in JSON
	Left                        []string          // properties that were too long to keep
	Checksum                    string            // MD5, hexadecimal; "" without content
	HashAlgo, HashValue         string            // "sha512"; "" where Glance has none, or without content
}

// NewImage is an image that is to be made, without content.
type NewImage struct {
	Name                        string
	DiskFormat, ContainerFormat string
	Visibility                  string // of an old Glance, anything but public is private
	MinDisk                     int64  // GiB
	MinRAM                      int64  // MiB
	Tags                        []string
	Properties                  map[string]string
}

// Member is a project that an image is shared with.
type Member struct {
	Project string
	Status  string // pending, accepted, rejected
}

// ServerRef is a VM that runs from an image.
type ServerRef struct{ ID, Name, Status string }

// ImageStore signs in to a project; without an id to that of the credential's own token. For more than reading, the HTTP
// client must be one that may write.
func (c *Cloud) ImageStore(ctx context.Context, project string) (*ImageStore, error) {
	i, err := c.Inventory(ctx, project)
	if err != nil {
		return nil, err
	}
	s := &ImageStore{session: i.session}
	if s.endpoint, err = imageEndpoint(s.session); err != nil {
		return nil, err
	}
	able, err := s.able(ctx)
	if err != nil {
		return nil, err
	}
	s.abler = &able
	return s, nil
}

// Scope tells of which project the token is.
func (s *ImageStore) Scope() Scope { return s.session.project }

// Hides tells whether images can be hidden.
func (s *ImageStore) Hides() bool { return s.abler.hides }

// SharedVisibility tells whether an image that may be shared is called so, and not private.
func (s *ImageStore) SharedVisibility() bool { return s.abler.shared }

// able reads in Glance's schema of images what they can be said to be: it answers for what is there, whatever its version.
func (s *ImageStore) able(ctx context.Context) (abilities, error) {
	var schema struct {
		Properties map[string]struct {
			Enum []any `json:"enum"` // null is one of some
		} `json:"properties"`
	}
	at := s.endpoint + "schemas/image"
	if err := s.session.get(ctx, "image", at, "", &schema); err != nil {
		return abilities{}, err
	}
	visibility := schema.Properties["visibility"].Enum
	if len(visibility) == 0 {
		return abilities{}, &Error{Kind: ErrBadAnswer, Service: "image", Method: http.MethodGet, Path: pathOf(at), Message: "the schema of images does not say which visibilities there are"}
	}
	_, hides := schema.Properties["os_hidden"]
	return abilities{hides: hides, shared: slices.Contains(visibility, any("shared"))}, nil
}

// Own lists all images that the project owns, in every state, hidden ones too. An administrator's token gives the same.
func (s *ImageStore) Own(ctx context.Context) ([]StoredImage, []BadEntry, error) {
	at := s.endpoint + "images"
	k := kept[StoredImage]{service: "image", at: at}
	seen := map[string]bool{}
	queries := []url.Values{{"owner": {s.session.projectID}, "limit": {imagesPerPage}}}
	if s.abler.hides {
		queries = append(queries, url.Values{"owner": {s.session.projectID}, "limit": {imagesPerPage}, "os_hidden": {"true"}})
	}
	for _, query := range queries {
		err := s.session.pages(ctx, "image", at, query, "", "images", func(raw json.RawMessage) error {
			image, err := decodeStored(raw)
			if err == nil && (image.Owner != s.session.projectID || seen[image.ID]) {
				return nil // others' that are shared with the project, or public
			}
			seen[image.ID] = true
			return k.add(raw, image, err)
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return k.all, k.bad, nil
}

// Image asks for one image; ErrNotFound when there is none that the project may see.
func (s *ImageStore) Image(ctx context.Context, id string) (StoredImage, error) {
	var raw json.RawMessage
	if err := s.session.get(ctx, "image", s.image(id), "", &raw); err != nil {
		return StoredImage{}, err
	}
	return s.decoded(http.MethodGet, id, raw)
}

func (s *ImageStore) decoded(method, id string, raw json.RawMessage) (StoredImage, error) {
	image, err := decodeStored(raw)
	if err != nil {
		return StoredImage{}, &Error{Kind: ErrBadAnswer, Service: "image", Method: method, Path: pathOf(s.image(id)), Cause: err}
	}
	return image, nil
}

func (s *ImageStore) image(id string) string { return s.endpoint + "images/" + url.PathEscape(id) }

// decodeStored reads an image as Glance describes it. A size that is null is 0.
func decodeStored(raw json.RawMessage) (StoredImage, error) {
	var (
		object           map[string]json.RawMessage
		i                StoredImage
		created, updated novaTime
	)
	if err := json.Unmarshal(raw, &object); err != nil {
		return StoredImage{}, fmt.Errorf("unusable entry of the listing: %w", err)
	}
	if err := exactly(object, map[string]any{"id": &i.ID, "name": &i.Name, "owner": &i.Owner, "visibility": &i.Visibility, "status": &i.Status, "os_hidden": &i.Hidden, "protected": &i.Protected,
		"disk_format": &i.DiskFormat, "container_format": &i.ContainerFormat, "size": &i.Size, "virtual_size": &i.VirtualSize, "min_disk": &i.MinDisk, "min_ram": &i.MinRAM, "created_at": &created, "updated_at": &updated,
		"tags": &i.Tags, "checksum": &i.Checksum, "os_hash_algo": &i.HashAlgo, "os_hash_value": &i.HashValue}); err != nil {
		return StoredImage{}, err
	}
	if i.ID == "" {
		return StoredImage{}, errors.New("an entry of the listing has no id")
	}
	i.Created, i.Updated = created.Time, updated.Time
	i.Properties, i.Left = texts(object, notProperties...)
	slices.Sort(i.Tags)
	return i, nil
}

// Members lists the projects that an image is shared with. One that is not of the kind that can be shared has none.
func (s *ImageStore) Members(ctx context.Context, id string) ([]Member, error) {
	var answer struct {
		Members []struct {
			ID     string `json:"member_id"`
			Status string `json:"status"`
		} `json:"members"`
	}
	err := s.session.get(ctx, "image", s.image(id)+"/members", "", &answer)
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == ErrForbidden && strings.Contains(e.Message, "have members") {
		return nil, nil // "Only shared images have members", "Public images do not have members": it is no question of roles
	}
	if err != nil {
		return nil, err
	}
	all := make([]Member, len(answer.Members))
	for i, m := range answer.Members {
		all[i] = Member{m.ID, m.Status}
	}
	return all, nil
}

// Servers lists the project's VMs that run from an image.
func (s *ImageStore) Servers(ctx context.Context, image string) ([]ServerRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nova == nil {
		n := (&Inventory{session: s.session}).compute(ctx)
		if n.err != nil {
			return nil, n.err
		}
		s.nova = &n
	}
	at := s.nova.endpoint + "servers/detail"
	var all []ServerRef
	err := s.session.pages(ctx, "compute", at, url.Values{"image": {image}}, "", "servers", func(raw json.RawMessage) error {
		var w struct {
			ID     string          `json:"id"`
			Name   string          `json:"name"`
			Status string          `json:"status"`
			Image  json.RawMessage `json:"image"` // "" for a VM that runs from a volume
		}
		if err := json.Unmarshal(raw, &w); err != nil {
			return &Error{Kind: ErrBadAnswer, Service: "compute", Method: http.MethodGet, Path: pathOf(at), Cause: err}
		}
		var of struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(w.Image, &of) == nil && of.ID == image {
			all = append(all, ServerRef{w.ID, w.Name, w.Status})
		}
		return nil
	})
	return all, err
}

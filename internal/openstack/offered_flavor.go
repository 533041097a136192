package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
)

// ListedFlavor is a flavor that a project may use.
type ListedFlavor struct {
	Flavor
	Public   bool // to all projects, and not only to some
	Disabled bool // no new VM can have it
	// SpecsUnknown says why its extra specs are not known; nil = they are. ErrForbidden when they may not be read.
	SpecsUnknown error
	Left         []string // extra specs that were too long to keep
}

// Flavors lists the flavors that the project may use. From microversion 2.61 on the listing has their extra specs; below,
// each flavor is asked for those that the cache does not have. A flavor whose specs cannot be had is still given.
func (i *Inventory) Flavors(ctx context.Context, cache *ExtraSpecs) ([]ListedFlavor, []BadEntry, error) {
	n := i.compute(ctx)
	if n.err != nil {
		return nil, nil, n.err
	}
	microversion, minor := n.version.newestOf(61)
	at := n.endpoint + "flavors/detail"
	k := kept[ListedFlavor]{service: "compute", at: at}
	// Without is_public even an administrator is shown the public ones and the project's own, and no others.
	err := i.session.pages(ctx, "compute", at, nil, microversion, "flavors", func(raw json.RawMessage) error {
		f, err := decodeFlavor(raw, minor >= 61)
		return k.add(raw, f, err)
	})
	if err != nil {
		return nil, nil, err
	}
	if minor < 61 {
		i.specs(ctx, n, k.all, cache)
	}
	return k.all, k.bad, ctx.Err()
}

// decodeFlavor reads one flavor; specs tells whether the listing has those that may be read.
func decodeFlavor(raw json.RawMessage, specs bool) (ListedFlavor, error) {
	var w struct {
		ID        string                     `json:"id"`
		Name      string                     `json:"name"`
		VCPUs     *int64                     `json:"vcpus"`
		RAM       int64                      `json:"ram"`
		Disk      int64                      `json:"disk"`
		Ephemeral int64                      `json:"OS-FLV-EXT-DATA:ephemeral"`
		Public    *bool                      `json:"os-flavor-access:is_public"`
		Disabled  bool                       `json:"OS-FLV-DISABLED:disabled"`
		Specs     map[string]json.RawMessage `json:"extra_specs"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return ListedFlavor{}, fmt.Errorf("unusable entry of the listing: %w", err)
	}
	if w.ID == "" || w.VCPUs == nil {
		return ListedFlavor{}, errors.New("the entry of the listing has no id or no vcpus")
	}
	f := ListedFlavor{Flavor: Flavor{ID: w.ID, Name: w.Name, Known: true, VCPUs: *w.VCPUs, RAM: w.RAM, Disk: w.Disk, Ephemeral: w.Ephemeral}, Public: w.Public == nil || *w.Public, Disabled: w.Disabled}
	switch {
	case !specs:
	case w.Specs == nil: // Nova leaves them out for who may not read them
		f.SpecsDenied = true
		f.SpecsUnknown = &Error{Kind: ErrForbidden, Service: "compute", Message: "the listing has no extra specs: the role may not read them"}
	default:
		f.ExtraSpecs, f.Left = texts(w.Specs)
	}
	return f, nil
}

// ExtraSpecs keeps the extra specs of flavors on clouds that tell them one by one, so that they are asked for once and not
// by each project. It may be used from several goroutines, and for several clouds.
type ExtraSpecs struct {
	mu  sync.Mutex
	all map[specsKey]*specsOf
}

type specsKey struct{ identity, region, flavor string }

type specsOf struct {
	mu    sync.Mutex // held while they are asked for
	known bool
	specs map[string]string
	left  []string
}

// NewExtraSpecs gives an empty cache.
func NewExtraSpecs() *ExtraSpecs { return &ExtraSpecs{all: map[specsKey]*specsOf{}} }

func (e *ExtraSpecs) of(key specsKey) *specsOf {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all[key] == nil {
		e.all[key] = &specsOf{}
	}
	return e.all[key]
}

// specs asks for the extra specs of each flavor. Once they may not be read, or Nova does not answer, no other one is asked
// for: the next would be the same, and 200 of them would take long. What the cache has is given all the same.
func (i *Inventory) specs(ctx context.Context, n nova, flavors []ListedFlavor, cache *ExtraSpecs) {
	if cache == nil {
		cache = NewExtraSpecs()
	}
	c := i.session.cloud
	var enough error
	for x := range flavors {
		f := &flavors[x]
		s := cache.of(specsKey{strings.ToLower(c.identity), c.cfg.Region, f.ID})
		s.mu.Lock()
		err := enough
		if !s.known && enough == nil {
			err = s.ask(ctx, i.session, n.endpoint+"flavors/"+url.PathEscape(f.ID)+"/os-extra_specs")
			if errors.Is(err, ErrForbidden) || errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
				enough = err
			}
		}
		if s.known {
			f.ExtraSpecs, f.Left, err = s.specs, s.left, nil
		}
		s.mu.Unlock()
		f.SpecsUnknown, f.SpecsDenied = err, errors.Is(err, ErrForbidden)
	}
}

// ask gets the specs of one flavor; what failed is not kept, because the next project's role may be another.
func (s *specsOf) ask(ctx context.Context, session *session, at string) error {
	var answer struct {
		Specs map[string]json.RawMessage `json:"extra_specs"`
	}
	if err := session.get(ctx, "compute", at, "", &answer); err != nil {
		return err
	}
	if answer.Specs == nil {
		return &Error{Kind: ErrBadAnswer, Service: "compute", Method: "GET", Path: pathOf(at), Message: "the answer has no extra specs"}
	}
	s.known = true
	s.specs, s.left = texts(answer.Specs)
	return nil
}

package information

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fedsite/fedsite/protocol/glue"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

// Site is an endpoint of a site, as the answers have it.
type Site struct {
	ID       string // GOCDB's key of the service; "" = not known
	Name     string // of the site in GOCDB; the other endpoints of one site have -ID, or -Hostname, after it
	URL      string // Keystone's
	Hostname string // of the service in GOCDB, else the URL's
	Shares   []Share
}

// Share is a VO's project at a site, and its images.
type Share struct {
	VO, Project string
	Images      []Image
}

// Project is a project with the VO that it is for, as the answers have it.
type Project struct {
	ID   string `json:"id"`
	Name string `json:"name"` // of the VO
}

// Image is an image that a VO may start at a site, as the answers have it.
type Image struct {
	EGIID    string `json:"egi_id"` // "" = not one of the federation's
	ID       string `json:"id"`
	Endpoint string `json:"endpoint"`
	MPURI    string `json:"mpuri"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	VO       string `json:"vo"`
}

// share gives the first share of a VO.
func (s *Site) share(vo string) (Share, bool) {
	i := slices.IndexFunc(s.Shares, func(h Share) bool { return h.VO == vo })
	if i < 0 {
		return Share{}, false
	}
	return s.Shares[i], true
}

// projects are those of all shares, each once: a VO has a share of one project in every region.
func (s *Site) projects() []Project {
	all, seen := make([]Project, 0, len(s.Shares)), make(map[Project]bool, len(s.Shares))
	for _, h := range s.Shares {
		if p := (Project{ID: h.Project, Name: h.VO}); !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	return all
}

// Reading is what was read of a document.
type Reading struct {
	Document Document
	Site     Site      // its name is the one registered
	Made     time.Time // zero = it does not say
	Until    time.Time // when it ceases to count; zero = it does not say
	Left     []string  // what of it is left out, and why
	Err      error     // why the document cannot be used at all

	raw *answer // of the document itself; made with the first catalogue
	bad *bad    // set when the document cannot be used any more, and this is what it said before
}

// registry is where the federation's own images come from.
const registry = "registry.egi.eu"

// Read reads a document. What is missing in it spoils no more than it must: without images, flavors, shares or a GOCDB key it
// is a site all the same. It cannot be used when it is not JSON, names no site, or has no endpoint with a URL.
func Read(d Document) *Reading {
	r := &Reading{Document: d}
	if d.Err != nil {
		r.Err = d.Err
		return r
	}
	doc, findings, err := glue.Parse(bytes.NewReader(d.Body), glue.Limits{})
	if err != nil {
		r.Err = fmt.Errorf("it cannot be read: %w", err)
		return r
	}
	for _, f := range findings {
		if f.Level >= glue.LevelError {
			r.leave("%s", f)
		}
	}
	switch {
	case len(doc.Services) == 0:
		r.Err = errors.New("it has no CloudComputingService")
	case len(doc.Endpoints) == 0:
		r.Err = errors.New("it has no CloudComputingEndpoint")
	default:
		r.Err = r.site(doc)
	}
	return r
}

// most is how many things that are left out are told apart.
const most = 20

func (r *Reading) leave(format string, args ...any) {
	if len(r.Left) < most {
		r.Left = append(r.Left, fmt.Sprintf(format, args...))
	}
}

func (r *Reading) site(doc glue.Document) error {
	service, endpoint := doc.Services[0], doc.Endpoints[0]
	r.Site = Site{ID: service.OtherInfo.Text("gocdb_id"), Name: service.OtherInfo.Text("site_name"), URL: endpoint.URL}
	if len(service.AdminDomains) > 0 {
		r.Site.Name = service.AdminDomains[0]
	}
	if err := fit(r.Site.Name); err != nil {
		return fmt.Errorf("the site's name %.100q (Associations.AdminDomain of CloudComputingService) cannot be used: %w", r.Site.Name, err)
	}
	if _, err := gocdb.Normalize(r.Site.URL); err != nil {
		return fmt.Errorf("the URL of CloudComputingEndpoint cannot be used: %w", err)
	}
	if r.Made = service.CreationTime.UTC(); service.CreationTime.IsZero() {
		r.Made = time.Time{}
	} else if service.Validity > 0 {
		r.Until = r.Made.Add(service.Validity)
	}
	vos := map[string]string{}
	for _, p := range doc.MappingPolicies {
		for _, id := range p.Shares {
			if _, known := vos[id]; !known && len(p.UserDomains) > 0 {
				vos[id] = p.UserDomains[0]
			}
		}
	}
	images := map[string][]int{}
	for n, i := range doc.Images {
		for _, id := range i.Shares {
			if of := images[id]; len(of) == 0 || of[len(of)-1] != n {
				images[id] = append(of, n)
			}
		}
	}
	seen, offers := map[string]bool{}, 0
	for _, s := range doc.Shares {
		vo := vos[s.ID]
		switch {
		case vo == "":
			r.leave("share %.200q: no MappingPolicy says for which VO it is", s.ID)
			continue
		case s.ProjectID == "":
			r.leave("share %.200q of VO %.100q: it has no ProjectID", s.ID, vo)
			continue
		case seen[s.ID]: // what is small as a document must not become large here
			r.leave("share %.200q of VO %.100q: another one has the same ID", s.ID, vo)
			continue
		}
		seen[s.ID] = true
		share := Share{VO: vo, Project: s.ProjectID}
		for _, n := range images[s.ID] {
			if offers++; offers > mostOffers {
				r.leave("share %.200q of VO %.100q: more than %d images in all shares", s.ID, vo, mostOffers)
				break
			}
			share.Images = append(share.Images, imageOf(doc.Images[n], r.Site.URL, vo))
		}
		r.Site.Shares = append(r.Site.Shares, share)
	}
	return nil
}

// mostOffers is how many images a document may offer in all its shares: a hundred VOs of a large site have 50,000.
const mostOffers = 200_000

func imageOf(i glue.Image, endpoint, vo string) Image {
	m := Image{ID: i.ID, Endpoint: endpoint, MPURI: i.MarketplaceURL, Name: i.Name, VO: vo}
	if strings.Contains(i.MarketplaceURL, registry) {
		if m.EGIID = i.OtherInfo.Text("eu.egi.cloud.image_ref"); m.EGIID == "" {
			m.EGIID = i.MarketplaceURL
		}
		m.Version = i.OtherInfo.Text("eu.egi.cloud.tag")
	}
	return m
}

// fit tells whether a site can be asked for by a name.
func fit(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("it is empty")
	case strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, "."): // fedcloudclient makes a file name of it
		return errors.New("a file of that name would stand elsewhere, or be hidden")
	case len(name) > 255:
		return errors.New("it is longer than 255 bytes")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("it has control characters")
	}
	return nil
}

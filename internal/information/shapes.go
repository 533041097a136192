package information

// siteShape is a site as the answers have it; without projects unless they are asked for.
type siteShape struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	URL      string     `json:"url"`
	State    string     `json:"state"` // always empty
	Hostname string     `json:"hostname"`
	Projects *[]Project `json:"projects,omitempty"`
}

func (s *Site) shape(projects bool) siteShape {
	shape := siteShape{ID: s.ID, Name: s.Name, URL: s.URL, Hostname: s.Hostname}
	if projects {
		p := s.projects()
		shape.Projects = &p
	}
	return shape
}

// sites are those of a VO and a name, where these are given.
func (c *Catalogue) sites(vo, name string, projects bool) []siteShape {
	shapes := []siteShape{}
	for i := range c.Sites {
		s := &c.Sites[i]
		if name != "" && s.Name != name {
			continue
		}
		if vo != "" {
			if _, has := s.share(vo); !has {
				continue
			}
		}
		shapes = append(shapes, s.shape(projects))
	}
	return shapes
}

// images are those of a VO's shares at each site, or of all shares.
func (c *Catalogue) images(vo string, onlyEGI bool) []Image {
	all := []Image{}
	for i := range c.Sites {
		all = append(all, c.Sites[i].images(vo, onlyEGI)...)
	}
	return all
}

// images are those of all shares, or of a VO's. What an earlier share of the VO has is not told again: regions may have one
// store of images.
func (s *Site) images(vo string, onlyEGI bool) []Image {
	shares := map[string]int{} // by VO
	for _, h := range s.Shares {
		shares[h.VO]++
	}
	all, seen := []Image{}, map[Image]bool{}
	for _, h := range s.Shares {
		if vo != "" && h.VO != vo {
			continue
		}
		had := len(all)
		for _, i := range h.Images {
			if (!onlyEGI || i.EGIID != "") && !seen[i] {
				all = append(all, i)
			}
		}
		if shares[h.VO] > 1 { // else nothing can come again
			for _, i := range all[had:] {
				seen[i] = true
			}
		}
	}
	return all
}

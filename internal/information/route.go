package information

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// asked is a request that has been taken apart.
type asked struct {
	w    http.ResponseWriter
	r    *http.Request
	path []string // decoded, so that a VO may have a slash in its name
	q    *query
	now  *present
}

// route finds what is asked for. The path is a sequence of names, of which none is ever a path on this machine.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	path, slash, ok := parts(r.URL.EscapedPath())
	if !ok {
		s.fail(w, http.StatusNotFound, "Not Found")
		return
	}
	answer, wants := s.match(path)
	if answer == nil {
		s.fail(w, http.StatusNotFound, "Not Found")
		return
	}
	if wants != slash {
		s.redirect(w, r, path, wants)
		return
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // what of it can be read counts, as with the original
		s.log.Debug("a part of a query cannot be read", "path", r.URL.Path)
	}
	a := &asked{w: w, r: r, path: path, q: &query{values: values}, now: s.holdings.look(r.Context())}
	if a.now == nil {
		s.fail(w, http.StatusServiceUnavailable, "No document could be read yet")
		return
	}
	answer(a)
}

// match gives what answers a path, and whether it ends with a slash.
func (s *Server) match(p []string) (answer func(*asked), slash bool) {
	switch {
	case len(p) == 1 && p[0] == "vos":
		return func(a *asked) { s.give(a, a.now.voList) }, true
	case len(p) == 1 && p[0] == "disciplines":
		return func(a *asked) { s.give(a, s.disciplines) }, true
	case len(p) == 1 && p[0] == "sites":
		return s.sites, true
	case len(p) == 1 && p[0] == "images":
		return s.images, true
	case len(p) == 1 && p[0] == "fedcloudclient":
		return s.siteFiles, true
	case len(p) == 2 && p[0] == "fedcloudclient":
		return s.siteFile, true
	case len(p) == 2 && p[0] == "site":
		return s.site, true
	case len(p) == 3 && p[0] == "site" && (p[2] == "projects" || p[2] == "images"):
		return s.ofSite, false
	case len(p) == 4 && p[0] == "site" && (p[3] == "project" || p[3] == "images"):
		return s.ofVO, false
	case len(p) == 1 && p[0] == "documents":
		return func(a *asked) { s.give(a, a.now.usual.documents()) }, true
	case len(p) == 2 && p[0] == "documents":
		return s.document, false
	}
	return nil, false
}

// parts takes a path apart. A name that is empty is none.
func parts(escaped string) (names []string, slash, ok bool) {
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return nil, false, false
	}
	rest, slash = strings.CutSuffix(rest, "/")
	for name := range strings.SplitSeq(rest, "/") {
		name, err := url.PathUnescape(name)
		if err != nil || name == "" || len(names) == 4 {
			return nil, false, false
		}
		names = append(names, strings.ToValidUTF8(name, "\uFFFD"))
	}
	return names, slash, true
}

// redirect sends to the same path with or without a slash at its end.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request, path []string, slash bool) {
	var b strings.Builder
	if u, err := url.Parse(s.base); err == nil {
		b.WriteString(strings.TrimRight(u.EscapedPath(), "/"))
	}
	for _, name := range path {
		b.WriteString("/" + url.PathEscape(name))
	}
	if slash {
		b.WriteByte('/')
	}
	if r.URL.RawQuery != "" {
		b.WriteString("?" + r.URL.RawQuery)
	}
	w.Header().Set("Location", b.String())
	w.Header().Set("Cache-Control", "public, max-age=60")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// give sends an answer unless something is wrong with the parameters.
func (s *Server) give(a *asked, answer *answer) {
	if len(a.q.invalid) > 0 {
		s.fail(a.w, http.StatusUnprocessableEntity, a.q.invalid)
		return
	}
	answer.give(a.w, a.r)
}

func (s *Server) sites(a *asked) {
	vo, name, projects := a.q.text("vo_name"), a.q.text("site_name"), a.q.yes("include_projects", false)
	switch {
	case vo == "" && name == "" && projects:
		s.give(a, a.now.usual.projects())
	case vo == "" && name == "":
		s.give(a, a.now.usual.sites())
	default:
		s.give(a, jsonAnswer(a.now.sites(vo, name, projects)))
	}
}

func (s *Server) images(a *asked) {
	vo, only := a.q.text("vo_name"), a.q.yes("only_egi_images", true)
	switch {
	case vo == "" && only:
		s.give(a, a.now.usual.images())
	case vo == "":
		s.give(a, a.now.usual.everyImage())
	default:
		s.give(a, jsonAnswer(a.now.Catalogue.images(vo, only)))
	}
}

// known gives the site that the path names, and says so when there is none.
func (s *Server) known(a *asked) (*Site, bool) {
	if len(a.q.invalid) > 0 {
		s.fail(a.w, http.StatusUnprocessableEntity, a.q.invalid)
		return nil, false
	}
	site, ok := a.now.Site(a.path[1])
	if !ok {
		s.fail(a.w, http.StatusNotFound, fmt.Sprintf("Site %s not found", a.path[1]))
	}
	return site, ok
}

func (s *Server) site(a *asked) {
	projects := a.q.yes("include_projects", false)
	if site, ok := s.known(a); ok {
		s.give(a, jsonAnswer(site.shape(projects)))
	}
}

func (s *Server) ofSite(a *asked) {
	only := a.path[2] == "images" && a.q.yes("only_egi_images", true)
	site, ok := s.known(a)
	switch {
	case !ok:
	case a.path[2] == "images":
		s.give(a, jsonAnswer(site.images("", only)))
	default:
		s.give(a, jsonAnswer(site.projects()))
	}
}

func (s *Server) ofVO(a *asked) {
	vo, only := a.path[2], a.path[3] == "images" && a.q.yes("only_egi_images", true)
	site, ok := s.known(a)
	if !ok {
		return
	}
	share, ok := site.share(vo)
	switch {
	case !ok:
		s.fail(a.w, http.StatusNotFound, fmt.Sprintf("VO %s not supported by Site %s", vo, a.path[1]))
	case a.path[3] == "images":
		s.give(a, jsonAnswer(site.images(vo, only)))
	default:
		s.give(a, jsonAnswer(Project{ID: share.Project, Name: share.VO}))
	}
}

func (s *Server) siteFiles(a *asked) {
	base := s.base
	if base == "" {
		base = said(a.r)
	}
	urls := make([]string, len(a.now.Sites))
	for i, site := range a.now.Sites {
		urls[i] = base + "/fedcloudclient/" + url.PathEscape(site.Name) + "/"
	}
	s.give(a, jsonAnswer(urls))
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?$`)

// said is the base URL by which a request came.
func said(r *http.Request) string {
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if _, err := netip.ParseAddrPort(host); err != nil && !hostname.MatchString(host) {
		if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil || !ip.Is6() {
			host = "localhost" // whoever sends such a name gets nothing of it back
		}
	}
	return scheme + "://" + host
}

func (s *Server) siteFile(a *asked) {
	if site, ok := s.known(a); ok {
		s.give(a, newAnswer(site.fedcloudclient(), kindYAML))
	}
}

// document gives a document as it was published, or as LDIF.
func (s *Server) document(a *asked) {
	name := a.path[1]
	stem, ldif := strings.CutSuffix(name, ".ldif")
	if ldif {
		name = stem + ".json"
	}
	d, ok := a.now.document(name)
	switch {
	case !ok:
		s.fail(a.w, http.StatusNotFound, "Not Found")
	case !ldif:
		s.give(a, d.json)
	case d.ldifTag().had(a.r):
		s.give(a, d.ldifTag())
	default:
		answer, err := s.ldifs.write(a.r.Context(), d)
		if err != nil {
			s.log.Warn("a document could not be written as LDIF", "document", d.name, "error", err)
			if errors.Is(err, errBusy) {
				s.fail(a.w, http.StatusServiceUnavailable, "Try again later")
			} else {
				s.fail(a.w, http.StatusInternalServerError, "Internal Server Error")
			}
			return
		}
		s.give(a, answer)
	}
}

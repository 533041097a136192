package registry

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// apiPath is where Harbor's API is.
const apiPath = "/api/v2.0"

// harbor answers a request to Harbor's API.
func (r *Registry) harbor(w http.ResponseWriter, req *http.Request, path string) {
	signed, ok := r.who(req)
	if !ok {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "unauthorized")
		return
	}
	var words []string
	for _, part := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		word, err := url.PathUnescape(part)
		if err != nil || strings.Contains(word, "/") { // a slash that is encoded once separates
			word = "?"
		}
		words = append(words, word)
	}
	if len(words) == 1 && words[0] == "projects" {
		r.listProjects(w, req, signed)
		return
	}
	if len(words) < 3 || words[0] != "projects" || words[2] != "repositories" {
		refuse(w, http.StatusNotFound, "NOT_FOUND", "path %s was not found", path)
		return
	}
	p := r.projectNamed(words[1])
	switch {
	case p == nil && signed:
		refuse(w, http.StatusNotFound, "NOT_FOUND", "project %s not found", words[1])
	case p == nil || !p.public && !signed: // somebody who is not known is not told which of both
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "unauthorized")
	case len(words) == 3:
		r.listRepositories(w, req, p)
	case len(words) == 5 && words[4] == "artifacts":
		below, err := url.PathUnescape(words[3])
		if err != nil {
			refuse(w, http.StatusBadRequest, "BAD_REQUEST", "%s", err)
			return
		}
		r.listArtifacts(w, req, p.name+"/"+below)
	default:
		refuse(w, http.StatusNotFound, "NOT_FOUND", "path %s was not found", path)
	}
}

func (r *Registry) listProjects(w http.ResponseWriter, req *http.Request, signed bool) {
	all := []any{}
	for _, p := range r.projects {
		if p.public || signed {
			all = append(all, map[string]any{"project_id": p.id, "name": p.name, "repo_count": len(p.repositories), "metadata": map[string]string{"public": strconv.FormatBool(p.public)}})
		}
	}
	r.page(w, req, all)
}

func (r *Registry) listRepositories(w http.ResponseWriter, req *http.Request, p *project) {
	all := []any{}
	for _, o := range p.repositories {
		all = append(all, map[string]any{"id": o.id, "project_id": p.id, "name": o.name, "artifact_count": len(o.artifacts), "pull_count": 0})
	}
	r.page(w, req, all)
}

// listArtifacts lists a repository, the newest first. What only belongs to another artifact stands with that one, unless it
// has a tag.
func (r *Registry) listArtifacts(w http.ResponseWriter, req *http.Request, name string) {
	repo := r.repository(name)
	switch {
	case r.broken[name] != 0:
		refuse(w, r.broken[name], "UNKNOWN", "internal server error")
		return
	case repo == nil:
		refuse(w, http.StatusNotFound, "NOT_FOUND", "repository %s not found", name)
		return
	}
	all := []any{}
	withTags := req.URL.Query().Get("with_tag") != "false" // Harbor's default is true
	for _, a := range slices.Backward(repo.artifacts) {
		if a.parsed.Subject == nil || len(a.tags) > 0 {
			all = append(all, a.listed(repo, withTags))
		}
	}
	r.page(w, req, all)
}

func (a *artifact) listed(repo *repository, withTags bool) map[string]any {
	const layout = "2006-01-02T15:04:05.000Z"
	var tags []map[string]any // none are null, not an empty list
	for _, t := range a.tags {
		if withTags {
			tags = append(tags, map[string]any{"id": t.id, "name": t.name, "push_time": t.at.UTC().Format(layout), "immutable": false})
		}
	}
	var accessories []map[string]any
	for _, b := range repo.artifacts {
		if b.parsed.Subject != nil && b.parsed.Subject.Digest == a.digest {
			accessories = append(accessories, map[string]any{"id": b.id, "digest": b.digest, "type": "subject.accessory", "subject_artifact_digest": a.digest})
		}
	}
	size := int64(len(a.manifest))
	for _, l := range a.parsed.Layers {
		size += l.Size
	}
	config := ""
	if a.parsed.Config != nil {
		config = a.parsed.Config.MediaType
	}
	return map[string]any{"id": a.id, "digest": a.digest, "type": "IMAGE", "media_type": config, "manifest_media_type": a.kind(), "artifact_type": a.parsed.ArtifactType, "repository_name": repo.name, "size": size,
		"push_time": a.pushed.UTC().Format(layout), "pull_time": time.Time{}.Format(layout), "annotations": a.parsed.Annotations, "extra_attrs": map[string]any{}, "tags": tags, "accessories": accessories}
}

// page gives the page that is asked for, with links to those before and after it.
func (r *Registry) page(w http.ResponseWriter, req *http.Request, all []any) {
	q := req.URL.Query()
	number, size := 1, 10
	for name, into := range map[string]*int{"page": &number, "page_size": &size} {
		if text := q.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || name == "page_size" && n > 100 {
				refuse(w, http.StatusUnprocessableEntity, "UNPROCESSABLE_ENTITY", "%s in query is not right: %s", name, text)
				return
			}
			*into = n
		}
	}
	size = min(size, r.opts.PageSize)
	from := min((number-1)*size, len(all))
	to := min(from+size, len(all))
	link := func(number int, rel string) string {
		q.Set("page", strconv.Itoa(number))
		q.Set("page_size", strconv.Itoa(size))
		return fmt.Sprintf(`<%s?%s>; rel="%s"`, req.URL.EscapedPath(), q.Encode(), rel)
	}
	var links []string
	if number > 1 {
		links = append(links, link(number-1, "prev"))
	}
	if to < len(all) {
		links = append(links, link(number+1, "next"))
	}
	if len(links) > 0 {
		w.Header().Set("Link", strings.Join(links, " , ")) // with Harbor's blank before the comma
	}
	w.Header().Set("X-Total-Count", strconv.Itoa(len(all)))
	reply(w, http.StatusOK, all[from:to])
}

package registry

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP serves the distribution protocol, its tokens, and Harbor's API.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := req.URL.EscapedPath()
	r.mu.Lock()
	r.asked[req.Method+" "+path]++
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		r.mu.Unlock()
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the emulated registry is only read")
		return
	}
	var blob Content // given when the lock is left: that may take long
	switch rest, distribution := strings.CutPrefix(path, "/v2/"); {
	case path == tokenPath:
		r.grant(w, req)
	case strings.HasPrefix(path, apiPath+"/"):
		r.harbor(w, req, strings.TrimPrefix(path, apiPath))
	case distribution:
		blob = r.distribution(w, req, rest)
	default:
		refuse(w, http.StatusNotFound, "NOT_FOUND", "page not found")
	}
	r.mu.Unlock()
	if blob != nil {
		http.ServeContent(w, req, "", time.Time{}, io.NewSectionReader(blob, 0, blob.Size()))
	}
}

// distribution answers a request below /v2/: NAME/tags/list, NAME/manifests/REF, NAME/blobs/DIGEST, NAME/referrers/DIGEST. A
// blob is handed back, to be given.
func (r *Registry) distribution(w http.ResponseWriter, req *http.Request, path string) Content {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	words := strings.Split(path, "/")
	n := len(words)
	if path == "" {
		if r.admits(w, req, "") {
			reply(w, http.StatusOK, struct{}{})
		}
		return nil
	}
	if n < 3 || !slices.Contains([]string{"tags", "manifests", "blobs", "referrers"}, words[n-2]) {
		refuse(w, http.StatusNotFound, "NOT_FOUND", "page not found")
		return nil
	}
	name, ref := strings.Join(words[:n-2], "/"), words[n-1]
	if !r.admits(w, req, name) {
		return nil
	}
	switch words[n-2] {
	case "tags":
		r.listTags(w, req, name)
	case "manifests":
		r.giveManifest(w, req, name, ref)
	case "referrers":
		r.listReferrers(w, name, ref)
	case "blobs":
		return r.giveBlob(w, req, name, ref)
	}
	return nil
}

// listTags lists tags in their order, n at a time after the last one.
func (r *Registry) listTags(w http.ResponseWriter, req *http.Request, name string) {
	repo := r.repository(name)
	switch {
	case r.broken[name] != 0:
		refuse(w, r.broken[name], "UNKNOWN", "unknown error")
		return
	case repo == nil:
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository %s not found", name)
		return
	}
	var all []string
	for _, a := range repo.artifacts {
		for _, t := range a.tags {
			if t.name > req.URL.Query().Get("last") {
				all = append(all, t.name)
			}
		}
	}
	slices.Sort(all)
	n := r.opts.PageSize
	if text := req.URL.Query().Get("n"); text != "" {
		asked, err := strconv.Atoi(text)
		if err != nil || asked < 1 {
			refuse(w, http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "invalid number of results requested")
			return
		}
		n = min(n, asked)
	}
	if len(all) > n {
		all = all[:n]
		w.Header().Set("Link", "</v2/"+name+"/tags/list?last="+all[n-1]+"&n="+strconv.Itoa(n)+`>; rel="next"`)
	}
	reply(w, http.StatusOK, map[string]any{"name": name, "tags": all}) // none are null
}

// giveManifest gives a manifest to those that take its type.
func (r *Registry) giveManifest(w http.ResponseWriter, req *http.Request, name, ref string) {
	a := r.find(name, ref)
	if a == nil {
		refuse(w, http.StatusNotFound, "NOT_FOUND", "artifact %s:%s not found", name, ref)
		return
	}
	if accept := strings.Join(req.Header.Values("Accept"), ","); !strings.Contains(accept, a.kind()) && !strings.Contains(accept, "*/*") {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "OCI manifest found, but accept header does not support OCI manifests")
		return
	}
	w.Header().Set("Content-Type", a.kind())
	w.Header().Set("Docker-Content-Digest", a.digest)
	w.Header().Set("ETag", `"`+a.digest+`"`)
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(a.manifest))
}

// listReferrers lists what belongs to a manifest.
func (r *Registry) listReferrers(w http.ResponseWriter, name, digest string) {
	all := []descriptor{}
	if repo := r.repository(name); repo != nil {
		for _, a := range repo.artifacts {
			if a.parsed.Subject != nil && a.parsed.Subject.Digest == digest {
				all = append(all, descriptor{MediaType: a.kind(), Digest: a.digest, Size: int64(len(a.manifest)), ArtifactType: a.parsed.ArtifactType, Annotations: a.parsed.Annotations})
			}
		}
	}
	w.Header().Set("Content-Type", IndexType)
	_ = json.NewEncoder(w).Encode(map[string]any{"schemaVersion": 2, "mediaType": IndexType, "manifests": all})
}

// giveBlob hands back a blob of the repository, or sends to where it is.
func (r *Registry) giveBlob(w http.ResponseWriter, req *http.Request, name, digest string) Content {
	blob := r.blobOf(name, digest)
	if blob == nil {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return nil
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("ETag", `"`+digest+`"`)
	if r.storage != "" {
		w.Header().Set("Location", r.storage+"/"+digest+"?X-Amz-Signature=emulated")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	return blob
}

// blobOf gives a blob that a manifest of the repository names; nil = none does.
func (r *Registry) blobOf(name, digest string) Content {
	repo := r.repository(name)
	if repo == nil {
		return nil
	}
	for _, a := range repo.artifacts {
		if a.parsed.Config != nil && a.parsed.Config.Digest == digest && a.parsed.Config.Data != nil {
			return bytes.NewReader(a.parsed.Config.Data)
		}
		if slices.ContainsFunc(a.parsed.Layers, func(l descriptor) bool { return l.Digest == digest }) {
			return r.blobs[digest]
		}
	}
	return nil
}

// Storage serves the blobs as an object store does that a registry sends to: by a URL that is signed, and to nobody who
// shows a sign-in of another service beside it.
func (r *Registry) Storage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		digest := strings.TrimPrefix(req.URL.Path, "/")
		r.mu.Lock()
		r.asked["STORAGE "+req.Method+" /"+digest]++
		blob := r.blobs[digest]
		r.mu.Unlock()
		switch {
		case req.Header.Get("Authorization") != "":
			http.Error(w, "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>", http.StatusBadRequest)
		case req.URL.Query().Get("X-Amz-Signature") == "":
			http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
		case blob == nil:
			http.Error(w, "<Error><Code>NoSuchKey</Code></Error>", http.StatusNotFound)
		default:
			w.Header().Set("ETag", `"`+strings.TrimPrefix(digest, "sha256:")+`"`)
			w.Header().Set("Content-Type", "application/octet-stream")
			http.ServeContent(w, req, "", time.Time{}, io.NewSectionReader(blob, 0, blob.Size()))
		}
	})
}

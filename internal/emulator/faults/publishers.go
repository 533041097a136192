package faults

import (
	"bytes"
	"net/http"
	"strings"
)

// Publishers is the place of faults of those who publish images.
const Publishers Place = "publishers"

// Published gives the named faults of the publishers of images: of a signed list, of a registry, and of the files that both
// name. They are not among All: accounting and discovery ask no publisher.
func Published() []Named {
	var all []Named
	add := func(name, text string, fits func(r *http.Request) bool, e Effect) {
		all = append(all, Named{Name: name, Place: Publishers, Text: text, Fault: Fault{Method: http.MethodGet, Fits: fits, Times: -1, Effect: e}})
	}
	const stays = ": all images stay, and the next run goes on"
	add("list-cut", "the list is cut in the middle"+stays, isList, Effect{Cut: true})
	add("list-half", "a proxy serves the first half of the list as if it were all"+stays, isList, Effect{Change: func(b []byte) []byte { return b[:len(b)/2] }})
	add("list-html", "an HTML page comes with status 200 in the list's place"+stays, isList, Effect{Status: http.StatusOK, Body: balancer})
	add("list-404", "the list is not there (404)"+stays, isList, Effect{Status: http.StatusNotFound})
	add("registry-503", "a balancer finds no registry (503, HTML)"+stays, isRegistry, Effect{Status: http.StatusServiceUnavailable, Body: balancer})
	add("file-cut", "files of images are cut at the half, and no part of one is given alone: former versions stay, and the next run goes on", isFile, Effect{Cut: true, Whole: true})
	add("file-other", "files of images have other content than was said: none becomes active, and former versions stay", isFile, Effect{Change: otherEnd})
	return append(all, Named{Name: "registry-empty", Place: Publishers, Heals: true, Text: "the registry lists nothing, with status 200: what lacks once is not taken away",
		Fault: Fault{Method: http.MethodGet, Fits: isListing, Times: -1, Effect: Effect{Change: func([]byte) []byte { return []byte("[]") }, Header: http.Header{"X-Total-Count": {"0"}}}}})
}

// isList tells whether a request is for a signed list.
func isList(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/image.list") }

// isRegistry tells whether a request is for a registry, by its protocol or by Harbor's.
func isRegistry(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/v2/") || strings.HasPrefix(r.URL.Path, "/api/v2.0/")
}

// isListing tells whether a request is for what there is in a project of Harbor.
func isListing(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/v2.0/projects/") && strings.HasSuffix(r.URL.Path, "/repositories")
}

// isFile tells whether a request is for the file of an image, of a list or of a registry.
func isFile(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/images/") || strings.HasPrefix(r.URL.Path, "/v2/") && strings.Contains(r.URL.Path, "/blobs/")
}

// otherEnd gives a file another last byte: only its checksum shows it.
func otherEnd(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	return append(bytes.Clone(b[:len(b)-1]), ^b[len(b)-1])
}

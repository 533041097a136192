//go:build e2e

package e2e

import "net/http"

// imageWrites are requests that would change images, and are refused: the lab stays as it is. What is carried out is in the sessions of
// python-openstackclient.
func (p *comparison) imageWrites() []request {
	const (
		ours  = "/v2/images/{image EGI Small Ubuntu}"
		patch = "application/openstack-images-v2.1-json-patch"
	)
	guest, stranger := "ops-user@vo-ops", "biomed-user@vo-biomed"
	of := func(as, verb, path, body, note string) request {
		return request{as: as, verb: verb, service: "image", path: path, body: body, note: note}
	}
	patched := func(as, body, note string) request {
		r := of(as, http.MethodPatch, ours, body, note)
		r.header = map[string]string{"Content-Type": patch}
		return r
	}
	file := of(member, http.MethodPut, ours+"/file", "x", "it has its content")
	file.header = map[string]string{"Content-Type": "application/octet-stream"}
	return []request{
		of(member, http.MethodPost, "/v2/images", `{"name": "x", "visibility": "nonsense"}`, "no such visibility"),
		of(member, http.MethodPost, "/v2/images", `{"name": "x", "visibility": "public"}`, "public"),
		of(member, http.MethodPost, "/v2/images", `{"name": "x", "status": "active"}`, "what is not its to say"),
		of(member, http.MethodPost, "/v2/images", `{"name": "x", "min_disk": "many"}`, "no number"),
		of(member, http.MethodPost, "/v2/images", `{"name": `, "cut"),
		of(reader, http.MethodPost, "/v2/images", `{"name": "x", "visibility": "nonsense"}`, "by a reader"),
		of(member, http.MethodPatch, ours, `[]`, "of no type"),
		patched(member, `[{"op": "replace", "path": "/nothing", "value": "x"}]`, "replaces nothing"),
		patched(member, `[{"op": "remove", "path": "/nothing"}]`, "removes nothing"),
		patched(member, `[{"op": "replace", "path": "/status", "value": "queued"}]`, "what is not its to say"),
		patched(member, `[{"op": "replace", "path": "/visibility", "value": "public"}]`, "public"),
		patched(member, `[{"op": "nonsense", "path": "/name", "value": "x"}]`, "no such operation"),
		patched(member, `{`, "cut"),
		patched(guest, `[{"op": "replace", "path": "/name", "value": "x"}]`, "by whom it is shared with"),
		patched(stranger, `[{"op": "replace", "path": "/name", "value": "x"}]`, "by a stranger"),
		file,
		of(guest, http.MethodDelete, ours, "", "by whom it is shared with"),
		of(stranger, http.MethodDelete, ours, "", "by a stranger"),
		of(guest, http.MethodPost, ours+"/actions/deactivate", "", "by whom it is shared with"),
		of(member, http.MethodPost, ours+"/members", `{"member": "{project vo-ops}"}`, "a member twice"),
		of(member, http.MethodPost, ours+"/members", `{}`, "nobody"),
		of(guest, http.MethodPost, ours+"/members", `{"member": "{project vo-biomed}"}`, "by whom it is shared with"),
		of(member, http.MethodDelete, ours+"/members/{project vo-biomed}", "", "no member"),
		of(member, http.MethodPut, ours+"/members/{project vo-ops}", `{"status": "accepted"}`, "by its owner"),
		of(guest, http.MethodPut, ours+"/members/{project vo-ops}", `{"status": "nonsense"}`, "no such status"),
		of(guest, http.MethodPut, ours+"/members/{project vo-ops}", `{"status": "accepted"}`, "again"),
	}
}

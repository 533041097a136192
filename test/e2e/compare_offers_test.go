//go:build e2e

package e2e

// offers are what discovery asks, and what is near it: what a project is offered, and how much of it.
func (p *comparison) offers() []request {
	const fed, bio = "{project vo-fedcloud}", "{project vo-biomed}"
	all := []request{
		{as: reader, service: "compute", path: "/v2.1/flavors/detail", version: "2.1"},
		{as: reader, service: "compute", path: "/v2.1/flavors/detail", version: "2.60"},
		{as: reader, service: "compute", path: "/v2.1/flavors/detail", version: "2.61"},
		{as: admin, service: "compute", path: "/v2.1/flavors/detail", version: "2.61"},
		{as: reader, service: "compute", path: "/v2.1/flavors/detail?limit=2", version: "2.61", note: "a page"},
		{as: reader, service: "compute", path: "/v2.1/flavors/detail?limit=2&marker={flavor m1.large}", version: "2.61", note: "the next page"},
		{as: reader, service: "compute", path: "/v2.1/flavors/detail?marker=none", version: "2.61", note: "bad marker"},
		{as: reader, service: "compute", path: "/v2.1/flavors/{flavor m1.tiny}/os-extra_specs", note: "it has none"},
		{as: reader, service: "compute", path: "/v2.1/flavors/{flavor gpu.2xt4}/os-extra_specs", version: "2.61"},
		{as: reader, service: "compute", path: "/v2.1/flavors/none/os-extra_specs", note: "unknown"},
		{service: "compute", path: "/v2.1/flavors/{flavor m1.tiny}/os-extra_specs", note: "no token"},
		{as: reader, service: "compute", path: "/v2.1/os-quota-sets/" + bio, note: "another project's"},
		{as: admin, service: "compute", path: "/v2.1/os-quota-sets/" + bio, note: "by an administrator"},
		{as: reader, service: "compute", path: "/v2.1/os-quota-sets/0123456789abcdef0123456789abcdef", note: "unknown"},
		{service: "compute", path: "/v2.1/os-quota-sets/" + fed, note: "no token"},

		{as: reader, service: "image", path: "/v2/images?limit=500&status=active"},
		{as: admin, service: "image", path: "/v2/images?limit=500&status=active"},
		{as: "ops-user@vo-ops", service: "image", path: "/v2/images?limit=500&status=active", note: "one is shared with it"},
		{as: reader, service: "image", path: "/v2/images?limit=1&status=active", note: "a page"},
		{as: reader, service: "image", path: "/v2/images?limit=1&marker={image almalinux-9}&status=active", note: "the next page"},
		{as: reader, service: "image", path: "/v2/images?status=queued", note: "none"},
		{as: reader, service: "image", path: "/v2/images?status=nonsense", note: "no such status"},
		{as: reader, service: "image", path: "/v2/images?os_hidden=true", note: "none"},
		{as: reader, service: "image", path: "/v2/images?visibility=private", note: "none"},
		{as: reader, service: "image", path: "/v2/images?visibility=nonsense", note: "no such visibility"},
		{as: admin, service: "image", path: "/v2/images/{image EGI Small Ubuntu}/members", note: "by an administrator"},
		{as: admin, service: "image", path: "/v2/images/{image EGI Small Ubuntu}/members/{project vo-ops}", note: "by an administrator"},
		{as: admin, service: "image", path: "/v2/images/{image EGI Small Ubuntu}/members/" + bio, note: "no member"},
		{as: "biomed-user@vo-biomed", service: "image", path: "/v2/images/{image EGI Small Ubuntu}/members", note: "not shared with it"},
		{as: "ops-user@vo-ops", service: "image", path: "/v2/images/{image EGI Small Ubuntu}/members", note: "shared with it"},
		{as: reader, service: "image", path: "/v2/images/00000000-0000-4000-8000-000000000000/members", note: "unknown"},

		{as: admin, service: "network", path: "/v2.0/networks"},
		{as: reader, service: "network", path: "/v2.0/networks?router:external=True"},
		{as: reader, service: "network", path: "/v2.0/networks?limit=1", note: "a page"},
		{as: reader, service: "network", path: "/v2.0/networks?fields=id&fields=name"},
		{as: reader, service: "network", path: "/v2.0/networks?name=none", note: "none"},
		{as: reader, service: "network", path: "/v2.0/networks/00000000-0000-4000-8000-000000000000", note: "unknown"},
		{as: reader, service: "network", path: "/v2.0/quotas/" + fed},
		{as: admin, service: "network", path: "/v2.0/quotas/" + bio, note: "by an administrator"},
		{as: reader, service: "network", path: "/v2.0/quotas/" + bio, note: "another project's"},
		{service: "network", path: "/v2.0/quotas/" + fed, note: "no token"},

		{as: reader, service: "volume", path: "/v3/" + fed + "/limits"},
		{as: admin, service: "volume", path: "/v3/{project vo-ops}/limits"},
		{as: reader, service: "volume", path: "/v3/" + bio + "/limits", note: "another project's"},
		{service: "volume", path: "/v3/" + fed + "/limits", note: "no token"},
		{as: reader, service: "volume", path: "/v3/" + fed + "/os-quota-sets/" + fed},
		{as: reader, service: "volume", path: "/v3/" + fed + "/os-quota-sets/" + fed + "?usage=true"},
		{as: reader, service: "volume", path: "/v3/" + fed + "/os-quota-sets/" + bio, note: "another project's"},

		{as: reader, service: "identity", path: "/v3/domains"},
		{as: admin, service: "identity", path: "/v3/domains"},
		{as: system, service: "identity", path: "/v3/domains/default"},
		{as: reader, service: "identity", path: "/v3/domains/none", note: "unknown"},
		{service: "identity", path: "/v3/domains", note: "no token"},
	}
	for _, version := range []string{"", "2.35", "2.36", "2.50", "2.57", "2.93"} {
		all = append(all, request{as: reader, service: "compute", path: "/v2.1/os-quota-sets/" + fed, version: version})
	}
	return all
}

// storage is what publishing asks of object storage, in order: a container and an object are made, read and taken away.
func (p *comparison) storage() []request {
	const account, at, object, text = "/v1/AUTH_{project vo-fedcloud}", "/v1/AUTH_{project vo-fedcloud}/e2e-compare", "/v1/AUTH_{project vo-fedcloud}/e2e-compare/a%20b.json", `{"a": 1}`
	one := func(verb, path, body, note string, header ...string) request {
		r := request{as: owner, verb: verb, service: "object-store", path: path, body: body, note: note, header: map[string]string{}}
		for i := 0; i < len(header); i += 2 {
			r.header[header[i]] = header[i+1]
		}
		return r
	}
	by := func(as string, r request) request {
		r.as = as
		return r
	}
	return []request{
		one("GET", at+"?format=json", "", "no container yet"),
		one("PUT", object, text, "no container yet"),
		one("PUT", at, "", "new"),
		one("PUT", at, "", "there already"),
		one("HEAD", at, "", "empty"),
		one("GET", at+"?format=json", "", "empty"),
		one("GET", object, "", "no object yet"),
		one("HEAD", object, "", "no object yet"),
		one("DELETE", object, "", "no object yet"),
		one("PUT", object, text, "", "ETag", "42b7b4f2921788ea14dac5566e6f06d0"),
		one("PUT", object, text, "with a wrong sum", "ETag", "00000000000000000000000000000000"),
		one("PUT", object, text, "new"),
		one("PUT", object, text, "there already"),
		one("GET", object, "", ""),
		one("GET", object, "", "unchanged", "If-None-Match", "42b7b4f2921788ea14dac5566e6f06d0"),
		one("GET", object, "", "a part", "Range", "bytes=0-2"),
		one("HEAD", object, "", ""),
		one("GET", at+"?format=json", "", "one object"),
		one("GET", at+"?format=json&limit=1&marker=z", "", "behind it"),
		one("GET", at+"?format=json&prefix=b", "", "none of them"),
		one("DELETE", at, "", "not empty"),
		by(reader, one("GET", at+"?format=json", "", "by a reader")),
		by(reader, one("PUT", object, text, "by a reader")),
		by("biomed-user@vo-biomed", one("GET", object, "", "another project's")),
		by("", one("GET", object, "", "no token")),
		by("", one("PUT", object, text, "no token")),
		one("GET", object, "", "a token that is none", "X-Auth-Token", "gAAAAA"),
		one("DELETE", object, "", ""),
		one("DELETE", object, "", "gone already"),
		one("DELETE", at, "", ""),
		one("GET", account+"/e2e-compare?format=json", "", "gone"),
	}
}

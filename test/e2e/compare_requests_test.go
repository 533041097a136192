//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// The accounts that ask.
const (
	reader = "accounting@vo-fedcloud"
	admin  = "admin@vo-ops"
	member = "image-sync@vo-fedcloud"
	system = "accounting@system"
)

// requests are what both clouds are asked: what fedsite asks them itself, the errors that it tells apart, and what other
// programs that read usage ask.
func (p *comparison) requests() []request {
	var all []request
	for _, list := range [][]request{p.signsIn(), p.identity(), p.computeVersions(), p.listings(), p.single(), p.refusals(), p.flavorsAndUsage(), p.others(), p.offers(), p.imageWrites(), p.storage()} {
		all = append(all, list...)
	}
	for i := range all {
		r := &all[i]
		r.name = r.String() // before ids stand in it
		r.path, r.body = p.fill(r.path), p.fill(r.body)
	}
	return all
}

var blank = regexp.MustCompile(`\{((?:project|user|image|flavor|server|volume) [^}]+|since|password)\}`)

// fill puts ids in the place of {server NAME} and the like.
func (p *comparison) fill(text string) string {
	return blank.ReplaceAllStringFunc(text, func(name string) string {
		name = strings.Trim(name, "{}")
		switch name {
		case "since":
			return url.QueryEscape(time.Now().AddDate(0, -1, 0).UTC().Format("2006-01-02T15:04:05+00:00"))
		case "password":
			return p.password
		}
		id, known := p.names[name]
		if !known {
			panic(fmt.Sprintf("the lab has no %s", name))
		}
		return id
	})
}

func (p *comparison) signsIn() []request {
	auth := func(note, identity, scope string) request {
		return request{verb: "POST", service: "identity", path: "/v3/auth/tokens", note: note, body: `{"auth": {"identity": ` + identity + scope + `}}`}
	}
	password := `{"methods": ["password"], "password": {"user": {"name": "accounting", "domain": {"id": "default"}, "password": "{password}"}}}`
	project := func(name string) string {
		return `, "scope": {"project": {"id": "` + name + `"}}`
	}
	fed := project("{project vo-fedcloud}")
	scoped := signIn(reader, "{password}")
	scoped.note = "by names"
	return []request{
		scoped,
		auth("by ids", `{"methods": ["password"], "password": {"user": {"id": "{user accounting}", "password": "{password}"}}}`, fed),
		auth("unscoped", password, ""),
		auth("unscoped on purpose", password, `, "scope": "unscoped"`),
		auth("of the system", password, `, "scope": {"system": {"all": true}}`),
		auth("of a domain without a role", password, `, "scope": {"domain": {"id": "default"}}`),
		auth("of an unknown project", password, project("0123456789abcdef0123456789abcdef")),
		auth("of a project without a role", password, project("{project admin}")),
		auth("wrong password", strings.Replace(password, "{password}", "wrong", 1), fed),
		auth("unknown user", strings.Replace(password, "accounting", "nobody", 1), fed),
		auth("application credential that is unknown", `{"methods": ["application_credential"], "application_credential": {"id": "0123456789abcdef0123456789abcdef", "secret": "x"}}`, ""),
		auth("application credential of a name that is unknown", `{"methods": ["application_credential"], "application_credential": {"name": "none", "secret": "x", "user": {"id": "{user accounting}"}}}`, ""),
		auth("a token that is none", `{"methods": ["token"], "token": {"id": "gAAAAA"}}`, fed),
		{verb: "POST", service: "identity", path: "/v3/auth/tokens", body: `{}`, note: "no auth"},
		{verb: "POST", service: "identity", path: "/v3/auth/tokens", body: `{"auth": `, note: "no JSON"},
		{as: reader, service: "identity", path: "/v3/auth/tokens", header: map[string]string{"X-Subject-Token": "{token}"}, note: "its own"},
		{as: reader, service: "identity", path: "/v3/auth/tokens", header: map[string]string{"X-Subject-Token": "gAAAAA"}, note: "one that is none"},
		{as: system, service: "identity", path: "/v3/auth/tokens", header: map[string]string{"X-Subject-Token": "{token}"}, note: "its own"},
		{as: "accounting", service: "identity", path: "/v3/auth/tokens", header: map[string]string{"X-Subject-Token": "{token}"}, note: "its own"},
	}
}

func (p *comparison) identity() []request {
	return []request{
		{service: "identity", path: "/"},
		{service: "identity", path: "/v3"},
		{service: "identity", path: "/v3/"},
		{as: reader, service: "identity", path: "/v3/auth/projects"},
		{as: "accounting", service: "identity", path: "/v3/auth/projects"},
		{as: system, service: "identity", path: "/v3/auth/projects"},
		{as: reader, service: "identity", path: "/v3/auth/catalog"},
		{as: system, service: "identity", path: "/v3/projects?domain_id=default"},
		{as: system, service: "identity", path: "/v3/projects?name=vo-ops"},
		{as: system, service: "identity", path: "/v3/projects?tags=caso"},
		{as: admin, service: "identity", path: "/v3/projects?domain_id=default"},
		{as: reader, service: "identity", path: "/v3/projects", note: "denied"},
		{as: reader, service: "identity", path: "/v3/projects/{project vo-fedcloud}"},
		{as: reader, service: "identity", path: "/v3/projects/{project vo-biomed}", note: "denied"},
		{as: system, service: "identity", path: "/v3/projects/0123456789abcdef0123456789abcdef", note: "unknown"},
		{as: reader, service: "identity", path: "/v3/projects/0123456789abcdef0123456789abcdef", note: "unknown"},
		{service: "identity", path: "/v3/projects", note: "no token"},
		{as: reader, service: "identity", path: "/v3/projects", header: map[string]string{"X-Auth-Token": "gAAAAA"}, note: "a token that is none"},
		{as: system, service: "identity", path: "/v3/users?domain_id=default"},
		{as: member, service: "identity", path: "/v3/users", note: "denied"},
		{as: system, service: "identity", path: "/v3/users/{user ops-user}"},
		{as: member, service: "identity", path: "/v3/users/{user image-sync}", note: "oneself"},
		{as: member, service: "identity", path: "/v3/users/{user ops-user}", note: "denied"},
		{as: system, service: "identity", path: "/v3/users/0123456789abcdef0123456789abcdef", note: "unknown"},
		{as: member, service: "identity", path: "/v3/users/0123456789abcdef0123456789abcdef", note: "unknown"},
		{as: member, service: "identity", path: "/v3/users/{user image-sync}/projects"},
		{as: system, service: "identity", path: "/v3/domains?name=Default"},
		{as: reader, service: "identity", path: "/v3/domains/default"},
		{as: system, service: "identity", path: "/v3/domains/none", note: "unknown"},
		{as: reader, service: "identity", path: "/v3/nothing", note: "unknown"},
	}
}

func (p *comparison) computeVersions() []request {
	all := []request{
		{service: "compute", path: "/"},
		{service: "compute", path: "/v2.1"},
		{service: "compute", path: "/v2.1/"},
		{as: reader, service: "compute", path: "/v2.1/nothing", note: "unknown"},
	}
	for _, version := range []string{"", "2.1", "2.19", "2.25", "2.47", "2.58", "2.69", "2.93", "latest"} {
		all = append(all, request{as: reader, service: "compute", path: "/v2.1/servers/detail?name=%5Efed-", version: version})
	}
	for _, version := range []string{"2.0", "2.999", "3.1", "two"} {
		all = append(all, request{as: reader, service: "compute", path: "/v2.1/servers/detail", version: version, note: "no such version"})
	}
	return append(all, request{as: reader, service: "compute", path: "/v2.1/servers/detail?name=%5Efed-", note: "by the older header", header: map[string]string{"X-OpenStack-Nova-API-Version": "2.47"}},
		request{as: reader, service: "compute", path: "/v2.1/servers/detail?name=%5Efed-", note: "of another service", header: map[string]string{"OpenStack-API-Version": "volume 3.50"}})
}

func (p *comparison) listings() []request {
	list := func(query, version, note string) request { // of servers that no other test makes
		return request{as: reader, service: "compute", path: "/v2.1/servers/detail?name=%5Efed-&" + query, version: version, note: note}
	}
	return []request{
		list("changes-since={since}", "2.25", ""),
		list("changes-since={since}", "2.93", ""),
		list("changes-since={since}&limit=3", "2.69", "a page"),
		list("changes-since=2999-01-01T00:00:00Z", "2.69", "nothing"),
		list("limit=2", "2.69", "a page"),
		list("limit=2&marker={server fed-web}", "2.69", "the next page"),
		list("limit=1000", "2.1", ""),
		list("marker=00000000-0000-4000-8000-000000000000", "2.69", "bad marker"),
		list("marker={server fed-deleted}", "2.69", "marker of a deleted server"),
		list("changes-since=yesterday", "2.69", "bad time"),
		list("limit=many", "2.69", "bad limit"),
		list("limit=-1", "2.69", "bad limit"),
		list("status=SHUTOFF", "2.69", ""),
		list("status=NONSENSE", "2.69", ""),
		list("deleted=True", "2.69", "ignored for a reader"),
		list("nonsense=1", "2.69", "unknown parameter"),
		list("nonsense=1", "2.93", "unknown parameter"),
		list("all_tenants=1", "2.69", "denied"),
		{as: reader, service: "compute", path: "/v2.1/servers/detail?name=fed-web", version: "2.69"},
		{as: reader, service: "compute", path: "/v2.1/servers?name=%5Efed-", version: "2.69"},
		{as: reader, service: "compute", path: "/v2.1/servers?name=%5Efed-&limit=2", version: "2.69"},
		{as: admin, service: "compute", path: "/v2.1/servers/detail", version: "2.93"},
		{as: admin, service: "compute", path: "/v2.1/servers/detail", version: "2.1"},
		{as: admin, service: "compute", path: "/v2.1/servers/detail?all_tenants=1&limit=5&name=%5Ebio-", version: "2.47"},
		{as: admin, service: "compute", path: "/v2.1/servers/detail?all_tenants=1&project_id={project vo-biomed}", version: "2.93"},
		{as: admin, service: "compute", path: "/v2.1/servers/detail?changes-since={since}", version: "2.93", note: "nothing deleted is there but what is the project's"},
		{as: system, service: "compute", path: "/v2.1/servers/detail", version: "2.69", note: "nothing, or denied"},
		{as: "biomed-user@vo-biomed", service: "compute", path: "/v2.1/servers/detail", version: "2.69"},
		{as: "biomed-user@vo-biomed", service: "compute", path: "/v2.1/servers/detail", version: "2.93"},
	}
}

func (p *comparison) single() []request {
	var all []request
	one := func(as, name, version string) {
		all = append(all, request{as: as, service: "compute", path: "/v2.1/servers/{server " + name + "}", version: version, note: name})
	}
	for _, version := range []string{"", "2.25", "2.47", "2.93"} {
		one(reader, "fed-web", version)
	}
	for _, name := range []string{"fed-stopped", "fed-suspended", "fed-paused", "fed-shelved", "fed-rescued", "fed-rebuilt", "fed-verify-resize", "fed-soft-deleted", "fed-a%%b"} {
		one(reader, name, "2.69")
	}
	for _, name := range []string{"bio-error", "bio-no-host", "bio-from-volume", "bio-flavor-gone", "bio-gpu", "bio-máquina-ñ"} {
		one("biomed-user@vo-biomed", name, "2.69")
	}
	one("biomed-user@vo-biomed", "bio-flavor-gone", "2.25")
	one(admin, "ops-probe", "2.93")
	one(admin, "fed-web", "2.93")
	for _, version := range []string{"2.1", "2.25", "2.58", "2.62", "2.84", "2.93"} {
		all = append(all, request{as: reader, service: "compute", path: "/v2.1/servers/{server fed-stopped}/os-instance-actions", version: version, note: "fed-stopped"})
	}
	for _, version := range []string{"2.1", "2.20", "2.21", "2.93"} {
		all = append(all, request{as: reader, service: "compute", path: "/v2.1/servers/{server fed-deleted}/os-instance-actions", version: version, note: "of a deleted server"})
	}
	return append(all,
		request{as: reader, service: "compute", path: "/v2.1/servers/{server bio-gpu}/os-instance-actions", version: "2.69", note: "another project's"},
		request{as: admin, service: "compute", path: "/v2.1/servers/{server fed-stopped}/os-instance-actions", version: "2.93", note: "by an administrator"},
		request{as: reader, service: "compute", path: "/v2.1/servers/{server fed-stopped}/os-instance-actions/req-00000000-0000-4000-8000-000000000000", version: "2.69", note: "unknown"},
		request{as: reader, service: "compute", path: "/v2.1/servers/{server fed-stopped}/os-instance-actions?limit=1", version: "2.58", note: "a page"},
		request{as: reader, service: "compute", path: "/v2.1/servers/{server fed-stopped}/os-volume_attachments", version: "2.69"},
	)
}

func (p *comparison) refusals() []request {
	return []request{
		{service: "compute", path: "/v2.1/servers/detail", version: "2.69", note: "no token"},
		{as: reader, service: "compute", path: "/v2.1/servers/detail", version: "2.69", header: map[string]string{"X-Auth-Token": "gAAAAA"}, note: "a token that is none"},
		{as: reader, service: "compute", path: "/v2.1/servers/{server fed-deleted}", version: "2.69", note: "deleted"},
		{as: reader, service: "compute", path: "/v2.1/servers/{server bio-gpu}", version: "2.69", note: "another project's"},
		{as: reader, service: "compute", path: "/v2.1/servers/00000000-0000-4000-8000-000000000000", version: "2.69", note: "unknown"},
		{as: reader, service: "compute", path: "/v2.1/servers/nonsense", version: "2.69", note: "no id"},
		{as: reader, verb: "DELETE", service: "compute", path: "/v2.1/servers/{server bio-gpu}", version: "2.69", note: "another project's"},
		{as: reader, verb: "POST", service: "compute", path: "/v2.1/servers/{server bio-gpu}/action", version: "2.69", body: `{"os-stop": null}`, note: "another project's"},
		{as: reader, verb: "DELETE", service: "compute", path: "/v2.1/servers/{server fed-deleted}", version: "2.69", note: "deleted"},
		{as: "fedcloud-user@vo-fedcloud", verb: "POST", service: "compute", path: "/v2.1/servers/{server fed-stopped}/action", version: "2.69", body: `{"os-stop": null}`, note: "stopped already"},
		{as: "fedcloud-user@vo-fedcloud", verb: "POST", service: "compute", path: "/v2.1/servers/{server fed-stopped}/action", version: "2.69", body: `{"nonsense": null}`, note: "no such action"},
		{service: "image", path: "/v2/images", note: "no token"},
		{as: reader, service: "image", path: "/v2/images/00000000-0000-4000-8000-000000000000", note: "unknown"},
		{as: reader, service: "image", path: "/v2/images?marker=00000000-0000-4000-8000-000000000000", note: "bad marker"},
		{as: reader, service: "image", path: "/v2/images?limit=many", note: "bad limit"},
		{service: "volume", path: "/v3/{project vo-fedcloud}/volumes/detail", note: "no token"},
		{as: reader, service: "volume", path: "/v3/{project vo-biomed}/volumes/detail", note: "another project's"},
		{service: "network", path: "/v2.0/floatingips", note: "no token"},
		{as: reader, service: "network", path: "/v2.0/nothing", note: "unknown"},
	}
}

func (p *comparison) flavorsAndUsage() []request {
	usage := "/v2.1/os-simple-tenant-usage"
	window := "start=" + time.Now().AddDate(0, 0, -1).UTC().Format("2006-01-02T00:00:00") + "&end=" + time.Now().AddDate(0, 0, 1).UTC().Format("2006-01-02T00:00:00")
	return []request{
		{as: reader, service: "compute", path: "/v2.1/flavors"},
		{as: reader, service: "compute", path: "/v2.1/flavors/detail", version: "2.25"},
		{as: reader, service: "compute", path: "/v2.1/flavors/detail", version: "2.55"},
		{as: reader, service: "compute", path: "/v2.1/flavors/detail", version: "2.69"},
		{as: reader, service: "compute", path: "/v2.1/flavors/detail?limit=3", version: "2.93", note: "a page"},
		{as: reader, service: "compute", path: "/v2.1/flavors/detail?is_public=None", version: "2.93"},
		{as: reader, service: "compute", path: "/v2.1/flavors/{flavor gpu.a100}", version: "2.1"},
		{as: reader, service: "compute", path: "/v2.1/flavors/{flavor gpu.a100}", version: "2.69"},
		{as: reader, service: "compute", path: "/v2.1/flavors/{flavor gpu.a100}/os-extra_specs", version: "2.25"},
		{as: reader, service: "compute", path: "/v2.1/flavors/{flavor bio.retired}", version: "2.25", note: "deleted"},
		{as: reader, service: "compute", path: "/v2.1/flavors/{flavor bio.retired}/os-extra_specs", version: "2.25", note: "deleted"},
		{as: reader, service: "compute", path: "/v2.1/limits"},
		{as: reader, service: "compute", path: "/v2.1/limits", version: "2.93"},
		{as: reader, service: "compute", path: usage + "/{project vo-fedcloud}?" + window},
		{as: reader, service: "compute", path: usage + "/{project vo-fedcloud}?" + window, version: "2.40"},
		{as: reader, service: "compute", path: usage + "/{project vo-biomed}?" + window, note: "another project's"},
		{as: reader, service: "compute", path: usage + "?" + window, note: "denied"},
		{as: admin, service: "compute", path: usage + "?" + window + "&detailed=1"},
		{as: admin, service: "compute", path: usage + "?start=yesterday", note: "bad time"},
	}
}

func (p *comparison) others() []request {
	return []request{
		{service: "image", path: "/"},
		{service: "image", path: "/versions"},
		{as: reader, service: "image", path: "/v2/images"},
		{as: reader, service: "image", path: "/v2/images?limit=2"},
		{as: reader, service: "image", path: "/v2/images?limit=1000&visibility=public"},
		{as: reader, service: "image", path: "/v2/images?name=almalinux-9"},
		{as: reader, service: "image", path: "/v2/images?name=nothing"},
		{as: "ops-user@vo-ops", service: "image", path: "/v2/images?visibility=shared&member_status=accepted"},
		{as: "ops-user@vo-ops", service: "image", path: "/v2/images/{image EGI Small Ubuntu}", note: "shared with it"},
		{as: reader, service: "image", path: "/v2/images/{image EGI Small Ubuntu}", note: "its own"},
		{as: "biomed-user@vo-biomed", service: "image", path: "/v2/images/{image EGI Small Ubuntu}", note: "not shared with it"},
		{as: reader, service: "image", path: "/v2/images/{image EGI Small Ubuntu}/members"},
		{as: reader, service: "image", path: "/v2/images/{image EGI Small Ubuntu}/members/{project vo-ops}"},
		{as: reader, service: "image", path: "/v2/images/{image EGI Small Ubuntu}/members/{project vo-biomed}", note: "no member"},
		{as: reader, service: "image", path: "/v2/images/{image ubuntu-22.04}/members", note: "of a public image"},
		{as: reader, service: "image", path: "/v2/schemas/image"},
		{service: "network", path: "/"},
		{as: reader, service: "network", path: "/v2.0/networks"},
		{as: reader, service: "network", path: "/v2.0/floatingips"},
		{as: reader, service: "network", path: "/v2.0/ports?device_id=00000000-0000-4000-8000-000000000000"},
		{service: "volume", path: "/"},
		{service: "volume", path: "/v3/"},
		{as: reader, service: "volume", path: "/v3/{project vo-fedcloud}/volumes/detail"},
		{as: reader, service: "volume", path: "/v3/{project vo-fedcloud}/volumes/detail?limit=1", note: "a page"},
		{as: "biomed-user@vo-biomed", service: "volume", path: "/v3/{project vo-biomed}/snapshots/detail"},
		{as: reader, service: "volume", path: "/v3/{project vo-fedcloud}/types"},
	}
}

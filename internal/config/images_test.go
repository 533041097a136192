package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestImageRules: what concerns more than one key of images, and each mistake by its line.
func TestImageRules(t *testing.T) {
	head := "site: {gocdb: A}\nclouds: [{name: a}]\ncredentials: {r: {os_cloud: x}}\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"active without sources", "images: {mode: active}", []string{"4:16 images.sources: is required to be active: name where images come from"}},
		{"two kinds", "images: {sources: [{oci: a/b, own: /x, vos: [v]}]}", []string{"4:20 images.sources[0]: must be of one kind, list, oci or own, and is of 2"}},
		{"no VOs", "images: {sources: [{oci: a/b}]}", []string{`4:20 images.sources[0].vos: is required: only a list says for whom its images are; "*" is all VOs of the site`}},
		{"VOs and projects that are VOs", "images: {sources: [{oci: a, project_is_vo: true, vos: [v]}]}", []string{"4:50 images.sources[0].vos: goes not with project_is_vo: each project has its own"}},
		{"no project", "images: {sources: [{oci: a, vos: [v]}]}", []string{"4:20 images.sources[0]: must have a project, project_is_vo or repositories, one of them, and has 0"}},
		{"the project twice", "images: {sources: [{oci: a/b, project: c, vos: [v]}]}", []string{"4:40 images.sources[0].project: is said already, as a part of oci: b"}},
		{"a key of another kind", "images: {sources: [{oci: a/b, vos: [v], token: t}]}", []string{"4:48 images.sources[0].token: goes with list only"}},
		{"a name twice", "images: {sources: [{name: x, own: /a, vos: [v]}, {name: x, own: /b, vos: [v]}]}", []string{"4:57 images.sources[1].name: a source of this site is called \"x\" already"}},
		{"a user in the registry's URL", "images: {sources: [{oci: \"https://u:p@a/b\", vos: [v]}]}", []string{"4:26 images.sources[0].oci: must not hold a user or password: those belong under credentials"}},
		{"a credential for OpenStack", "images: {sources: [{oci: a/b, vos: [v], credential: r}]}", []string{"4:53 images.sources[0].credential: r is of the kind os_cloud, and must be basic: a user and a password"}},
		{"no regular expression", "images: {sources: [{oci: a/b, vos: [v], tags: \"(\"}]}", []string{"4:47 images.sources[0].tags: is no regular expression: error parsing regexp: missing closing ): `(`"}},
		{"a relative path", "images: {sources: [{own: images.yaml, vos: [v]}]}", []string{"4:26 images.sources[0].own: must be an absolute path, or a URL"}},
		{"a property of fedsite's", "images: {properties: {fedsite_state: x, APPLIANCE_ID: y, name: z, hw_disk_bus: scsi}}", []string{"4:38 images.properties.fedsite_state: is set by fedsite itself", "4:55 images.properties.APPLIANCE_ID: is set by fedsite itself", "4:64 images.properties.name: is set by fedsite itself"}},
		{"an owner of copies", "images: {owner: ops}", []string{"4:17 images.owner: goes with sharing: members only"}},
		{"sizes", "images: {max_size: 5, max_virtual_size: 5GBit, stage_above: 9999999TB}", []string{"4:20 images.max_size: must be a size with its unit: 500MB, 20GiB or 1TB", "4:41 images.max_virtual_size: must be a size with its unit: 500MB, 20GiB or 1TB", "4:61 images.stage_above: must be at least 1B and below 4,000,000TB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, report(t, head+c.text)); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// TestListURL: a token in the URL of a list is a secret, and the list is known by its URL otherwise.
func TestListURL(t *testing.T) {
	head := "site: {gocdb: A}\nclouds: [{name: a}]\ncredentials: {r: {os_cloud: x}}\nimages: {sources: [{list: \""
	for url, secret := range map[string]bool{"https://hunter2:x-oauth-basic@vmcaster.example.org/image.list": true, "https://vmcaster.example.org/image.list": false} {
		c := parsed(t, head+url+"\"}]}\n")
		value, err := c.Sites[0].Images.Sources[0].List.URL.Value()
		if err != nil || value != url {
			t.Errorf("%q, %v", value, err)
		}
		var b strings.Builder
		if err := c.Show(&b); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if strings.Contains(text, "hunter2") || strings.Contains(text, "vmcaster") == secret {
			t.Errorf("%s is shown as\n%s", url, text)
		}
	}
}

package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/site"
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
		{"a property of fedsite's", "images: {properties: {fedsite_state: x, APPLIANCE_ID: y, name: z, hw_disk_bus: scsi}}", []string{"4:38 images.properties.fedsite_state: is set by fedsite itself", "4:55 images.properties.APPLIANCE_ID: is set by fedsite itself", "4:64 images.properties.name: is no property: Glance has it for itself"}},
		{"more of them", "images: {properties: {os_distro: x, vmcatcher_event_ad_mpuri: y, os_glance_x: z, size: 1, os_type: linux}}", []string{"4:34 images.properties.os_distro: is set by fedsite itself", "4:63 images.properties.vmcatcher_event_ad_mpuri: is set by fedsite itself",
			"4:79 images.properties.os_glance_x: is no property: Glance has it for itself", "4:88 images.properties.size: is no property: Glance has it for itself"}},
		{"a property without end", "images: {properties: {? " + strings.Repeat("p", 256) + ": x}}", []string{"4:283 images.properties." + strings.Repeat("p", 62) + "…: has a name of more than 255 bytes, which Glance does not take"}},
		{"no format", "images: {formats: []}", []string{"4:10 images.formats: names no format: for no images say mode: disabled"}},
		{"another format", "images: {formats: [qcow2, vhdd]}", []string{"4:27 images.formats[1]: must be qcow2, raw, vmdk, vdi, vhd, vhdx, ova or iso, not \"vhdd\": did you mean vhd?"}},
		{"a token twice", "images: {sources: [{list: \"https://hunter2:x-oauth-basic@a/b\", token: hunter2, insecure_unsigned: true}]}", []string{"4:71 images.sources[0].token: stands beside a token in the URL of list: keep one of them"}},
		{"a user of a site's own list", "images: {sources: [{own: \"https://u:hunter2@a/b\", vos: [v]}]}", []string{"4:26 images.sources[0].own: must not hold a user or password: a site's own list is a file, or is there for everybody"}},
		{"a URL of no list", "images: {sources: [{list: /etc/list, insecure_unsigned: true}]}", []string{"4:27 images.sources[0].list: must be a URL like https://vmcaster.appdb.egi.eu/store/vo/ops/image.list"}},
		{"a URL of nothing", "images: {sources: [{own: \"https://\", vos: [v]}]}", []string{"4:26 images.sources[0].own: must be an absolute path, or a URL"}},
		{"bounds", "images: {keep_last: 11, parallel: 0, stale_upload: 1m, gone_after: 31d, max_removal: {percent: 101}}", []string{"4:21 images.keep_last: must be at most 10", "4:35 images.parallel: must be at least 1",
			"4:52 images.stale_upload: must be at least 1h", "4:68 images.gone_after: must be at most 30d", "4:96 images.max_removal.percent: must be at most 100"}},
		{"no endorser's name", "images: {sources: [{list: \"https://a/b\", endorser: {dn: CN=x}}]}", []string{"4:57 images.sources[0].endorser.dn: must be a name like /DC=EU/DC=EGI/CN=appdb.example.org"}},
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

// TestImages: every key of images, what is left out, and that what is shown loads to the same.
func TestImages(t *testing.T) {
	usual := brings(Network{})
	with := func(change func(*Images)) Images {
		i := usual
		change(&i)
		return i
	}
	sources := func(all ...ImageSource) Images {
		return with(func(i *Images) { i.Mode, i.Sources = site.Observe, all })
	}
	const own = "sources: [{own: /etc/images.yaml, vos: ops}]"
	mine := ImageSource{Name: "own", VOs: []string{"ops"}, Own: "/etc/images.yaml"}
	egi := RegistrySource{URL: "https://registry.egi.eu", Project: "egi_vm_images", Tags: "^[^-]*$", Annotation: "eu.egi.cloud.tag"}
	other := RegistrySource{URL: "http://127.0.0.1:5000", Repositories: []string{"a/b", "c"}, Tags: "^v", Credential: "p"}
	each := RegistrySource{URL: "https://registry.egi.eu", ProjectIsVO: true, Tags: "^[^-]*$", Annotation: "eu.egi.cloud.tag"}
	for text, want := range map[string]Images{
		"":                       usual,
		"mode: observe":          usual, // without a source nothing is done
		"mode: disabled, " + own: with(func(i *Images) { i.Sources = []ImageSource{mine} }),
		"mode: active, " + own:   with(func(i *Images) { i.Mode, i.Sources = site.Active, []ImageSource{mine} }),
		own:                      sources(mine),
		"schedule: \"@hourly\", instance: two, formats: [raw, qcow2], sharing: members, owner: ops, visibility: community, name_prefix: \"EGI \", properties: {hw_disk_bus: scsi}, min_disk: false, keep_last: 2": with(func(i *Images) {
			i.Schedule.Sync, i.Instance, i.Formats, i.Sharing, i.Owner, i.Visibility, i.NamePrefix, i.MinDisk, i.KeepLast = "@hourly", "two", []string{"raw", "qcow2"}, "members", "ops", "community", "EGI ", false, 2
			i.Properties = map[string]string{"hw_disk_bus": "scsi"}
		}),
		"schedule: {check: \"@daily\"}, on_expired_list: retire, max_removal: {count: 0}, parallel: 16, max_size: 1.5GB, max_virtual_size: 2 TiB, staging: always, staging_dir: /s, stage_above: 1MiB, qemu_img: /q": with(func(i *Images) {
			i.Schedule.Check, i.OnExpiredList, i.RemoveCount, i.Parallel, i.MaxSize, i.MaxVirtualSize, i.Staging, i.StagingDir, i.StageAbove, i.QemuImg = "@daily", "retire", 0, 16, 1.5e9, 2<<40, "always", "/s", 1<<20, "/q"
		}),
		"ca_dir: /ca, crl: require, allow_sha1: true, strict_smime_purpose: true, signing_policy: true, compressed: true, adopt: [atrope], blocks: /b.yaml, stale_upload: 1d, gone_after: 2h, hook: {secret: {file: /h}}, network: {ca_file: /n}": with(func(i *Images) {
			i.CADir, i.CRL, i.AllowSHA1, i.StrictPurpose, i.SigningPolicy, i.Compressed, i.Adopt, i.Blocks = "/ca", "require", true, true, true, true, []string{"atrope"}, "/b.yaml"
			i.StaleUpload, i.GoneAfter, i.Hook, i.Network = 24*time.Hour, 2*time.Hour, secretFrom(fromFile, "/h"), Network{CAFile: "/n"}
		}),
		"sources: [{oci: registry.egi.eu/egi_vm_images, vos: \"*\"}, {oci: \"http://127.0.0.1:5000\", repositories: [a/b, c], tags: ^v, annotation: none, credential: p, vos: [ops], images: \"a/b:1\"}, {name: x, oci: registry.egi.eu, project_is_vo: true}]": sources(
			ImageSource{Name: "oci", VOs: []string{"*"}, Registry: &egi}, ImageSource{Name: "oci-2", VOs: []string{"ops"}, Images: []string{"a/b:1"}, Registry: &other}, ImageSource{Name: "x", Registry: &each}),
		"sources: [{list: \"https://a/b\", token: {file: /t}, endorser: {dn: /CN=a, ca: /CN=b}, server_credentials: {h: p}}, {list: \"http://a/c\", insecure_unsigned: true, vos: [ops]}, {own: \"https://a/own.yaml\", vos: \"*\"}]": sources(
			ImageSource{Name: "list", List: &ListSource{URL: NewSecret("https://a/b"), Token: secretFrom(fromFile, "/t"), EndorserDN: "/CN=a", EndorserCA: "/CN=b", Servers: map[string]string{"h": "p"}}},
			ImageSource{Name: "list-2", VOs: []string{"ops"}, List: &ListSource{URL: NewSecret("http://a/c"), InsecureUnsigned: true}}, ImageSource{Name: "own", VOs: []string{"*"}, Own: "https://a/own.yaml"}),
	} {
		c := parsed(t, "site: {gocdb: A}\nclouds: [{name: a, credential: r}]\ncredentials: {r: {os_cloud: x}, p: {basic: {user: u, password: w}}}\nimages: {"+text+"}\n")
		if d := cmp.Diff(want, c.Sites[0].Images); d != "" {
			t.Errorf("%s (-want +got)\n%s", text, d)
		}
		if d := cmp.Diff(want, parsed(t, shownText(t, c)).Sites[0].Images); d != "" {
			t.Errorf("%s, as it is shown (-want +shown)\n%s", text, d)
		}
		if len(c.Notices) > 0 {
			t.Errorf("%s: %v", text, c.Notices)
		}
	}
}

// TestImagesOfSites: a site overrides what stands at the top key by key.
func TestImagesOfSites(t *testing.T) {
	c := parsed(t, `credentials: {r: {os_cloud: x}}
images: {mode: active, keep_last: 1, max_removal: {count: 5}, properties: {a: x}, sources: [{own: /a, vos: "*"}]}
sites:
  - {gocdb: A, clouds: [{name: m}]}
  - {gocdb: B, clouds: [{name: m, mode: {images: observe}}], images: {keep_last: 2, max_removal: {percent: 10}, sources: [{own: /b, vos: [ops]}]}}
  - {gocdb: C, clouds: [{name: m}], images: {mode: disabled}}
`)
	a := brings(Network{})
	a.Mode, a.KeepLast, a.RemoveCount, a.Properties, a.Sources = site.Active, 1, 5, map[string]string{"a": "x"}, []ImageSource{{Name: "own", VOs: []string{"*"}, Own: "/a"}}
	b, off := a, a
	b.KeepLast, b.RemovePercent, b.Sources = 2, 10, []ImageSource{{Name: "own", VOs: []string{"ops"}, Own: "/b"}}
	off.Mode = site.Disabled
	if d := cmp.Diff([]Images{a, b, off}, []Images{c.Sites[0].Images, c.Sites[1].Images, c.Sites[2].Images}); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if mode := c.Sites[1].Clouds[0].ModeOf(site.Images); mode != site.Observe {
		t.Errorf("the cloud's mode is %q", mode)
	}
}

// TestImageNotices: what looks wrong in images and stops nothing is told once, with its place.
func TestImageNotices(t *testing.T) {
	const endorser = "any holder of a certificate may sign it who is named in the list itself: endorser: {dn: …, ca: …} says who it must be"
	one := "site: {gocdb: A}\nclouds: [{name: a}]\ncredentials: {r: {os_cloud: x}}\nvos: [{name: vo.access.egi.eu, project: p}, {name: ops, project: q}]\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"no endorser", one + "images: {sources: [{list: \"https://a/b\"}]}", []string{"f.yaml:5:27: images.sources[0].list: " + endorser}},
		{"an endorser's authority alone", one + "images: {sources: [{list: \"https://a/b\", endorser: {ca: /CN=a}}]}", []string{"f.yaml:5:27: images.sources[0].list: " + endorser}},
		{"none at all, in so many words", one + "images: {sources: [{list: \"https://a/b\", insecure_unsigned: true}]}", nil},
		{"once for several sites", "credentials: {r: {os_cloud: x}}\nimages: {sources: [{list: \"https://a/b\"}]}\nsites: [{gocdb: A, clouds: [{name: a}]}, {gocdb: B, clouds: [{name: a}]}]\n", []string{"f.yaml:2:27: images.sources[0].list: " + endorser}},
		{"a slip in a VO", one + "images: {sources: [{own: /a, vos: [vo.acess.egi.eu, \"*\"]}]}", []string{"f.yaml:5:36: images.sources[0].vos[0]: no VO of the site is called \"vo.acess.egi.eu\" here: did you mean vo.access.egi.eu?"}},
		{"a slip in the owner", one + "images: {sharing: members, owner: vo.access.egi.de, sources: [{own: /a, vos: ops}]}", []string{"f.yaml:5:35: images.owner: no VO of the site is called \"vo.access.egi.de\" here: did you mean vo.access.egi.eu?"}},
		{"a VO that a project may name", one + "images: {sources: [{own: /a, vos: [cms, biomed]}]}", nil},
		{"a VO that no project may name", one + "vo_properties: []\nimages: {sources: [{own: /a, vos: [biomed]}]}", []string{"f.yaml:6:36: images.sources[0].vos[0]: no VO of the site is called \"biomed\" here"}},
		{"VOs of one of several sites", "credentials: {r: {os_cloud: x}}\nvo_properties: []\nimages: {sources: [{own: /a, vos: [biomed]}]}\nsites: [{gocdb: A, clouds: [{name: a}], vos: [{name: biomed, project: p}]}, {gocdb: B, clouds: [{name: a}]}]\n", nil},
		{"a VO of the site's own source", "credentials: {r: {os_cloud: x}}\nvo_properties: []\nsites: [{gocdb: A, clouds: [{name: a}], images: {sources: [{own: /a, vos: [biomed]}]}}]\n", []string{"f.yaml:3:76: sites[0].images.sources[0].vos[0]: no VO of the site is called \"biomed\" here"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, n := range parsed(t, c.text).Notices {
				got = append(got, n.String())
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// TestImagesOfUnits: a site's own file may not hold a token, whose text is kept, and its notices are told with the site.
func TestImagesOfUnits(t *testing.T) {
	const top = "credentials: {r: {os_cloud: x}}\nsites: [{include: \"sites.d/*.yaml\"}]\n"
	c := load(t, tree(t, top, map[string]string{
		"a.yaml": unitText("A") + "images: {sources: [{list: \"https://hunter2:x-oauth-basic@a/b\", endorser: {dn: /CN=a}}]}\n",
		"b.yaml": unitText("B") + "images: {sources: [{list: \"https://a/b\", token: {file: /t}}]}\n"}))
	sites, broken := told(c)
	if d := cmp.Diff([]string{"B b.yaml"}, sites); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if len(broken) != 1 || !strings.Contains(broken[0], "a.yaml:3:27: images.sources[0].list: must not hold a token in a site's own file") || strings.Contains(c.Broken[0].Err.Error(), "hunter2") {
		t.Errorf("%v\n%v", broken, c.Broken[0].Err)
	}
	if told := notices(c); len(told) != 1 || !strings.HasPrefix(told[0], "b.yaml:3:27: images.sources[0].list: any holder of a certificate") {
		t.Errorf("notices %v", told)
	}
}

// TestSyncOfSeveralFiles: of the catch-all's files that are one site, each says for its own endpoint whether images go there.
func TestSyncOfSeveralFiles(t *testing.T) {
	main := "images: {mode: active, formats: [qcow2], sources: [{own: /a, vos: \"*\"}]}\n" + withCatchAll
	text := func(host, rest string) string { return "gocdb: S\nendpoint: https://" + host + "/v3\n" + rest }
	for _, x := range []struct {
		name, one, two string
		mode           site.Mode
		formats        string
		modes          []site.Mode // of the clouds
		told           string
	}{
		{name: "neither", mode: site.Disabled, formats: "qcow2", modes: []site.Mode{site.Disabled, site.Disabled}},
		{name: "the first", one: "images: {sync: true, formats: [raw]}\n", two: "images: {sync: false, formats: [vmdk]}\n", mode: site.Active, formats: "raw", modes: []site.Mode{"", site.Disabled}},
		{name: "the second", two: "images: {sync: true, formats: [raw]}\n", mode: site.Active, formats: "raw", modes: []site.Mode{site.Disabled, ""}},
		{name: "both", one: "images: {sync: true}\n", two: "images: {sync: true}\n", mode: site.Active, formats: "qcow2", modes: []site.Mode{"", ""}},
		{name: "both, in other formats", one: "images: {sync: true, formats: [raw]}\n", two: "images: {sync: true, formats: [vmdk]}\n", mode: site.Active, formats: "raw", modes: []site.Mode{"", ""},
			told: "b.yaml:3:22: images.formats: is not what a.yaml says of the same site, [raw], which counts"},
	} {
		t.Run(x.name, func(t *testing.T) {
			file := tree(t, main, map[string]string{"a.yaml": text("one", x.one), "b.yaml": text("two", x.two)})
			c := load(t, file)
			s := c.Sites[0]
			var modes []site.Mode
			for _, cloud := range s.Clouds {
				modes = append(modes, cloud.ModeOf(site.Images))
			}
			if d := cmp.Diff([]any{x.mode, x.formats, x.modes}, []any{s.Images.Mode, strings.Join(s.Images.Formats, ","), modes}); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			told := ""
			for _, n := range notices(c) {
				if strings.Contains(n, "formats") {
					told = strings.ReplaceAll(n, filepath.Join(filepath.Dir(file), "sites.d")+"/", "")
				}
			}
			if told != x.told {
				t.Errorf("%q, want %q", told, x.told)
			}
			if d := cmp.Diff(s.Images, parsed(t, shownText(t, c)).Sites[0].Images); d != "" {
				t.Errorf("what is shown loads to something else (-file +shown)\n%s", d)
			}
		})
	}
}

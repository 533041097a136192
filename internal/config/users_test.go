package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/site"
)

// The three files that site and federation operators expect to write. What is not there yet is said of each key; the
// rest loads.
func TestUsersTexts(t *testing.T) {
	property := []string{"egi.VO", "accounting:VO"}
	fullVOs := struct{ ops, egi, new site.VO }{
		site.VO{Name: "ops", Project: "9b1c2f…"}, site.VO{Name: "vo.access.egi.eu", Project: "4ae07d…"},
		site.VO{Name: "vo.new.eu", Project: "77d0a1…", Since: day(2026, time.November, 1), AccountAs: "vo.new.eu"},
	}
	proxy := Network{Proxy: "http://proxy.example.org:3128", NoProxy: []string{".example.org"}}
	cloud := func(name, region, service string, vos ...site.VO) Cloud {
		return Cloud{Cloud: site.Cloud{Name: name, AuthURL: "https://keystone.example.org:5000/v3", Region: region, ServiceName: service, VOs: vos, Properties: property},
			Credentials: map[site.Part]string{site.Accounting: "reader", site.Discovery: "reader", site.Images: "imagesw"}, Parallel: 4, NovaPerSecond: 5, Network: proxy}
	}
	checkin := OIDCCredential{Issuer: "https://aai.egi.eu/auth/realms/egi", ClientID: "…", ClientSecret: secretFrom(fromFile, "/run/secrets/checkin"), Grant: "client_credentials",
		Scopes: []string{"openid", "profile", "eduperson_entitlement", "entitlements", "email", "voperson_id"}, IDP: "egi.eu", Protocol: "openid"}
	active := defaults(site.Active)
	active.Previously = "caso"
	minimal, full := active, active
	minimal.AMS, full.AMS = broker(), broker()
	full.AMS.Network = proxy

	disabled := discovers(proxy)
	disabled.Mode = site.Disabled

	publishing := discovers(Network{})
	publishing.Mode, publishing.Schedule.Publish = site.Active, "4,34 * * * *"
	publishing.Publish = []Sink{{Name: "swift", DeleteRemoved: true, Swift: &SwiftSink{Credential: "store", Container: "cloud-info"}},
		{Name: "api", API: &APISink{Listen: "[::]:8080", OpsPortalKey: secretFrom(fromFile, "/run/secrets/opsportal")}}}

	none, runs := defaults(site.Disabled), Runs{Set: "DIR/*.yaml", Sites: 6, Deadline: 10 * time.Minute}
	none.AMS = nil
	dir := t.TempDir()
	write(t, filepath.Join(dir, "CREODIAS.yaml"), "---\ngocdb: CREODIAS\nendpoint: https://keystone.example.com:5000/v3\nauth: v3applicationcredential\nimages: {sync: true, formats: [qcow2, raw]}\n"+
		"accouting: {enabled: true}\nvos:\n  - name: ops\n    auth: {region: \"WAW4-1\"}\n  - {name: vo.example.eu, auth: {region: WAW4-1}}\n")
	write(t, filepath.Join(dir, "ncg.yaml"), "gocdb: NCG-INGRID-PT\nendpoint: https://Stratus.example.pt:5000/v3/\nprotocol: oidc\naccounting: {enabled: true}\nvos:\n- name: cloud.egi.eu\n  auth: {project_id: p1}\n"+
		"- name: /biomed/vip\n  auth: {project_id: p2}\n  defaultNetwork: private_only\n  publicNetwork: out\n")

	writing := brings(proxy)
	writing.Mode, writing.Formats, writing.Sharing, writing.Owner, writing.KeepLast, writing.Adopt = site.Observe, []string{"raw"}, "members", "ops", 1, []string{"cloudkeeper-os"}
	writing.Sources = []ImageSource{{Name: "egi", VOs: []string{"*"}, Registry: &RegistrySource{URL: "https://registry.egi.eu", Project: "egi_vm_images", Tags: "^[^-]*$", Annotation: "eu.egi.cloud.tag"}},
		{Name: "cernvm", VOs: []string{"cms"}, List: &ListSource{URL: NewSecret("https://…/image.list"), EndorserDN: "/DC=…", EndorserCA: "/C=…"}}}
	pushed := func(mode site.Mode, formats ...string) Images {
		i := brings(Network{})
		i.Mode, i.Formats, i.Adopt, i.Hook = mode, formats, []string{"atrope-catchall"}, secretFrom(fromFile, "/run/secrets/hook")
		registry := RegistrySource{URL: "https://registry.egi.eu", Tags: "^[^-]*$", Annotation: "eu.egi.cloud.tag", Credential: "harbor"}
		public, private := registry, registry
		public.Project, private.ProjectIsVO = "egi_vm_images", true
		i.Sources = []ImageSource{{Name: "oci", VOs: []string{"*"}, Registry: &public}, {Name: "oci-2", Registry: &private}}
		return i
	}
	for _, c := range []struct {
		name    string
		later   []string // paths, in the file's order
		cut     []string // what is taken out so that it loads; "a → b" puts b in its place
		want    Config
		notices []string
	}{
		{
			name: "minimal",
			want: Config{
				Notify: Notify{Email: []string{"cloud-ops@example.org"}, SMTP: SMTP{Host: "localhost", Port: 25, TLS: "none"}, Digest: Daily{On: true, Hour: 7}},
				Sites: []Site{{Site: site.Site{Name: "EXAMPLE-CLOUD"}, Accounting: minimal, Privacy: asIs,
					Clouds: []Cloud{{Cloud: site.Cloud{Name: "main", ServiceName: "EXAMPLE-CLOUD", Properties: site.DefaultProperties}, Credentials: signs("reader"), Parallel: 4}}}},
				Credentials: map[string]Credential{"reader": {OSCloud: "fedsite"}},
				Store:       Store{Path: "/var/lib/fedsite"},
			},
		},
		{
			name: "full",
			later: []string{"accounting.records[1] accelerator", "accounting.records[2] storage", "accounting.records[3] ip", "accounting.ams.topics.storage",
				"access", "web.listen", "web.auth"},
			cut: []string{", accelerator, storage, ip", ", storage: eu-egi-storage-accounting", "access: {mode → LINE",
				"web: → LINE"},
			want: Config{
				Store:     Store{Path: "/var/lib/fedsite", Backup: Backup{Dir: "/backup/fedsite", Keep: 14, At: Daily{On: true, Hour: 3}}},
				Retention: asUsual().Retention,
				Notify: Notify{Email: []string{"cloud-ops@example.org"}, SMTP: SMTP{Host: "localhost", Port: 25, TLS: "none"},
					Heartbeat: NewSecret("https://hc.example.org/…"), Digest: Daily{On: true, Hour: 7}},
				Sites: []Site{{Site: site.Site{Name: "EXAMPLE-CLOUD", Formerly: []site.Former{{Name: "EXAMPLE-LCG2", Until: day(2026, time.July, 1)}}}, Accounting: full,
					Privacy: Privacy{GlobalUserName: "name", MachineName: "omit"},
					Clouds: []Cloud{cloud("r1", "R1", "EXAMPLE-CLOUD", fullVOs.ops, fullVOs.egi, fullVOs.new),
						cloud("r2", "R2", "EXAMPLE-CLOUD-R2", fullVOs.egi, fullVOs.new)},
					Benchmarks: []Benchmark{{"*", "HEPscore23", 15.2}}, Accelerators: []Accelerator{{"g1.*", "GPU", "NVIDIA", "A100", 1, 40}}, Discovery: disabled, Images: writing}},
				Credentials: map[string]Credential{"reader": {OSCloud: "fedsite-reader"}, "imagesw": {OSCloud: "fedsite-images"}},
				Network:     proxy,
			},
		},
		{
			name:  "catchall",
			later: []string{"entitlements", "web.auth"},
			cut:   []string{"entitlements: → LINE", "web: → LINE"},
			want: Config{
				Sites: []Site{
					{Site: site.Site{Name: "CREODIAS"}, Accounting: none, Privacy: asIs, Discovery: publishing, Images: pushed(site.Active, "qcow2", "raw"), Runs: runs,
						Clouds: []Cloud{{Cloud: site.Cloud{Name: "keystone.example.com", AuthURL: "https://keystone.example.com:5000/v3", Region: "WAW4-1", ServiceName: "CREODIAS", Properties: site.DefaultProperties,
							VOs: []site.VO{{Name: "ops"}, {Name: "vo.example.eu"}}}, Modes: map[site.Part]site.Mode{site.Accounting: site.Disabled}, Credentials: signs("appcred"), Parallel: 4}}},
					{Site: site.Site{Name: "NCG-INGRID-PT"}, Accounting: defaults(site.Observe), Privacy: asIs, Discovery: publishing, Images: pushed(site.Disabled, "qcow2"), Runs: runs,
						Clouds: []Cloud{{Cloud: site.Cloud{Name: "stratus.example.pt", AuthURL: "https://Stratus.example.pt:5000/v3/", ServiceName: "NCG-INGRID-PT", Properties: site.DefaultProperties,
							VOs: []site.VO{{Name: "cloud.egi.eu", Project: "p1"}, {Name: "/biomed/vip", Project: "p2", DefaultNetwork: "private_only", PublicNetwork: "out"}}},
							Protocol: "oidc", Modes: map[site.Part]site.Mode{site.Images: site.Disabled}, Credentials: signs("checkin"), Parallel: 4}}}},
				Includes: []Include{{Pattern: "DIR/*.yaml", CatchAll: true}},
				Credentials: map[string]Credential{"checkin": {OIDC: &checkin}, "store": {OIDC: &checkin, Site: "NCG-INGRID-PT", VO: "cloud.egi.eu"},
					"appcred": {Vault: &VaultCredential{URL: "https://vault.example.org:8200", KV: 1, Mount: "secrets", Path: "users/{sub}/cloudmon/{keystone_host}/{vo}", Login: VaultLogin{JWT: "checkin"}}},
					"harbor":  {Basic: &BasicCredential{User: "robot", Password: secretFrom(fromFile, "/run/secrets/harbor")}}},
				Store: Store{Path: "/var/lib/fedsite", URL: secretFrom(fromFile, "/run/secrets/pg")},
			},
			notices: []string{"CREODIAS.yaml:6:1: accouting: is left out: fedsite reads no such key: did you mean accounting?"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := os.ReadFile("testdata/users." + c.name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(data), "/etc/fedsite/sites.d", dir)
			for i := range c.want.Includes {
				c.want.Includes[i].Pattern = dir + "/*.yaml"
			}
			for i := range c.want.Sites {
				if c.want.Sites[i].Runs.Set != "" {
					c.want.Sites[i].Runs.Set = dir + "/*.yaml"
				}
			}
			var later []string
			for _, line := range report(t, text) {
				_, line, _ = strings.Cut(line, " ")
				said, ok := strings.CutSuffix(line, ": "+notYet)
				if path, message, _ := strings.Cut(line, ": "); !ok && strings.HasSuffix(message, "which is "+notYet) {
					said, ok = path, true
				}
				if !ok {
					t.Errorf("not only what is not there yet: %s", line)
				}
				later = append(later, strings.ReplaceAll(said, ": ", " "))
			}
			if d := cmp.Diff(c.later, later); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			for _, cut := range c.cut {
				text = takeOut(t, text, cut)
			}
			got := parsed(t, text)
			var notices []string
			for _, n := range got.Notices {
				notices = append(notices, strings.TrimPrefix(n.String(), dir+"/"))
			}
			if d := cmp.Diff(c.notices, notices); d != "" {
				t.Errorf("notices (-want +got)\n%s", d)
			}
			c.want.Notices = got.Notices
			for i := range got.Sites {
				got.Sites[i].Unit = Unit{}
			}
			equal(t, got, c.want)
		})
	}
}

// takeOut takes a part out of a text: "a" itself, "a → LINE" the line that begins so, "a → BLOCK" a key at the left
// margin with all that is indented beneath, and "a → b" puts b in place of a.
func takeOut(t *testing.T, text, cut string) string {
	t.Helper()
	what, how, _ := strings.Cut(cut, " → ")
	at := strings.Index(text, what)
	if how != "" {
		at = strings.Index("\n"+text, "\n"+what)
	}
	if at < 0 {
		t.Fatalf("%q is not in the text:\n%s", what, text)
	}
	end := at + len(what)
	switch how {
	case "":
	case "LINE":
		end = at + strings.Index(text[at:], "\n") + 1
	case "BLOCK":
		for end < len(text) && text[end] == ' ' {
			end += strings.Index(text[end:], "\n") + 1
		}
	default:
		return text[:at] + how + text[end:]
	}
	return text[:at] + text[end:]
}

// TestLaterKeysAreNotThereYet: a key that has come must leave the table, or it would still be refused nowhere.
func TestLaterKeysAreNotThereYet(t *testing.T) {
	known := string(Reference())
	for _, key := range laterKeys {
		if strings.Contains(known, "`"+key+"`") {
			t.Errorf("%s is in the file's form, and in the table of what is not there yet", key)
		}
	}
	for path, values := range laterValues {
		for _, v := range values {
			if !isLaterValue(strings.Split(path, "."), v) || !isLaterValue(append([]string{"sites", "[1]"}, strings.Split(path, ".")...), v) {
				t.Errorf("%s: %s is not found", path, v)
			}
		}
	}
	for path, want := range map[string]bool{"access": true, "sites [0] access": true, "sites [0] format": false, "format": false,
		"credentials x": false, "credentials": false, "sites [0] sites": false} {
		if got := isLater(strings.Fields(path)); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

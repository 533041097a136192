package config

import (
	"os"
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
			Credentials: signs("reader"), Parallel: 4, NovaPerSecond: 5, Network: proxy}
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

	for _, c := range []struct {
		name  string
		later []string // paths, in the file's order
		cut   []string // what is taken out so that it loads; "a → b" puts b in its place
		want  Config
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
			later: []string{"clouds[0].credential.images", "accounting.records[1] accelerator", "accounting.records[2] storage", "accounting.records[3] ip", "accounting.ams.topics.storage",
				"images", "access", "web.listen", "web.auth"},
			cut: []string{", images: imagesw",
				", accelerator, storage, ip", ", storage: eu-egi-storage-accounting", "images:\n → BLOCK", "access: {mode → LINE",
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
					Benchmarks: []Benchmark{{"*", "HEPscore23", 15.2}}, Accelerators: []Accelerator{{"g1.*", "GPU", "NVIDIA", "A100", 1, 40}}, Discovery: disabled}},
				Credentials: map[string]Credential{"reader": {OSCloud: "fedsite-reader"}, "imagesw": {OSCloud: "fedsite-images"}},
				Network:     proxy,
			},
		},
		{
			name: "catchall",
			later: []string{"sites[0].format", "sites[0].defaults", "sites[0].limits", "sites[0].overrides",
				"entitlements", "images", "web.auth"},
			// Nothing of the form of its sites' files is there yet: another site stands in for them.
			cut: []string{"sites:\n → BLOCK", "entitlements: → LINE", "images:\n → BLOCK", "web: → LINE",
				"accounting: → sites: [{gocdb: X, clouds: [{name: m, auth_url: \"https://k/v3\", credential: appcred}]}]\naccounting:"},
			want: Config{
				Sites: []Site{{Site: site.Site{Name: "X"}, Accounting: defaults(site.Observe), Privacy: asIs,
					Clouds: []Cloud{{Cloud: site.Cloud{Name: "m", AuthURL: "https://k/v3", ServiceName: "X", Properties: site.DefaultProperties}, Credentials: signs("appcred"), Parallel: 4}}, Discovery: publishing}},
				Credentials: map[string]Credential{"checkin": {OIDC: &checkin}, "store": {OIDC: &checkin, Site: "NCG-INGRID-PT", VO: "cloud.egi.eu"},
					"appcred": {Vault: &VaultCredential{URL: "https://vault.example.org:8200", KV: 1, Mount: "secrets", Path: "users/{sub}/cloudmon/{keystone_host}/{vo}", Login: VaultLogin{JWT: "checkin"}}},
					"harbor":  {Basic: &BasicCredential{User: "robot", Password: secretFrom(fromFile, "/run/secrets/harbor")}}},
				Store: Store{Path: "/var/lib/fedsite", URL: secretFrom(fromFile, "/run/secrets/pg")},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := os.ReadFile("testdata/users." + c.name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
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
			equal(t, parsed(t, text), c.want)
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
	for path, want := range map[string]bool{"images": true, "sites [0] images": true, "sites [0] format": true, "format": false,
		"credentials x": false, "credentials": false, "sites [0] sites": false} {
		if got := isLater(strings.Fields(path)); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/site"
)

// TestService: what the file says of the service as a whole.
func TestService(t *testing.T) {
	const everything = base + `
store: {path: /state, backup: {dir: /b, keep: 3, at: "23:59"}}
limits: {parallel: 20, per_site: 5, deadline: 90m}
notify:
  email: [a@example.org, b@example.org]
  from: f@example.org
  smtp: {host: mail.example.org, user: u, password_file: /p}
  webhook: {url: "https://hooks.example.org/T0/B1", headers: {Authorization: {env: HOOK}, X-Team: ops}}
  heartbeat_url: {credential: beat}
  digest: off
mute:
  - {site: A, part: accounting, reason: moving, until: 2026-12-01}
  - {until: 2026-12-02T12:00:00+01:00}
retention: {records: 2mo30d, access_log: 36h, audit: 1mo15d12h, runs: 1d}
web: {listen: "[::1]:80"}
`
	c := parsed(t, everything)
	got := Config{Store: c.Store, Limits: c.Limits, Notify: c.Notify, Mutes: c.Mutes, Retention: c.Retention, Web: c.Web}
	want := Config{
		Store:  Store{Path: "/state", Backup: Backup{Dir: "/b", Keep: 3, At: Daily{On: true, Hour: 23, Minute: 59}}},
		Limits: Limits{Parallel: 20, PerSite: 5, Deadline: 90 * time.Minute},
		Notify: Notify{Email: []string{"a@example.org", "b@example.org"}, From: "f@example.org",
			SMTP:      SMTP{Host: "mail.example.org", Port: 587, TLS: "starttls", User: "u", Password: secretFrom(fromFile, "/p")},
			Webhook:   &Webhook{URL: NewSecret("https://hooks.example.org/T0/B1"), Headers: map[string]Secret{"Authorization": secretFrom(fromEnv, "HOOK"), "X-Team": NewSecret("ops")}},
			Heartbeat: secretFrom(fromCredential, "beat")},
		Mutes: []Mute{{Site: "A", Part: site.Accounting, Reason: "moving", Until: day(2026, 12, 1)}, {Until: time.Date(2026, 12, 2, 11, 0, 0, 0, time.UTC)}},
		Retention: Retention{Records: Period{Months: 2, Rest: 30 * 24 * time.Hour}, AccessLog: Period{Rest: 36 * time.Hour},
			Audit: Period{Months: 1, Rest: (15*24 + 12) * time.Hour}, Runs: Period{Rest: 24 * time.Hour}},
		Web: Web{Listen: "[::1]:80"},
	}
	if d := cmp.Diff(want, got, ignoreOrigins); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	again := parsed(t, strings.ReplaceAll(shownText(t, c), `"***"`, `"https://x"`))
	if again.Notify.Webhook.Headers["Authorization"] != c.Notify.Webhook.Headers["Authorization"] || again.Retention != c.Retention || again.Notify.Digest.On {
		t.Errorf("what is shown loads to %+v", again)
	}
}

// TestMailIsTaken: what is left out of smtp follows from the rest.
func TestMailIsTaken(t *testing.T) {
	for smtp, want := range map[string]SMTP{
		"{}":                               {Host: "localhost", Port: 25, TLS: "none"},
		"{host: 127.0.0.1, port: 1025}":    {Host: "127.0.0.1", Port: 1025, TLS: "none"},
		"{host: localhost, tls: starttls}": {Host: "localhost", Port: 587, TLS: "starttls"},
		"{host: m.example.org}":            {Host: "m.example.org", Port: 587, TLS: "starttls"},
		"{host: m.example.org, tls: tls}":  {Host: "m.example.org", Port: 465, TLS: "tls"},
		"{host: m.example.org, tls: none}": {Host: "m.example.org", Port: 25, TLS: "none"},
	} {
		if got := parsed(t, base+"notify: {email: a@b, smtp: "+smtp+"}\n").Notify.SMTP; got != want {
			t.Errorf("%s: %+v, want %+v", smtp, got, want)
		}
	}
	if got := parsed(t, base).Notify; !cmp.Equal(got, Notify{}, ignoreOrigins) {
		t.Errorf("without notify: %+v", got)
	}
}

func TestServiceRules(t *testing.T) {
	line := func(s string) string { return base + s + "\n" }
	const listen, period, daily = "must be an address with a port like 127.0.0.1:8470 or [::1]:8470, or off",
		"must be a period in months, days or hours: 18mo, 180d, 36h or 1mo15d", "must be a time of day like 07:00, UTC, or off"
	loopback := func(port, host string) string {
		return "must be on loopback, as 127.0.0.1:" + port + ": others can reach \"" + host + "\", and that needs sign-in, which is not there yet in this version of fedsite"
	}
	check(t, []rule{
		{"limits", line("limits: {parallel: 0, per_site: x, deadline: 10s}"), []string{
			"4:20 limits.parallel: must be at least 1", "4:33 limits.per_site: must be a whole number", "4:46 limits.deadline: must be at least 1m"}},
		{"more for a site than in all", line("limits: {parallel: 2, per_site: 3}"), []string{"4:33 limits.per_site: must be at most parallel, 2"}},
		{"nobody is told", line("notify: {digest: \"08:00\"}"), []string{"4:1 notify: tells nobody: say email, webhook or heartbeat_url"}},
		{"addresses", line("notify: {email: [a, \"A <a@b>\", a@b], from: \"@\"}"), []string{"4:18 notify.email[0]: must be a mail address alone, as ops@example.org",
			"4:21 notify.email[1]: must be a mail address alone, as ops@example.org", "4:44 notify.from: must be a mail address alone, as ops@example.org"}},
		{"digest", line("notify: {email: a@b, digest: 7}"), []string{"4:30 notify.digest: " + daily}},
		{"digest later than the day", line("notify: {email: a@b, digest: \"24:00\"}"), []string{"4:30 notify.digest: " + daily}},
		{"user without password", line("notify: {email: a@b, smtp: {host: m, user: u}}"), []string{"4:22 notify.smtp.password: is required beside user"}},
		{"password without user", line("notify: {email: a@b, smtp: {host: m, password: u}}"), []string{"4:22 notify.smtp.user: is required beside password"}},
		{"password in the clear", line("notify: {email: a@b, smtp: {host: m, tls: none, user: u, password: p}}"), []string{
			"4:55 notify.smtp.user: would be sent unencrypted to m: say tls: starttls or tls"}},
		{"password in the clear on this host", line("notify: {email: a@b, smtp: {user: u, password: p}}"), nil},
		{"webhook", line("notify: {webhook: {url: \"ftp://x\", headers: {\"a b\": x, Host: y}}}"), []string{
			"4:25 notify.webhook.url: must be a URL like https://hooks.example.org/…", "4:46 notify.webhook.headers.***: must be the name of a header, of letters, digits and -, and its value",
			"4:56 notify.webhook.headers.***: must be the name of a header, of letters, digits and -, and its value"}},
		{"webhook without a URL", line("notify: {webhook: {}}"), []string{"4:10 notify.webhook.url: is required"}},
		{"heartbeat", line("notify: {heartbeat_url: hc}"), []string{"4:25 notify.heartbeat_url: must be a URL like https://hooks.example.org/…"}},
		{"a mute without end", line("mute: [{site: A}]"), []string{"4:8 mute[0].until: is required"}},
		{"a mute of nothing known", line("mute: [{site: B, part: acounting, until: 2026-12-01}, {part: access, until: soon}]"), []string{
			`4:15 mute[0].site: no site is called "B"`, `4:24 mute[0].part: must be accounting, discovery or images, not "acounting": did you mean accounting?`,
			"4:62 mute[1].part: access: not there yet in this version of fedsite", "4:77 mute[1].until: must be a day like 2026-11-01, or a moment like 2026-11-01T00:00:00Z"}},
		{"retention", line("retention: {records: 2mo, access_log: 1h, audit: 1y, runs: 15d2mo}"), []string{"4:22 retention.records: must be at least 3mo",
			"4:39 retention.access_log: must be at least 1d", "4:50 retention.audit: " + period, "4:60 retention.runs: " + period}},
		{"retention in days", line("retention: {records: 90d}"), nil},
		{"backup", line("store: {backup: {dir: b, keep: -1, at: \"3:00\"}}"), []string{
			"4:23 store.backup.dir: must be an absolute path: a relative one means something else wherever fedsite is started",
			"4:32 store.backup.keep: must be at least 0", "4:40 store.backup.at: " + daily}},
		{"no backup", line("store: {backup: {keep: 0, at: off}}"), nil},
		{"web off", line("web: {listen: off}"), nil},
		{"web on localhost", line("web: {listen: localhost:0}"), nil},
		{"web everywhere", line("web: {listen: \":8470\"}"), []string{"4:15 web.listen: " + loopback("8470", "")}},
		{"web for others", line("web: {listen: \"192.0.2.1:80\"}"), []string{"4:15 web.listen: " + loopback("80", "192.0.2.1")}},
		{"web for others by name", line("web: {listen: \"localhost.example.org:80\"}"), []string{"4:15 web.listen: " + loopback("80", "localhost.example.org")}},
		{"web for others, IPv6", line("web: {listen: \"[::]:8443\", auth: {}}"), []string{"4:15 web.listen: " + loopback("8443", "::"), "4:28 web.auth: not there yet in this version of fedsite"}},
		{"web without a port", line("web: {listen: 127.0.0.1}"), []string{"4:15 web.listen: " + listen}},
		{"web with a port that is none", line("web: {listen: \"127.0.0.1:http\"}"), []string{"4:15 web.listen: " + listen}},
		{"web with a port too high", line("web: {listen: \"127.0.0.1:65536\"}"), []string{"4:15 web.listen: " + listen}},
		{"web as a list", line("web: {listen: [a]}"), []string{"4:7 web.listen: must be an address with a port like 127.0.0.1:8470, or off"}},
	})
}

// TestModes: a cloud's mode is what it says, a VO's the lower of both, below the site's.
func TestModes(t *testing.T) {
	words := []site.Mode{site.Disabled, site.Observe, site.Active}
	for _, of := range words {
		for j, cloud := range append(words, "") {
			for k, vo := range append(words, "") {
				text := "site: {gocdb: A}\ncredentials: {r: {os_cloud: x}}\naccounting: {previously: caso, mode: " + string(of) + "}\nclouds:\n  - {name: m"
				if cloud != "" {
					text += ", mode: " + string(cloud)
				}
				text += "}\nvos:\n  - {name: v, project: p"
				if vo != "" {
					text += ", mode: {accounting: " + string(vo) + "}"
				}
				c := parsed(t, text+"}\n").Sites[0]
				if got, want := c.Clouds[0].ModeOf(site.Accounting), cloud; c.Accounting.Mode != of || got != want {
					t.Errorf("site %s, cloud %q: %s, %s; want %s", of, cloud, c.Accounting.Mode, got, want)
				}
				if got, want := c.Clouds[0].Cloud.VOs[0].Mode, append(words, "")[min(j, k)]; got != want || c.Site.Clouds[0].VOs[0].Mode != got {
					t.Errorf("site %s, cloud %q, VO %q: %s; want %s", of, cloud, vo, got, want)
				}
			}
		}
	}
}

// TestProjectCredentials: a project's own credential goes before its cloud's.
func TestProjectCredentials(t *testing.T) {
	c := parsed(t, `site: {gocdb: A}
clouds: [{name: r1, credential: general}, {name: r2, like: r1}]
credentials: {general: {os_cloud: x}, own: {os_cloud: y}}
vos:
  - {name: a, project: p, credential: own, cloud: r1}
  - {name: b, project: p}
  - {name: c, project: q, credential: {accounting: own}}
`).Sites[0]
	for _, w := range []struct {
		cloud   int
		project site.Project
		want    string
	}{
		{0, site.Project{ID: "p"}, "own"}, {1, site.Project{ID: "p"}, "general"}, {0, site.Project{ID: "1", Name: "q"}, "own"}, {1, site.Project{ID: "1", Name: "q"}, "own"},
		{0, site.Project{ID: "other", Name: "x"}, "general"},
	} {
		if got := c.Clouds[w.cloud].CredentialOf(site.Accounting, w.project); got != w.want {
			t.Errorf("%s, %+v: %s, want %s", c.Clouds[w.cloud].Cloud.Name, w.project, got, w.want)
		}
	}
}

func TestBelowTheSiteRules(t *testing.T) {
	vo := func(s string) string { return base + "vos: [{name: v, project: p, " + s + "}]\n" }
	check(t, []rule{
		{"mode of a VO", vo("mode: on"), []string{`4:35 vos[0].mode: must be disabled, observe or active, not "on"`}},
		{"mode of a part that is not there yet", vo("mode: {access: active}"), []string{"4:36 vos[0].mode.access: not there yet in this version of fedsite"}},
		{"mode of no part", vo("mode: {accountng: active}"), []string{"4:36 vos[0].mode.accountng: is no key here: did you mean accounting?"}},
		{"credential of a VO", vo("credential: s"), []string{`4:41 vos[0].credential: no credential is called "s"`}},
		{"credential of a part that is not there yet", vo("credential: {access: r}"), []string{"4:42 vos[0].credential.access: not there yet in this version of fedsite"}},
		{"credential that is none for OpenStack", base[:len(base)-2] + ", b: {basic: {user: u, password: p}}}\nvos: [{name: v, project: p, credential: b}]\n", []string{
			"2:10 clouds[0].credential: is required when there are several credentials: r, b", "4:41 vos[0].credential: b is of the kind basic, which OpenStack does not take"}},
		{"two credentials of one project", "site: {gocdb: A}\nclouds: [{name: m, credential: a}]\ncredentials: {a: {os_cloud: x}, b: {os_cloud: y}}\nvos:\n  - {name: v, project: p, credential: a}\n  - {name: w, project: p, credential: b}\n", []string{
			"6:39 vos[1].credential: project p is signed in to with a, says another VO of it: one project has one credential"}},
		{"mode of a cloud", "site: {gocdb: A}\nclouds: [{name: m, mode: [a]}]\ncredentials: {a: {os_cloud: x}}\n", []string{"2:20 clouds[0].mode: must be a text"}},
	})
}

// TestPeriod: months are calendar months.
func TestPeriod(t *testing.T) {
	at := time.Date(2026, 5, 31, 12, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"1mo":     time.Date(2026, 4, 30, 12, 30, 0, 0, time.UTC),
		"3mo":     time.Date(2026, 2, 28, 12, 30, 0, 0, time.UTC),
		"12mo":    time.Date(2025, 5, 31, 12, 30, 0, 0, time.UTC),
		"27mo":    time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC),
		"1mo1d":   time.Date(2026, 4, 29, 12, 30, 0, 0, time.UTC),
		"31d":     time.Date(2026, 4, 30, 12, 30, 0, 0, time.UTC),
		"36h":     time.Date(2026, 5, 30, 0, 30, 0, 0, time.UTC),
		"0h":      at,
		"18mo12h": time.Date(2024, 11, 30, 0, 30, 0, 0, time.UTC),
	} {
		p, ok := parsePeriod(text)
		if got := p.Before(at.In(time.FixedZone("", 7200))); !ok || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s before %s: %s, want %s", text, at, got, want)
		}
		if again, ok := parsePeriod(p.String()); !ok || again != p {
			t.Errorf("%s is written as %s, which is %+v", text, p, again)
		}
	}
	for _, text := range []string{"", "mo", "1", "1m", "-1d", "1d1mo", "1.5mo", "18 mo", "1Mo", "12345mo"} {
		if p, ok := parsePeriod(text); ok {
			t.Errorf("%q is read as %s", text, p)
		}
	}
}

func TestDailyCron(t *testing.T) {
	if got := (Daily{On: true, Hour: 7}).Cron(); got != "0 7 * * *" || checkCron(got) != "" {
		t.Error(got)
	}
	if got := (Daily{}).Cron(); got != "" {
		t.Error(got)
	}
	if got := (Store{Path: "/s"}).BackupDir(); got != "/s/backup" {
		t.Error(got)
	}
	if got := (Store{Path: "/s", Backup: Backup{Dir: "/b"}}).BackupDir(); got != "/b" {
		t.Error(got)
	}
}

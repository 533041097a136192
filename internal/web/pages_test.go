package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/fedsite/fedsite/internal/web"
	"github.com/fedsite/fedsite/internal/web/webtest"
)

// read gives a page's text as a reader sees it, blanks folded, and its parsed form.
func read(t *testing.T, h http.Handler, path string) (string, *html.Node) {
	t.Helper()
	got := ask(t, h, path)
	if got.Code != 200 {
		t.Fatalf("%s: %d %s", path, got.Code, got.Body)
	}
	doc, err := html.Parse(strings.NewReader(got.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.TextNode && n.Parent.Data != "title":
			text.WriteString(n.Data)
		case n.Type == html.ElementNode && n.Data != "bdi" && n.Data != "b":
			text.WriteByte(' ')
		}
	}
	return strings.ReplaceAll(strings.Join(strings.Fields(text.String()), " "), " ,", ","), doc
}

// says fails unless the text has all the words, in this order.
func says(t *testing.T, text string, words ...string) {
	t.Helper()
	rest := text
	for _, w := range words {
		_, after, found := strings.Cut(rest, w)
		if !found {
			t.Errorf("it does not say %q (in this order) in:\n%s", w, text)
			return
		}
		rest = after
	}
}

// TestOverview: what the first page says of services in each condition.
func TestOverview(t *testing.T) {
	for name, c := range map[string]struct {
		source *webtest.Source
		words  []string
		not    []string
	}{
		"well": {webtest.Well(), []string{"2026-11-23 12:40:05 UTC", "✓ All is well", "Next: accounting.send of EXAMPLE-CLOUD at 12:50, in 10 min.", "Running now", "► running", "for 12.0 s",
			"collect: 5 of 12 projects of cloud r1", "Health", "EXAMPLE-CLOUD", "accounting active", "✓ ok", "collected to 12:00", "✓ done", "accounting.collect 12:05, 34 min ago", "fedsite 1.0.2 on cloud-ops-1, serving since 2026-11-20 11:40, 3 days ago"},
			[]string{"Problems", "paused", "overdue"}},
		"troubled": {webtest.Troubled(), []string{"✗ 1 problem, 2 warnings", "1 task is overdue", "1 task is paused until 2026-11-24 08:40", "Problems and what to do",
			"✗ failed EXAMPLE-CLOUD accounting, send", "destination msg.argo.grnet.gr: authn answers 404: Binding was not found (84 times)", "What to do: compare the certificate's DN with the Host DN", "since 05:40, 7 h ago", "run 124 of accounting.send",
			"! warning service the last snapshot is 3 days old", "see whether /backup/fedsite is mounted", "since 2026-11-21 20:40, 40 h ago", "! warning SECOND-CLOUD cloud main accounting, collect", "held: 8 of 8",
			"i note SECOND-CLOUD", "it is looked for again", "EXAMPLE-CLOUD accounting active ✗ failed", "SECOND-CLOUD accounting observe ! warning", "all sites service ! warning", "THIRD-CLOUD accounting disabled – off"}, []string{"All is well"}},
		"muted": {webtest.Muted(), []string{"– All is well but for what is muted", "Problems and what to do", "– off EXAMPLE-CLOUD cloud r1 accounting", "sign-in: muted until 2026-12-03 00:00 UTC (Keystone moves); fail: Keystone does not answer", "EXAMPLE-CLOUD accounting active – off"},
			[]string{"✓ All is well"}},
		"in a downtime": {webtest.InDowntime(), []string{"– All is well but for what is in a downtime", "– in downtime EXAMPLE-CLOUD cloud r1 accounting", "sign-in: in downtime until 2026-11-23 18:00 UTC (a new switch); fail: Keystone does not answer",
			"EXAMPLE-CLOUD accounting active – in downtime", "EXAMPLE-CLOUD downtime – in downtime in downtime until 2026-11-23 18:00 UTC (a new switch)"}, []string{"✓ All is well", "muted"}},
		"in a downtime, and muted": {func() *webtest.Source {
			s := webtest.InDowntime()
			s.Everything.Problems = append(s.Everything.Problems, webtest.Muted().Everything.Problems...)
			return s
		}(), []string{"– All is well but for what is in a downtime or muted"}, nil},
		"in a downtime, with a problem": {func() *webtest.Source {
			s := webtest.InDowntime()
			s.Everything.Problems = append(s.Everything.Problems, webtest.Troubled().Everything.Problems[1])
			return s
		}(), []string{"✗ 1 problem", "– in downtime EXAMPLE-CLOUD"}, []string{"All is well"}},
		"fresh": {webtest.Fresh(), []string{"? Nothing has run yet", "First: accounting.collect of EXAMPLE-CLOUD at 12:43, in 3 min. It asks the clouds for new use of each project and writes it into the ledger.", "Everything only observes: it asks, counts and shows; nothing is sent or changed anywhere.",
			"? not known yet", "none yet", "accounting.collect 12:43, in 3 min"}, []string{"All is well", "Problems"}},
		"nothing": {webtest.Nothing(), []string{"? No site is configured", "fedsite config init --site NAME"}, []string{"Health", "All is well", "Next"}},
	} {
		text, _ := read(t, web.New(web.Options{Source: c.source, Metrics: http.NotFoundHandler()}), "/")
		t.Run(name, func(t *testing.T) {
			says(t, text, c.words...)
			for _, w := range c.not {
				if strings.Contains(text, w) {
					t.Errorf("it says %q:\n%s", w, text)
				}
			}
		})
	}
}

// TestMany: with 300 sites and 2,000 problems the page stays one that can be read, and all is a click away.
func TestMany(t *testing.T) {
	s := web.New(web.Options{Source: webtest.Many(300, 2000)})
	text, _ := read(t, s, "/")
	says(t, text, "✗ 4 problems, 2,007 warnings", "✗ failed 4 sites accounting Keystone does not answer SITE-005 SITE-102 SITE-199 SITE-296 → What to do:",
		"! warning SITE-007 accounting absurd times VM 000000 VM 000001", "VM 000007 and 1,992 more → What to do: look at it", "! warning 7 sites accounting the certificate ends",
		"SITE-005 accounting active ✗ failed", "289 places that are well or off")
	all, _ := read(t, s, "/?problems=all")
	says(t, all, "VM 000007 VM 000008", "VM 001999 → What to do:")
	tasks, _ := read(t, s, "/tasks")
	says(t, tasks, "903 tasks")
	some, _ := read(t, s, "/tasks?q=site-29&only=")
	says(t, some, "30 of 903 tasks")
	bad, _ := read(t, s, "/tasks?only=not+well")
	says(t, bad, "36 of 903 tasks")
}

// TestDifferentProblems: what one site has of all kinds does not hide what others have.
func TestDifferentProblems(t *testing.T) {
	source := webtest.Many(3, 0)
	for i := range 90 {
		source.Everything.Problems = append(source.Everything.Problems, web.Problem{State: web.Fail, Part: "accounting", Site: "site-001-0a1b2c3d", SiteName: "SITE-001", Reason: fmt.Sprint("reason ", i)})
	}
	source.Everything.Problems = append(source.Everything.Problems, web.Problem{State: web.Warn, Part: "accounting", Site: "site-002-0a1b2c3d", SiteName: "SITE-002", Reason: "another"})
	s := web.New(web.Options{Source: source})
	text, _ := read(t, s, "/")
	says(t, text, "90 problems, 1 warning", "SITE-001 accounting reason 9", "SITE-002 accounting another", "80 more problems")
	if strings.Contains(text, "reason 10") {
		t.Error(text)
	}
	text, _ = read(t, s, "/?problems=all")
	says(t, text, "reason 89", "SITE-002 accounting another")
}

// TestTaskPages: the list, one task, and one that has not run yet.
func TestTaskPages(t *testing.T) {
	s := web.New(web.Options{Source: webtest.Troubled()})
	text, _ := read(t, s, "/tasks")
	says(t, text, "12 tasks", "accounting.check EXAMPLE-CLOUD ○ waiting ✗ failed run 124", "accounting.collect SECOND-CLOUD ! overdue", "due since 12:26, 14 min ago", "service.digest all sites ○ waiting ✓ done")
	for only, want := range map[string]string{"paused": "1 of 12 tasks", "overdue": "1 of 12 tasks", "running": "0 of 12 tasks", "nonsense": "12 tasks"} {
		text, _ := read(t, s, "/tasks?only="+only)
		says(t, text, want)
	}
	text, _ = read(t, s, "/tasks/accounting.check/second-cloud-00c1d2e3")
	says(t, text, "accounting.check of SECOND-CLOUD", "It looks whether roles", "‖ paused", "Paused until 2026-11-24 08:40, in 20 h", "Next run 2026-11-24 08:40", "17 * * * * UTC",
		"History", "run 124", "12:05, 35 min ago", "41.0 s", "! partial", "schedule", "cloud-ops-1", "Older runs: fedsite tasks show accounting.check/second-cloud-00c1d2e3")
	text, _ = read(t, s, "/tasks/accounting.check/third-cloud-11c1d2e3")
	says(t, text, "– off", "It has not run yet.")
	text, _ = read(t, web.New(web.Options{Source: webtest.Fresh()}), "/tasks/service.snapshot")
	says(t, text, "It has not run yet. Its first run is due 2026-11-24 03:40, in 15 h.")
}

// TestRunPages: reports of a run that ended, one that failed, and one that goes on.
func TestRunPages(t *testing.T) {
	text, _ := read(t, web.New(web.Options{Source: webtest.Report()}), "/tasks/accounting.check/example-cloud-3f9a2c71/124")
	says(t, text, "! Run 124: partial", "Started 2026-11-23 12:05:05", "Took 41.0 s", "Cause schedule due at 2026-11-23 12:05:00", "Problems", "✗ failed", "has no role", "What to do: openstack role add",
		"Checks", "role ✗ failed project 77d0a1… (vo.new.eu) cloud r1", "flavor ! warning", "endpoints ✓ ok", "topic – skipped", "Counts", "VMs seen 48,213", "problems 1", "Steps", "collect 2026-11-23 12:05:05 39.0 s")
	text, _ = read(t, web.New(web.Options{Source: webtest.Troubled()}), "/tasks/accounting.send/example-cloud-3f9a2c71/124")
	says(t, text, "✗ Run 124: failed", "the database of Nova does not answer", "503 from https://nova.example.org:8774")
	text, _ = read(t, web.New(web.Options{Source: webtest.Well()}), "/tasks/accounting.collect/example-cloud-3f9a2c71/125")
	says(t, text, "► Run 125: running", "collect: 5 of 12 projects of cloud r1", "Runs for 12.0 s", "None so far")
}

// TestPlaceWithoutTasks: a part that has no tasks is not said to wait for its first run; a zero of the database is no time.
func TestPlaceWithoutTasks(t *testing.T) {
	source := webtest.Well()
	source.Everything.Places = append(source.Everything.Places, web.Place{Part: "config", Site: "example-cloud-3f9a2c71", SiteName: "EXAMPLE-CLOUD", Health: web.Health{State: web.OK}})
	source.Everything.Problems = []web.Problem{{State: web.Warn, Part: "config", Site: "example-cloud-3f9a2c71", Reason: "odd", Task: "service.snapshot"}}
	s := web.New(web.Options{Source: source})
	text, _ := read(t, s, "/")
	says(t, text, "odd service.snapshot", "EXAMPLE-CLOUD config ✓ ok – –")
	p := source.Reports["service.snapshot 124"]
	p.Run.Slot = time.Unix(0, 0)
	source.Reports["service.snapshot 124"] = p
	text, _ = read(t, s, "/tasks/service.snapshot/124")
	if strings.Contains(text, "1970") {
		t.Error(text)
	}
	if title := ask(t, s, "/").Body.String(); !strings.Contains(title, "<title>1 warning · EXAMPLE-CLOUD · fedsite</title>") {
		t.Errorf("%.300s", title)
	}
}

// TestHostileTexts: whatever tenants and clouds write, it is text on each page, and can be seen.
func TestHostileTexts(t *testing.T) {
	s := web.New(web.Options{Source: webtest.Hostile()})
	known := map[string]bool{}
	for _, e := range strings.Fields("html head meta title link body header nav a p time main section h1 h2 h3 span ul li b bdi table thead tbody tr th td div details summary progress dl dt dd code form label input select option button footer") {
		known[e] = true
	}
	for _, path := range []string{"/", "/?problems=all", "/tasks", "/tasks/" + webtest.NastyTask, "/tasks/" + webtest.NastyTask + "/124", "/tasks?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&only=%3Cb%3E"} {
		raw := ask(t, s, path).Body.String()
		_, doc := read(t, s, path)
		if !utf8.ValidString(raw) || regexp.MustCompile("[\x00-\x08\x0b-\x1f\x7f\u200b\u202a-\u202e\u2066-\u2069\ufeff]").MatchString(raw) {
			t.Errorf("%s: something invisible is in the page", path)
		}
		h1 := 0
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if !known[n.Data] {
				t.Errorf("%s: an element %q came in", path, n.Data)
			}
			if n.Data == "h1" {
				h1++
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || (a.Key == "href" && !strings.HasPrefix(a.Val, "/")) {
					t.Errorf("%s: %s has %s=%q", path, n.Data, a.Key, a.Val)
				}
			}
		}
		if h1 != 1 {
			t.Errorf("%s has %d h1", path, h1)
		}
	}
	text, _ := read(t, s, "/tasks/"+webtest.NastyTask+"/124")
	says(t, text, "<script>alert(document.domain)</script>", `\u202exe.pdf\u2066 hidden\u200bspace\ufeff`, `line one line two\x0d \x1b[31mred\x1b[0m\x00\x07 end`, "… (6,400 more characters)", "… and 1,800 more that are not listed")
}

// TestIsolated: each foreign text is isolated, so that one that runs from right to left moves nothing else.
func TestIsolated(t *testing.T) {
	_, doc := read(t, web.New(web.Options{Source: webtest.Hostile()}), "/?problems=all")
	found := false
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && strings.Contains(n.Data, "חומרה") {
			found = true
			if n.Parent.Data != "bdi" {
				t.Errorf("%q stands in %s", n.Data, n.Parent.Data)
			}
		}
	}
	if !found {
		t.Error("the text is not on the page")
	}
}

// TestRefresh: a page stays still unless its reader wants it to refresh itself.
func TestRefresh(t *testing.T) {
	s := web.New(web.Options{Source: webtest.Well()})
	const meta = `<meta http-equiv="refresh" content="60">`
	if page := ask(t, s, "/").Body.String(); strings.Contains(page, "http-equiv") || !strings.Contains(page, `href="/?refresh=60"`) {
		t.Error("the page refreshes itself, or offers no way to")
	}
	for _, asked := range []string{"/?refresh=60", "/?refresh=0%3Burl=https://evil.example.org", "/?refresh"} {
		page := ask(t, s, asked).Body.String()
		if !strings.Contains(page, meta) || strings.Contains(page, "evil") || !strings.Contains(page, `<a href="/">refreshes every 60 s; stop</a>`) {
			t.Errorf("%s: %.300s", asked, page)
		}
	}
	if page := ask(t, s, "/tasks/service.snapshot/124?refresh=60").Body.String(); strings.Contains(page, "http-equiv") {
		t.Error("a run that ended is refreshed")
	}
}

// TestValues: what programs are given; lists are never null, times are UTC, texts are whole.
func TestValues(t *testing.T) {
	text := ask(t, web.New(web.Options{Source: webtest.Troubled()}), "/api/v1/overview").Body.String()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	if o["state"] != "fail" || o["tasks"] != nil || o["now"] != "2026-11-23T12:40:05Z" || len(o["places"].([]any)) != 4 || len(o["problems"].([]any)) != 4 {
		t.Errorf("%s", text)
	}
	place := o["places"].([]any)[0].(map[string]any)
	if place["site_name"] != "EXAMPLE-CLOUD" || place["last"].(map[string]any)["outcome"] != "failed" || place["next"].(map[string]any)["at"] != "2026-11-23T12:43:05Z" {
		t.Errorf("%v", place)
	}
	nothing := web.New(web.Options{Source: webtest.Nothing()})
	for path, want := range map[string]string{"/api/v1/overview": `"state":"unknown","places":[],"problems":[]`, "/api/v1/tasks": `"tasks":[]`} {
		if got := ask(t, nothing, path).Body.String(); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
	fresh := web.New(web.Options{Source: webtest.Fresh()})
	if got := ask(t, fresh, "/api/v1/tasks/service.snapshot").Body.String(); !strings.Contains(got, `"history":[]`) {
		t.Error(got)
	}
	hostile := ask(t, web.New(web.Options{Source: webtest.Hostile()}), "/api/v1/tasks/"+webtest.NastyTask+"/124").Body.String()
	if strings.Contains(hostile, "<") || !strings.Contains(hostile, `\u003cscript\u003e`) || !strings.Contains(hostile, `\u202exe.pdf`) && !strings.Contains(hostile, "\u202exe.pdf") {
		t.Error("a text is not whole, or not escaped")
	}
}

// TestWords: times and lengths in words, seen from an instant.
func TestWords(t *testing.T) {
	source := webtest.Fresh()
	task := &source.Everything.Tasks[0]
	for d, want := range map[time.Duration]string{0: "12:40, now", time.Second: "12:40, now", 30 * time.Second: "12:40, in 30 s", 90 * time.Second: "12:41, in 1 min", 59 * time.Minute: "13:39, in 59 min",
		12 * time.Hour: "2026-11-24 00:40, in 12 h", 47 * time.Hour: "2026-11-25 11:40, in 47 h", 72 * time.Hour: "2026-11-26 12:40, in 3 days", 400 * 24 * time.Hour: "2027-12-28 12:40, in 400 days", -30 * time.Second: "due since 12:39, 30 s ago"} {
		task.Due = webtest.Now.Add(d).In(time.FixedZone("CET", 3600))
		text, _ := read(t, web.New(web.Options{Source: source}), "/tasks/"+task.Name)
		says(t, text, "Next run "+want)
	}
	for _, d := range []time.Duration{-time.Minute, -2 * time.Minute} {
		task.Due = webtest.Now.Add(d)
		text, _ := read(t, web.New(web.Options{Source: source}), "/tasks/"+task.Name)
		says(t, text, map[bool]string{true: "○ due", false: "! overdue"}[d == -time.Minute])
	}
}

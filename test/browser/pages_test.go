//go:build browser

package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/web"
	"github.com/fedsite/fedsite/internal/web/webtest"
)

// looks are all pages that are looked at.
var looks = []struct {
	name   string
	source *webtest.Source
	path   string
	notice string
}{
	{"well", webtest.Well(), "/", "DEMO: the services behind it are emulated; its clock is 2026-11-23 12:40 UTC"},
	{"troubled", webtest.Troubled(), "/", ""},
	{"fresh", webtest.Fresh(), "/", ""},
	{"nothing", webtest.Nothing(), "/", ""},
	{"many", webtest.Many(300, 2000), "/", ""},
	{"hostile", webtest.Hostile(), "/?problems=all", ""},
	{"hostile-run", webtest.Hostile(), "/tasks/" + webtest.NastyTask + "/124", ""},
	{"hostile-task", webtest.Hostile(), "/tasks/" + webtest.NastyTask, ""},
	{"hostile-tasks", webtest.Hostile(), "/tasks", ""},
	{"run", webtest.Report(), "/tasks/accounting.check/example-cloud-3f9a2c71/124", ""},
	{"running", webtest.Well(), "/tasks/accounting.collect/example-cloud-3f9a2c71/125", ""},
	{"task", webtest.Troubled(), "/tasks/accounting.check/second-cloud-00c1d2e3", ""},
	{"tasks", webtest.Troubled(), "/tasks", ""},
	{"missing", webtest.Well(), "/nothing", ""},
}

// sizes of a phone, a tablet and a screen.
var sizes = [][2]int{{360, 800}, {768, 1024}, {1440, 900}}

// grounds are the colours that pages stand on.
var grounds = map[string]string{"light": "rgb(251, 251, 249)", "dark": "rgb(20, 23, 26)", "print": "rgb(255, 255, 255)"}

// inspect gives what is wrong with a page: what is wider than the screen, and text that has too little contrast with what it
// stands on, or is too small.
const inspect = `((wide, least) => {
	const wrong = [], see = e => e.tagName + '.' + e.className + ' ' + (e.textContent || '').trim().slice(0, 60);
	const page = Math.max(innerWidth, document.documentElement.scrollWidth); // a phone makes room for what is too wide
	if (page > wide) wrong.push('the page is ' + page + ' wide');
	const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
	const lum = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	let n, texts = 0;
	while (n = walk.nextNode()) {
		const e = n.parentElement, style = getComputedStyle(e), range = document.createRange();
		if (!n.data.trim() || e.closest('.hidden') || !e.checkVisibility()) continue;
		texts++;
		range.selectNodeContents(n);
		const box = range.getBoundingClientRect();
		if (box.right > wide + 1 || box.left < -1) wrong.push('beyond the edge: ' + see(e));
		if (n.data.trim().length > 8 && box.width < 45 && box.height > 60) wrong.push('squeezed: ' + see(e));
		if (parseFloat(style.fontSize) < least) wrong.push('small: ' + style.fontSize + ' ' + see(e));
		let back = e;
		while (back && (rgb(getComputedStyle(back).backgroundColor)[3] === 0)) back = back.parentElement;
		const a = lum(rgb(style.color)), b = lum(back ? rgb(getComputedStyle(back).backgroundColor) : [255, 255, 255]);
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) wrong.push('contrast ' + ratio.toFixed(2) + ': ' + see(e));
	}
	if (!texts) wrong.push('there is no text');
	if (document.scripts.length || document.querySelectorAll('img, iframe, object, [onclick], [onmouseover], [onerror]').length) wrong.push('something came in');
	if (document.querySelectorAll('h1').length !== 1 || !document.querySelector('main') || !document.title) wrong.push('no title, no main, or not one h1');
	for (const c of document.querySelectorAll('input, select')) if (!c.labels.length) wrong.push('no label: ' + see(c));
	return wrong.slice(0, 12);
})`

// TestPages looks at each page on a phone, a tablet and a screen, in light, in dark and on paper.
func TestPages(t *testing.T) {
	b := open(t)
	pictures := os.Getenv("FEDSITE_SCREENSHOTS")
	for _, l := range looks {
		t.Run(l.name, func(t *testing.T) {
			srv := httptest.NewServer(web.New(web.Options{Source: l.source, Metrics: http.NotFoundHandler(), Notice: l.notice}))
			defer srv.Close()
			b.t = t
			for _, size := range sizes {
				for _, scheme := range []string{"light", "dark", "print"} {
					if scheme == "print" && size[0] != 768 {
						continue
					}
					look := fmt.Sprintf("%s-%d-%s", l.name, size[0], scheme)
					b.size(size[0], size[1], scheme)
					for _, h := range b.visit(srv.URL + l.path) {
						if !strings.Contains(h, "404") || l.name != "missing" {
							t.Errorf("%s: %s", look, h)
						}
					}
					var wrong []string
					if b.eval(fmt.Sprintf(`%s(%d, %d)`, inspect, size[0], map[bool]int{true: 11, false: 13}[scheme == "print"]), &wrong); len(wrong) > 0 {
						t.Errorf("%s:\n\t%s", look, strings.Join(wrong, "\n\t"))
					}
					var back string
					if b.eval(`getComputedStyle(document.body).backgroundColor`, &back); back != grounds[scheme] {
						t.Errorf("%s: the ground is %s: is there a style sheet?", look, back)
					}
					if pictures != "" {
						b.shoot(filepath.Join(pictures, look+".png"), 2600)
					}
				}
			}
		})
	}
}

package webtest

import (
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/web"
)

// Nasty are texts as a tenant or a cloud may send them.
var Nasty = []string{
	`<script>alert(document.domain)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`' onmouseover='alert(1)`,
	`</bdi></td></table></main><h1>All is well</h1>`,
	`{{.Secret}} ${x} <!-- ]]> --> javascript:alert(1)`,
	`&lt;b&gt; &amp;amp; &#x3c;`,
	"invoice\u202exe.pdf\u2066 hidden\u200bspace\ufeff",
	"חומרה לא תקינה בפרויקט — שגיאה 503, أعد المحاولة",
	strings.Repeat("a", 700),
	strings.Repeat("Donaudampfschifffahrtsgesellschaftskapitän", 12),
	"Z" + strings.Repeat("\u0301\u0316\u0353", 60) + "algo",
	"line one\nline two\r\n\x1b[31mred\x1b[0m\x00\x07 end",
	"broken \xff\xfe utf-8 \xc3(",
	strings.Repeat("all work and no play ", 400),
	"🛰️👩‍🔬 emoji 漢字かな交じり文が続いても折り返す漢字かな交じり文が続いても折り返す",
	"",
	" ",
}

// NastyTask is a task whose site is called by a nasty name.
const NastyTask = "accounting.collect/nasty-0a1b2c3d"

// Hostile has nasty texts wherever a text of others can be.
func Hostile() *Source {
	s := empty(Now.Add(-73 * time.Hour))
	s.site("nasty-0a1b2c3d", Nasty[0], "active", web.Health{State: web.Fail, Reason: Nasty[1], Remedy: Nasty[2], Since: Now.Add(-time.Hour)}, true)
	for i, text := range Nasty {
		other := Nasty[(i+1)%len(Nasty)]
		s.Everything.Problems = append(s.Everything.Problems, web.Problem{State: web.Warn, Part: "accounting", Site: "nasty-0a1b2c3d", SiteName: text, Cloud: other, Object: text, Step: other,
			Reason: text, Remedy: other, Since: Now.Add(-time.Hour), Task: NastyTask, Fence: 124})
	}
	last := &web.Run{Task: NastyTask, Fence: 124, Cause: Nasty[2], Node: Nasty[3], Started: Now.Add(-time.Hour), Ended: Now.Add(-59 * time.Minute), Outcome: "partial", Problems: len(Nasty), Reason: Nasty[8]}
	t := &s.Everything.Tasks[0]
	t.Last, t.PausedUntil = last, Now.Add(time.Hour)
	t.Running = &web.Run{Task: NastyTask, Fence: 125, Node: Nasty[8], Started: Now.Add(-5 * time.Minute), Progress: &web.Progress{Step: Nasty[0], What: Nasty[9], Done: 7, Total: 9}}
	p := web.RunPage{Now: Now, Task: *t, Run: *last, Dropped: 1800}
	for i, text := range Nasty {
		other := Nasty[(i+5)%len(Nasty)]
		p.Problems = append(p.Problems, web.Problem{State: web.Fail, Cloud: other, Object: text, Step: "collect", Reason: other, Remedy: text, Times: 3})
		p.Checks = append(p.Checks, web.Check{State: web.Warn, Part: "accounting", Cloud: text, Object: other, Name: text, Reason: other, Remedy: text})
		p.Counts = append(p.Counts, web.Count{Name: text, N: 1_234_567})
		p.Steps = append(p.Steps, web.Step{Name: text, Started: Now, Ended: Now.Add(time.Second)})
	}
	s.Reports[key(NastyTask, 124)] = p
	s.Histories[NastyTask] = append([]web.Run{*last}, s.Histories[NastyTask]...)
	return s
}

// Report is a run's report as it is most days: some problems, checks of all kinds.
func Report() *Source {
	s := Troubled()
	const task = "accounting.check/example-cloud-3f9a2c71"
	p := s.Reports[key(task, 124)]
	p.Run.Outcome, p.Run.Reason = "partial", ""
	p.Problems = []web.Problem{
		{State: web.Fail, Cloud: "r1", Object: "project 77d0a1… (vo.new.eu)", Reason: "user fedsite-reader has no role", Remedy: "openstack role add --user fedsite-reader --project 77d0a1… reader"},
		{State: web.Warn, Object: "certificate", Reason: "hostcert.pem ends in 19 days", Remedy: "renew it, and check the new one first"},
	}
	p.Checks = []web.Check{
		{State: web.OK, Name: "endpoints", Cloud: "r1", Reason: "6 of 6 services public, TLS ≥ 61 days"},
		{State: web.Fail, Name: "role", Cloud: "r1", Object: "project 77d0a1… (vo.new.eu)", Reason: "user fedsite-reader has no role", Remedy: "openstack role add --user fedsite-reader --project 77d0a1… reader"},
		{State: web.Warn, Name: "flavor", Cloud: "r1", Object: "g1.a100", Reason: "pci_passthrough:alias but no Accelerator:Number; GPU hours are 0", Remedy: `set the property, or flavors: "g1.a100" in fedsite.yaml`},
		{State: web.Skip, Name: "topic", Reason: "not asked without a token"},
	}
	s.Reports[key(task, 124)] = p
	return s
}

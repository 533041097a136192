// Package archtest checks that the arrows between packages point the way the house is built: inward, from the command to
// the formats of the federation. Its test fails on a wrong arrow, and names it.
package archtest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// layers are the packages from the outermost to the innermost; a package imports those of its own layer and of the ones
// below. "x/..." is x and everything beneath it.
var layers = [][]string{
	{"test/..."}, // what holds the whole against other programs
	{"cmd/..."},
	{"internal/app/..."},
	{"internal/accounting/...", "internal/discovery/...", "internal/images/...", "internal/access/...", "internal/web/...", "internal/information/...", "internal/directory/...", "internal/doctor/...",
		"internal/tasks/...", "internal/health/...", "internal/config/...", "internal/telemetry/...", "internal/emulator/..."},
	{"internal/openstack/...", "internal/credential/...", "internal/store/...", "internal/audit/...", "internal/transport/...", "internal/download/...", "internal/listen/...", "internal/notify/...", "internal/conversion/..."},
	{"internal/site/...", "internal/run/..."},
	{"protocol/..."},
}

// Sets of packages that several rules speak of.
var (
	everything  = []string{"..."}
	pipelines   = []string{"internal/accounting/...", "internal/discovery/...", "internal/images/...", "internal/access/..."}
	drivers     = []string{"modernc.org/...", "github.com/jackc/...", "github.com/pressly/goose/..."}
	gophercloud = []string{"github.com/gophercloud/..."}
	testSupport = []string{"internal/archtest/...", "internal/prerequisite/...", "internal/store/storetest/...", "internal/web/webtest/...", "internal/app/daemontest/...", "protocol/glue/slapdtest", "internal/discovery/sinktest/..."}
	std         = "std" // the standard library
)

// rule forbids arrows from some packages to others.
type rule struct {
	from, unless []string // packages that it binds, and those among them that it does not
	to           []string // what they don't import
	only         []string // or: all that they may import, beside their own root
	free         int      // how many of to a package may import all the same
	words        string
}

var rules = []rule{
	{from: []string{"protocol/..."}, to: []string{"internal/...", "cmd/..."}, words: "protocol/ imports nothing from internal/, so that others can use it"},
	{from: pipelines, to: pipelines, words: "a pipeline imports no other pipeline"},
	{from: pipelines, to: gophercloud, words: "a pipeline reaches clouds through internal/openstack"},
	{from: pipelines, to: drivers, words: "a pipeline reaches the database through internal/store"},
	{from: pipelines, to: []string{"net/http/..."}, words: "a pipeline speaks no HTTP itself: interfaces live with it, and others implement them"},
	{from: everything, unless: []string{"internal/openstack/..."}, to: gophercloud, words: "only internal/openstack imports gophercloud"},
	{from: everything, unless: []string{"internal/store/..."}, to: drivers, words: "only internal/store imports database drivers and goose"},
	{from: everything, unless: []string{"protocol/smime"}, to: []string{"github.com/smallstep/pkcs7/..."}, words: "only protocol/smime imports pkcs7"},
	{from: everything, unless: []string{"internal/config/..."}, to: []string{"github.com/goccy/...", "gopkg.in/ini.v1"}, words: "only internal/config reads configuration files"},
	{from: everything, unless: []string{"internal/tasks/..."}, to: []string{"github.com/robfig/cron/..."}, words: "only internal/tasks imports cron"},
	{from: everything, unless: []string{"internal/telemetry/..."}, to: []string{"github.com/prometheus/..."}, words: "only internal/telemetry imports Prometheus' client"},
	{from: everything, unless: []string{"internal/app/...", "cmd/fedsite"}, to: pipelines, free: 1, words: "only internal/app and cmd/fedsite import more than one pipeline"},
	{from: []string{"internal/emulator/..."}, only: []string{"protocol/...", std}, words: "the emulator is built on protocol/ alone, so that it shares no mistake with what it tests"},
	{from: []string{"internal/site/...", "internal/run/..."}, only: []string{"protocol/...", std}, words: "internal/site and internal/run are values and rules, on protocol/ alone"},
	{from: []string{"internal/config/..."}, only: []string{"internal/site", "github.com/goccy/...", "gopkg.in/ini.v1", std}, words: "internal/config knows internal/site and its parsers, nothing else"},
	{from: []string{"internal/store/...", "internal/transport/...", "internal/notify/..."}, unless: testSupport, to: []string{"internal/..."}, words: "internal/store, internal/transport and internal/notify know no domain"},
	{from: []string{"internal/information/..."}, only: []string{"protocol/...", "internal/run", "internal/transport", "internal/listen", "golang.org/x/...", std}, words: "internal/information serves anybody's documents, and knows no part that makes them"},
	{from: []string{"internal/health/..."}, to: pipelines, words: "internal/health judges by what parts report in internal/run's terms, and knows none of them"},
	{from: everything, unless: testSupport, to: append([]string{"testing/..."}, testSupport...), words: "what runs in production imports nothing made for tests"},
}

// badNames say nothing of what is inside.
var badNames = []string{"util", "utils", "common", "helpers", "misc", "types", "models"}

// maxLines is the longest a file may be.
const maxLines = 500

// Check gives what is wrong with the packages of a module, a line each.
func Check(packages []Package) []string {
	var wrong []string
	for _, p := range packages {
		if slices.Contains(badNames, path.Base(p.Path)) {
			wrong = append(wrong, fmt.Sprintf("%s: a package is a noun of the domain, not %q", p.Path, path.Base(p.Path)))
		}
		for name, n := range p.Lines {
			if n > maxLines {
				wrong = append(wrong, fmt.Sprintf("%s/%s: %d lines: a file has at most %d", p.Path, name, n, maxLines))
			}
		}
		wrong = append(wrong, inward(p)...)
		for _, r := range rules {
			for _, to := range r.broken(p) {
				wrong = append(wrong, arrow(p.Path, to, r.words))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

func arrow(from, to, words string) string { return fmt.Sprintf("%s → %s: %s", from, to, words) }

// inward checks the layers.
func inward(p Package) []string {
	if in(p.Path, testSupport) {
		return nil
	}
	own := layer(p.Path)
	if own < 0 {
		return []string{p.Path + ": it stands on no layer: give it its place in archtest's table"}
	}
	var wrong []string
	for _, to := range p.Imports {
		if l := layer(to); l >= 0 && l < own {
			wrong = append(wrong, arrow(p.Path, to, "arrows point inward: cmd → app → pipelines and services → openstack, store, transport → site, run → protocol"))
		}
	}
	return wrong
}

func layer(pkg string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return in(pkg, l) })
}

// broken gives the imports of a package that the rule forbids.
func (r rule) broken(p Package) []string {
	if !in(p.Path, r.from) || in(p.Path, r.unless) {
		return nil
	}
	var bad []string
	seen := map[string]bool{}
	for _, to := range p.Imports {
		switch {
		case root(to) == root(p.Path):
		case r.only != nil && !in(to, r.only), r.only == nil && in(to, r.to):
			if r.free == 0 || !seen[root(to)] {
				bad = append(bad, to)
			}
			seen[root(to)] = true
		}
	}
	return bad[min(r.free, len(bad)):]
}

// root is the part of the house that a package belongs to: "internal/accounting", "protocol/smime".
func root(pkg string) string {
	parts := strings.SplitN(pkg, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// in tells whether one of the patterns fits the package.
func in(pkg string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if pattern == std {
			first, _, _ := strings.Cut(pkg, "/")
			return !strings.Contains(first, ".") && !slices.Contains([]string{"internal", "protocol", "cmd", "test"}, first)
		}
		prefix, deep := strings.CutSuffix(pattern, "...")
		if !deep {
			return pkg == pattern
		}
		return strings.HasPrefix(pkg+"/", prefix)
	})
}

// inside makes an import path of the module relative to it.
func inside(module, pkg string) string {
	if rest, ok := strings.CutPrefix(pkg, module+"/"); ok && module != "" {
		return rest
	}
	return pkg
}

package archtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestArrows fails when an arrow of this module points the wrong way.
func TestArrows(t *testing.T) {
	packages, err := Load(t.Context(), filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 15 {
		t.Fatalf("only %d packages were listed", len(packages))
	}
	for _, w := range Check(packages) {
		t.Error(w)
	}
}

// TestWrongArrows shows, for every rule, that it is found out and put into words.
func TestWrongArrows(t *testing.T) {
	cases := []struct {
		from    string
		imports []string
		want    string // "" = allowed
	}{
		{"protocol/ams", []string{"internal/run"}, "protocol/ams → internal/run: protocol/ imports nothing from internal/"},
		{"protocol/ssm", []string{"protocol/smime"}, ""},
		{"internal/accounting", []string{"internal/images/plan"}, "internal/accounting → internal/images/plan: a pipeline imports no other pipeline"},
		{"internal/accounting", []string{"internal/accounting/part", "internal/store", "internal/openstack"}, ""},
		{"internal/discovery", []string{"github.com/gophercloud/gophercloud/v2"}, "internal/discovery → github.com/gophercloud/gophercloud/v2: a pipeline reaches clouds through internal/openstack"},
		{"internal/images", []string{"modernc.org/sqlite"}, "internal/images → modernc.org/sqlite: a pipeline reaches the database through internal/store"},
		{"internal/access/federation", []string{"net/http"}, "internal/access/federation → net/http: a pipeline speaks no HTTP itself"},
		{"internal/accounting", []string{"net/http/httptest"}, "internal/accounting → net/http/httptest: a pipeline speaks no HTTP itself"},
		{"internal/app", []string{"github.com/gophercloud/gophercloud/v2/openstack"}, "internal/app → github.com/gophercloud/gophercloud/v2/openstack: only internal/openstack imports gophercloud"},
		{"internal/tasks", []string{"github.com/jackc/pgx/v5/pgconn"}, "internal/tasks → github.com/jackc/pgx/v5/pgconn: only internal/store imports database drivers"},
		{"internal/app", []string{"github.com/pressly/goose/v3"}, "only internal/store imports database drivers and goose"},
		{"internal/store", []string{"github.com/pressly/goose/v3", "modernc.org/sqlite", "github.com/jackc/pgx/v5"}, ""},
		{"protocol/ssm", []string{"github.com/smallstep/pkcs7"}, "protocol/ssm → github.com/smallstep/pkcs7: only protocol/smime imports pkcs7"},
		{"cmd/fedsite", []string{"github.com/goccy/go-yaml"}, "cmd/fedsite → github.com/goccy/go-yaml: only internal/config reads configuration files"},
		{"internal/app", []string{"github.com/robfig/cron/v3"}, "internal/app → github.com/robfig/cron/v3: only internal/tasks imports cron"},
		{"internal/web", []string{"github.com/prometheus/client_golang/prometheus/promhttp"}, "internal/web → github.com/prometheus/client_golang/prometheus/promhttp: only internal/telemetry imports Prometheus' client"},
		{"internal/telemetry", []string{"github.com/prometheus/client_golang/prometheus"}, ""},
		{"internal/health", []string{"internal/accounting"}, "internal/health → internal/accounting: internal/health judges by what parts report"},
		{"internal/health", []string{"internal/notify", "internal/run", "internal/store"}, ""},
		{"internal/information", []string{"internal/discovery"}, "internal/information → internal/discovery: internal/information serves anybody's documents"},
		{"internal/information", []string{"internal/web"}, "internal/information → internal/web: internal/information serves anybody's documents"},
		{"internal/information", []string{"protocol/glue", "protocol/gocdb", "internal/run", "internal/transport", "internal/listen", "net/http", "golang.org/x/net/netutil"}, ""},
		{"internal/notify", []string{"internal/run"}, "internal/notify → internal/run: internal/store, internal/transport and internal/notify know no domain"},
		{"internal/web", []string{"internal/accounting", "internal/discovery"}, "internal/web → internal/discovery: only internal/app and cmd/fedsite import more than one pipeline"},
		{"internal/web", []string{"internal/discovery", "internal/discovery/catalog"}, ""},
		{"internal/app/demo", []string{"internal/accounting", "internal/discovery", "internal/images"}, ""},
		{"internal/emulator/federation", []string{"internal/transport"}, "internal/emulator/federation → internal/transport: the emulator is built on protocol/ alone"},
		{"internal/emulator/openstack", []string{"internal/emulator/world", "protocol/ssm", "net/http"}, ""},
		{"internal/emulator/world", []string{"github.com/google/uuid"}, "internal/emulator/world → github.com/google/uuid: the emulator is built on protocol/ alone"},
		{"internal/site", []string{"internal/run"}, "internal/site → internal/run: internal/site and internal/run are values and rules"},
		{"internal/run", []string{"github.com/dustin/go-humanize"}, "internal/run → github.com/dustin/go-humanize: internal/site and internal/run are values and rules"},
		{"internal/config", []string{"internal/site", "github.com/goccy/go-yaml/ast", "encoding/json"}, ""},
		{"internal/config", []string{"internal/openstack"}, "internal/config → internal/openstack: internal/config knows internal/site and its parsers, nothing else"},
		{"internal/transport", []string{"internal/site"}, "internal/transport → internal/site: internal/store, internal/transport and internal/notify know no domain"},
		{"internal/store", []string{"internal/openstack"}, "internal/store → internal/openstack: internal/store, internal/transport and internal/notify know no domain"},
		{"internal/app", []string{"internal/prerequisite"}, "internal/app → internal/prerequisite: what runs in production imports nothing made for tests"},
		{"internal/app", []string{"testing"}, "internal/app → testing: what runs in production imports nothing made for tests"},
		{"internal/store/storetest", []string{"internal/prerequisite", "testing"}, ""},
		{"internal/openstack", []string{"internal/transport", "internal/site"}, ""},
		{"internal/openstack", []string{"internal/tasks"}, "internal/openstack → internal/tasks: arrows point inward"},
		{"internal/accounting", []string{"internal/app"}, "internal/accounting → internal/app: arrows point inward"},
		{"internal/app", []string{"cmd/fedsite"}, "internal/app → cmd/fedsite: arrows point inward"},
		{"internal/app", []string{"test/peers"}, "internal/app → test/peers: arrows point inward"},
		{"test/peers", []string{"internal/app", "internal/config", "protocol/apel"}, ""},
		{"internal/newcomer", nil, "internal/newcomer: it stands on no layer"},
		{"internal/app/util", nil, `internal/app/util: a package is a noun of the domain, not "util"`},
		{"protocol/types", nil, `protocol/types: a package is a noun of the domain, not "types"`},
	}
	for _, c := range cases {
		got := Check([]Package{{Path: c.from, Imports: c.imports}})
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s → %v is allowed, but: %q", c.from, c.imports, got)
		case c.want != "" && !slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, c.want) }):
			t.Errorf("%s → %v: %q, want %q", c.from, c.imports, got, c.want)
		}
	}
}

// TestLoad reads a small module whose arrows are wrong, as the go command sees it.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                             "module example.org/house\n\ngo 1.26\n",
		"protocol/glue/glue.go":              "package glue\n\nimport _ \"example.org/house/internal/run\"\n",
		"internal/run/run.go":                "package run\n\nimport _ \"net/http\"\n",
		"internal/run/run_test.go":           "package run\n\nimport _ \"example.org/house/internal/app\"\n" + strings.Repeat("// long\n", 500),
		"internal/run/testdata/bad/bad.go":   "package bad\n\nimport _ \"example.org/house/internal/app\"\n",
		"internal/app/app.go":                "package app\n",
		"internal/app/app_other.go":          "//go:build plan9\n\npackage app\n" + strings.Repeat("// long\n", 498),
		"internal/accounting/accounting.go":  "package accounting\n\nimport _ \"github.com/gophercloud/gophercloud/v2\"\n",
		"internal/accounting/internal/in.go": "package internal\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOFLAGS", "-mod=readonly")
	t.Setenv("GOWORK", "off")
	packages, err := Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"internal/accounting → github.com/gophercloud/gophercloud/v2: a pipeline reaches clouds through internal/openstack",
		"internal/accounting → github.com/gophercloud/gophercloud/v2: only internal/openstack imports gophercloud",
		"internal/app/app_other.go: 501 lines: a file has at most 500",
		"internal/run/run_test.go: 503 lines: a file has at most 500",
		"protocol/glue → internal/run: arrows point inward: cmd → app → pipelines and services → openstack, store, transport → site, run → protocol",
		"protocol/glue → internal/run: protocol/ imports nothing from internal/, so that others can use it",
	}
	if d := cmp.Diff(want, Check(packages)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

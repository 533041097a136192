package telemetry

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/prerequisite"
)

// rules is where the alert rules are.
var rules = filepath.Join("..", "..", "deploy", "prometheus")

// TestAlertRules checks the alert rules, and runs their own tests.
func TestAlertRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		prerequisite.Missing(t, "promtool", "apt-get install --no-install-recommends prometheus (it need not run)")
	}
	for _, args := range [][]string{{"check", "rules", "fedsite.rules.yml"}, {"test", "rules", "fedsite.rules.test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = rules
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestAlertRulesNameMetrics: what the rules ask for is there, with the labels that they tell of; each has all its words, and
// a test.
func TestAlertRulesNameMetrics(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(rules, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text, tests := read("fedsite.rules.yml"), read("fedsite.rules.test.yml")
	for _, rule := range strings.Split(text, "- alert: ")[1:] {
		name, _, _ := strings.Cut(rule, "\n")
		expr := regexp.MustCompile(`expr: (.*)\n`).FindStringSubmatch(rule)
		if expr == nil {
			t.Fatalf("%s has no expr", name)
		}
		for _, word := range []string{"severity: ", "summary: ", "description: ", "remedy: "} {
			if !strings.Contains(rule, word) {
				t.Errorf("%s has no %s", name, word)
			}
		}
		if !strings.Contains(tests, `"`+name+`"`) && !strings.Contains(tests, "alertname: "+name+"\n") {
			t.Errorf("%s has no test", name)
		}
		for _, used := range regexp.MustCompile(`fedsite_[a-z_]+`).FindAllString(expr[1], -1) {
			i := slices.IndexFunc(metrics, func(m metric) bool { return prefix+m.name == used })
			if i < 0 {
				if used != prefix+"metrics_ok" {
					t.Errorf("%s asks for %s, which there is not", name, used)
				}
				continue
			}
			for _, label := range regexp.MustCompile(`\$labels\.([a-z]+)`).FindAllStringSubmatch(rule, -1) {
				if !slices.Contains(metrics[i].labels, label[1]) && used != prefix+"tasks_paused" && used != prefix+"downtime" {
					t.Errorf("%s tells of the label %s, which %s has not", name, label[1], used)
				}
			}
		}
	}
}

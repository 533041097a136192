//go:build e2e

package e2e

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/app/daemontest"
)

// serveEnv says how long TestServe lets the service run; 40 s when it is not set.
const serveEnv = "FEDSITE_E2E_SERVE"

// TestServe lets the service collect from the real cloud and send, while a server lives and the service is killed, stopped
// and reloaded. What it kept and sent equals the databases.
func TestServe(t *testing.T) {
	long := 40 * time.Second
	if text := os.Getenv(serveEnv); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	s := newStage(t, findLab(t))
	s.admin.replace(t, "  settle:", "  schedule: {collect: \"@every 15s\", send: \"@every 10s\", check: \"@every 30s\"}\n  settle:")
	s.admin.replace(t, "store:", "web: {listen: off}\nstore:")
	s.admin.collect(t, 3, time.Now().Add(-settle-time.Second))
	s.admin.send(t)
	service := s.admin.service(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(service.Start())
	one := s.l.boot(t, "e2e-served")
	life := []string{"server stop ", "server start ", "server rebuild --image almalinux-9 ", "server delete --wait "}
	r := rand.New(rand.NewPCG(1, 1))
	did := map[string]int{}
	for end := time.Now().Add(long); time.Now().Before(end); {
		waitFor(t, time.Now().Add(time.Duration(4+r.IntN(10))*time.Second))
		if len(life) > 0 {
			s.l.commands(t, []string{life[0] + one})
			life = life[1:]
		}
		what := []string{"kill", "stop", "reload"}[r.IntN(3)]
		did[what]++
		switch what {
		case "kill":
			service.Kill()
			must(service.Start())
		case "stop":
			must(service.Stop())
			must(service.Start())
		case "reload":
			must(service.Reload())
		}
	}
	must(service.Stop())
	s.to = time.Now().Truncate(time.Second).Add(time.Second)
	waitFor(t, s.to.Add(settle+time.Second))
	s.admin.collect(t, 3, s.to)
	s.admin.send(t)
	ledger := s.admin.ledger(t)
	a := account{site: siteName, service: serviceName, cloudType: "fedsite/" + s.version + " (OpenStack)", since: day(s.since), to: s.to.Unix(), first: s.first}
	equalTruth(t, readTruth(t, s.l).records(a), ledger)
	for k, e := range ledger {
		if e.Sent[broker] != "yes" {
			t.Errorf("%v: the ledger says %q of the broker", k, e.Sent[broker])
		}
	}
	for i, m := range s.federation.Received() {
		if !m.Accepted {
			t.Errorf("message %d was refused: %s", i, m.Reason)
		}
	}
	out, _ := s.admin.call(t, 0, "tasks", "list")
	t.Logf("%s: %v, %d records, %d messages\n%s", long, did, len(ledger), len(s.federation.Received()), out)
}

// service gives fedsite serve of the site.
func (s *site) service(t *testing.T) *daemontest.Daemon {
	t.Helper()
	d, err := daemontest.New(func() *exec.Cmd {
		cmd := exec.Command(s.program, "serve", "--config", s.config)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(s.config)} // no proxy, no OS_*
		return cmd
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the service said:\n%s", d.Said())
		}
	})
	return d
}

//go:build e2e

package e2e

import (
	"bytes"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serveEnv says how long TestServe lets the service run; a minute when it is not set.
const serveEnv = "FEDSITE_E2E_SERVE"

// TestServe lets the service collect from the real cloud and send, while a server lives and the service is killed, stopped
// and reloaded. What it kept and sent equals the databases.
func TestServe(t *testing.T) {
	long := time.Minute
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
	service.start()
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
			service.kill()
			service.start()
		case "stop":
			service.stop()
			service.start()
		case "reload":
			service.reload()
		}
	}
	service.stop()
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

// service is fedsite serve, as systemd starts it.
type service struct {
	t     *testing.T
	site  *site
	words *net.UnixConn
	cmd   *exec.Cmd
	dead  chan struct{}
	mu    sync.Mutex
	out   bytes.Buffer
}

func (s *site) service(t *testing.T) *service {
	t.Helper()
	dir, err := os.MkdirTemp("", "fedsite") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	words, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	v := &service{t: t, site: s, words: words}
	t.Cleanup(func() {
		v.kill()
		_ = words.Close()
		_ = os.RemoveAll(dir)
		if t.Failed() {
			t.Logf("the service said:\n%s", &v.out)
		}
	})
	return v
}

// Write takes the service's log.
func (v *service) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.out.Write(p)
}

func (v *service) start() {
	v.t.Helper()
	v.cmd = exec.Command(v.site.program, "serve", "--config", v.site.config)
	v.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(v.site.config), "NOTIFY_SOCKET=" + v.words.LocalAddr().String()}
	v.cmd.Stdout, v.cmd.Stderr = v, v
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	dead, cmd := make(chan struct{}), v.cmd
	v.dead = dead
	go func() { _ = cmd.Wait(); close(dead) }()
	v.tells("READY=1")
}

// tells waits until the service has told systemd something.
func (v *service) tells(want string) {
	v.t.Helper()
	text := make([]byte, 1024)
	if err := v.words.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		v.t.Fatal(err)
	}
	for {
		n, err := v.words.Read(text)
		if err != nil {
			v.t.Fatalf("it does not tell %s: %v", want, err)
		}
		if strings.HasPrefix(string(text[:n]), want) {
			return
		}
	}
}

func (v *service) kill() {
	if v.cmd != nil {
		_ = v.cmd.Process.Kill()
		<-v.dead
	}
}

// stop stops the service as systemctl does; it ends well, and waits for what runs.
func (v *service) stop() {
	v.t.Helper()
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		v.t.Fatal(err)
	}
	select {
	case <-v.dead:
	case <-time.After(time.Minute):
		v.t.Fatal("the service does not end")
	}
	if code := v.cmd.ProcessState.ExitCode(); code != 0 {
		v.t.Errorf("stopped, the service exits with %d", code)
	}
}

func (v *service) reload() {
	v.t.Helper()
	if err := v.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		v.t.Fatal(err)
	}
	v.tells("RELOADING=1")
	v.tells("READY=1")
}

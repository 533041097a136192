//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sessions are what python-openstackclient is told to do, one process for each account.
var sessions = map[string][]string{
	reader: {"token issue", "catalog list", "server list --name ^fed-", "server list --long --name ^fed-", "server show fed-web", "server event list fed-stopped", "flavor list", "flavor show m1.small",
		"image list --public --name ubuntu-22.04", "image show almalinux-9", "volume list", "network list", "floating ip list", "usage show --start 2026-01-01", "limits show --absolute"},
	member: {"image create --disk-format raw --min-disk 1 --property hw_disk_bus=virtio --file /etc/debian_version e2e-compared", "image set --property os_distro=debian --property a/b~c=d e2e-compared", "image unset --property hw_disk_bus e2e-compared",
		"image set --shared e2e-compared", "image add project e2e-compared {project vo-ops}", "image member list e2e-compared", "image remove project e2e-compared {project vo-ops}", "image set --hidden e2e-compared",
		"image set --private e2e-compared", "image set --deactivate e2e-compared", "image set --activate e2e-compared", "image delete e2e-compared"},
	admin: {"project list --domain default", "project show vo-fedcloud", "user list --domain default", "server list --all-projects --limit 3 --name ^bio-", "image member list {image EGI Small Ubuntu}"},
}

// clients lets python-openstackclient do the same with both clouds, through a proxy that keeps what it asks and is answered.
// It must ask both the same, which it only does if it understood the answers before alike; then the answers are compared.
func (p *comparison) clients(t *testing.T) {
	for account, commands := range sessions {
		t.Run(account, func(t *testing.T) {
			lab, emulator := p.session(t, p.lab, account, commands), p.session(t, p.emulator, account, commands)
			if diff := cmp.Diff(questions(lab), questions(emulator)); diff != "" {
				t.Fatalf("it asks the lab other than the emulator (-lab +emulator):\n%s", diff)
			}
			for i := range lab {
				name := "openstackclient " + account + " " + lab[i].question
				t.Run(fmt.Sprintf("%03d %s", i, lab[i].question), func(t *testing.T) { p.compare(t, name, lab[i].answer, emulator[i].answer) })
			}
		})
	}
}

// exchange is a request of the client's and its answer.
type exchange struct {
	question string // method, URL and microversion, without what the cloud's own place and ids put into them
	answer
}

func questions(all []exchange) []string {
	var list []string
	for _, e := range all {
		list = append(list, e.question)
	}
	return list
}

// session runs commands of the client against a cloud and gives what it asked in between.
func (p *comparison) session(t *testing.T, s *side, account string, commands []string) []exchange {
	t.Helper()
	keeper := &keeper{t: t, side: s}
	proxy := httptest.NewServer(keeper)
	defer proxy.Close()
	user, project, _ := strings.Cut(account, "@")
	dir := t.TempDir()
	config := fmt.Sprintf("clouds:\n  it: {region_name: RegionOne, auth: {auth_url: %q, username: %s, password: %s, project_name: %s, user_domain_name: Default, project_domain_name: Default}}\n",
		s.roots["identity"]+"/v3", user, s.password, project)
	if err := os.WriteFile(filepath.Join(dir, "clouds.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.l.client)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(p.fill(strings.Join(commands, "\n")) + "\n")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8", "OS_CLOUD=it", "OS_CLIENT_CONFIG_FILE=" + filepath.Join(dir, "clouds.yaml"), "http_proxy=" + proxy.URL}
	var problems bytes.Buffer
	cmd.Stderr = &problems
	_ = cmd.Run() // where its input ends its exit code is always 1
	if text := strings.TrimSpace(problems.String()); text != "" {
		t.Errorf("%s: the client complains: %s", s.name, text)
	}
	return keeper.all
}

// keeper is a proxy that keeps what passes through it.
type keeper struct {
	t    *testing.T
	side *side
	mu   sync.Mutex
	all  []exchange
}

// ServeHTTP sends a request on and its answer back.
func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	if err != nil {
		k.t.Error(err)
		return
	}
	q.Header = r.Header.Clone()
	q.Header.Del("Proxy-Connection")
	q.Header.Del("Accept-Encoding") // so that the body is readable here
	resp, err := k.side.client.Do(q)
	if err != nil {
		k.t.Error(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Error(err)
		return
	}
	version := r.Header.Get("OpenStack-API-Version")
	question := strings.Join(strings.Fields(r.Method+" "+strings.TrimSuffix(k.side.neutral(r.URL.String()), "/")+" "+version), " ")
	k.mu.Lock()
	k.all = append(k.all, exchange{question, answer{resp.StatusCode, resp.Header.Clone(), body}})
	k.mu.Unlock()
	for name, values := range resp.Header {
		w.Header()[name] = slices.Clone(values)
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body)
}

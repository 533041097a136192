package information

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/prerequisite"
)

// Where fedcloudclient looks for its list of sites; the host is a constant of the program.
const (
	listHost = "raw.githubusercontent.com"
	listPath = "/tdviet/fedcloudclient/master/config/sites.yaml"
	ourHost  = "is.example.org"
)

// fedcloud is EGI's fedcloudclient as it is released, which reaches nothing but one server of the test: every host that it
// asks for through its proxy is that server.
type fedcloud struct {
	program, home, proxy, authority string
}

func newFedcloud(t *testing.T, s *Server) *fedcloud {
	t.Helper()
	program := os.Getenv("FEDSITE_FEDCLOUDCLIENT")
	if program == "" {
		var err error
		if program, err = exec.LookPath("fedcloud"); err != nil {
			prerequisite.Missing(t, "fedcloudclient", "python3 -m venv fc && fc/bin/pip install -r test/e2e/requirements-fedcloudclient.txt; then FEDSITE_FEDCLOUDCLIENT=fc/bin/fedcloud")
		}
	}
	f := &fedcloud{program: program, home: t.TempDir()}
	cert, authority := certificate(t, listHost, ourHost)
	f.authority = filepath.Join(f.home, "ca.pem")
	if err := os.WriteFile(f.authority, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == listHost && r.URL.Path == listPath {
			r.URL.Path = "/fedcloudclient/"
		}
		s.ServeHTTP(w, r)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	t.Cleanup(server.Close)
	proxy := httptest.NewServer(tunnel(server.Listener.Addr().String()))
	t.Cleanup(proxy.Close)
	f.proxy = proxy.URL
	return f
}

// tunnel is a proxy by which every host is one.
func tunnel(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
			return
		}
		there, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", to)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = there.Close()
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	}
}

// certificate gives a server's certificate for hosts, and what to trust for it.
func certificate(t *testing.T, hosts ...string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: hosts, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// run runs a command of fedcloudclient and gives what it prints.
func (f *fedcloud) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), f.program, args...)
	cmd.Env = []string{"HOME=" + f.home, "PATH=" + os.Getenv("PATH"), "SSL_CERT_FILE=" + f.authority, "https_proxy=" + f.proxy, "http_proxy=" + f.proxy, "PYTHONUTF8=1"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fedcloud %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// TestFedcloudclient lets EGI's command line client read sites and projects from us.
func TestFedcloudclient(t *testing.T) {
	hostile := "vo.\u2028 'it''s': #\t\"\\ {a: 1} \U0001F600"
	s := serve(t, Options{BaseURL: "https://" + ourHost, Sources: []Source{&holding{name: "docs", docs: map[string]string{
		"a": string(recorded(t)),
		"b": string(body(t, offer(t, "IFCA-LCG2", "7513G0", "https://api.cloud.example.org:5000/v3/", "vo.access.egi.eu", "ops", "/biomed/vip"))),
		"c": string(body(t, offer(t, "odd ?#name", "9G0", "https://odd.example.org/v3", hostile, "yes", "123", "null"))),
	}}}})
	f := newFedcloud(t, s)
	if d := cmp.Diff("IFCA-LCG2\nLAB-SITE\nodd ?#name\n", f.run(t, "site", "list")); d != "" {
		t.Errorf("site list (-want +got)\n%s", d)
	}
	if d := cmp.Diff("IFCA-LCG2\nLAB-SITE\n", f.run(t, "site", "list", "--vo", "ops")); d != "" {
		t.Errorf("site list --vo (-want +got)\n%s", d)
	}
	if d := cmp.Diff("odd ?#name\n", f.run(t, "site", "list", "--vo", hostile)); d != "" {
		t.Errorf("site list --vo %q (-want +got)\n%s", hostile, d)
	}
	shown := f.run(t, "site", "show", "--all-sites")
	for _, part := range []string{
		"endpoint: http://127.0.0.1:5900/v3\ngocdb: LAB-SITE\nvos:\n- auth:\n    project_id: p-ops\n  name: ops\n\n",
		"gocdb: odd ?#name\n", "name: 'yes'\n", "name: '123'\n", "name: 'null'\n",
	} {
		if !strings.Contains(shown, part) {
			t.Errorf("site show --all-sites says no %s:\n%s", part, shown)
		}
	}
	got := f.run(t, "site", "show-project-id", "--site", "IFCA-LCG2", "--vo", "/biomed/vip")
	for _, part := range []string{"https://api.cloud.example.org:5000/v3/", "p-/biomed/vip"} {
		if !strings.Contains(got, part) {
			t.Errorf("site show-project-id says no %s:\n%s", part, got)
		}
	}
	// from now on it reads the files that it saved
	f.run(t, "site", "save-config")
	f.proxy = "http://127.0.0.1:1"
	if d := cmp.Diff("IFCA-LCG2\n", f.run(t, "site", "list", "--vo", "vo.access.egi.eu")); d != "" {
		t.Errorf("site list from saved files (-want +got)\n%s", d)
	}
}

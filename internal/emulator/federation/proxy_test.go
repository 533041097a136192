package federation_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/federation"
)

// TestProxy: by the proxy each name is its handler, under a certificate for that name, and no other host is reached.
func TestProxy(t *testing.T) {
	f, err := federation.Start("127.0.0.1", time.Now, "SITE")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	says := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	}
	proxy, stop, err := f.Proxy(map[string]http.Handler{"goc.egi.eu": f.GOCDB, "one.example.org": says("one")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	through, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), TLSClientConfig: &tls.Config{RootCAs: f.CA.Pool()}}}
	t.Cleanup(client.CloseIdleConnections)
	get := func(url string) (string, error) {
		res, err := client.Get(url)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		return string(text), err
	}
	if text, err := get("https://goc.egi.eu/gocdbpi/public/?method=get_service"); err != nil || !strings.Contains(text, "<results") {
		t.Errorf("GOCDB: %v %.200s", err, text)
	}
	if text, err := get("https://one.example.org/"); err != nil || text != "one" {
		t.Errorf("one.example.org: %v %q", err, text)
	}
	if text, err := get("https://other.example.org/"); err == nil {
		t.Errorf("other.example.org is reached: %q", text)
	}
}

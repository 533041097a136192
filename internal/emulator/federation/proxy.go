package federation

import (
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Proxy serves handlers under names of hosts, for programs in which such names are constants: who uses the proxy of the URL
// reaches them over https, by a certificate of the federation's authority, and nobody else. Stop it.
func (f *Federation) Proxy(hosts map[string]http.Handler) (proxy string, stop func(), err error) {
	certPEM, keyPEM, err := f.CA.Issue("Proxy", strings.Join(slices.Sorted(maps.Keys(hosts)), ","))
	if err != nil {
		return "", nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return "", nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	quiet := log.New(io.Discard, "", 0)
	named := &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		if h := hosts[host]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})}
	there, err := net.Listen("tcp", net.JoinHostPort(f.Host, "0"))
	if err != nil {
		return "", nil, err
	}
	here, err := net.Listen("tcp", net.JoinHostPort(f.Host, "0"))
	if err != nil {
		_ = there.Close() // nobody has used it
		return "", nil, err
	}
	tunnels := &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || hosts[r.URL.Hostname()] == nil {
			http.Error(w, "no way to "+r.URL.Host, http.StatusForbidden)
			return
		}
		tunnel(w, r, there.Addr().String())
	})}
	go named.Serve(tls.NewListener(there, cfg)) //nolint:errcheck // ends with Close
	go tunnels.Serve(here)                      //nolint:errcheck // likewise
	u := url.URL{Scheme: "http", Host: here.Addr().String()}
	return u.String(), func() { _, _ = tunnels.Close(), named.Close() }, nil
}

// tunnel joins the client's connection to one to the address, until both have ended.
func tunnel(w http.ResponseWriter, r *http.Request, to string) {
	server, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, client) // however it ends, the other way ends with it
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

package federation

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation/endorser"
	"github.com/fedsite/fedsite/internal/prerequisite"
	"github.com/fedsite/fedsite/protocol/diskimage"
	"github.com/fedsite/fedsite/protocol/gridtrust"
	"github.com/fedsite/fedsite/protocol/oci"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// publishing gives a federation that publishes its first images, and a client that trusts it.
func publishing(t *testing.T, o ImageOptions) (*Federation, *http.Client) {
	t.Helper()
	f := started(t)
	if f.ListURL("ops") != "" || f.RegistryURL() != "" {
		t.Error("images are published though nobody asked for it")
	}
	if err := errors.Join(f.StartImages(o), f.PublishList("ops"), f.PublishRegistry()); err != nil {
		t.Fatal(err)
	}
	if f.StartImages(o) == nil {
		t.Error("the publishers are started twice")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.CA.Pool()}}
	t.Cleanup(tr.CloseIdleConnections)
	elsewhere := func(req *http.Request, via []*http.Request) error { // Go's own rule does not look at ports
		if req.URL.Host != via[0].URL.Host {
			req.Header.Del("Authorization")
		}
		return nil
	}
	return f, &http.Client{Transport: tr, Timeout: 10 * time.Second, CheckRedirect: elsewhere}
}

func get(t *testing.T, c *http.Client, url string, header ...string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(url, res.Status, err)
	}
	return body
}

// trust writes and reads the directory of authorities.
func trust(t *testing.T, f *Federation, dir string) *gridtrust.Trust {
	t.Helper()
	if err := f.WriteTrust(dir); err != nil {
		t.Fatal(err)
	}
	read, warnings, err := gridtrust.Read(os.DirFS(dir))
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	return read
}

// strict refuses whatever a directory can say no to.
func strict(authorities *gridtrust.Trust) vmlist.Trust {
	return vmlist.Trust{Authorities: authorities, Now: day, CRL: gridtrust.Require, Names: gridtrust.Require}
}

// TestList: the list that is published verifies as strictly as can be, its files are the disks that it says, and it is
// refused once its endorser's certificate is revoked.
func TestList(t *testing.T) {
	f, client := publishing(t, ImageOptions{})
	dir := t.TempDir()
	l, err := vmlist.Verify(get(t, client, f.ListURL("ops")), strict(trust(t, f, dir)))
	if err != nil || len(l.Images) != 3 || len(l.Bad) > 0 || l.VO != "ops" || l.Endorser.DN != f.Images.Signer.DN() {
		t.Fatalf("%+v, %v", l, err)
	}
	seen := map[string]bool{}
	for _, i := range l.Images {
		body := get(t, client, i.URI)
		info, err := diskimage.Inspect(bytes.NewReader(body), int64(len(body)), diskimage.Limits{Declared: i.Format})
		if err != nil || len(info.Warnings) > 0 || int64(len(body)) != i.Size || seen[i.SHA512] || !slices.Contains([]string{UbuntuImage, AlmaImage, DebianImage}, i.ID) {
			t.Errorf("%s: %+v, %v", i.Title, info, err)
		}
		seen[i.SHA512] = true
	}
	f.CA.Revoke(f.Images.Signer.Certificate, day)
	if _, err := vmlist.Verify(f.Images.Endorser.Signed("ops"), strict(trust(t, f, dir))); !errors.Is(err, gridtrust.ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	certPEM, keyPEM, err := f.CA.Issue("EGI.eu", "appdb.example.org")
	f.Images.Endorser.SignAs(identity(t, certPEM, keyPEM, err))
	if err := f.PublishList("ops"); err != nil {
		t.Fatal(err)
	}
	if _, err := vmlist.Verify(f.Images.Endorser.Signed("ops"), strict(trust(t, f, dir))); err != nil {
		t.Errorf("with another certificate: %v", err)
	}
}

// TestRegistry: the images that are pushed are found as EGI's are, their files are disks, and a new build moves the tag. Files
// that are kept elsewhere are found there.
func TestRegistry(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		f, client := publishing(t, ImageOptions{Storage: elsewhere})
		c := &oci.Client{HTTP: client, URL: f.RegistryURL(), Now: func() time.Time { return day }}
		list := func() (all []oci.Image) {
			t.Helper()
			l := c.List(t.Context(), oci.Place{Projects: []string{ImageProject}}, oci.Policy{})
			if !l.Complete() || len(l.Images) != 2 || l.Images[0].Ref != "egi_vm_images/ubuntu:22.04" || l.Images[1].Ref != "egi_vm_images/ubuntu:24.04" {
				t.Fatalf("%+v", l)
			}
			return l.Images
		}
		before := list()
		for _, i := range before {
			target, authorization, err := c.Blob(t.Context(), i.Repository, i.Layer.Digest)
			if err != nil {
				t.Fatal(err)
			}
			body := get(t, client, target, "Authorization", authorization)
			info, err := diskimage.Inspect(bytes.NewReader(body), int64(len(body)), diskimage.Limits{Declared: i.Format})
			if err != nil || len(info.Warnings) > 0 || info.Format != diskimage.QCOW2 || int64(len(body)) != i.Layer.Size {
				t.Errorf("%s: %+v, %v", i.Ref, info, err)
			}
			if n := f.Images.Registry.Asked("STORAGE GET /" + i.Layer.Digest); (n > 0) != elsewhere {
				t.Errorf("elsewhere %v: the store was asked %d times", elsewhere, n)
			}
		}
		if err := f.PushUbuntu("24.04", "0a1b2c3d", 7); err != nil {
			t.Fatal(err)
		}
		after := list()
		if after[0].Digest != before[0].Digest || after[1].Digest == before[1].Digest || after[1].Layer.Digest == before[1].Layer.Digest || after[1].Annotations[oci.TagAnnotation] != "2026-11-24-0a1b2c3d" {
			t.Errorf("after a new build: %+v", after)
		}
	}
}

// TestAgain: after a Close the publishers are found where they were, with what they had.
func TestAgain(t *testing.T) {
	f, client := publishing(t, ImageOptions{Storage: true, Endorser: endorser.Options{Token: "secret"}})
	list, registry := f.ListURL("ops"), f.RegistryURL()
	before := f.Images.Endorser.Signed("ops")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	client.CloseIdleConnections()
	if res, err := client.Get(list); err == nil {
		_ = res.Body.Close()
		t.Error("served after a Close")
	}
	if err := f.Listen(); err != nil {
		t.Fatal(err)
	}
	if f.ListURL("ops") != list || f.RegistryURL() != registry {
		t.Errorf("%s, %s, want %s, %s", f.ListURL("ops"), f.RegistryURL(), list, registry)
	}
	if after := get(t, client, strings.Replace(list, "https://", "https://secret:x-oauth-basic@", 1)); !bytes.Equal(before, after) {
		t.Error("another list")
	}
	c := &oci.Client{HTTP: client, URL: registry, Now: func() time.Time { return day }}
	if l := c.List(t.Context(), oci.Place{Projects: []string{ImageProject}}, oci.Policy{}); len(l.Images) != 2 {
		t.Errorf("%+v", l)
	}
}

// TestImageFaults: the federation's faults strike the publishers of images, too.
func TestImageFaults(t *testing.T) {
	f, client := publishing(t, ImageOptions{})
	for service, url := range map[string]string{"store": f.ListURL("ops"), "v2": f.RegistryURL() + "/v2/"} {
		f.Faults.Add(faults.Fault{Service: service, Effect: faults.Effect{Status: http.StatusTeapot}})
		res, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close() != nil || res.StatusCode != http.StatusTeapot {
			t.Errorf("%s: %s", url, res.Status)
		}
	}
}

// TestNames: files of the directory are named as OpenSSL looks for them.
func TestNames(t *testing.T) {
	// Made with OpenSSL 3.0: openssl x509 -subject_hash of the vectors' root.
	root, err := os.ReadFile("testdata/example-grid-root.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(root)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if hash, err := nameHash(c.RawSubject); err != nil || hash != "55617add" {
		t.Errorf("%s, %v", hash, err)
	}
	if _, err := nameHash([]byte("no name")); err == nil {
		t.Error("the hash of no name")
	}
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		prerequisite.Missing(t, "openssl", "apt install openssl")
	}
	f, _ := publishing(t, ImageOptions{})
	dir := t.TempDir()
	trust(t, f, dir)
	list, signer := filepath.Join(t.TempDir(), "list"), filepath.Join(t.TempDir(), "signer.pem")
	if err := errors.Join(os.WriteFile(list, f.Images.Endorser.Signed("ops"), 0o600), os.WriteFile(signer, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Images.Signer.Certificate.Raw}), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"smime", "-verify", "-purpose", "any", "-no-CAfile", "-no-CAstore", "-CApath", dir, "-in", list},
		{"verify", "-no-CAfile", "-no-CAstore", "-CApath", dir, "-crl_check", "-attime", "1795521600", signer}, // day
	} {
		if out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput(); err != nil {
			t.Errorf("openssl %v: %v\n%s", args, err, out)
		}
	}
	f.CA.Revoke(f.Images.Signer.Certificate, day.Add(-time.Minute))
	trust(t, f, dir)
	if out, err := exec.CommandContext(t.Context(), openssl, "verify", "-no-CAfile", "-no-CAstore", "-CApath", dir, "-crl_check", "-attime", "1795521600", signer).CombinedOutput(); err == nil || !strings.Contains(string(out), "revoked") {
		t.Errorf("revoked: %v\n%s", err, out)
	}
}

//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// files serves lists and the files that they name.
type files struct {
	*httptest.Server
	mu sync.Mutex
	at map[string][]byte // by path
}

func newFiles(t *testing.T) *files {
	f := &files{at: map[string][]byte{}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		body, ok := f.at[r.URL.Path]
		f.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"`+hash(body)[:16]+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *files) put(path string, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at[path] = body
}

func (f *files) get(path string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at[path]
}

func hash(body []byte) string {
	sum := sha512.Sum512(body)
	return hex.EncodeToString(sum[:])
}

// listed is an image of a list: what differs between them.
type listed struct{ id, title, version, format, path, sum string }

// The throw-away endorser, and the authority that knows it.
const (
	pki      = "../../internal/app/testdata/pki/"
	endorser = "/DC=EU/DC=EGI/C=NL/O=Hosts/O=EGI.eu/CN=appdb.example.org"
	rootCA   = "/DC=org/DC=example-grid/CN=Example Grid Root CA"
)

// sign publishes a list as the AppDB writes it, signed by OpenSSL.
func (f *files) sign(t *testing.T, l *lab, vo, version string, all ...listed) {
	t.Helper()
	var list []any
	for _, i := range all {
		body := f.get(i.path)
		if i.sum == "" {
			i.sum = hash(body)
		}
		list = append(list, map[string]any{"hv:image": map[string]any{"dc:identifier": i.id, "ad:mpuri": mpuri(i), "dc:title": i.title, "dc:description": "Of the end-to-end test", "hv:version": i.version,
			"hv:hypervisor": "QEMU,KVM", "hv:format": i.format, "hv:size": fmt.Sprint(len(body)), "hv:uri": f.URL + i.path, "hv:ram_minimum": "536870912", "hv:core_minimum": "1", "dc:date:expires": "2499-12-31T22:00:00Z",
			"sl:arch": "x86_64", "sl:os": "Linux", "sl:osname": "Ubuntu", "sl:osversion": "24.04", "sl:checksum:sha512": i.sum}})
	}
	text, err := json.Marshal(map[string]any{"hv:imagelist": map[string]any{"dc:identifier": "e2e-" + vo, "dc:title": "Image list of " + vo, "dc:date:created": "2026-11-0" + version + "T10:00:00Z", "dc:date:expires": "2499-12-31T22:00:00Z",
		"ad:vo": vo, "hv:version": version, "hv:endorser": map[string]any{"hv:x509": map[string]any{"hv:dn": endorser, "hv:ca": rootCA}}, "hv:images": list}})
	if err != nil {
		t.Fatal(err)
	}
	signed := run(t.Context(), t, string(text), nil, l.openssl, "smime", "-sign", "-md", "sha256", "-signer", pki+"endorser.pem", "-inkey", pki+"endorser.key")
	f.put("/"+vo, []byte(signed))
}

func mpuri(i listed) string {
	return "https://appdb.example.org/store/vo/image/" + i.id + ":" + i.version + "/"
}

// disk is a bootable disk of so many MiB that is otherwise for each seed, as it is and as qemu-img writes it.
type disk struct {
	dir, raw string
}

func newDisk(t *testing.T, mib int, seed uint64) disk {
	t.Helper()
	d := disk{dir: t.TempDir()}
	d.raw = filepath.Join(d.dir, "disk.raw")
	body := make([]byte, mib<<20)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(body)
	clear(body[446:510]) // one partition, to start from: Glance looks into the table from 2025.1 on
	copy(body[446:], []byte{0x80, 0, 2, 0, 0x83, 0, 0xff, 0xff, 1, 0, 0, 0, 0, 1, 0, 0})
	body[510], body[511] = 0x55, 0xaa
	if err := os.WriteFile(d.raw, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// as gives the disk in a format of qemu-img's.
func (d disk) as(t *testing.T, format string, options ...string) []byte {
	t.Helper()
	file := filepath.Join(d.dir, "disk."+format)
	if format != "raw" {
		run(t.Context(), t, "", nil, "qemu-img", append(append([]string{"convert", "-f", "raw", "-O", format}, options...), d.raw, file)...)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// ova gives the disk in an appliance, as VMware exports it.
func (d disk) ova(t *testing.T) []byte {
	t.Helper()
	vmdk := d.as(t, "vmdk", "-o", "subformat=streamOptimized")
	info, err := os.Stat(d.raw)
	if err != nil {
		t.Fatal(err)
	}
	ovf := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
<References><File ovf:id="file1" ovf:href="disk.vmdk" ovf:size="%d"/></References>
<DiskSection><Info>Disks</Info><Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="%d" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
</Envelope>
`, len(vmdk), info.Size())
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, member := range []struct {
		name string
		body []byte
	}{{"vm.ovf", []byte(ovf)}, {"disk.vmdk", vmdk}} {
		if err := w.WriteHeader(&tar.Header{Name: member.name, Mode: 0o644, Size: int64(len(member.body)), Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(member.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// newRegistry starts go-containerregistry's registry, and gives its URL.
func newRegistry(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(srv.Close)
	return srv.URL
}

// push pushes a disk as EGI's publishers do (oras): one layer, annotations on it.
func push(t *testing.T, root, repository, tag, version string, body []byte) {
	t.Helper()
	send := func(method, at, kind string, body []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, root+"/v2/"+repository+at, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("%s %s: %s\n%s", method, at, res.Status, answer)
		}
	}
	blob := func(body []byte) string {
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256(body))
		send(http.MethodPost, "/blobs/uploads/?digest="+digest, "application/octet-stream", body)
		return digest
	}
	empty := []byte("{}")
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/vnd.unknown.artifact.v1",
		"config": map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": blob(empty), "size": len(empty), "data": "e30="},
		"layers": []any{map[string]any{"mediaType": "application/x-qemu-disk", "digest": blob(body), "size": len(body), "annotations": map[string]string{
			"org.opencontainers.image.title": path.Base(repository) + "." + version + ".qcow2", "eu.egi.cloud.description": "EGI Ubuntu 24.04 image", "eu.egi.cloud.tag": version, "org.openstack.glance.architecture": "x86_64",
			"org.openstack.glance.container_format": "bare", "org.openstack.glance.disk_format": "qcow2", "org.openstack.glance.os_admin_user": "ubuntu", "org.openstack.glance.os_distro": "ubuntu", "org.openstack.glance.os_type": "linux",
			"org.openstack.glance.os_version": "24.04"}}},
		"annotations": map[string]string{"org.opencontainers.image.created": "2026-11-01T10:00:00Z", "org.opencontainers.image.source": "https://github.com/EGI-Federation/fedcloud-vmi-templates"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{tag, tag + "-" + version} {
		send(http.MethodPut, "/manifests/"+name, "application/vnd.oci.image.manifest.v1+json", manifest)
	}
}

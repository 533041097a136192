package federation

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/fedsite/fedsite/internal/emulator/disk"
	"github.com/fedsite/fedsite/internal/emulator/federation/endorser"
	"github.com/fedsite/fedsite/internal/emulator/federation/registry"
	"github.com/fedsite/fedsite/protocol/smime"
)

// ImageProject is the project of the registry whose images are for all.
const ImageProject = "egi_vm_images"

// ImageOptions is how the publishers of images are set up.
type ImageOptions struct {
	Endorser endorser.Options
	Registry registry.Options
	Storage  bool // the registry keeps its files elsewhere, and sends there
}

// Images is the publishers of images: a signed list by VO, and a registry.
type Images struct {
	Endorser     *endorser.Endorser
	Registry     *registry.Registry
	Signer       smime.Identity // of the lists
	EndorserPort int
	RegistryPort int
	StoragePort  int // 0 = the registry gives its files itself
	storage      bool
}

// StartImages has the federation publish images from now on, on ports of their own until Close. Nothing is published yet.
func (f *Federation) StartImages(o ImageOptions) error {
	if f.Images != nil {
		return fmt.Errorf("start the publishers of images: they are there")
	}
	certPEM, keyPEM, err := f.CA.Issue("EGI.eu", "appdb.example.org")
	if err != nil {
		return err
	}
	id, err := smime.ParseIdentity(certPEM, keyPEM)
	if err != nil {
		return err
	}
	f.Images = &Images{Endorser: endorser.New(f.now, id, o.Endorser), Registry: registry.New(f.now, o.Registry), Signer: id, storage: o.Storage}
	return f.listenImages()
}

func (f *Federation) listenImages() (err error) {
	i := f.Images
	if i.EndorserPort, err = f.serve(i.EndorserPort, i.Endorser, false); err != nil {
		return err
	}
	i.Endorser.At(f.base(i.EndorserPort))
	if i.RegistryPort, err = f.serve(i.RegistryPort, i.Registry, false); err != nil || !i.storage {
		return err
	}
	if i.StoragePort, err = f.serve(i.StoragePort, i.Registry.Storage(), false); err != nil {
		return err
	}
	i.Registry.Store(f.base(i.StoragePort))
	return nil
}

// base is the URL of a port.
func (f *Federation) base(port int) string {
	u := url.URL{Scheme: "https", Host: net.JoinHostPort(f.Host, strconv.Itoa(port))}
	return u.String()
}

// ListURL is the URL of the list of a VO; "" = no images are published.
func (f *Federation) ListURL(vo string) string {
	if f.Images == nil {
		return ""
	}
	return f.Images.Endorser.URL(vo)
}

// RegistryURL is the URL of the registry; "" = no images are published.
func (f *Federation) RegistryURL() string {
	if f.Images == nil {
		return ""
	}
	return f.base(f.Images.RegistryPort)
}

// WriteTrust writes a directory of authorities by which lists can be verified, or renews its revocation list.
func (f *Federation) WriteTrust(dir string) error { return f.CA.WriteDirectory(dir, f.now()) }

// Identifiers of the images that PublishList publishes.
const (
	AlmaImage   = "662b0e71-3e21-5f43-b6a1-cc2f51319fa7"
	DebianImage = "b4b0e0ab-9f8c-5a5c-8f1a-57c2b5cd4c11"
	UbuntuImage = "c0482bc2-bf41-5d49-a000-a750174a186b"
)

// ListDisk gives the file of an image that PublishList publishes, by its identifier; nil = it is none of them.
func ListDisk(identifier string) []byte {
	switch identifier {
	case UbuntuImage:
		return disk.QCOW2(0)
	case AlmaImage:
		return disk.QCOW2(1)
	case DebianImage:
		return disk.Raw(2, 256<<10)
	}
	return nil
}

// PublishList publishes a list of three images for a VO: two in qcow2, one raw.
func (f *Federation) PublishList(vo string) error {
	e := f.Images.Endorser
	l := endorser.List{VO: vo, Identifier: "76fdee70-8119-5d33-9f40-3c57e1c60df1", Title: "VO-wide image list for " + vo, Description: "This is a VO-wide image list for " + vo + " VO.", Version: "1"}
	for _, i := range []struct{ id, distro, version, format string }{
		{UbuntuImage, "Ubuntu", "24.04", "QCOW2"}, {AlmaImage, "AlmaLinux", "9", "QCOW2"}, {DebianImage, "Debian", "12", "RAW"},
	} {
		path := fmt.Sprintf("/images/%s-%s", i.id, i.version)
		e.File(path, bytes.NewReader(ListDisk(i.id)))
		l.Images = append(l.Images, endorser.Image{Identifier: i.id, Title: fmt.Sprintf("Image for EGI %s %s [%s/%s/KVM]", i.distro, i.version, i.distro, i.version), Description: "Minimal " + i.distro + " " + i.version,
			Version: "2026.11.01", Format: i.format, URI: path, RAM: 512 << 20, Cores: 1, Arch: "x86_64", OS: "Linux", OSName: i.distro, OSVersion: i.version, More: map[string]string{"ad:group": "General group"}})
	}
	return e.Publish(l)
}

// PublishRegistry pushes two images into ImageProject as EGI does: under a moving tag, which is the version of the system,
// and one of the build, with a list of parts beside each.
func (f *Federation) PublishRegistry() error {
	for n, version := range []string{"24.04", "22.04"} {
		if err := f.PushUbuntu(version, "fc45d0d3", uint64(100+n)); err != nil {
			return err
		}
	}
	return nil
}

// PushUbuntu pushes a build of an Ubuntu into ImageProject, "24.04", and moves its tag there. The seed tells disks apart.
func (f *Federation) PushUbuntu(version, revision string, seed uint64) error {
	const repository = ImageProject + "/ubuntu"
	build := f.now().UTC().Format("2006-01-02") + "-" + revision
	annotations, about := registry.EGI("ubuntu", version, build, "qcow2", f.now())
	digest, err := f.Images.Registry.Push(registry.Image{Repository: repository, Tags: []string{version + "-" + build, version}, Name: "Ubuntu." + version + "-" + build + ".qcow2",
		Content: bytes.NewReader(disk.QCOW2(seed)), Annotations: annotations, About: about})
	if err != nil {
		return err
	}
	parts := fmt.Sprintf(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"metadata":{"component":{"type":"operating-system","name":"ubuntu","version":%q}}}`, version)
	_, err = f.Images.Registry.Attach(repository, digest, "application/vnd.cyclonedx+json", bytes.NewReader([]byte(parts)))
	return err
}

package oci

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"
)

// Media types of manifests.
const (
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	IndexType    = "application/vnd.oci.image.index.v1+json"
	dockerType   = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex  = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// title is the annotation that names a layer's file.
const title = "org.opencontainers.image.title"

// Manifest is what a tag or a digest leads to.
type Manifest struct {
	Digest       string // of its bytes: sha256:…
	Kind         string // media type
	ArtifactType string
	Subject      string // digest of what it only belongs to, as an SBOM does; "" = it stands for itself
	Layers       []Layer
	Annotations  map[string]string // its own, and those of its first layer, which win
}

// Layer is a file of an artifact.
type Layer struct {
	MediaType string
	Digest    string // sha256:…
	Size      int64  // bytes
	Title     string // file name that it was pushed with; "" = not said
}

// Index tells that it only lists other manifests.
func (m Manifest) Index() bool { return m.Kind == IndexType || m.Kind == dockerIndex }

// Manifest gives the manifest of a tag or a digest. An error is an *Error.
func (c *Client) Manifest(ctx context.Context, repository, reference string) (Manifest, error) {
	sep := ":"
	if strings.Contains(reference, ":") {
		sep = "@"
	}
	op := "read the manifest of " + shorten(repository+sep+reference)
	own, err := c.base()
	if err != nil {
		return Manifest{}, c.failed(op, err)
	}
	if !isRepository(repository) || !tagName.MatchString(reference) && !digestName.MatchString(reference) {
		return Manifest{}, c.failed(op, unusable("no repository with a tag or a digest"))
	}
	res, err := c.ask(ctx, repository, own.String()+"/v2/"+repository+"/manifests/"+reference, strings.Join([]string{ManifestType, IndexType, dockerType, dockerIndex}, ", "))
	if err != nil {
		return Manifest{}, c.failed(op, err)
	}
	defer res.Body.Close()
	text, e := read(res.Body, maxManifest)
	if e != nil {
		return Manifest{}, c.failed(op, e)
	}
	want := res.Header.Get("Docker-Content-Digest")
	if sep == "@" {
		if want != "" && want != reference {
			return Manifest{}, c.failed(op, unusable("it says the digest %.80q", want))
		}
		want = reference
	}
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	m, err := ParseManifest(text, strings.TrimSpace(kind))
	if err == nil && want != "" && want != m.Digest {
		err = unusable("its bytes have the digest %s, and not %.80q", m.Digest, want)
	}
	if err != nil {
		return Manifest{}, c.failed(op, err)
	}
	return m, nil
}

// ParseManifest reads a manifest. The media type of the answer counts where the manifest itself does not say one; they must
// not differ. Of an index, nothing but its kind and annotations is read.
func ParseManifest(text []byte, kind string) (Manifest, error) {
	var raw struct {
		SchemaVersion int                        `json:"schemaVersion"`
		MediaType     string                     `json:"mediaType"`
		ArtifactType  string                     `json:"artifactType"`
		Config        struct{ MediaType string } `json:"config"`
		Subject       *struct{ Digest string }   `json:"subject"`
		Annotations   map[string]string          `json:"annotations"`
		Layers        []struct {
			MediaType   string            `json:"mediaType"`
			Digest      string            `json:"digest"`
			Size        int64             `json:"size"`
			Annotations map[string]string `json:"annotations"`
		} `json:"layers"`
	}
	if e := decode(text, &raw); e != nil {
		return Manifest{}, e
	}
	if raw.SchemaVersion != 2 {
		return Manifest{}, unusable("it is no manifest of version 2")
	}
	known := map[string]bool{ManifestType: true, IndexType: true, dockerType: true, dockerIndex: true}
	if known[kind] && raw.MediaType != "" && raw.MediaType != kind {
		return Manifest{}, unusable("it calls itself %.80q, and comes as %.80q", raw.MediaType, kind)
	}
	sum := sha256.Sum256(text)
	m := Manifest{Digest: "sha256:" + hex.EncodeToString(sum[:]), Kind: cmp.Or(raw.MediaType, kind), ArtifactType: cmp.Or(raw.ArtifactType, raw.Config.MediaType)}
	if !known[m.Kind] {
		return Manifest{}, unusable("its media type is %.80q", m.Kind)
	}
	m.Annotations = maps.Clone(raw.Annotations)
	if m.Annotations == nil {
		m.Annotations = map[string]string{}
	}
	if raw.Subject != nil {
		m.Subject = cmp.Or(raw.Subject.Digest, "unknown")
	}
	if m.Index() {
		return m, nil
	}
	for i, l := range raw.Layers {
		if !digestName.MatchString(l.Digest) || l.Size < 0 {
			return Manifest{}, unusable("layer %d has the digest %.80q and %d bytes", i, l.Digest, l.Size)
		}
		m.Layers = append(m.Layers, Layer{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, Title: l.Annotations[title]})
		if i == 0 {
			maps.Copy(m.Annotations, l.Annotations)
		}
	}
	return m, nil
}

// Blob gives the URL of a layer, and the value of Authorization to ask the registry for it with; "" = none is needed. The
// registry often redirects to a store of objects, which must not get it. It is good for a moment: ask anew for each
// connection. An error is an *Error.
func (c *Client) Blob(ctx context.Context, repository, digest string) (target, authorization string, err error) {
	op := "open a layer of " + shorten(repository)
	own, err := c.base()
	if err != nil {
		return "", "", c.failed(op, err)
	}
	if !isRepository(repository) || !digestName.MatchString(digest) {
		return "", "", c.failed(op, unusable("no repository with a digest"))
	}
	target = own.String() + "/v2/" + repository + "/blobs/" + digest
	if header := c.kept(repository); header != "" {
		return target, header, nil
	}
	// A short question about the repository shows whether a sign-in is needed: asking for the layer would fetch it.
	res, err := c.ask(ctx, repository, own.String()+"/v2/"+repository+"/tags/list?n=1", "application/json")
	if err != nil {
		return "", "", c.failed(op, err)
	}
	_ = res.Body.Close()
	return target, c.kept(repository), nil
}

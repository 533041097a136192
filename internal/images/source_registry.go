package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/oci"
)

// Lister is a registry; *oci.Client is one.
type Lister interface {
	Projects(ctx context.Context) ([]string, error)
	List(ctx context.Context, place oci.Place, p oci.Policy) oci.Listing
}

// RegistrySource is an OCI registry: a project of Harbor, the projects that are called as VOs, or some repositories. It is
// believed as it answers over TLS; what it gives is checked against its digests.
type RegistrySource struct {
	Label        string
	Host         string // as images are known by: registry.egi.eu
	Project      string
	ProjectIsVO  bool
	Repositories []string
	Tags         *regexp.Regexp
	Annotation   string // "" = none is required
	Registry     Lister
	// File opens the layer of a repository.
	File func(ctx context.Context, repository, digest string, from int64, tag string) (File, error)
}

// Name is its name in the configuration.
func (s *RegistrySource) Name() string { return s.Label }

// Kind is Registry.
func (s *RegistrySource) Kind() Kind { return Registry }

// Place is its host, with what of it is listed.
func (s *RegistrySource) Place() string {
	switch {
	case s.ProjectIsVO:
		return s.Host + ", projects of VOs"
	case s.Project != "":
		return s.Host + "/" + s.Project
	}
	return fmt.Sprintf("%s %v", s.Host, s.Repositories)
}

// Ask lists the registry. What could not be listed is a gap, and nothing is concluded from what is missing then.
func (s *RegistrySource) Ask(ctx context.Context, _ Memory, vos []string, _ time.Time) (Answer, error) {
	place := oci.Place{Repositories: s.Repositories}
	if s.Project != "" {
		place.Projects = []string{s.Project}
	}
	if s.ProjectIsVO {
		all, err := s.Registry.Projects(ctx)
		if err != nil {
			return Answer{}, registryFailure(err)
		}
		place.Projects = slices.DeleteFunc(all, func(p string) bool { return !slices.Contains(vos, p) })
	}
	policy := oci.Policy{Tags: s.Tags, Required: []string{}}
	if s.Annotation != "" {
		policy.Required = []string{s.Annotation}
	}
	l := s.Registry.List(ctx, place, policy)
	if ctx.Err() != nil {
		return Answer{}, context.Cause(ctx)
	}
	if len(l.Images) == 0 && len(l.Gaps) > 0 {
		return Answer{}, registryFailure(l.Gaps[0].Err)
	}
	a := Answer{List: s.Host, Title: s.Place(), Complete: l.Complete()}
	for _, g := range l.Gaps {
		a.Gaps = append(a.Gaps, BadEntry{Key: Key{s.Host, g.What}, Title: g.What, Reason: run.Line(g.Err.Error(), longestReason)})
	}
	for _, i := range l.Ignored { // pushed without its annotations, a tag is not gone
		if at := strings.LastIndex(i.Ref, ":"); at > 0 && !strings.Contains(i.Ref, "@") && s.Tags.MatchString(i.Ref[at+1:]) {
			a.Unused = append(a.Unused, i.Ref)
		}
	}
	for _, i := range l.Images {
		e, err := s.entry(i)
		if err != nil {
			a.Bad = append(a.Bad, BadEntry{Key: Key{s.Host, i.Ref}, Title: i.Ref, Reason: err.Error()})
			continue
		}
		a.Entries = append(a.Entries, e)
		a.Body += i.Ref + "@" + i.Digest + "\n"
	}
	return a, nil
}

// entry makes an entry of an image of the registry. The names of its annotations are EGI's.
func (s *RegistrySource) entry(i oci.Image) (Entry, error) {
	digest, err := ParseDigest(i.Layer.Digest)
	if err != nil {
		return Entry{}, err
	}
	said := map[string]string{}
	for name, value := range i.Annotations {
		said[name] = value
	}
	said["eu.egi.cloud.image_ref"] = i.Ref
	attributes, err := json.Marshal(said)
	if err != nil {
		return Entry{}, err
	}
	published, _ := time.Parse(time.RFC3339, i.Annotations["org.opencontainers.image.created"]) // one that says no time has none
	e := Entry{Key: Key{s.Host, i.Ref}, Digest: digest, Size: i.Layer.Size, Format: i.Format, At: Location{URL: "https://" + s.Host + "/v2/" + i.Repository + "/blobs/" + i.Layer.Digest, Repo: i.Repository},
		Title: i.Annotations["eu.egi.cloud.image.title"], Description: i.Annotations["eu.egi.cloud.description"], Version: i.Annotations[oci.TagAnnotation], MPURI: s.Host + "/" + i.Ref + "-" + i.Digest,
		Architecture: i.Annotations["org.openstack.glance.architecture"], OS: i.Annotations["org.openstack.glance.os_distro"], OSVersion: i.Annotations["org.openstack.glance.os_version"],
		Attributes: string(attributes), Published: published.UTC()}
	if e.Published.IsZero() {
		e.Published = time.Time{}
	}
	if s.ProjectIsVO {
		e.VOs = []string{projectOf(i.Repository)}
	}
	for name, property := range map[string]string{"org.openstack.glance.os_type": "os_type", "org.openstack.glance.os_admin_user": "os_admin_user"} {
		if value := i.Annotations[name]; value != "" {
			if e.Properties == nil {
				e.Properties = map[string]string{}
			}
			e.Properties[property] = value
		}
	}
	return e, nil
}

// projectOf is the first part of a repository's name.
func projectOf(repository string) string { return host(repository) }

// registryFailure says what kind of failure it is that a registry could not be listed.
func registryFailure(err error) error {
	f := &Failure{Kind: Unreachable, Reason: run.Line(err.Error(), longestReason), Hint: "its images are kept as they are; the next run asks again"}
	switch {
	case errors.Is(err, oci.ErrDenied):
		f.Kind, f.Hint = NotAllowed, "check the credential of the source, and its rights in the registry; its images are kept as they are"
	case errors.Is(err, oci.ErrNotFound), errors.Is(err, oci.ErrAnswer):
		f.Kind, f.Hint = Unusable, "check the registry's address and the project; its images are kept as they are"
	}
	return f
}

// Open opens an image's file.
func (s *RegistrySource) Open(ctx context.Context, e Entry, from int64, tag string) (File, error) {
	return s.File(ctx, e.At.Repo, string(e.Digest), from, tag)
}

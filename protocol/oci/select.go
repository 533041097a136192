package oci

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Annotations that an image has.
const (
	TagAnnotation    = "eu.egi.cloud.tag"
	FormatAnnotation = "org.openstack.glance.disk_format"
)

// UsualTags are the tags of EGI's moving images: those without a dash.
const UsualTags = `^[^-]*$`

// Policy says what of a registry is an image.
type Policy struct {
	Tags     *regexp.Regexp // nil = UsualTags
	Required []string       // annotations; nil = TagAnnotation, empty = none
}

var usualTags = regexp.MustCompile(UsualTags)

func (p Policy) tags() *regexp.Regexp {
	if p.Tags == nil {
		return usualTags
	}
	return p.Tags
}

func (p Policy) required() []string {
	if p.Required == nil {
		return []string{TagAnnotation}
	}
	return p.Required
}

// Image is an image of a registry under one of its tags.
type Image struct {
	Ref         string // egi_vm_images/ubuntu:24.04
	Repository  string
	Tag         string
	Digest      string // of the manifest
	Layer       Layer  // the file
	Format      string // that its annotations say; "raw" where they say none
	Annotations map[string]string
}

// Ignored is something that is no image, and why.
type Ignored struct {
	Ref    string // egi_vm_images/ubuntu:20.04, or …@sha256:… without a tag
	Reason string
}

// Wanted is a tag whose manifest decides whether it is an image.
type Wanted struct {
	Repository, Tag string
	Digest          string // that the listing says; "" = it says none
}

// Choose gives the tags of a repository's artifacts that a policy takes, in the listing's order, and what it leaves.
func Choose(repository string, artifacts []Artifact, p Policy) (wanted []Wanted, ignored []Ignored) {
	for _, a := range artifacts {
		if len(a.Tags) == 0 {
			ignored = append(ignored, Ignored{repository + "@" + a.Digest, "it has no tag"})
		}
		for _, t := range a.Tags {
			ref := repository + ":" + t
			switch {
			case !p.tags().MatchString(t):
				ignored = append(ignored, Ignored{ref, fmt.Sprintf("the tag does not match %q", p.tags())})
			case a.Kind == IndexType || a.Kind == dockerIndex:
				ignored = append(ignored, Ignored{ref, indexReason})
			default:
				wanted = append(wanted, Wanted{repository, t, a.Digest})
			}
		}
	}
	return wanted, ignored
}

// companion fits the types of what is said about images: lists of their parts, signatures, attestations.
var companion = regexp.MustCompile(`cyclonedx|spdx|in-toto|cosign|notary|sigstore`)

const indexReason = "it is an index of several manifests, not one image"

// Judge tells whether a manifest is an image: it stands for itself, has one file, and the annotations that are required.
func Judge(w Wanted, m Manifest, p Policy) (Image, string) {
	switch {
	case m.Index():
		return Image{}, indexReason
	case m.Subject != "":
		return Image{}, "it only belongs to something else, as a list of its parts does"
	case companion.MatchString(m.ArtifactType):
		return Image{}, fmt.Sprintf("its type %.80q is that of something about an image", m.ArtifactType)
	case len(m.Layers) != 1:
		return Image{}, fmt.Sprintf("it has %d files, not one", len(m.Layers))
	}
	for _, name := range p.required() {
		if m.Annotations[name] == "" {
			return Image{}, fmt.Sprintf("it has no annotation %s", name)
		}
	}
	format := strings.ToLower(strings.TrimSpace(m.Annotations[FormatAnnotation]))
	if format == "" {
		format = "raw"
	}
	if len(format) > 32 {
		return Image{}, "its format is " + strconv.Quote(format[:32]) + "…"
	}
	return Image{Ref: w.Repository + ":" + w.Tag, Repository: w.Repository, Tag: w.Tag, Digest: m.Digest, Layer: m.Layers[0], Format: format, Annotations: m.Annotations}, ""
}

// Gap is a part of a registry that could not be listed.
type Gap struct {
	What string // a project, a repository, or a ref
	Err  error  // an *Error
}

// Listing is what a registry has.
type Listing struct {
	Images  []Image // by ref
	Ignored []Ignored
	Gaps    []Gap
}

// Complete tells that nothing is missing: what is not among the images is not there.
func (l Listing) Complete() bool { return len(l.Gaps) == 0 }

// Place is what of a registry is listed.
type Place struct {
	Projects     []string // of Harbor, with all of their repositories
	Repositories []string // of any registry
}

// List lists the images at a place. What cannot be listed is a gap, and the rest goes on, until the context ends.
func (c *Client) List(ctx context.Context, place Place, p Policy) Listing {
	var l Listing
	seen := map[string]bool{}
	for _, project := range place.Projects {
		repositories, err := c.Repositories(ctx, project)
		if err != nil {
			l.Gaps = append(l.Gaps, Gap{project, err})
		}
		for _, r := range repositories {
			if seen[r] {
				continue
			}
			seen[r] = true
			artifacts, err := c.Artifacts(ctx, r)
			if err != nil {
				l.Gaps = append(l.Gaps, Gap{r, err})
				continue
			}
			wanted, ignored := Choose(r, artifacts, p)
			l.Ignored = append(l.Ignored, ignored...)
			c.judgeAll(ctx, wanted, p, &l)
		}
	}
	for _, r := range place.Repositories {
		if seen[r] {
			continue
		}
		seen[r] = true
		tags, err := c.Tags(ctx, r)
		if err != nil {
			l.Gaps = append(l.Gaps, Gap{r, err})
			continue
		}
		wanted, ignored := Choose(r, tagged(tags), p)
		l.Ignored = append(l.Ignored, ignored...)
		c.judgeAll(ctx, wanted, p, &l)
	}
	slices.SortFunc(l.Images, func(a, b Image) int { return strings.Compare(a.Ref, b.Ref) })
	return l
}

// tagged gives tags that are listed without their artifacts.
func tagged(tags []string) (all []Artifact) {
	for _, t := range tags {
		all = append(all, Artifact{Tags: []string{t}})
	}
	return all
}

// judgeAll reads the manifests of tags: by digest where the listing says one, so that what was listed is what is taken, and
// once for all tags of a digest.
func (c *Client) judgeAll(ctx context.Context, wanted []Wanted, p Policy, l *Listing) {
	read := map[string]Manifest{}
	for _, w := range wanted {
		ref := w.Repository + ":" + w.Tag
		m, ok := read[w.Digest]
		if w.Digest == "" || !ok {
			by := w.Digest
			if by == "" {
				by = w.Tag
			}
			var err error
			if m, err = c.Manifest(ctx, w.Repository, by); err != nil {
				l.Gaps = append(l.Gaps, Gap{ref, err})
				continue
			}
			read[m.Digest] = m
		}
		i, reason := Judge(w, m, p)
		if reason != "" {
			l.Ignored = append(l.Ignored, Ignored{ref, reason})
			continue
		}
		i.Annotations = maps.Clone(i.Annotations)
		l.Images = append(l.Images, i)
	}
}

package oci

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// Artifact is something in a repository of Harbor, as its listing shows it.
type Artifact struct {
	Digest       string
	Kind         string // media type of its manifest
	ArtifactType string
	Tags         []string // in the listing's order
	Pushed       string   // as Harbor writes it
}

// apiPath is where Harbor's API is.
const apiPath = "/api/v2.0"

// harbor asks for a listing of Harbor's API and hands over each item. It signs in at once: Harbor does not ask for it, but
// shows only what is public.
func (c *Client) harbor(ctx context.Context, path string, item func(json.RawMessage) error) error {
	own, err := c.base()
	if err != nil {
		return err
	}
	n := 0
	ask := func(ctx context.Context, target string) (*http.Response, error) {
		res, err := c.get(ctx, target, "application/json", c.basic())
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusOK {
			defer res.Body.Close()
			return nil, refused(res)
		}
		return res, nil
	}
	return c.pages(ctx, own.String()+apiPath+path, ask, func(text []byte) error {
		var items *[]json.RawMessage
		if e := decode(text, &items); e != nil {
			return e
		}
		if items == nil {
			return unusable("it is no list")
		}
		for _, i := range *items {
			if n++; n > maxItems {
				return unusable("it lists more than %d", maxItems)
			}
			if err := item(i); err != nil {
				return err
			}
		}
		return nil
	})
}

// named reads an item's name.
func named(item json.RawMessage) (string, error) {
	var i struct {
		Name string `json:"name"`
	}
	if e := decode(item, &i); e != nil {
		return "", e
	}
	return i.Name, nil
}

// Projects gives the names of Harbor's projects that the user may see. An error is an *Error, and then there is no listing.
func (c *Client) Projects(ctx context.Context) ([]string, error) {
	var all []string
	err := c.harbor(ctx, "/projects?page=1&page_size=100", func(item json.RawMessage) error {
		name, err := named(item)
		if err == nil && !projectName.MatchString(name) {
			err = unusable("it lists %.80q, which is no project", name)
		}
		all = append(all, name)
		return err
	})
	if err != nil {
		return nil, c.failed("list the projects", err)
	}
	return all, nil
}

// Repositories gives the names of a project's repositories, with the project: "egi_vm_images/ubuntu". An error is an *Error,
// and then there is no listing.
func (c *Client) Repositories(ctx context.Context, project string) ([]string, error) {
	op := "list the repositories of " + shorten(project)
	if !projectName.MatchString(project) {
		return nil, c.failed(op, unusable("no name of a project"))
	}
	var all []string
	err := c.harbor(ctx, "/projects/"+project+"/repositories?page=1&page_size=100", func(item json.RawMessage) error {
		name, err := named(item)
		if err == nil && (!isRepository(name) || !strings.HasPrefix(name, project+"/")) {
			err = unusable("it lists %.80q, which is no repository of it", name)
		}
		all = append(all, name)
		return err
	})
	if err != nil {
		return nil, c.failed(op, err)
	}
	return all, nil
}

// Artifacts gives the artifacts of a repository that is named with its project. An error is an *Error, and then there is no
// listing.
func (c *Client) Artifacts(ctx context.Context, repository string) ([]Artifact, error) {
	op := "list the artifacts of " + shorten(repository)
	project, below, ok := strings.Cut(repository, "/")
	if !ok || !isRepository(repository) {
		return nil, c.failed(op, unusable("no name of a project's repository"))
	}
	below = url.PathEscape(url.PathEscape(below)) // Harbor takes a slash only so
	var all []Artifact
	err := c.harbor(ctx, "/projects/"+project+"/repositories/"+below+"/artifacts?with_tag=true&page=1&page_size=100", func(item json.RawMessage) error {
		var i struct {
			Digest            string `json:"digest"`
			ManifestMediaType string `json:"manifest_media_type"`
			ArtifactType      string `json:"artifact_type"`
			PushTime          string `json:"push_time"`
			Tags              []struct {
				Name string `json:"name"`
			} `json:"tags"`
		}
		if e := decode(item, &i); e != nil {
			return e
		}
		if !digestName.MatchString(i.Digest) {
			return unusable("it lists the digest %.80q", i.Digest)
		}
		a := Artifact{Digest: i.Digest, Kind: i.ManifestMediaType, ArtifactType: i.ArtifactType, Pushed: i.PushTime}
		for _, t := range i.Tags {
			if !tagName.MatchString(t.Name) {
				return unusable("it lists %.80q, which is no tag", t.Name)
			}
			a.Tags = append(a.Tags, t.Name)
		}
		all = append(all, a)
		return nil
	})
	if err != nil {
		return nil, c.failed(op, err)
	}
	return all, nil
}

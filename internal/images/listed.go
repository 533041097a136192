package images

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// Listed is an image in Glance that this instance manages.
type Listed struct {
	Site        string    `json:"site"`
	Cloud       string    `json:"cloud"`
	Project     string    `json:"project"`
	ProjectName string    `json:"project_name"`
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Source      string    `json:"source"`
	List        string    `json:"list"`
	Image       string    `json:"image"` // whose it is, by its marks
	Version     string    `json:"version,omitempty"`
	Digest      Digest    `json:"digest"`
	State       State     `json:"state"`
	Status      string    `json:"status"` // Glance's
	Size        int64     `json:"size,omitzero"`
	Created     time.Time `json:"created,omitzero"`
	Retired     time.Time `json:"retired,omitzero"`
	Reason      string    `json:"reason,omitempty"`
}

// ListManaged gives the images at the target's clouds that this instance manages, by project and name. A project that cannot
// be asked is reported.
func ListManaged(ctx context.Context, d Deps, t *Target) ([]Listed, error) {
	_, clouds, err := seeClouds(ctx, d, t)
	if err != nil {
		return nil, err
	}
	all := []Listed{}
	for _, c := range clouds {
		for project, place := range c.Places {
			for _, i := range place.Images {
				m := readMarks(i)
				if m.Manager != t.Settings.Instance {
					continue
				}
				all = append(all, Listed{Site: t.Site.Name, Cloud: c.Name, Project: project, ProjectName: place.Name, ID: i.ID, Name: i.Name, Source: m.Source, List: m.List, Image: m.ID, Version: m.Version,
					Digest: m.Digest, State: m.State, Status: i.Status, Size: i.Size, Created: i.Created, Retired: m.Retired, Reason: m.Reason})
			}
		}
	}
	slices.SortFunc(all, func(a, b Listed) int {
		return cmp.Or(strings.Compare(a.Cloud, b.Cloud), strings.Compare(a.ProjectName, b.ProjectName), strings.Compare(a.Project, b.Project), strings.Compare(a.Name, b.Name), a.Created.Compare(b.Created))
	})
	return all, nil
}

// Verify asks the sources, and judges them as a run does that remembers nothing. No cloud is asked; all are the VOs that a
// source for all of them is for.
func Verify(ctx context.Context, d Deps, t *Target, all []string) []Verdict {
	answers, failed := askAll(ctx, t, nil, all, d.Now())
	verdicts := make([]Verdict, 0, len(t.Sources))
	for i, s := range t.Sources {
		v, _ := judge(s, Memory{}, Memory{}, answers[i], failed[i], all, d.Now())
		verdicts = append(verdicts, v)
	}
	rivals(verdicts, nil, make([]Memory, len(verdicts)))
	return verdicts
}

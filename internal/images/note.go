package images

import (
	"context"
	"slices"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/store"
)

// Note is what this program itself knows of an image in Glance that it brought or took over. Members of the owning project can
// change marks, and make images that carry ours; they cannot change this.
type Note struct {
	Digest Digest // of the source's file
	Sum    string // of the content in Glance, as sumOf gives it
}

// Notes are those of a site.
type Notes struct {
	// Images are those of images, by Glance's id: regions that are configured as clouds of their own may have one Glance.
	Images map[string]Note
	// At are the ids of those at a place. A place that is in it was looked at before, also when none are there.
	At map[Place][]string
}

// sumOf is the checksum that Glance has of an image's content: "sha512:…", of an old Glance "md5:…"; "" = none.
func sumOf(i openstack.StoredImage) string {
	switch {
	case i.HashAlgo == SHA512 && i.HashValue != "":
		return SHA512 + ":" + i.HashValue
	case i.Checksum != "":
		return "md5:" + i.Checksum
	}
	return ""
}

// begun tells whether a place was looked at before: what is there without a note is not from here.
func (n Notes) begun(p Place) bool {
	_, seen := n.At[p]
	return seen
}

// add is used where notes are made.
func (n *Notes) add(at Place, image string, note Note) {
	if n.At == nil {
		n.Images, n.At = map[string]Note{}, map[Place][]string{}
	}
	if image == "" {
		n.At[at] = slices.Clip(n.At[at])
		return
	}
	n.Images[image], n.At[at] = note, append(n.At[at], image)
}

// genuine tells whether the content of an image is what its marks say. It is when Glance's own checksum is the source's, or the
// one that was noted as it was sent. Marks alone are believed where no look was taken before: the database is new, or was lost.
// An image that was taken over may have been converted by its former manager, and marks do not say so.
func (n Notes) genuine(x present, at Place) bool {
	sum := sumOf(x.StoredImage)
	if sum != "" && sum == string(x.m.Digest) {
		return true
	}
	if note, known := n.Images[x.ID]; known {
		return note.Digest == x.m.Digest && note.Sum == sum
	}
	return !n.begun(at) && (x.m.Former != nil || !x.spoilt())
}

// readNotes gives what is noted of a site's images.
func readNotes(ctx context.Context, d Deps, siteID string) (Notes, error) {
	var all Notes
	err := reading(ctx, d, func(tx *store.Tx) error {
		all = Notes{}
		rows, err := tx.Query(`SELECT cloud, project, image, digest, sum FROM image_note WHERE site = $1`, siteID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				at            Place
				image, digest string
				n             Note
			)
			if err := rows.Scan(&at.Cloud, &at.Project, &image, &digest, &n.Sum); err != nil {
				return err
			}
			n.Digest = Digest(digest)
			all.add(at, image, n)
		}
		return rows.Err()
	})
	return all, err
}

// writeNote notes what an image is.
func writeNote(tx *store.Tx, siteID string, at Place, image string, n Note) error {
	_, err := tx.Exec(`INSERT INTO image_note (site, cloud, project, image, digest, sum) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (site, cloud, project, image) DO UPDATE SET digest = excluded.digest, sum = excluded.sum`, siteID, at.Cloud, at.Project, image, string(n.Digest), n.Sum)
	return err
}

// keepNotes brings the notes up to what was seen: at a place that is looked at for the first time the marks are believed, and
// written down; what is not there any more is forgotten. One transaction for each place.
func keepNotes(ctx context.Context, d Deps, t *Target, seen Seen) error {
	for _, c := range seen.Clouds {
		for project, place := range c.Places {
			if place.Failed != nil {
				continue
			}
			at := Place{c.ID, project}
			add, gone := seen.Notes.changes(at, place.Images, t.Settings.Instance)
			if len(add) == 0 && len(gone) == 0 {
				continue
			}
			if err := writing(ctx, d, func(tx *store.Tx) error {
				for image, n := range add {
					if err := writeNote(tx, t.Site.ID, at, image, n); err != nil {
						return err
					}
				}
				for _, image := range gone {
					for _, table := range []string{"image_note", "image_use"} {
						if _, err := tx.Exec(`DELETE FROM `+table+` WHERE site = $1 AND cloud = $2 AND image = $3`, t.Site.ID, at.Cloud, image); err != nil {
							return err
						}
					}
				}
				return nil
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// changes gives the notes that are to be added for a place, and those whose images are not there any more.
func (n Notes) changes(at Place, images []openstack.StoredImage, instance string) (add map[string]Note, gone []string) {
	add = map[string]Note{}
	if !n.begun(at) {
		add[""] = Note{}
		for _, i := range images {
			x := present{i, readMarks(i)}
			if sum := sumOf(i); x.m.Manager == instance && x.m.State != Uploading && sum != "" && n.genuine(x, at) {
				add[i.ID] = Note{x.m.Digest, sum}
			}
		}
	}
	there := map[string]bool{"": true}
	for _, i := range images {
		there[i.ID] = true
	}
	for _, image := range n.At[at] {
		if !there[image] {
			gone = append(gone, image)
		}
	}
	return add, gone
}

// noteContent writes down what an image is that an action brings or takes over.
func (a *applier) noteContent(ctx context.Context, x Action, image, sum string) error {
	return writing(ctx, a.d, func(tx *store.Tx) error {
		return writeNote(tx, a.t.Site.ID, x.Place, image, Note{x.Entry.Digest, sum})
	})
}

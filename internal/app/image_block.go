package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/fedsite/fedsite/internal/audit"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// BlockImage writes down that an image is never brought, and hides it at the sites at once. It is named by its checksum, or
// by what it is called.
func (a *App) BlockImage(ctx context.Context, sites []config.Site, what, reason string, dryRun bool) ([]AppliedImages, error) {
	block := config.ImageBlock{Reason: reason, Since: a.Now().Format(time.RFC3339), By: audit.Actor()}
	if digest, err := images.ParseDigest(what); err == nil {
		block.Checksum = string(digest)
	} else if strings.HasPrefix(what, images.SHA512+":") || strings.HasPrefix(what, images.SHA256+":") {
		return nil, err // a part of a checksum, as on a screen, would block nothing
	} else if shown, err := a.shownAs(ctx, sites, what); err != nil {
		return nil, err
	} else if shown != "" {
		block.Checksum = string(shown)
	} else {
		block.Ref = what
	}
	files := map[string]bool{}
	for _, s := range a.cfg.Sites {
		files[a.blocksFile(s)] = true
	}
	for file := range files {
		if dryRun {
			continue
		}
		if err := changeBlocks(ctx, file, func(all []config.ImageBlock) ([]config.ImageBlock, error) {
			if i := slices.IndexFunc(all, func(b config.ImageBlock) bool { return b.Checksum == block.Checksum && b.Ref == block.Ref }); i >= 0 {
				all[i].Reason = block.Reason
				return all, nil
			}
			return append(all, block), nil
		}); err != nil {
			return nil, err
		}
	}
	if dryRun {
		var all []AppliedImages
		for _, p := range a.PlanImages(ctx, sites, ImageOptions{Block: &images.Block{Digest: images.Digest(block.Checksum), Ref: block.Ref, Reason: reason}}) {
			one := AppliedImages{SiteReport: SiteReport{Site: p.Site, Report: p.Report}}
			for _, x := range p.Seen.Plan.Actions {
				if x.Verb == images.BlockIt {
					one.Results = append(one.Results, images.Result{Action: x, Image: x.Image})
				}
			}
			all = append(all, one)
		}
		return all, nil
	}
	applied := a.ApplyImages(ctx, sites, ImageOptions{OnlyBlocks: true}) // it is hidden first: what cannot be noted is hidden all the same
	return applied, audit.Record(ctx, a.db, audit.Entry{At: a.Now(), Who: audit.Actor(), Action: "block image: " + reason, Object: what, Origin: audit.Shell})
}

// lookWait is how long one who blocks waits for clouds to say what is called so: then it is blocked by that name.
const lookWait = 30 * time.Second

// shownAs gives the checksum of the image of ours that is shown under a name, its id in Glance or its title; "" = none is, or its
// source calls it so: then it is blocked in all its versions. What cannot be asked has none.
func (a *App) shownAs(ctx context.Context, sites []config.Site, name string) (images.Digest, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	found := map[images.Digest]string{}
	for _, s := range sites {
		all, _ := a.ListImages(ctx, s)
		for _, i := range all {
			titled := i.Name == name && i.State == images.Active
			if i.Digest == "" || i.Image == name || i.ID != name && !titled {
				continue
			}
			found[i.Digest] = fmt.Sprintf("%s (%s of %s)", i.Digest, i.Image, i.Source)
		}
	}
	if len(found) > 1 {
		return "", fmt.Errorf("%d images are called %.80q: name one by its checksum: %s", len(found), name, strings.Join(slices.Sorted(maps.Values(found)), ", "))
	}
	for digest := range found {
		return digest, nil
	}
	return "", nil
}

// errNoBlock is a block that is not there.
var errNoBlock = errors.New("nothing is blocked under that name")

// UnblockImage lifts a block, in its file and in Glance; the next run of each site shows or brings the image again.
func (a *App) UnblockImage(ctx context.Context, what string) ([]AppliedImages, error) {
	digest, err := images.ParseDigest(what)
	if err != nil && (strings.HasPrefix(what, images.SHA512+":") || strings.HasPrefix(what, images.SHA256+":")) {
		return nil, err
	}
	found := false
	files := map[string]bool{}
	for _, s := range a.cfg.Sites {
		files[a.blocksFile(s)] = true
	}
	for file := range files {
		if err := changeBlocks(ctx, file, func(all []config.ImageBlock) ([]config.ImageBlock, error) {
			left := slices.DeleteFunc(slices.Clone(all), func(b config.ImageBlock) bool {
				return b.Ref == what && what != "" || digest != "" && b.Checksum == string(digest)
			})
			found = found || len(left) < len(all)
			return left, nil
		}); err != nil {
			return nil, err
		}
	}
	lift := images.Block{Digest: digest}
	if digest == "" {
		lift.Ref = what
	}
	var all []AppliedImages
	for _, s := range a.cfg.Sites {
		if s.Images.Mode == site.Disabled {
			continue
		}
		one := AppliedImages{SiteReport: SiteReport{Site: s.Site.Name}}
		one.Report = a.report(ctx, "images.unblock", s.Site.Name, a.opts.Progress, func(ctx context.Context, r *run.Recorder) error {
			var err error
			one.Results, err = images.Lift(ctx, a.imageDeps(r), a.imaged(s, true), lift)
			return err
		})
		found = found || len(one.Results) > 0
		all = append(all, one)
	}
	if !found {
		return all, fmt.Errorf("%w: %.80q", errNoBlock, what)
	}
	return all, audit.Record(ctx, a.db, audit.Entry{At: a.Now(), Who: audit.Actor(), Action: "unblock image", Object: what, Origin: audit.Shell})
}

// blockWait is how long one who blocks waits for another who writes the same file.
const blockWait = 10 * time.Second

// changeBlocks rewrites a file of blocks, whole or not at all. Who else changes it at the same time waits: the directory is
// locked, as the file is replaced.
func changeBlocks(ctx context.Context, file string, change func([]config.ImageBlock) ([]config.ImageBlock, error)) error {
	lock := flock.New(filepath.Dir(file), flock.SetFlag(os.O_RDONLY))
	waiting, cancel := context.WithTimeout(ctx, blockWait)
	defer cancel()
	if _, err := lock.TryLockContext(waiting, 20*time.Millisecond); err != nil {
		return fmt.Errorf("images.blocks: lock %s: %w", filepath.Dir(file), err)
	}
	defer lock.Unlock()
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("images.blocks: %w", err)
	}
	all, err := config.ParseBlocks(file, text)
	if err != nil {
		return fmt.Errorf("images.blocks: %w", err)
	}
	if all, err = change(all); err != nil {
		return err
	}
	if text, err = config.FormatBlocks(all); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".blocks-")
	if err != nil {
		return fmt.Errorf("images.blocks: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("images.blocks: %w", err)
	}
	return nil
}

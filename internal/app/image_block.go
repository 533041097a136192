package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/fedsite/fedsite/internal/audit"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// BlockImage writes down that an image is never brought, and hides it at the sites at once. It is named by its checksum, by what
// its source calls it, or by what a list shows of it. What is called by nothing is written down all the same: it may be to come.
func (a *App) BlockImage(ctx context.Context, sites []config.Site, what, reason string, dryRun bool) ([]AppliedImages, error) {
	name, err := a.blockOf(ctx, sites, what, images.Active)
	if err != nil {
		return nil, err
	}
	if !dryRun {
		if err := a.writeBlock(ctx, name.Block, reason); err != nil {
			return nil, err
		}
	}
	var all []AppliedImages
	there := false
	for _, s := range sites {
		one := AppliedImages{SiteReport: SiteReport{Site: s.Site.Name}}
		one.Report = a.report(ctx, "images.block", s.Site.Name, a.opts.Progress, func(ctx context.Context, r *run.Recorder) error {
			block := name.Block
			block.Reason = reason
			plan, results, err := images.Hide(ctx, a.imageDeps(r), a.imaged(s, !dryRun), block, dryRun)
			there = there || len(plan.Actions) > 0
			if one.Results = results; dryRun {
				one.Results = wouldBe(plan)
			}
			return err
		})
		all = append(all, one)
	}
	if len(all) > 0 {
		name.tell(&all[0].Report)
	}
	if len(all) > 0 && !there && name.Digest == "" {
		if p := a.unheard(ctx, sites, name); p != nil {
			warn(&all[0].Report, *p)
		}
	}
	if dryRun {
		return all, nil
	}
	return all, audit.Record(ctx, a.db, audit.Entry{At: a.Now(), Who: audit.Actor(), Action: "block image: " + reason, Object: what, Origin: audit.Shell})
}

// wouldBe are the actions of a plan that would be carried out, as their results.
func wouldBe(p images.Plan) (all []images.Result) {
	for _, x := range p.Actions {
		if x.Writes() {
			all = append(all, images.Result{Action: x, Image: x.Image})
		}
	}
	return all
}

// writeBlock writes a block into the files of all sites. Of one that is there it changes the reason.
func (a *App) writeBlock(ctx context.Context, b images.Block, reason string) error {
	block := config.ImageBlock{Checksum: string(b.Digest), Ref: b.Ref, Reason: reason, Since: a.Now().Format(time.RFC3339), By: audit.Actor()}
	for _, file := range a.blocksFiles() {
		if err := changeBlocks(ctx, file, func(all []config.ImageBlock) ([]config.ImageBlock, error) {
			if i := slices.IndexFunc(all, func(b config.ImageBlock) bool { return b.Checksum == block.Checksum && b.Ref == block.Ref }); i >= 0 {
				all[i].Reason = block.Reason
				return all, nil
			}
			return append(all, block), nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// blocksFiles are the files of blocks of all sites.
func (a *App) blocksFiles() []string {
	var files []string
	for _, s := range a.cfg.Sites {
		if file := a.blocksFile(s); !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return files
}

// errNoBlock is a block that is not there.
var errNoBlock = errors.New("nothing is blocked under that name")

// UnblockImage lifts a block, in its file and in Glance; the next run of each site shows or brings the image again.
func (a *App) UnblockImage(ctx context.Context, what string) ([]AppliedImages, error) {
	name, err := a.blockOf(ctx, a.cfg.Sites, what, images.Blocked)
	if err != nil {
		return nil, err
	}
	found := false
	for _, file := range a.blocksFiles() {
		if err := changeBlocks(ctx, file, func(all []config.ImageBlock) ([]config.ImageBlock, error) {
			left := slices.DeleteFunc(slices.Clone(all), func(b config.ImageBlock) bool {
				return b.Ref == what || name.Digest != "" && b.Checksum == string(name.Digest)
			})
			found = found || len(left) < len(all)
			return left, nil
		}); err != nil {
			return nil, err
		}
	}
	var all []AppliedImages
	for _, s := range a.cfg.Sites {
		if s.Images.Mode == site.Disabled {
			continue
		}
		one := AppliedImages{SiteReport: SiteReport{Site: s.Site.Name}}
		one.Report = a.report(ctx, "images.unblock", s.Site.Name, a.opts.Progress, func(ctx context.Context, r *run.Recorder) error {
			plan, results, err := images.Lift(ctx, a.imageDeps(r), a.imaged(s, true), name.Block)
			one.Results, found = results, found || len(plan.Actions) > 0
			return err
		})
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
	if _, err := config.ParseBlocks(file, text); err != nil { // a file that cannot be read would let nothing be brought any more
		return fmt.Errorf("images.blocks: this block cannot be written: %w", err)
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

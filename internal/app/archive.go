package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/audit"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
)

// Backup copies the database into a file, while others write it.
func (a *App) Backup(ctx context.Context, path string, force bool, by string) (store.Copy, error) {
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	done, err := a.db.Backup(ctx, path, force)
	if err != nil {
		return done, err
	}
	return done, a.audited(ctx, by, "backup", path, nil)
}

// Restored is what Restore did.
type Restored struct {
	From  string                `json:"from"`
	Kept  string                `json:"kept,omitempty"` // where the database is that was there before
	Was   *accounting.Knowledge `json:"was,omitempty"`  // of that one; nil when it could not be read
	Is    accounting.Knowledge  `json:"is"`
	Sent  string                `json:"sent"`             // directory of the archive
	Newer bool                  `json:"archive_is_newer"` // the archive has messages that the restored database does not know
}

// Restore puts a backup in the place of the database. No service may run.
func Restore(ctx context.Context, cfg *config.Config, o Options, from, by string) (Restored, error) {
	r := Restored{From: from, Sent: filepath.Join(cfg.Store.Path, SentDir)}
	if cfg.Store.URL.IsSet() {
		return r, fmt.Errorf("restore %s: %w", from, store.ErrNotAFile)
	}
	path := filepath.Join(cfg.Store.Path, Database)
	now := time.Now()
	if o.Now != nil {
		now = o.Now()
	}
	var err error
	if r.Kept, err = store.Restore(ctx, store.RestoreOptions{From: from, Path: path, Serve: filepath.Join(cfg.Store.Path, store.ServeFile), Now: now}); err != nil {
		return r, err
	}
	if r.Kept != "" {
		if was, err := inspect(ctx, r.Kept); err == nil {
			r.Was = &was
		}
	}
	a, err := Open(ctx, cfg, o)
	if err != nil {
		return r, err
	}
	defer a.Close() //nolint:errcheck // what was written is committed
	if err := tasks.FreeAll(ctx, a.db); err != nil {
		return r, err
	}
	if r.Is, err = accounting.Know(ctx, a.db); err != nil {
		return r, err
	}
	if r.Newer, err = accounting.Behind(ctx, a.db, a.sent); err != nil {
		return r, err
	}
	return r, a.audited(ctx, by, "restore", from, nil)
}

func inspect(ctx context.Context, path string) (accounting.Knowledge, error) {
	db, err := store.Inspect(ctx, path)
	if err != nil {
		return accounting.Knowledge{}, err
	}
	defer db.Close() //nolint:errcheck // nothing was written
	return accounting.Know(ctx, db)
}

// Rebuild restores the ledger of the sites from archives of sent messages. It holds the sites' tasks meanwhile.
func (a *App) Rebuild(ctx context.Context, sites []config.Site, dirs []string, dryRun bool, by string) ([]accounting.Rebuilt, run.Report, error) {
	archives := make([]*accounting.Archive, 0, len(dirs))
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, run.Report{}, fmt.Errorf("--from-sent %s: no directory is there: name the directory sent of a node's state directory, of each node that has one", dir)
		}
		archives = append(archives, accounting.OpenArchive(dir))
	}
	if err := a.clock.sync(ctx, a.db); err != nil {
		return nil, run.Report{}, err
	}
	held, err := a.claim(ctx, sites)
	rec := run.NewRecorder("accounting.rebuild", a.Now, a.opts.Progress)
	var (
		all    []accounting.Rebuilt
		report run.Report
	)
	if err == nil {
		targets := make([]*accounting.Target, len(sites))
		for i, s := range sites {
			targets[i] = a.target(s)
		}
		all, err = accounting.Rebuild(held[len(held)-1].Context(), a.deps(rec), targets, archives, dryRun)
		if err != nil {
			rec.Fail(spoilt(ctx, "", err))
		}
		report = rec.Finish()
	}
	text, merr := json.Marshal(report)
	err = errors.Join(err, merr)
	for _, lease := range held {
		err = errors.Join(err, lease.Finish(ctx, string(report.Outcome), text, time.Time{}))
	}
	if err != nil || dryRun {
		return all, report, err
	}
	for _, r := range all {
		err = errors.Join(err, a.audited(ctx, by, "accounting.rebuild", fmt.Sprintf("site %s: %d messages, %d records, %d VMs", r.Site, r.Messages, r.Records, r.VMs), nil))
	}
	return all, report, err
}

// claim takes the leases of collecting and sending of the sites; of one that is held elsewhere it gives back what it took.
func (a *App) claim(ctx context.Context, sites []config.Site) (held []*tasks.Run, err error) {
	for _, s := range sites {
		for _, kind := range []string{"accounting.collect/", "accounting.send/"} {
			name := kind + s.Site.ID
			if err = tasks.Ensure(ctx, a.db, name, "", time.UnixMilli(0)); err != nil {
				return held, err
			}
			lease, err := a.runner.Claim(ctx, tasks.ClaimOptions{Task: name, Cause: "shell", Always: true, Now: a.Now})
			if err != nil {
				return held, err
			}
			held = append(held, lease)
		}
	}
	return held, nil
}

// Person is where a person's data are.
type Person struct {
	accounting.Personal
	Snapshots []string `json:"snapshots"` // copies of the database that hold the person
	Unread    []string `json:"unread"`    // copies that could not be looked into
	Backups   []string `json:"backups"`   // files that backups were made into, which are not looked into
}

// Locate tells where the data of a person are.
func (a *App) Locate(ctx context.Context, subject string) (Person, error) {
	p, err := accounting.Locate(ctx, a.deps(run.NewRecorder("privacy", a.Now, nil)), subject)
	if err != nil {
		return Person{}, err
	}
	return a.copies(ctx, subject, p)
}

// eraseObject stands for the person in the audit of an erasure, which must not keep the name.
const eraseObject = "a person: %d VMs, %d records, %d files of the archive"

// Erase takes a person out of database and archive, and tells which copies of them hold the person still.
func (a *App) Erase(ctx context.Context, subject, by string) (Person, error) {
	p, err := accounting.Erase(ctx, a.deps(run.NewRecorder("privacy", a.Now, nil)), subject)
	if err != nil {
		return Person{Personal: p}, err
	}
	if err := a.audited(ctx, by, "privacy.erase", fmt.Sprintf(eraseObject, p.VMs, p.Records, len(p.Archives)), nil); err != nil {
		return Person{Personal: p}, err
	}
	return a.copies(ctx, subject, p)
}

// copies looks into the copies of the database.
func (a *App) copies(ctx context.Context, subject string, p accounting.Personal) (Person, error) {
	all := Person{Personal: p}
	files, err := store.Snapshots(a.cfg.Store.BackupDir())
	if err != nil {
		return all, err
	}
	before, err := filepath.Glob(filepath.Join(a.cfg.Store.Path, Database+".before-restore-*"))
	if err != nil {
		return all, err
	}
	for _, file := range append(files, before...) {
		switch holds, err := a.holds(ctx, file, subject); {
		case ctx.Err() != nil:
			return all, context.Cause(ctx)
		case err != nil:
			all.Unread = append(all.Unread, file)
		case holds:
			all.Snapshots = append(all.Snapshots, file)
		}
	}
	done, err := audit.Recent(ctx, a.db, 10_000)
	for _, e := range done {
		if _, serr := os.Stat(e.Object); e.Action == "backup" && serr == nil {
			all.Backups = append(all.Backups, e.Object)
		}
	}
	return all, err
}

func (a *App) holds(ctx context.Context, file, subject string) (bool, error) {
	db, err := store.Inspect(ctx, file)
	if err != nil {
		return false, err
	}
	defer db.Close() //nolint:errcheck // nothing was written
	d := a.deps(run.NewRecorder("privacy", a.Now, nil))
	d.DB, d.Sent = db, nil
	p, err := accounting.Locate(ctx, d, subject)
	return p.Found(), err
}

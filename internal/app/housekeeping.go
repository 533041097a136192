package app

import (
	"context"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/audit"
	"github.com/fedsite/fedsite/internal/health"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
)

// housekeeping gives the tasks of the service itself.
func (s *service) housekeeping(a *App) (all []tasks.Task, err error) {
	add := func(kind, schedule string, do func(ctx context.Context, r *run.Recorder) error) {
		t, terr := a.whole(kind, schedule, do)
		t.AtOnce = kind != taskDigest
		if all = append(all, t); terr != nil {
			err = fmt.Errorf("%s: %w", kind, terr)
		}
	}
	add(taskRetention, "", a.retain)
	if a.snapshots() {
		add(taskSnapshot, a.cfg.Store.Backup.At.Cron(), a.snapshot)
	}
	if n := a.cfg.Notify; n.Digest.On && (len(n.Email) > 0 || n.Webhook != nil) {
		add(taskDigest, n.Digest.Cron(), s.digest)
	}
	return all, err
}

// snapshots tells whether daily copies of the database are to be made: PostgreSQL is copied by its own means.
func (a *App) snapshots() bool { return a.cfg.Store.Backup.Keep > 0 && !a.cfg.Store.URL.IsSet() }

// snapshot copies the database.
func (a *App) snapshot(ctx context.Context, r *run.Recorder) error {
	done, err := a.db.Snapshot(ctx, a.cfg.Store.BackupDir(), a.cfg.Store.Backup.Keep)
	if err != nil {
		return err
	}
	r.Count("bytes_copied", done.Bytes)
	r.Count("snapshots_removed", int64(len(done.Removed)))
	r.Count("snapshots_kept", int64(done.Kept))
	return nil
}

// newestSnapshot gives when the newest copy of the database was made; zero when there is none.
func (a *App) newestSnapshot() time.Time {
	all, err := store.Snapshots(a.cfg.Store.BackupDir())
	if err != nil || len(all) == 0 || !a.snapshots() {
		return time.Time{}
	}
	return store.SnapshotTime(all[len(all)-1])
}

// retain takes away what was kept for long enough.
func (a *App) retain(ctx context.Context, r *run.Recorder) error {
	keep := a.cfg.Retention
	runs, err := tasks.Prune(ctx, a.db, keep.Runs.Before(a.Now()))
	if err != nil {
		return err
	}
	r.Count("runs_removed", runs)
	actions, err := audit.Prune(ctx, a.db, keep.Audit.Before(a.Now()))
	if err != nil {
		return err
	}
	r.Count("audit_rows_removed", actions)
	_, err = accounting.Retain(ctx, a.deps(r), keep.Records.Before(a.Now()))
	return err
}

// digest tells how everything is, once a day.
func (s *service) digest(ctx context.Context, r *run.Recorder) error {
	k, items := s.lately(ctx)
	watcher := s.watcher.Load()
	if err := watcher.Send(ctx, health.Digest(watcher.Name, items, k.now)); err != nil {
		return err
	}
	r.Count("messages_told", int64(len(watcher.Channels)))
	return nil
}

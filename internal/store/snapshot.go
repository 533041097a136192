package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Snapshot is what was done by Store.Snapshot.
type Snapshot struct {
	Copy
	Kept    int      `json:"kept"` // snapshots there are now
	Removed []string `json:"removed"`
}

// Names of snapshots: "fedsite-20261126T031500Z.db". Their order is that of time.
const (
	snapshotBegin = "fedsite-"
	snapshotEnd   = ".db"
	snapshotTime  = "20060102T150405Z"
)

// Snapshot makes a copy of the database in a directory, named by the time, and keeps the newest of those there. The old
// ones are removed only when the new one is whole. Of PostgreSQL it is ErrNotAFile.
func (s *Store) Snapshot(ctx context.Context, dir string, keep int) (Snapshot, error) {
	if keep < 1 {
		return Snapshot{}, errors.New("no snapshot is to be kept: none is made")
	}
	if s.dialect.name != onSQLite.name {
		return Snapshot{}, fmt.Errorf("snapshot of database %s: %w", s.where, ErrNotAFile)
	}
	now, err := s.Now(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Snapshot{}, fileError("make directory", dir, err)
	}
	if err := tidy(dir, now); err != nil {
		return Snapshot{}, err
	}
	c, err := s.Backup(ctx, filepath.Join(dir, snapshotBegin+now.Format(snapshotTime)+snapshotEnd), true)
	if err != nil {
		return Snapshot{}, err
	}
	all, err := Snapshots(dir)
	if err != nil {
		return Snapshot{}, err
	}
	done := Snapshot{Copy: c, Removed: []string{}}
	for len(all) > keep {
		if err := os.Remove(all[0]); err != nil {
			return done, fileError("remove", all[0], err)
		}
		done.Removed = append(done.Removed, all[0])
		all = all[1:]
	}
	done.Kept = len(all)
	return done, nil
}

// Snapshots gives the snapshots in a directory, oldest first; none where there is no directory.
func Snapshots(dir string) (all []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if _, ok := snapshotAt(e.Name()); ok {
			all = append(all, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(all)
	return all, fileError("read directory", dir, err)
}

func snapshotAt(name string) (time.Time, bool) {
	text, begins := strings.CutPrefix(name, snapshotBegin)
	text, ends := strings.CutSuffix(text, snapshotEnd)
	at, err := time.Parse(snapshotTime, text)
	return at, begins && ends && err == nil
}

// unfinishedFor is how long a copy may take: older unfinished ones were left by a process that was killed.
const unfinishedFor = 24 * time.Hour

func tidy(dir string, now time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fileError("read directory", dir, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), unfinished) || now.Sub(info.ModTime()) < unfinishedFor {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fileError("remove", filepath.Join(dir, e.Name()), err)
		}
	}
	return nil
}

// SnapshotTime gives when a snapshot was made, by its name; zero of another file.
func SnapshotTime(path string) time.Time {
	at, _ := snapshotAt(filepath.Base(path))
	return at
}

package tasks

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// ServedError says that another service holds the state directory.
type ServedError struct {
	Dir     string
	Process int       // 0 when it has not said yet
	Since   time.Time // of its start
}

// Error names the other process.
func (e *ServedError) Error() string {
	if e.Process == 0 {
		return fmt.Sprintf("another fedsite serve has just been started on %s", e.Dir)
	}
	return fmt.Sprintf("another fedsite serve runs on %s: process %d since %s", e.Dir, e.Process, e.Since.UTC().Format(time.RFC3339))
}

// Lock is the service's hold on a state directory with an SQLite database. The system lets it go with the process, however
// that ends.
type Lock struct{ unlock func() error }

// ServeLock makes this process the one service of a state directory; *ServedError when there is another. The services
// before it are dead then, and the leases that they held when they were killed are given back, so that nobody has to wait
// for them to run out; those of runs from the shell are not. With PostgreSQL there may be several services, and no lock.
func ServeLock(ctx context.Context, st *store.Store, dir string, who Identity) (*Lock, error) {
	unlock, other, err := store.LockServe(filepath.Join(dir, store.ServeFile))
	if err != nil {
		return nil, err
	}
	if other != nil {
		return nil, &ServedError{Dir: dir, Process: other.Process, Since: other.Since}
	}
	if err := free(ctx, st, who); err != nil {
		return nil, errors.Join(fmt.Errorf("give back what was held when the last service was killed: %w", err), unlock())
	}
	return &Lock{unlock}, nil
}

// free gives back what services held. Their runs are closed as abandoned by the next claim.
func free(ctx context.Context, st *store.Store, who Identity) error {
	return st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE task SET owner = NULL, lease_until = NULL WHERE owner LIKE '%/`+serveMark+`%' AND owner <> $1`, who.Boot)
		return err
	})
}

// FreeAll gives back all that is held. It is for a database that was restored from a backup while nothing runs: a run that the
// backup was taken beside is not going on in it.
func FreeAll(ctx context.Context, st *store.Store) error {
	return st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE task SET owner = NULL, lease_until = NULL WHERE owner IS NOT NULL`)
		return err
	})
}

// Unlock lets another service begin. It is called when nothing runs any more.
func (l *Lock) Unlock() error { return l.unlock() }

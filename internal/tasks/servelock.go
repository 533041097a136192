package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/fedsite/fedsite/internal/store"
)

// lockName is the file that the service holds beside its SQLite database.
const lockName = "serve.lock"

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

// lockText is what the lock's file says of its holder.
type lockText struct {
	Process int       `json:"process"`
	Since   time.Time `json:"since"`
}

// Lock is the service's hold on a state directory with an SQLite database. The system lets it go with the process, however
// that ends.
type Lock struct{ file *flock.Flock }

// ServeLock makes this process the one service of a state directory; *ServedError when there is another. The services
// before it are dead then, and the leases that they held when they were killed are given back, so that nobody has to wait
// for them to run out; those of runs from the shell are not. With PostgreSQL there may be several services, and no lock.
func ServeLock(ctx context.Context, st *store.Store, dir string, who Identity) (*Lock, error) {
	path := filepath.Join(dir, lockName)
	file := flock.New(path, flock.SetPermissions(0o600), flock.SetFlag(os.O_CREATE|os.O_RDWR))
	ok, err := file.TryLock()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("lock file %s: %w: %w", path, store.ErrReadOnly, err)
	case err != nil:
		return nil, fmt.Errorf("lock file %s: %w", path, err)
	case !ok:
		held := &ServedError{Dir: dir}
		var other lockText
		if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &other) == nil {
			held.Process, held.Since = other.Process, other.Since
		}
		return nil, held
	}
	text, err := json.Marshal(lockText{os.Getpid(), time.Now().UTC().Truncate(time.Second)})
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o600) // the same file: the lock is on it
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock file %s: %w", path, err), file.Unlock())
	}
	if err := free(ctx, st, who); err != nil {
		return nil, errors.Join(fmt.Errorf("give back what was held when the last service was killed: %w", err), file.Unlock())
	}
	return &Lock{file}, nil
}

// free gives back what services held. Their runs are closed as abandoned by the next claim.
func free(ctx context.Context, st *store.Store, who Identity) error {
	return st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE task SET owner = NULL, lease_until = NULL WHERE owner LIKE '%/`+serveMark+`%' AND owner <> $1`, who.Boot)
		return err
	})
}

// Unlock lets another service begin. It is called when nothing runs any more.
func (l *Lock) Unlock() error { return l.file.Unlock() }

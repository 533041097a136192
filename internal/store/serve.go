package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// ServeFile is the file beside an SQLite database on which the one service that uses it holds a lock.
const ServeFile = "serve.lock"

// Holder says who holds the lock of a database.
type Holder struct {
	Process int       `json:"process"` // 0 when it has not said yet
	Since   time.Time `json:"since"`   // of its start
}

// LockServe takes the lock of a ServeFile, and says in it that this process has it; another's is a *Holder instead. The
// system lets it go with the process, however that ends.
func LockServe(path string) (release func() error, other *Holder, err error) {
	file := flock.New(path, flock.SetPermissions(0o600), flock.SetFlag(os.O_CREATE|os.O_RDWR))
	ok, err := file.TryLock()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, fmt.Errorf("lock file %s: %w: %w", path, ErrReadOnly, err)
	case err != nil:
		return nil, nil, fmt.Errorf("lock file %s: %w", path, err)
	case !ok:
		other = &Holder{}
		if text, err := os.ReadFile(path); err == nil {
			_ = json.Unmarshal(text, other) // it may be about to write it
		}
		return nil, other, nil
	}
	text, err := json.Marshal(Holder{os.Getpid(), time.Now().UTC().Truncate(time.Second)})
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o600) // the same file: the lock is on it
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("lock file %s: %w", path, err), file.Unlock())
	}
	return file.Unlock, nil, nil
}

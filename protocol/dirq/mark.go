package dirq

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// markFile is a file in the queue's directory that tells it from every other. Readers take and purge only what has a
// name of 8 hexadecimal digits, and leave it alone.
const markFile = ".fedsite-queue"

// idLength is how many hexadecimal digits a queue's id has.
const idLength = 32

// ID gives the queue's id, by which a writer knows the directory again: another one may be mounted, or stand, at the
// same path. "" when the directory is not there, or Mark never was called for it.
func (q Queue) ID() (string, error) {
	data, err := os.ReadFile(filepath.Join(q.Path, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("directory queue %s: %w", q.Path, err)
	}
	id := strings.TrimSpace(string(data))
	if !isHex(id, idLength) {
		return "", fmt.Errorf("directory queue %s: %s does not hold an id of %d hexadecimal digits", q.Path, markFile, idLength)
	}
	return id, nil
}

// Mark gives the queue's id, and gives it one, durably and for good, when it has none.
func (q Queue) Mark() (string, error) {
	if id, err := q.ID(); id != "" || err != nil {
		return id, err
	}
	if err := q.makeDir(q.Path); err != nil {
		return "", fmt.Errorf("directory queue %s: %w", q.Path, err)
	}
	random := make([]byte, idLength/2)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	id := hex.EncodeToString(random)
	mark := filepath.Join(q.Path, markFile)
	tmp := mark + "." + id
	err := q.writeFile(tmp, []byte(id+"\n"))
	if err == nil {
		err = os.Link(tmp, mark)
	}
	if errors.Is(err, fs.ErrExist) { // another writer was faster: its id counts
		err = nil
	}
	if err = errors.Join(err, ignoreMissing(os.Remove(tmp))); err == nil {
		err = q.syncDir(q.Path)
	}
	if err != nil {
		return "", fmt.Errorf("mark directory queue %s: %w", q.Path, err)
	}
	return q.ID()
}

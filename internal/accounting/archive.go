package accounting

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// The archive of messages is a directory in the directory of the state:
//
//	2026-11/SITE.gz   what was delivered of a site in a month: one gzip member per message, so that zcat reads it
//	open/MESSAGE.gz   a message that is on its way: perhaps delivered
//	lock              held while anything is written
//
// A member holds a line of JSON, an Archived, and the message's unsigned text. Members carry their length in the header,
// so that a reader passes over one that was torn when a process was killed, and over whatever else stands there.
const (
	openDir  = "open"
	lockName = "lock"
)

// Archive appends what was delivered to files, so that the ledger can be rebuilt from them when the database is lost.
type Archive struct {
	Dir string

	mu      sync.Mutex
	next    *batch // what the next write takes
	writing bool
	known   map[string]bool // directories and files that are there, and synced
}

// batch is what one write and one sync serve.
type batch struct {
	files map[string][]byte // what is appended, by name
	done  chan struct{}
	err   error
}

// OpenArchive gives the archive in a directory, which is made by the first message.
func OpenArchive(dir string) *Archive { return &Archive{Dir: dir, known: map[string]bool{}} }

// Archived says of a message, or of a mark, all that its text does not.
type Archived struct {
	Message     string            `json:"message,omitempty"` // id; "" = a mark
	Name        string            `json:"name,omitempty"`
	Destination string            `json:"destination"`
	Site        string            `json:"site"` // id
	SiteName    string            `json:"site_name"`
	Clouds      map[string]string `json:"clouds"` // names, by id
	Kind        string            `json:"kind"`
	Remote      string            `json:"remote,omitempty"`
	At          int64             `json:"at"`                   // unix seconds: settled; of one on its way, when it went; of a mark, when it was made
	HoldUntil   int64             `json:"hold_until,omitempty"` // unix seconds: an attempt may arrive until then
	Start       ArchivedStart     `json:"start"`
	Scopes      []ArchivedScope   `json:"scopes,omitempty"`
	Records     []ArchivedRecord  `json:"records,omitempty"` // in the order of the text
	Windows     []ArchivedWindow  `json:"windows,omitempty"` // of a mark: what was collected, and is all in the archive
	Settled     int64             `json:"settled,omitempty"` // of a mark: how many messages the site had settled there in the week before, on all nodes

	Text string `json:"-"`
}

// ArchivedRecord is the key of a record in a message, and what the ledger knew of it beside its text.
type ArchivedRecord struct {
	Cloud    string `json:"cloud"`
	VM       string `json:"vm"`
	Period   string `json:"period"`
	Revision int64  `json:"rev"`
	Seen     int64  `json:"seen,omitempty"` // unix milliseconds; 0 = not known
	Flavor   string `json:"flavor,omitempty"`
	State    string `json:"state,omitempty"`
}

// ArchivedStart is where the site's accounting began.
type ArchivedStart struct {
	Since      int64      `json:"since"`
	Previously Previously `json:"previously"`
	ActiveFrom int64      `json:"active_from"`
}

// ArchivedScope is a cloud, or a VO at a cloud, that observed within the active site, with the oldest month that is sent.
type ArchivedScope struct {
	Cloud string `json:"cloud"`
	VO    string `json:"vo,omitempty"`
	From  string `json:"from"`
}

// ArchivedWindow is a window of a project that was collected.
type ArchivedWindow struct {
	Cloud   string `json:"cloud"`
	Project string `json:"project"`
	From    int64  `json:"from"`
	To      int64  `json:"to"`
	Seen    int64  `json:"seen"`
}

// Append writes an entry and returns when it is on the disk. Entries of several callers share one write and one sync.
func (a *Archive) Append(e Archived) error {
	text, err := encodeMember(e)
	if err != nil {
		return err
	}
	file := filepath.Join(time.Unix(e.At, 0).UTC().Format("2006-01"), fileOf(e.Site))
	a.mu.Lock()
	if a.next == nil {
		a.next = &batch{files: map[string][]byte{}, done: make(chan struct{})}
	}
	b := a.next
	b.files[file] = append(b.files[file], text...)
	if !a.writing {
		a.writing = true
		go a.write()
	}
	a.mu.Unlock()
	<-b.done
	return b.err
}

// write writes batches until there is none.
func (a *Archive) write() {
	for {
		a.mu.Lock()
		b := a.next
		a.next = nil
		a.writing = b != nil
		a.mu.Unlock()
		if b == nil {
			return
		}
		b.err = a.locked(func() error {
			for name, text := range b.files {
				if err := a.appendTo(name, text); err != nil {
					return fmt.Errorf("archive of sent messages: %w", err)
				}
			}
			return nil
		})
		close(b.done)
	}
}

// appendTo writes the end of a file and syncs it; what was written of it in vain is taken away again.
func (a *Archive) appendTo(name string, text []byte) (err error) {
	path := filepath.Join(a.Dir, name)
	if err := a.directory(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Truncate(info.Size()))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if info.Size() == 0 {
		return syncDir(filepath.Dir(path))
	}
	return nil
}

// directory makes a directory of the archive, for good.
func (a *Archive) directory(path string) error {
	if a.known[path] {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	for _, parent := range []string{filepath.Dir(path), filepath.Dir(a.Dir)} {
		if err := syncDir(parent); err != nil {
			return err
		}
	}
	a.known[path] = true
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// locked runs fn while no other process writes the archive, or replaces its files.
func (a *Archive) locked(fn func() error) error {
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return fmt.Errorf("archive of sent messages: %w", err)
	}
	l := flock.New(filepath.Join(a.Dir, lockName), flock.SetPermissions(0o600))
	if err := l.Lock(); err != nil {
		return fmt.Errorf("archive of sent messages: %w", err)
	}
	defer l.Unlock() //nolint:errcheck // its file is closed with it
	return fn()
}

// Hold notes a message before it goes out for the first time: should the database be lost before it is settled, it is
// known that it may have arrived. It is not synced: that would cost as much as the message.
func (a *Archive) Hold(e Archived) error {
	text, err := encode(e, storers)
	if err != nil {
		return err
	}
	path := a.openFile(e.Message)
	err = os.WriteFile(path, text, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("archive of sent messages: %w", err)
		}
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("archive of sent messages: %w", err), a.Drop(e.Message))
	}
	return nil
}

// Drop forgets a message that is no longer on its way.
func (a *Archive) Drop(message string) error {
	err := os.Remove(a.openFile(message))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (a *Archive) openFile(message string) string {
	return filepath.Join(a.Dir, openDir, message+".gz")
}

// fileOf names a site's files. An id is a readable name and some digits; whatever else it may be stays one file's name.
func fileOf(siteID string) string {
	safe := strings.Map(func(r rune) rune {
		if r == '/' || r == 0 {
			return '-'
		}
		return r
	}, siteID)
	return strings.TrimLeft(safe, ".") + ".gz"
}

// Header of a member: the first bytes of a gzip file with an extra field, "FS", that holds the member's length.
var (
	memberStart = []byte{0x1f, 0x8b, 8, 4}
	memberExtra = []byte{8, 0, 'F', 'S', 4, 0} // from byte 10 on
)

const memberHead = 20 // bytes; the length is the last four

// Writers of what stays, and of what is there for a moment only: packing costs CPU.
var deflaters, storers = writers(gzip.BestSpeed), writers(gzip.NoCompression)

func writers(level int) *sync.Pool {
	return &sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(io.Discard, level)
		return w
	}}
}

// encodeMember makes an entry's member.
func encodeMember(e Archived) ([]byte, error) { return encode(e, deflaters) }

func encode(e Archived, pool *sync.Pool) ([]byte, error) {
	head, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := pool.Get().(*gzip.Writer)
	defer pool.Put(w)
	w.Reset(&b)
	w.Extra = []byte{'F', 'S', 4, 0, 0, 0, 0, 0}
	for _, part := range [][]byte{head, []byte("\n"), []byte(e.Text)} {
		if _, err := w.Write(part); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	text := b.Bytes()
	binary.LittleEndian.PutUint32(text[memberHead-4:], uint32(len(text)))
	return text, nil
}

// Torn is a stretch of a file of the archive that holds no entry: a process was killed while it wrote it.
type Torn struct {
	File  string
	At    int64
	Bytes int64
}

// readArchive calls each with the entries of a file in their order, and gives what in between is none.
func readArchive(path string, each func(Archived) error) (torn []Torn, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	for at := int64(0); at < info.Size(); {
		e, n, err := decodeMember(f, at, info.Size())
		if errors.Is(err, errTorn) {
			next, err := nextMember(f, at+1, info.Size())
			if err != nil {
				return torn, err
			}
			torn = append(torn, Torn{path, at, next - at})
			at = next
			continue
		}
		if err != nil {
			return torn, err
		}
		if err := each(e); err != nil {
			return torn, err
		}
		at += n
	}
	return torn, nil
}

var errTorn = errors.New("no whole entry")

// decodeMember reads the member at a place of a file, and gives its length.
func decodeMember(f io.ReaderAt, at, size int64) (e Archived, n int64, err error) {
	var head [memberHead]byte
	if at+memberHead > size {
		return e, 0, errTorn
	}
	if _, err := f.ReadAt(head[:], at); err != nil {
		return e, 0, err
	}
	n = int64(binary.LittleEndian.Uint32(head[memberHead-4:]))
	if !bytes.HasPrefix(head[:], memberStart) || !bytes.Equal(head[10:16], memberExtra) || n < memberHead || at+n > size {
		return e, 0, errTorn
	}
	r, err := gzip.NewReader(io.NewSectionReader(f, at, n))
	if err != nil {
		return e, 0, errTorn
	}
	r.Multistream(false)
	text, err := io.ReadAll(io.LimitReader(r, maxEntry))
	if err != nil {
		if _, disk := errors.AsType[*fs.PathError](err); disk {
			return e, 0, err
		}
		return e, 0, errTorn
	}
	line, body, ok := bytes.Cut(text, []byte("\n"))
	if !ok || json.Unmarshal(line, &e) != nil {
		return e, 0, errTorn
	}
	e.Text = string(body)
	return e, n, nil
}

// maxEntry bounds what one entry may unpack to: a message is far below.
const maxEntry = 64 << 20

// nextMember gives where the next member begins, or the end of the file.
func nextMember(f io.ReaderAt, at, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for at < size {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for from := 0; ; {
			i := bytes.Index(buf[from:n], memberStart)
			if i < 0 {
				break
			}
			i += from
			if i+memberHead > n {
				break
			}
			if bytes.Equal(buf[i+10:i+16], memberExtra) {
				return at + int64(i), nil
			}
			from = i + 1
		}
		if n < len(buf) {
			return size, nil
		}
		at += int64(n) - memberHead
	}
	return size, nil
}

// Files gives the archive's files of delivered messages, oldest month first.
func (a *Archive) Files() ([]string, error) { return a.files("[0-9][0-9][0-9][0-9]-[0-9][0-9]") }

// Open gives the files of messages that are on their way.
func (a *Archive) Open() ([]string, error) { return a.files(openDir) }

func (a *Archive) files(dirs string) ([]string, error) {
	if _, err := os.ReadDir(a.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("archive of sent messages: %w", err) // Glob says nothing of it
	}
	all, err := filepath.Glob(filepath.Join(globQuoted(a.Dir), dirs, "*.gz"))
	slices.SortFunc(all, func(x, y string) int {
		return cmp.Or(cmp.Compare(filepath.Base(filepath.Dir(x)), filepath.Base(filepath.Dir(y))), cmp.Compare(x, y))
	})
	return all, err
}

// globQuoted makes a path mean itself in a pattern.
func globQuoted(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// errEnough ends the reading of a file.
var errEnough = errors.New("enough")

// Holds tells whether the archive has anything of a site, by its id or one of its names. Each file is of one site.
// Messages on their way count: they may have arrived.
func (a *Archive) Holds(siteID string, names ...string) (bool, error) {
	files, err := a.Files()
	if err != nil {
		return false, err
	}
	open, err := a.Open()
	if err != nil {
		return false, err
	}
	for _, file := range append(files, open...) {
		found := false
		_, err := readArchive(file, func(e Archived) error {
			found = e.Site == siteID || slices.Contains(names, e.SiteName)
			return errEnough
		})
		if err != nil && !errors.Is(err, errEnough) {
			return false, fmt.Errorf("archive of sent messages: %w", err)
		}
		if found {
			return true, nil
		}
	}
	return false, nil
}

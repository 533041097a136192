package credential

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gofrs/flock"
)

// refreshing is a refresh token that its provider may rotate: each use may bring another one, and end the one that was
// used. What comes is kept here, and written into the file that the configuration reads it from.
type refreshing struct {
	name string
	said string // digest of what it belongs to
	from Secret
	file string // "" = none

	mu         sync.Mutex
	configured string // what the configuration said last
	current    string
	put        int // how often somebody else put another one there
}

// refreshOf gives a credential's refresh token as it is now: the one that came last, unless somebody has put another one
// into the configuration since.
func (r *Resolver) refreshOf(name, said string, o *OIDC) (*refreshing, error) {
	value, err := o.RefreshToken()
	if err != nil {
		return nil, &Error{Kind: ErrConfiguration, Name: name, Cause: err}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.refresh[name]
	if f == nil || f.said != said || f.file != o.RefreshFile {
		f = &refreshing{name: name, said: said, file: o.RefreshFile}
		r.refresh[name] = f
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.from = o.RefreshToken
	f.take(value)
	return f, nil
}

// take looks at what the configuration says.
func (f *refreshing) take(value string) {
	if value != f.configured && value != f.current {
		f.current = value
		f.put++
	}
	f.configured = value
}

// epoch changes when somebody has put another token there: what was got with the one before is not used any more.
func (f *refreshing) epoch() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.put
}

// use asks for an access token. Of several processes that share a file one does at a time: two uses of one token would look
// like a theft.
func (f *refreshing) use(ctx context.Context, c *oidcClient, m metadata) (answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != "" {
		lock := flock.New(f.file + ".lock")
		if err := lock.Lock(); err != nil {
			return answer{}, &Error{Kind: ErrConfiguration, Name: f.name, Doing: "lock " + f.file + ".lock", Cause: err,
				Remedy: "let fedsite write in the directory of the refresh token: the provider may give another one at each use"}
		}
		defer lock.Unlock() //nolint:errcheck // closing gives it up
		value, err := f.from()
		if err != nil {
			return answer{}, &Error{Kind: ErrConfiguration, Name: f.name, Cause: err}
		}
		if value != f.configured && value != f.current { // another process used it meanwhile
			f.configured, f.current = value, value
		}
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {f.current}}
	if len(c.Scopes) > 0 {
		form.Set("scope", strings.Join(c.Scopes, " "))
	}
	a, err := c.ask(ctx, m, form)
	if err != nil || a.RefreshToken == "" || a.RefreshToken == f.current {
		return a, err
	}
	f.current = a.RefreshToken
	if f.file == "" {
		return a, nil
	}
	if err := writeSecret(f.file, f.current); err != nil {
		c.r.log.Error("the new refresh token could not be written: after a restart the old one may not be taken any more", "credential", f.name, "file", f.file, "error", err.Error())
		return a, nil // this one is good
	}
	f.configured = f.current
	return a, nil
}

// writeSecret puts a secret into a file, whole or not at all, for its owner only.
func writeSecret(name, secret string) error {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(secret + "\n")
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), target)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return fmt.Errorf("write %s: %w", target, err)
	}
	return nil
}

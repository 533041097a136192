//go:build bench

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/store"
)

// listed is what merely reading a listing took: the pages of one project, one after the other, their text thrown away.
type listed struct {
	pages int
	bytes int64
	took  time.Duration
}

var nextMarker = regexp.MustCompile(`servers/detail\?[^"]*marker=([0-9a-f-]{36})`)

// list reads the existing VMs of the largest project as fedsite asks for them, and does nothing with them.
func (e *emulator) list(ctx context.Context) (l listed, err error) {
	token, err := e.token(ctx)
	if err != nil {
		return l, err
	}
	nova := strings.TrimSuffix(e.AuthURL, "/identity/v3") + "/compute/v2.1/servers/detail?limit=1000"
	began := time.Now()
	for marker := ""; ; {
		req, err := http.NewRequestWithContext(ctx, "GET", nova+marker, nil)
		if err != nil {
			return l, err
		}
		req.Header.Set("X-Auth-Token", token)
		req.Header.Set("OpenStack-API-Version", "compute 2.69")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return l, err
		}
		text, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			return l, err
		}
		if res.StatusCode != http.StatusOK {
			return l, fmt.Errorf("bare listing: %s", res.Status)
		}
		l.pages, l.bytes = l.pages+1, l.bytes+int64(len(text))
		found := nextMarker.FindSubmatch(text)
		if found == nil {
			l.took = time.Since(began)
			return l, nil
		}
		marker = "&marker=" + string(found[1])
	}
}

// token signs in to the largest project.
func (e *emulator) token(ctx context.Context) (string, error) {
	type object = map[string]any
	body, err := json.Marshal(object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": object{"name": world.Reader, "password": world.ReaderPass, "domain": object{"id": "default"}}}},
		"scope":    object{"project": object{"id": e.Projects[0]}},
	}})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", e.AuthURL+"/auth/tokens", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close() //nolint:errcheck // only its header is read
	if res.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("bare sign-in: %s", res.Status)
	}
	return res.Header.Get("X-Subject-Token"), nil
}

// sign makes n signatures with a key as host certificates have it, one after the other.
func sign(n int) (time.Duration, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256([]byte("a message"))
	began := time.Now()
	for range n {
		if _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// commit writes rows of so many bytes each into a store of its own in dir, in transactions of so many rows, one after the
// other.
func commit(ctx context.Context, dir string, commits, rows, width int) (took time.Duration, err error) {
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(dir, fmt.Sprintf("bare-%d-%d.db", commits, rows))})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	text := strings.Repeat("x", width)
	began := time.Now()
	for n := range commits {
		err := db.Write(ctx, func(tx *store.Tx) error {
			for r := range rows {
				id := fmt.Sprintf("%016x", uint64(n*rows+r)*0x9e3779b97f4a7c15) // in no order, as ids of VMs are
				if _, err := tx.Exec(`INSERT INTO audit (id, at, who, action, object, origin) VALUES ($1, 0, '', '', '', $2)`, id, text); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

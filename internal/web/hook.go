package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net/http"
	"strings"
)

// Hook is what a registry calls when something new was pushed to it. What it says is not read: the sources are asked.
type Hook struct {
	Secret func() (string, error)      // that the caller must know; "" = nobody may call
	Called func(context.Context) error // asks the sources soon; being called twice is as being called once
}

// hookPath is where a registry calls.
const hookPath = "/hooks/registry"

// mostNews is how much of a call's body is read, and thrown away.
const mostNews = 1 << 20

// takes tells whether a request may be made though it is no reading.
func (s *Server) takes(r *http.Request) bool {
	return s.hook != nil && r.URL.Path == hookPath && r.Method == http.MethodPost
}

// called answers a registry's call. The secret stands in the header Authorization, alone or after Bearer, as Harbor's
// webhooks and others have it; all that is wrong gets the same answer.
func (s *Server) called(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.fail(w, r, http.StatusMethodNotAllowed)
		return
	}
	_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, mostNews))
	secret, err := s.hook.Secret()
	if err != nil {
		s.log.Error("the secret of the hook could not be read", "error", err)
	}
	given := r.Header.Get("Authorization")
	if scheme, token, found := strings.Cut(given, " "); found && strings.EqualFold(scheme, "Bearer") {
		given = token
	}
	want, got := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(given)) // of equal length whatever is given
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || err != nil || secret == "" {
		s.log.Warn("a call of the hook was refused", "from", r.RemoteAddr)
		s.fail(w, r, http.StatusUnauthorized)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.patience)
	defer cancel()
	if err := s.hook.Called(ctx); err != nil {
		s.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

package web

import (
	"context"
	"io"
	"net/http"
	"strings"
)

// Hook is what a registry calls when something new was pushed to it. What it says is not read: the sources are asked.
type Hook struct {
	// Called has the sources asked soon of those who take the secret that the caller gave, and tells whether anybody does. It
	// takes as long whatever is given; being called twice is as being called once.
	Called func(ctx context.Context, given string) (known bool, err error)
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
	given := r.Header.Get("Authorization")
	if scheme, token, found := strings.Cut(given, " "); found && strings.EqualFold(scheme, "Bearer") {
		given = token
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.patience)
	defer cancel()
	switch known, err := s.hook.Called(ctx, given); {
	case err != nil:
		s.refuse(w, r, err)
		return
	case !known:
		s.log.Warn("a call of the hook was refused", "from", r.RemoteAddr)
		s.fail(w, r, http.StatusUnauthorized)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHook: only who knows the secret can have the sources asked, and everybody else learns nothing.
func TestHook(t *testing.T) {
	calls, failing := 0, error(nil)
	secret := "s3cret"
	s := New(Options{Hook: &Hook{Called: func(_ context.Context, given string) (bool, error) {
		if given != secret {
			return false, nil
		}
		calls++
		return true, failing
	}}})
	ask := func(method, authorization, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://localhost/hooks/registry", strings.NewReader(body))
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		method, authorization string
		status, calls         int
	}{
		{"POST", "s3cret", 202, 1},
		{"POST", "Bearer s3cret", 202, 1},
		{"POST", "bearer s3cret", 202, 1},
		{"POST", "Basic s3cret", 401, 0},
		{"POST", "s3cre", 401, 0},
		{"POST", "", 401, 0},
		{"GET", "s3cret", 405, 0},
		{"PUT", "s3cret", 405, 0},
	} {
		calls = 0
		if w := ask(c.method, c.authorization, `{"type":"PUSH_ARTIFACT"}`); w.Code != c.status || calls != c.calls {
			t.Errorf("%s with %q: %d and %d calls, want %d and %d", c.method, c.authorization, w.Code, calls, c.status, c.calls)
		}
	}
	none, wrong := ask("POST", "", ""), ask("POST", "x", strings.Repeat("x", 2<<20))
	if none.Body.String() != wrong.Body.String() {
		t.Error("two refusals differ")
	}
	failing = errors.New("inside")
	if w := ask("POST", "s3cret", ""); w.Code != 500 || strings.Contains(w.Body.String(), "inside") {
		t.Errorf("a failure inside: %d %s", w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	New(Options{}).ServeHTTP(w, httptest.NewRequest("POST", "http://localhost/hooks/registry", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("without a hook: %d", w.Code)
	}
}

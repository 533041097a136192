package download

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/protocol/oci"
)

// A layer comes from the store of objects that a registry redirects to, over a break, and the store gets no token.
func TestLayerOfARegistry(t *testing.T) {
	file := content(50)
	s := &store{file: file, etag: `"a"`, cutAt: func(n int) int { return []int{20, -1}[n-1] }}
	objects := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "" {
			t.Errorf("the store got %q", got)
		}
		s.ServeHTTP(w, r)
	})
	var registry string
	tokens := 0
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			tokens++
			_, _ = w.Write([]byte(`{"token":"t0ken","expires_in":300}`))
		case r.Header.Get("Authorization") != "Bearer t0ken":
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+registry+`/token",service="s"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(r.URL.Path, "/blobs/"):
			http.Redirect(w, r, objects.URL+"/o?signature=s3cret", http.StatusTemporaryRedirect)
		default:
			_, _ = w.Write([]byte(`{"tags":[]}`))
		}
	})
	registry = srv.URL
	c := client(t)
	from := &oci.Client{HTTP: c.HTTP, URL: registry}
	digest := "sha256:" + strings.Repeat("a", 64)
	var p pauses
	text, st, err := whole(t, func(ctx context.Context, offset int64, tag string) (Piece, error) {
		u, header, err := from.Blob(ctx, "vo/img", digest)
		if err != nil {
			return Piece{}, err
		}
		return c.Open(ctx, u, Auth{Header: header}, offset, tag)
	}, Options{Sleep: p.sleep})
	if err != nil || text != file || st.Breaks() != 1 || tokens != 1 || s.ranges[1] != "bytes=20-" {
		t.Errorf("%d bytes, %v, %d tokens, %q", len(text), err, tokens, s.ranges)
	}
}

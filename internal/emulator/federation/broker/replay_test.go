package broker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var day = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func seeded() *Broker {
	const cloud = "eu-egi-cloud-accounting"
	both := map[string][]string{"accounting": {"publisher"}, "egi_cloud_info": {"publisher"}}
	return New(Seed{
		Host: "localhost",
		Users: []User{
			{"site", "site-token", both}, {"other", "other-token", map[string][]string{"accounting": {"publisher"}}},
			{"admin", "padmin-token", map[string][]string{"accounting": {"project_admin"}}},
			{"repo", "repo-token", map[string][]string{"accounting": {"consumer"}}}, {"repo2", "repo2-token", map[string][]string{"accounting": {"consumer"}}},
		},
		Projects: []Project{
			{Name: "accounting", Topics: map[string][]string{cloud: {"site"}, "gLite-APEL": {}},
				Subscriptions: map[string]Subscription{cloud: {Topic: cloud, Consumers: []string{"repo"}}, "eu-egi-storage-accounting": {Topic: cloud, Consumers: []string{"repo"}}}},
			{Name: "egi_cloud_info"},
		},
	}, func() time.Time { return day })
}

// different names the recorded requests whose answer differs on purpose, or depends on what was not replayed.
var different = map[string]string{
	"173-options-cors.http":       "CORS is for browsers",
	"36-ack-not-in-acl.http":      "the recorded broker did not check the subscription's ACL, and its answer depends on an earlier pull",
	"31-ack-no-ids.http":          "",
	"19-wrong-method.http":        "",
	"171-path-escaped-colon.http": "",
}

// TestReplay sends what was recorded against the real service, and compares status, Content-Type and every error.
func TestReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	number := func(f string) int {
		n, _ := strconv.Atoi(strings.SplitN(filepath.Base(f), "-", 2)[0])
		return n
	}
	slices.SortFunc(files, func(a, b string) int { return number(a) - number(b) })
	h := seeded().AMS()
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if why := different[filepath.Base(file)]; why != "" {
				t.Logf("not compared: %s", why)
				return
			}
			req, res, body := recorded(t, file)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			if rec.Code != res.StatusCode {
				t.Fatalf("status %d %s, recorded %d %s", rec.Code, rec.Body, res.StatusCode, body)
			}
			if got, want := rec.Header().Get("Content-Type"), res.Header.Get("Content-Type"); got != want {
				t.Errorf("Content-Type %q, recorded %q", got, want)
			}
			if rec.Code == http.StatusOK {
				return // ids and times differ
			}
			var got, want any
			if json.Unmarshal(body, &want) != nil {
				if strings.TrimSpace(rec.Body.String()) != strings.TrimSpace(string(body)) {
					t.Errorf("body %q, recorded %q", rec.Body, body)
				}
				return
			}
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("error (-recorded +ours):\n%s", d)
			}
		})
	}
}

// recorded reads one recording.
func recorded(t *testing.T, file string) (*http.Request, *http.Response, []byte) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, data, _ = bytes.Cut(data, []byte("\n"))
	sent, answer, ok := bytes.Cut(data, []byte("<<<< response\n"))
	if !ok {
		t.Fatal("no response in the recording")
	}
	answer, _, _ = bytes.Cut(answer, []byte("\n#### "))
	sent = append(bytes.TrimSuffix(sent, []byte("\n")), "\n\n"...) // a request without a body ends in a blank line
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent)))
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := bytes.Cut(answer, []byte("\n\n"))
	head = append(bytes.ReplaceAll(head, []byte("\n"), []byte("\r\n")), "\r\nContent-Length: 0\r\n\r\n"...)
	head = bytes.Replace(head, []byte("\r\nContent-Length: "), []byte("\r\nX-Length: "), 1)
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), req)
	if err != nil {
		t.Fatal(err)
	}
	return req, res, bytes.TrimSuffix(body, []byte("\n"))
}

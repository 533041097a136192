package openstack_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
)

// TestWho: who signed in, and how far Keystone's clock is from ours.
func TestWho(t *testing.T) {
	for name, c := range map[string]struct {
		date string // "" = none
		want time.Duration
	}{
		"same":    {present.Format(http.TimeFormat), 0},
		"ahead":   {present.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second},
		"behind":  {present.Add(-time.Minute).Format(http.TimeFormat), -time.Minute},
		"no date": {"", 0},
		"odd":     {"noon", 0},
	} {
		o := newOdd(t, "/compute/v2.1", func(w http.ResponseWriter, _ *http.Request) bool {
			if w.Header().Set("Date", c.date); c.date == "" {
				w.Header()["Date"] = nil
			}
			return false
		})
		who, err := connect(t, o.URL+"/v3", password("me", "hunter2")).Who(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if who.UserName != "me" || who.UserID != "u" || who.OnlyProject != "" {
			t.Errorf("%s: %+v", name, who)
		}
		known := c.date != "" && c.date != "noon"
		if (who.Ahead != nil) != known || (known && *who.Ahead != c.want) {
			t.Errorf("%s: ahead %v, want %s", name, who.Ahead, c.want)
		}
	}
	o := newOdd(t, "/compute/v2.1", func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Date", present.Add(time.Hour).Format(http.TimeFormat))
		return false
	})
	if _, err := connect(t, o.URL+"/v3", password("me", "hunter2")).Who(t.Context()); !errors.Is(err, openstack.ErrClock) || !strings.Contains(err.Error(), "2026-11-24T13:00:00Z, ours 2026-11-24T12:00:00Z") {
		t.Errorf("an hour ahead: %v", err)
	}
}

// TestProbe asks for one VM only, and tells what a role without the right to list does.
func TestProbe(t *testing.T) {
	status, asked := http.StatusOK, ""
	o := newOdd(t, "/compute/v2.1", func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/servers") {
			return false
		}
		asked = r.URL.RequestURI()
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"servers": [], "forbidden": {"message": "Policy doesn't allow it"}}`))
		return true
	})
	p, err := connect(t, o.URL+"/v3", password("me", "hunter2")).Project(t.Context(), oddProject)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Probe(t.Context()); err != nil || asked != "/compute/v2.1/servers/detail?limit=1" {
		t.Errorf("%s: %v", asked, err)
	}
	status = http.StatusForbidden
	if err := p.Probe(t.Context()); !errors.Is(err, openstack.ErrForbidden) {
		t.Errorf("%v", err)
	}
}

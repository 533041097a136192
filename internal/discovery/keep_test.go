package discovery

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// TestKeep: what is told of a part, by what was just got and what was kept; hours are after noon, at 24 it is asked again,
// and kept is what is younger than twelve hours.
func TestKeep(t *testing.T) {
	at := func(hour int) time.Time { return noon.Add(time.Duration(hour) * time.Hour) }
	trouble := func(since int) *Trouble { return &Trouble{Stage: "images", Since: at(since)} }
	got := func(hour int, value string) Known[string] { return Known[string]{Value: value, At: at(hour)} }
	gap := func(hour int, value string, since int) Known[string] {
		return Known[string]{Value: value, At: at(hour), Trouble: trouble(since)}
	}
	failed := func(since int) Known[string] { return Known[string]{Trouble: trouble(since)} }
	for name, c := range map[string]struct{ got, last, want Known[string] }{
		"the first time":                      {got(24, "new"), Known[string]{}, got(24, "new")},
		"as always":                           {got(24, "new"), got(23, "old"), got(24, "new")},
		"there again":                         {got(24, "new"), gap(20, "old", 22), got(24, "new")},
		"fails":                               {failed(24), got(23, "old"), gap(23, "old", 24)},
		"fails the first time":                {failed(24), Known[string]{}, failed(24)},
		"fails again":                         {failed(24), gap(20, "old", 21), gap(20, "old", 21)},
		"fails again, and never was":          {failed(24), failed(10), failed(10)},
		"just young enough":                   {failed(24), got(13, "old"), gap(13, "old", 24)},
		"too old":                             {failed(24), got(12, "old"), failed(24)},
		"too old, in trouble since":           {failed(24), gap(12, "old", 13), failed(13)},
		"a clock was set back":                {failed(24), got(30, "ahead"), gap(30, "ahead", 24)},
		"by far":                              {failed(24), got(36, "ahead"), failed(24)},
		"trouble from the future":             {failed(24), failed(30), failed(24)},
		"a gap":                               {gap(24, "part", 24), got(23, "whole"), gap(23, "whole", 24)},
		"a gap again":                         {gap(24, "part", 24), gap(20, "whole", 21), gap(20, "whole", 21)},
		"a gap, and never whole":              {gap(24, "part", 24), gap(20, "part of old", 20), gap(24, "part", 20)},
		"a gap, the whole is too old":         {gap(24, "part", 24), gap(12, "whole", 13), gap(24, "part", 13)},
		"fails after a gap":                   {failed(24), gap(20, "part", 20), gap(20, "part", 20)},
		"a gap, nothing was known of it once": {gap(24, "part", 24), failed(20), gap(24, "part", 20)},
	} {
		if d := cmp.Diff(c.want, keep(c.got, c.last, at(24), 12*time.Hour)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestLowestMode: the lowest mode that is said counts.
func TestLowestMode(t *testing.T) {
	for _, c := range []struct {
		modes []site.Mode
		want  site.Mode
	}{
		{nil, ""}, {[]site.Mode{"", ""}, ""}, {[]site.Mode{site.Active, ""}, site.Active}, {[]site.Mode{site.Active, site.Observe}, site.Observe},
		{[]site.Mode{site.Observe, site.Active, site.Disabled}, site.Disabled},
	} {
		if got := site.Lowest(c.modes...); got != c.want {
			t.Errorf("%v: %q, want %q", c.modes, got, c.want)
		}
	}
}

// TestTroubleInWords: what is said to everybody has no name or address of the cloud's inside; what is kept has one line, and an
// end.
func TestTroubleInWords(t *testing.T) {
	err := fmt.Errorf("flavors: %w", &openstack.Error{Kind: openstack.ErrUnavailable, Service: "compute", Method: "GET", Path: "/v2.1/flavors", Status: 502, RequestID: "req-1\n2",
		Message: strings.Repeat("é\n", 1000), Cause: errors.New("dial 10.0.0.1")})
	got := troubleOf("flavors", err, noon)
	if want := "flavors: cannot be reached or is down, HTTP 502, req-1 2, since 2026-11-24T12:00:00Z"; got.String() != want {
		t.Errorf("%s", got)
	}
	if len(got.Reason) > longestReason+len("…") || strings.ContainsAny(got.Reason, "\n\ufffd") || !strings.Contains(got.Reason, "/v2.1/flavors: 502") || strings.Contains(got.Hint, "window") || got.Hint == "" {
		t.Errorf("%+v", *got)
	}
	if got := troubleOf("GOCDB", errors.New("no\tanswer\u2028\xff"), noon); got.Reason != "no answer ?" || got.String() != "GOCDB: failed, since 2026-11-24T12:00:00Z" {
		t.Errorf("%+v", *got)
	}
}

// TestKeptOfImages: what of an image is kept, and where its content is.
func TestKeptOfImages(t *testing.T) {
	all := map[string]string{"APPLIANCE_ATTRIBUTES": "{}", "vmcatcher_event_ad_mpuri": "m", "CLOUDKEEPER_title": "t", "ad:traffic_in": "[]", "eu.egi.cloud.tag": "1", "os_distro": "d", "os_version": "v",
		"os_type": "linux", "architecture": "x86_64", "image_type": "snapshot", "base_image_ref": "b", "marketplace": "m", "appdb_id": "a"}
	listed := openstack.ListedImage{ID: "1", Name: "n", Owner: "p", Visibility: "private", File: "/v2/images/1/file", Size: 5, VirtualSize: 6, MinDisk: 7, MinRAM: 8,
		Properties: map[string]string{"hw_disk_bus": "x", "image_hash": "x", "owner_specified.x": "x", "os_distribution": "x", "xvmcatcher_event_": "x"}}
	for key, value := range all {
		listed.Properties[key] = value
	}
	want := Image{ID: "1", Name: "n", Own: true, Visibility: "private", Size: 5, VirtualSize: 6, MinDisk: 7, MinRAM: 8, File: "https://h/image/v2/images/1/file", Properties: all}
	for _, endpoint := range []string{"https://h/image", "https://h/image/", "https://h/image/v2", "https://h/image/v2/"} {
		if d := cmp.Diff(want, imageOf(listed, "p", endpoint)); d != "" {
			t.Errorf("%s (-want +got):\n%s", endpoint, d)
		}
	}
	want.File, want.Own, want.Visibility, want.Properties = "", false, "shared", nil
	listed.Properties = map[string]string{"x": "y"}
	if d := cmp.Diff(want, imageOf(listed, "other", "")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	catalog := []openstack.Endpoint{{Service: "image", Interface: "internal", Region: "a", URL: "1"}, {Service: "compute", Interface: "public", Region: "a", URL: "2"},
		{Service: "image", Interface: "public", Region: "a", URL: "3"}, {Service: "image", Interface: "public", Region: "b", URL: "4"}}
	if glance(catalog, "") != "3" || glance(catalog, "b") != "4" || glance(catalog, "c") != "" {
		t.Error(glance(catalog, ""), glance(catalog, "b"), glance(catalog, "c"))
	}
}

// TestSilence: a service is asked no more after three times without any answer in a row; an answer between, a bad one too, and
// the same failure told again, do not count.
func TestSilence(t *testing.T) {
	silent := func() error { return &openstack.Error{Kind: openstack.ErrUnavailable, Service: "image"} }
	once := silent()
	for name, c := range map[string]struct {
		went []error
		want bool // it is refused
	}{
		"nothing":            {nil, false},
		"twice":              {[]error{silent(), silent()}, false},
		"three times":        {[]error{silent(), silent(), silent()}, true},
		"an answer between":  {[]error{silent(), silent(), nil, silent(), silent()}, false},
		"an error between":   {[]error{silent(), silent(), &openstack.Error{Kind: openstack.ErrUnavailable, Status: 503}, silent()}, false},
		"of our own":         {[]error{silent(), silent(), errors.New("no credential"), silent()}, false},
		"one told again":     {[]error{once, once, once, once}, false},
		"fails, not silent":  {[]error{&openstack.Error{Kind: openstack.ErrNoRole}, &openstack.Error{Kind: openstack.ErrNoService}, &openstack.Error{Kind: openstack.ErrBadAnswer}}, false},
		"and again answered": {[]error{silent(), silent(), silent(), nil}, false},
	} {
		var s silence
		for _, err := range c.went {
			s.note("images", err)
		}
		if err := s.refuses("images"); (err != nil) != c.want || (c.want && !errors.Is(err, openstack.ErrUnavailable)) || s.refuses("flavors") != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for stage := range map[string]bool{"sign-in": true, "version": true, "flavors": true, "quotas": true, "VMs": true, "images": true, "networks": true, "network quotas": true, "volume quotas": true} {
		if askedAt[stage] == "" {
			t.Errorf("nobody is asked for %s", stage)
		}
	}
}

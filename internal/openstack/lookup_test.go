package openstack_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
)

// asked counts the requests whose path contains the text.
func asked(c *emulated.Cloud, text string) (n int) {
	for _, r := range c.Requests() {
		if strings.Contains(r.Path, text) {
			n++
		}
	}
	return n
}

// TestUserNames: one request for each distinct user, whoever asks how often, and none any more after a refusal.
func TestUserNames(t *testing.T) {
	w := sample(1)
	cases := []struct {
		name    string
		cred    openstack.Credential
		scope   string // of the token that users are read with
		refused bool
	}{
		{"a reader on the system", password(world.Reader, world.ReaderPass), "system", false},
		{"an admin of the system", password(world.SystemAdmin, world.AdminPass), "system", false},
		{"an admin of the project", password(world.Admin, world.AdminPass), w.Projects[0].ID, false},
		{"a reader on the project", password(world.PlainReader, world.ReaderPass), w.Projects[0].ID, true},
		{"an application credential", openstack.Credential{ApplicationID: w.Users[0].Applications[0].ID, ApplicationSecret: w.Users[0].Applications[0].Secret}, w.Projects[0].ID, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cloud := serve(t, w, emulated.Options{})
			client := connect(t, cloud.AuthURL(), c.cred)
			if _, err := client.Project(t.Context(), w.Projects[0].ID); err != nil {
				t.Fatal(err)
			}
			lookup := client.NewLookup()
			ask := func(u world.User) {
				name, err := lookup.UserName(context.Background(), u.ID)
				if c.refused && !errors.Is(err, openstack.ErrForbidden) || !c.refused && (err != nil || name != u.Name) {
					t.Errorf("%s: %q, %v", u.Name, name, err)
				}
			}
			members := w.Users[5:]
			if c.refused {
				ask(members[0])
			}
			var wg sync.WaitGroup
			for range 5 {
				for _, u := range members {
					wg.Go(func() { ask(u) })
				}
			}
			wg.Wait()
			want := len(members)
			if c.refused {
				want = 1
			}
			if n := asked(cloud, "/users/"); n != want {
				t.Errorf("%d requests for %d users, want %d", n, len(members), want)
			}
			for _, r := range cloud.Requests() {
				if strings.Contains(r.Path, "/users/") && r.Scope != c.scope {
					t.Errorf("asked with a token of %s", r.Scope)
				}
			}
			if c.refused {
				me := w.Users[slices.IndexFunc(w.Users, func(u world.User) bool { return u.Name == cmp.Or(c.cred.Username, w.Users[0].Name) })]
				if name, err := lookup.UserName(t.Context(), me.ID); err != nil || name != me.Name {
					t.Errorf("its own name, after a refusal: %q, %v", name, err)
				}
				return
			}
			for range 2 {
				if _, err := lookup.UserName(t.Context(), "gone"); !errors.Is(err, openstack.ErrNotFound) {
					t.Errorf("a user that is gone: %v", err)
				}
			}
			if n := asked(cloud, "/users/gone"); n != 1 {
				t.Errorf("%d requests for a user that is gone", n)
			}
		})
	}
}

// TestImages: every credential sees an image as the project does, and lists a project's images once.
func TestImages(t *testing.T) {
	w := sample(1)
	one, two := w.Projects[0].ID, w.Projects[1].ID
	w.Images = nil
	add := func(id, owner, visibility string, members map[string]string) {
		w.Images = append(w.Images, world.Image{ID: id, Name: id, Owner: owner, Visibility: visibility, Members: members, Properties: map[string]string{"vmcatcher_event_ad_mpuri": "https://appdb/" + id}})
	}
	add("public", two, "public", nil)
	add("own", one, "private", nil)
	add("foreign", two, "private", nil)
	add("accepted", two, "shared", map[string]string{one: "accepted"})
	add("pending", two, "shared", map[string]string{one: "pending"})
	for i := range 60 { // more than a page
		add(fmt.Sprint("other-", i), one, "private", nil)
	}
	w.Images = append(w.Images, world.Image{ID: "plain", Visibility: "public"})
	seen := map[string]bool{"public": true, "own": true, "accepted": true, "foreign": false, "pending": false, "none": false, "other-59": true}
	for _, cred := range []openstack.Credential{password(world.PlainReader, world.ReaderPass), password(world.Admin, world.AdminPass), password(world.SystemAdmin, world.AdminPass)} {
		cloud := serve(t, w, emulated.Options{})
		client := connect(t, cloud.AuthURL(), cred)
		p, err := client.Project(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		lookup := client.NewLookup()
		for range 2 {
			for id, visible := range seen {
				image, err := lookup.Image(t.Context(), p, id)
				if visible && (err != nil || image.URI != "https://appdb/"+id) || !visible && !errors.Is(err, openstack.ErrNotFound) {
					t.Errorf("%v, image %s: %+v, %v", cred, id, image, err)
				}
			}
			if image, err := lookup.Image(t.Context(), p, "plain"); err != nil || image.URI != "" {
				t.Errorf("an image without a URI: %+v, %v", image, err)
			}
		}
		lists := 0
		for _, r := range cloud.Requests() {
			if r.Path == "/image/v2/images" {
				lists++
			}
		}
		if lists != 1 {
			t.Errorf("%v: the images were listed %d times", cred, lists)
		}
	}
}

// TestImagesOfLiars: a tenant's own properties are not taken for what Glance says, in whatever letters they are written.
func TestImagesOfLiars(t *testing.T) {
	liar := func(id, owner string) string {
		return fmt.Sprintf(`{"id":%q,"owner":%q,"visibility":"private","vmcatcher_event_ad_mpuri":"https://appdb/x","Owner":%q,"Visibility":"public","ID":"other","VMCATCHER_event_ad_mpuri":"https://elsewhere"}`, id, owner, oddProject)
	}
	o := newOdd(t, "/compute", nil)
	o.answer = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodPost:
			text(201, o.withImages(), "X-Subject-Token", "x")(w)
		case r.URL.Path == "/image/v2/images":
			text(200, `{"images":[`+liar("own", oddProject)+`,`+liar("foreign", "other")+`]}`)(w)
		case strings.Contains(r.URL.Path, "/members/"):
			text(404, "")(w)
		default:
			return false
		}
		return true
	}
	client := connect(t, o.URL, password("me", "x"))
	p, err := client.Project(t.Context(), oddProject)
	if err != nil {
		t.Fatal(err)
	}
	lookup := client.NewLookup()
	if image, err := lookup.Image(t.Context(), p, "own"); err != nil || image.URI != "https://appdb/x" {
		t.Errorf("its own: %+v, %v", image, err)
	}
	if image, err := lookup.Image(t.Context(), p, "foreign"); !errors.Is(err, openstack.ErrNotFound) {
		t.Errorf("another's: %+v, %v", image, err)
	}
}

// withImages is a token of the odd project at a cloud that has Nova and Glance.
func (o *odd) withImages() string {
	return fmt.Sprintf(`{"token":{"project":{"id":%q},"catalog":[{"type":"compute","endpoints":[{"interface":"public","url":%q}]},{"type":"image","endpoints":[{"interface":"public","url":%q}]}]}}`,
		oddProject, o.URL+"/compute", o.URL+"/image/v2")
}

// TestImagesFail: a listing that fails is not tried again in the run, and one that goes in circles ends.
func TestImagesFail(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		kind   error
		lists  int
	}{
		"down":       {text(503, ""), openstack.ErrUnavailable, 1},
		"in circles": {text(200, `{"images":[],"next":"/v2/images?marker=1"}`), openstack.ErrBadAnswer, 2},
	} {
		lists := 0
		o := newOdd(t, "/compute", nil)
		o.answer = func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.Method == http.MethodPost:
				text(201, o.withImages(), "X-Subject-Token", "x")(w)
			case r.URL.Path == "/image/v2/images":
				lists++
				c.answer(w)
			default:
				return false
			}
			return true
		}
		client := connect(t, o.URL, password("me", "x"))
		p, err := client.Project(t.Context(), oddProject)
		if err != nil {
			t.Fatal(err)
		}
		lookup := client.NewLookup()
		for range 3 {
			if _, err := lookup.Image(t.Context(), p, "any"); !errors.Is(err, c.kind) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if lists != c.lists {
			t.Errorf("%s: listed %d times", name, lists)
		}
	}
}

package oci

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChallenges(t *testing.T) {
	for text, want := range map[string][]Challenge{
		`Bearer realm="https://r/t",service="s",scope="a:b:pull,push"`: {{"bearer", map[string]string{"realm": "https://r/t", "service": "s", "scope": "a:b:pull,push"}}},
		`Basic realm="a \"b\""`:              {{"basic", map[string]string{"realm": `a "b"`}}},
		`bearer realm=x , Basic realm="y"`:   {{"bearer", map[string]string{"realm": "x"}}, {"basic", map[string]string{"realm": "y"}}},
		`Negotiate, Bearer REALM = "x"`:      {{"negotiate", map[string]string{}}, {"bearer", map[string]string{"realm": "x"}}},
		`Bearer realm="https://a",realm="b"`: {},
		`Bearer realm="open`:                 {{"bearer", map[string]string{}}},
		``:                                   nil,
		`=x`:                                 nil,
		`"Bearer"`:                           nil,
	} {
		got := ParseChallenges(http.Header{"Www-Authenticate": {text}})
		if len(got)+len(want) > 0 && cmp.Diff(want, got) != "" {
			t.Errorf("%s: %s", text, cmp.Diff(want, got))
		}
	}
}

func TestNextLink(t *testing.T) {
	for text, want := range map[string]string{
		`</a?page=2>; rel="next"`:                           "/a?page=2",
		`</a?page=1>; rel="prev" , </a?page=3>; rel="next"`: "/a?page=3",
		`</a>;rel=next`:                                     "/a",
		`</a>; title="x, <b>; rel=\"next\""`:                "",
		`</a,b>; rel="last next"`:                           "/a,b",
		`</a>; rel="nextish"`:                               "",
		`</a>`:                                              "",
		`/a; rel=next`:                                      "",
		``:                                                  "",
		`</a`:                                               "",
	} {
		if got := nextLink(http.Header{"Link": {text}}); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	for _, s := range []string{`Bearer realm="https://r/t",service="s"`, `Basic realm="a \"b\"", Bearer x=y`, `a,b=c,d e="`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range ParseChallenges(http.Header{"Www-Authenticate": {text}}) {
			if c.Scheme == "" || c.Params == nil {
				t.Errorf("%q: %+v", text, c)
			}
		}
	})
}

func FuzzLink(f *testing.F) {
	for _, s := range []string{`</a?page=2>; rel="next"`, `</a>; rel=prev, </b>; rel="next"`, `<a>;x="\"`} {
		f.Add(s)
	}
	c := &Client{URL: "https://registry.example.org"}
	f.Fuzz(func(t *testing.T, text string) {
		link := nextLink(http.Header{"Link": {text}})
		next, err := c.follow("https://registry.example.org/v2/a/tags/list", link)
		if err == nil && next != "" && len(next) < len("https://registry.example.org/") {
			t.Errorf("%q: %q", text, next)
		}
		const own = "https://registry.example.org"
		if err == nil && next != "" && (next[:len(own)] != own || next[len(own)] != '/' && next[len(own)] != '?') {
			t.Errorf("%q leads to %q", text, next)
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"layers":[{"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","size":1,"annotations":{"a":"b"}}]}`))
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseManifest(text, ManifestType)
		if err != nil {
			return
		}
		if m.Annotations == nil || !digestName.MatchString(m.Digest) {
			t.Errorf("%+v", m)
		}
		i, reason := Judge(Wanted{Repository: "a/b", Tag: "c"}, m, Policy{Required: []string{}})
		if (reason == "") != (i.Layer.Digest != "") || i.Layer.Size < 0 {
			t.Errorf("%+v, %q", i, reason)
		}
	})
}

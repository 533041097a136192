package transport

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Hidden is what stands for a secret wherever one would be printed.
const Hidden = "***"

// shortestSecret is the length from which on a text is taken for a secret: a shorter one would be found everywhere.
const shortestSecret = 4

// Redact takes secrets out of a text, in whatever form a service or a program may have echoed them: as they are, quoted for
// JSON, HTML or a URL, and in base64, also as a part of something longer.
func Redact(text string, secrets ...string) string {
	for _, s := range secrets {
		if len(s) < shortestSecret || text == "" {
			continue
		}
		for _, form := range formsOf(s) {
			text = strings.ReplaceAll(text, form, Hidden)
		}
	}
	return text
}

// escaped finds the escapes of a URL, whose digits may be written small.
var escaped = regexp.MustCompile("%[0-9A-F]{2}")

// formsOf gives the forms of a secret, the longest first: as it is, or as it stands in a request's JSON or form; and each of
// these as an answer or a header may hold it.
func formsOf(secret string) []string {
	var all []string
	for _, sent := range []string{secret, quotedIn(secret, true), quotedIn(secret, false), url.QueryEscape(secret)} {
		query, path := url.QueryEscape(sent), url.PathEscape(sent)
		all = append(all, sent, query, path, html.EscapeString(sent), quotedIn(sent, true), quotedIn(sent, false))
		for _, f := range []string{query, path} {
			all = append(all, escaped.ReplaceAllStringFunc(f, strings.ToLower))
		}
		all = append(all, encodings(sent)...)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(all)
}

// quotedIn is a text within a string of JSON; some escape what HTML knows, too.
func quotedIn(text string, forHTML bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(forHTML)
	if e.Encode(text) != nil {
		return text
	}
	return strings.TrimSuffix(b.String()[1:], "\"\n")
}

// encodings are the forms of a text in base64, wherever it stands in what was encoded: without the characters at its ends
// that depend on what stands beside it.
func encodings(text string) (all []string) {
	for before := range 3 { // bytes of the last three that stand before it
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			form := encoding.EncodeToString([]byte("xx"[:before] + text))
			form = form[(before*8+5)/6:]
			if (before+len(text))%3 != 0 {
				form = form[:len(form)-1]
			}
			if len(form) > shortestSecret {
				all = append(all, form)
			}
		}
	}
	return all
}

type hidingKey struct{}

// Hiding gives a context in which nothing that is quoted of an answer holds one of the secrets: those that a request
// carries in its body no layer can know. Those in its headers are hidden without being named.
func Hiding(ctx context.Context, secrets ...string) context.Context {
	before, _ := ctx.Value(hidingKey{}).([]string)
	return context.WithValue(ctx, hidingKey{}, append(slices.Clip(before), secrets...))
}

// maxQuoted is how much of an answer is read that is there to be quoted.
const maxQuoted = 1 << 20

// discreet takes a request's own secrets out of what is quoted of the answer to it: errors, and pages of something in
// between, which may echo what was sent.
type discreet struct {
	next  http.RoundTripper
	proxy []string // secrets of the way there
	files bool     // what was asked for may be a page itself, or large, and is not quoted
}

func (d *discreet) RoundTrip(r *http.Request) (*http.Response, error) {
	secrets := append(secretsOf(r), d.proxy...)
	res, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, hushed(err, secrets)
	}
	for _, name := range []string{"X-Openstack-Request-Id", "Location", "Www-Authenticate"} {
		for i, v := range res.Header[name] {
			res.Header[name][i] = Redact(v, secrets...)
		}
	}
	if res.StatusCode >= 400 || !d.files && strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		hush(res, secrets)
	}
	return res, nil
}

// hush puts a body without the secrets in the place of the answer's own.
func hush(res *http.Response, secrets []string) {
	text, err := io.ReadAll(io.LimitReader(res.Body, maxQuoted))
	fresh := []byte(Redact(string(text), secrets...))
	rest := io.Reader(http.NoBody)
	if err != nil {
		rest = failing{err}
	}
	if res.ContentLength >= 0 {
		res.ContentLength = int64(len(fresh))
	}
	res.Header.Del("Content-Length")
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(fresh), rest), res.Body}
}

// failing is the end of a body that was cut.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// hushed takes the secrets out of what an error says.
func hushed(err error, secrets []string) error {
	if Redact(err.Error(), secrets...) == err.Error() {
		return err
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		quiet := *f
		quiet.What = Redact(f.What, secrets...)
		return &quiet
	}
	return &Failure{What: Redact(err.Error(), secrets...), Cause: err}
}

// secretsOf gives the secrets of a request: those of its headers, and those that Hiding named.
func secretsOf(r *http.Request) []string {
	all, _ := r.Context().Value(hidingKey{}).([]string)
	all = slices.Clone(all)
	for _, name := range []string{"X-Auth-Token", "X-Subject-Token", "X-Api-Key", "X-Vault-Token"} {
		all = append(all, r.Header.Values(name)...)
	}
	for _, v := range r.Header.Values("Authorization") {
		if _, value, ok := strings.Cut(v, " "); ok {
			v = value
		}
		all = append(all, v)
	}
	if _, password, ok := r.BasicAuth(); ok {
		all = append(all, password)
	}
	return all
}

// proxySecrets gives the password of a proxy's URL, and what the proxy is sent with it.
func proxySecrets(proxy string) []string {
	u, err := url.Parse(proxy)
	if err != nil || u.User == nil {
		return nil
	}
	password, _ := u.User.Password()
	return []string{password, base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password))}
}

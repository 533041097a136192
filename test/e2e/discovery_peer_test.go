//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/protocol/glue"
)

// Hosts whose names are constants of the peers.
const (
	gocdbHost = "goc.egi.eu"                // of cloud-info-provider
	listHost  = "raw.githubusercontent.com" // of fedcloudclient, where its list of sites is
	apiHost   = "is.example.org"            // of ours, as fedcloudclient is told
)

// peer has cloud-info-provider publish the first site, from the same file, and compares. It asks GOCDB before all else and
// ends when that cannot be reached, so it reaches the emulated one through a proxy, by a certificate that it trusts.
func (o *offering) peer(t *testing.T) {
	program := programOf(t, "cloud-info-provider-service", "FEDSITE_CLOUD_INFO", "cloud-info-venv")
	proxy := o.proxy(t, map[string]http.Handler{gocdbHost: o.federation.GOCDB})
	env := []string{"https_proxy=" + proxy, "no_proxy=127.0.0.1", "REQUESTS_CA_BUNDLE=" + o.ca, "HOME=" + o.dir, "PYTHONUTF8=1",
		"OS_USERNAME=accounting", "OS_PASSWORD=" + o.swift.password, "OS_USER_DOMAIN_NAME=Default", "OS_REGION_NAME=RegionOne"}
	asked := o.federation.GOCDB.Asked("get_service")
	o.peers = []byte(run(t.Context(), t, "", env, program, filepath.Join(o.dir, siteName+".site")))
	if o.federation.GOCDB.Asked("get_service") == asked {
		t.Error("cloud-info-provider has not asked our GOCDB")
	}
	listed := map[string]bool{}
	for _, d := range glue.Differences() {
		for _, a := range append(slices.Clone(d.Attributes), "") {
			if a != "" || d.Attributes == nil {
				listed[d.Class+" "+a] = true
			}
		}
	}
	found := map[string]bool{}
	for _, d := range documentDifferences(t, o.peers, o.document) {
		if found[d.class+" "+d.attribute] = true; !listed[d.class+" "+d.attribute] {
			t.Errorf("%s %s: %s: %s, cloud-info-provider has %s; it is not in the list of differences", d.class, d.id, d.attribute, d.ours, d.theirs)
		}
	}
	// what is certain to differ with the lab's servers, images and networks: a comparison that finds nothing is none
	for _, d := range []string{"CloudComputingManager InstanceMinCPU", "CloudComputingImage DiskSize", "CloudComputingInstanceType NetworkIn", "CloudComputingEndpoint IssuerCA", "Share RunningVM", "Share OtherInfo", "Share PublicNetworkName"} {
		if !found[d] {
			t.Errorf("%s does not differ", d)
		}
	}
	t.Logf("%d attributes differ", len(found))
}

// item is a name and its value in a JSON object, whose order counts here.
type item struct {
	name  string
	value any // []item, []any, or a scalar
}

func orderedJSON(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		all := []item{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := orderedJSON(d)
			if err != nil {
				return nil, err
			}
			all = append(all, item{name.(string), value})
		}
		_, err = d.Token()
		return all, err
	case json.Delim('['):
		all := []any{}
		for d.More() {
			value, err := orderedJSON(d)
			if err != nil {
				return nil, err
			}
			all = append(all, value)
		}
		_, err = d.Token()
		return all, err
	}
	return token, nil
}

func orderedDocument(t *testing.T, text []byte) []item {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := orderedJSON(d)
	all, is := v.([]item)
	if err != nil || !is {
		t.Fatalf("no JSON object: %v\n%.500s", err, text)
	}
	return all
}

func valueOf(all []item, name string) (any, bool) {
	i := slices.IndexFunc(all, func(i item) bool { return i.name == name })
	if i < 0 {
		return nil, false
	}
	return all[i].value, true
}

// documentDifference is an attribute that two documents have otherwise; of a class that one lacks, without attribute.
type documentDifference struct{ class, id, attribute, theirs, ours string }

// documentDifferences compares two documents: the classes, and in each the same objects in the same order, with their
// attributes in the same order. When they were made differs.
func documentDifferences(t *testing.T, theirs, ours []byte) []documentDifference {
	t.Helper()
	a, b := orderedDocument(t, theirs), orderedDocument(t, ours)
	sameNames(t, "classes", a, b)
	var all []documentDifference
	for _, class := range b {
		mine := class.value.([]any)
		v, known := valueOf(a, class.name)
		if !known {
			all = append(all, documentDifference{"*", "", "", "nothing", class.name})
			v = []any{}
		}
		their := v.([]any)
		if x, y := idsOf(their), idsOf(mine); !slices.Equal(x, y) {
			t.Errorf("%s: objects %q, cloud-info-provider has %q", class.name, y, x)
			continue
		}
		for i := range mine {
			x, y := withLinks(their[i].([]item)), withLinks(mine[i].([]item))
			sameNames(t, class.name, x, y)
			for _, one := range slices.Concat(x, y) {
				p, isTheirs := valueOf(x, one.name)
				q, isOurs := valueOf(y, one.name)
				d := documentDifference{class.name, idsOf(mine)[i], one.name, fmt.Sprint(p), fmt.Sprint(q)}
				if (isTheirs != isOurs || d.theirs != d.ours) && one.name != "CreationTime" && !slices.Contains(all, d) {
					all = append(all, d)
				}
			}
		}
	}
	for _, class := range a {
		if _, known := valueOf(b, class.name); !known {
			t.Errorf("class %s is not in ours", class.name)
		}
	}
	return all
}

func idsOf(all []any) (ids []string) {
	for _, o := range all {
		id, _ := valueOf(o.([]item), "ID")
		ids = append(ids, fmt.Sprint(id))
	}
	return ids
}

// withLinks has the associations beside the attributes.
func withLinks(o []item) (all []item) {
	for _, i := range o {
		if links, is := i.value.([]item); is && i.name == "Associations" {
			all = append(all, links...)
		} else {
			all = append(all, i)
		}
	}
	return all
}

// sameNames fails the test where names that both have are in another order.
func sameNames(t *testing.T, what string, a, b []item) {
	t.Helper()
	both := func(of, other []item) (names []string) {
		for _, i := range of {
			if _, known := valueOf(other, i.name); known {
				names = append(names, i.name)
			}
		}
		return names
	}
	if x, y := both(a, b), both(b, a); !slices.Equal(x, y) {
		t.Errorf("%s: order %q, cloud-info-provider's is %q", what, y, x)
	}
}

// serve starts the service, which serves what was published; and puts the document of another publisher into the container
// that the information API reads, too.
func (o *offering) serve(t *testing.T) {
	another := strings.NewReplacer(siteName, peerName, o.key, "99999G0").Replace(string(o.peers))
	if a := o.object(t, http.MethodPut, discovery.NameOf(discovery.JSON, peerName, o.ep), another); a.status != http.StatusCreated {
		t.Fatalf("the other publisher's document is not stored: %d %s", a.status, a.body)
	}
	o.service = o.site.service(o.t)
	if err := o.service.Start(); err != nil {
		t.Fatal(err)
	}
}

// ask asks the information API.
func (o *offering) ask(t *testing.T, path string) string {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d%s", o.api, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.federation.CA.Pool(), ServerName: apiHost}}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %v %s", path, resp.StatusCode, err, body)
	}
	return string(body)
}

// list has EGI's fedcloudclient list sites and projects, as it is: the list of sites that it gets from its constant address
// is ours.
func (o *offering) list(t *testing.T) {
	program := programOf(t, "fedcloud", "FEDSITE_FEDCLOUDCLIENT", "fedcloudclient-venv")
	api := &url.URL{Scheme: "https", Host: fmt.Sprintf("127.0.0.1:%d", o.api)}
	forward := &httputil.ReverseProxy{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.federation.CA.Pool(), ServerName: apiHost}},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(api)
			if r.Out.Host = apiHost; r.In.Host == listHost {
				r.Out.URL.Path = "/fedcloudclient/"
			}
		},
	}
	proxy := o.proxy(t, map[string]http.Handler{listHost: forward, apiHost: forward})
	env := []string{"HOME=" + t.TempDir(), "https_proxy=" + proxy, "SSL_CERT_FILE=" + o.ca, "REQUESTS_CA_BUNDLE=" + o.ca, "PYTHONUTF8=1"}
	if got, want := run(t.Context(), t, "", env, program, "site", "list"), strings.Join([]string{goneName, peerName, siteName, ""}, "\n"); got != want {
		t.Errorf("fedcloud site list: %q, want %q", got, want)
	}
	vo := o.shares[0]
	if got, want := run(t.Context(), t, "", env, program, "site", "list", "--vo", "none.such"), ""; got != want {
		t.Errorf("fedcloud site list of a VO that is nowhere: %q", got)
	}
	for _, name := range []string{siteName, peerName} {
		got := run(t.Context(), t, "", env, program, "site", "show-project-id", "--site", name, "--vo", vo.vo)
		if !strings.Contains(got, vo.project) || !strings.Contains(got, o.ep) {
			t.Errorf("fedcloud site show-project-id of %s names no %s or no %s:\n%s", name, vo.project, o.ep, got)
		}
	}
}

// proxy gives the URL of a proxy by which hosts are handlers of the test, and every other host cannot be reached.
func (o *offering) proxy(t *testing.T, hosts map[string]http.Handler) string {
	t.Helper()
	proxy, stop, err := o.federation.Proxy(hosts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return proxy
}

package discovery_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/discovery/sinktest"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/emulator/federation/broker"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/ams"
	"github.com/fedsite/fedsite/protocol/glue"
	"github.com/fedsite/fedsite/protocol/smime"
)

// newFederation is one that knows SITE-A, and a second site's certificate.
func newFederation(t *testing.T) *federation.Federation {
	t.Helper()
	fed, err := federation.Start("127.0.0.1", time.Now, "SITE-A", "SITE-B")
	must(t, err)
	t.Cleanup(func() { _ = fed.Close() })
	return fed
}

// user is SITE-A's at the broker.
const user = "eu-egi-cloud-accounting---SITE-A"

// newAMS is a sink of SITE-A to a project of the broker.
func newAMS(t *testing.T, fed *federation.Federation, project string, change func(*discovery.AMSConfig)) discovery.Sink {
	t.Helper()
	client, err := transport.New(transport.Config{Roots: fed.CA.Pool(), Timeout: 10 * time.Second})
	must(t, err)
	t.Cleanup(client.CloseIdleConnections)
	cfg := discovery.AMSConfig{Name: "ams", Format: discovery.LDIF, Now: time.Now,
		Client:   &ams.Client{HTTP: client.Client, Host: fed.Host, Port: fed.Port, AuthnPort: fed.AuthnPort, Project: project},
		Identity: func() (smime.Identity, error) { return smime.ParseIdentity(fed.Sites[0].CertPEM, fed.Sites[0].KeyPEM) },
		Present:  func(id smime.Identity) { client.SetCertificate(id.TLS()) }}
	if change != nil {
		change(&cfg)
	}
	return discovery.NewAMS(cfg)
}

// newest gives the newest message of a topic; false if there is none.
func newest(t *testing.T, fed *federation.Federation, project, topic string, zipped bool) ([]byte, bool) {
	t.Helper()
	all := fed.Broker.Messages(project, topic)
	if len(all) == 0 {
		return nil, false
	}
	body, err := base64.StdEncoding.DecodeString(all[len(all)-1].Data)
	must(t, err)
	if zipped {
		r, err := gzip.NewReader(bytes.NewReader(body))
		must(t, err)
		body, err = io.ReadAll(r)
		must(t, err)
	}
	return body, true
}

// TestAMSSink runs the suite over topics, with documents in both formats, plain and compressed.
func TestAMSSink(t *testing.T) {
	fed := newFederation(t)
	project := 0
	for _, kind := range []struct {
		format discovery.Format
		zipped bool
	}{{discovery.JSON, true}, {discovery.LDIF, false}} {
		c := sinktest.Case{Final: true, Limit: ams.MaxData(ams.DefaultLimit) + 100}
		if kind.zipped {
			c.Limit = 3 << 20 // becomes more than zippedLimit
		}
		c.New = func(t *testing.T) sinktest.Bed {
			project++
			return topicsOf(t, fed, fmt.Sprint("project-", project), kind.format, kind.zipped)
		}
		t.Run(fmt.Sprintf("%s gzip=%v", kind.format, kind.zipped), func(t *testing.T) { sinktest.Run(t, c) })
	}
}

// zippedLimit is how large a compressed message may be in the suite.
const zippedLimit = 20_000

// topicsOf is a project of the broker, with topics for all that the suite publishes.
func topicsOf(t *testing.T, fed *federation.Federation, project string, f discovery.Format, zipped bool) sinktest.Bed {
	sites := []string{"SITE-A", "SITE-B", "SITE-X"}
	for i := range len(faults.All()) {
		sites = append(sites, fmt.Sprint("SITE-", i))
	}
	for i, site := range sites {
		for key := range 10 {
			if i < 12 || key == 1 {
				fed.Broker.OpenTopic(project, fmt.Sprintf("SITE_%s_ENDPOINT_1600%dG0", site, key), user)
			}
		}
	}
	breaks := map[string]func(*testing.T) func(){}
	for _, n := range faults.All() {
		if n.Place == faults.Broker {
			breaks[n.Name] = func(*testing.T) func() { return strike(fed.Faults, n) }
		}
	}
	open := func() discovery.Sink {
		return newAMS(t, fed, project, func(cfg *discovery.AMSConfig) {
			if cfg.Format, cfg.Gzip = f, zipped; zipped {
				cfg.Limit = zippedLimit
			}
		})
	}
	return sinktest.Bed{Sink: open(), Again: open, Breaks: breaks, Read: func(t *testing.T, p discovery.Publication) ([]byte, bool) {
		return newest(t, fed, project, glue.TopicName(p.Site, p.GOCDBKey), zipped)
	}}
}

func publication(t *testing.T, f discovery.Format, images int) discovery.Publication {
	t.Helper()
	return sinktest.Publication(t, f, "fedcloud.site.org", sinktest.Endpoint, sinktest.Document("fedcloud.site.org", sinktest.Endpoint, images, time.Now()), time.Now())
}

const topic = "SITE_fedcloud-site-org_ENDPOINT_16001G0"

// TestAMSSinkOnTheWire reads a message back as a consumer does, and finds it made as the federation's publishers made them:
// without attributes, and the topic by the convention (spec discovery §1.2).
func TestAMSSinkOnTheWire(t *testing.T) {
	fed := newFederation(t)
	fed.Broker.OpenTopic("egi_cloud_info", topic, user)
	p := publication(t, discovery.LDIF, 2)
	var sent []byte
	fed.Faults.Watch(func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ":publish") {
			sent, _ = io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(sent))
		}
	})
	sink := newAMS(t, fed, "egi_cloud_info", nil)
	must(t, sink.Publish(t.Context(), p))
	if want := `{"messages":[{"attributes":{},"data":"` + base64.StdEncoding.EncodeToString(p.Body) + `"}]}`; string(sent) != want {
		t.Errorf("sent %.300s", sent)
	}
	client, err := transport.New(transport.Config{Roots: fed.CA.Pool()})
	must(t, err)
	t.Cleanup(client.CloseIdleConnections)
	consumer := &ams.Client{HTTP: client.Client, Host: fed.Host, Port: fed.Port, Project: "egi_cloud_info"}
	got, err := consumer.Pull(t.Context(), fed.Sites[0].Token, topic, 10)
	if err != nil || len(got) != 1 || !bytes.Equal(got[0].Data, p.Body) || len(got[0].Attributes) != 0 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	if n := len(fed.Received()); n != 0 {
		t.Errorf("the accounting server got %d documents", n)
	}
	large := publication(t, discovery.LDIF, 3000)
	if n := len(large.Body); n < ams.DefaultLimit {
		t.Fatalf("%d bytes fit as they are", n)
	}
	must(t, newAMS(t, fed, "egi_cloud_info", func(cfg *discovery.AMSConfig) { cfg.Gzip = true }).Publish(t.Context(), large))
	if got, ok := newest(t, fed, "egi_cloud_info", topic, true); !ok || !bytes.Equal(got, large.Body) {
		t.Errorf("%d bytes of %d", len(got), len(large.Body))
	}
	named := newAMS(t, fed, "egi_cloud_info", func(cfg *discovery.AMSConfig) { cfg.Topic = "our-own" })
	fed.Broker.OpenTopic("egi_cloud_info", "our-own", user)
	p.GOCDBKey = "" // it is not needed
	must(t, named.Publish(t.Context(), p))
	if n := len(fed.Broker.Messages("egi_cloud_info", "our-own")); n != 1 {
		t.Errorf("%d messages in a topic of one's own", n)
	}
}

// TestAMSSinkSendsNothing without a topic, of a name that is none, of what is too large, or without what gives a token.
func TestAMSSinkSendsNothing(t *testing.T) {
	fed := newFederation(t)
	fed.Broker.OpenTopic("egi_cloud_info", topic, user)
	cert := func(change func(*discovery.AMSConfig)) func(*discovery.AMSConfig, *discovery.Publication) {
		return func(cfg *discovery.AMSConfig, _ *discovery.Publication) { change(cfg) }
	}
	for name, c := range map[string]struct {
		spoil      func(*discovery.AMSConfig, *discovery.Publication)
		says, hint string
	}{
		"no key of GOCDB":      {func(_ *discovery.AMSConfig, p *discovery.Publication) { p.GOCDBKey = "" }, "has no key of GOCDB", "gocdb_id"},
		"a key from elsewhere": {func(_ *discovery.AMSConfig, p *discovery.Publication) { p.GOCDBKey = "1:publish?key=x#" }, "no name of a topic", ".topic"},
		"a site with a slash":  {func(_ *discovery.AMSConfig, p *discovery.Publication) { p.Site = "a/../b" }, "no name of a topic", ".topic"},
		"a site with a break":  {func(_ *discovery.AMSConfig, p *discovery.Publication) { p.Site = "a\nb" }, `\n`, ".topic"},
		"too large":            {cert(func(cfg *discovery.AMSConfig) { cfg.Limit = 1000 }), "AMS takes 1000", "gzip"},
		"too large, packed":    {cert(func(cfg *discovery.AMSConfig) { cfg.Limit, cfg.Gzip = 1000, true }), "AMS takes 1000", "fewer images"},
		"no certificate":       {cert(func(cfg *discovery.AMSConfig) { cfg.Identity = nil }), "neither a token", "certificate"},
		"a certificate that cannot be read": {cert(func(cfg *discovery.AMSConfig) {
			cfg.Identity = func() (smime.Identity, error) {
				_, err := os.ReadFile(filepath.Join(t.TempDir(), "none"))
				return smime.Identity{}, err
			}
		}), "no such file", "readable"},
		"one that has ended": {cert(func(cfg *discovery.AMSConfig) {
			cfg.Now = func() time.Time { return time.Now().AddDate(50, 0, 0) }
		}), "ended", "renew"},
		"a token that cannot be read": {cert(func(cfg *discovery.AMSConfig) {
			cfg.Token = func() (string, error) { return "", errors.New("no such file") }
		}), "AMS token", ".token"},
	} {
		t.Run(name, func(t *testing.T) {
			before := fed.Broker.Requests()
			p := publication(t, discovery.LDIF, 50)
			err := newAMS(t, fed, "egi_cloud_info", func(cfg *discovery.AMSConfig) { c.spoil(cfg, &p) }).Publish(t.Context(), p)
			f, ok := errors.AsType[*discovery.Failure](err)
			if !ok || !f.Permanent || f.Exit != run.ExitFailed || !strings.Contains(err.Error(), c.says) || !strings.Contains(f.Hint, c.hint) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: %+v", err, f)
			}
			if n := fed.Broker.Requests(); n != before {
				t.Errorf("%d requests to the broker", n-before)
			}
		})
	}
}

// TestAMSSinkSaysWhatFailed meets each named fault of broker and authn, and says for discovery what to do.
func TestAMSSinkSaysWhatFailed(t *testing.T) {
	fed := newFederation(t)
	fed.Broker.OpenTopic("egi_cloud_info", topic, user)
	p := publication(t, discovery.LDIF, 1)
	exits := map[string]int{"ams-401": run.ExitNotAuthorised, "ams-403": run.ExitNotAuthorised, "ams-400": run.ExitFailed, "ams-404-project": run.ExitFailed, "ams-404-topic": run.ExitFailed,
		"ams-409": run.ExitFailed, "ams-413": run.ExitFailed, "authn-404": run.ExitFailed}
	for _, n := range faults.All() {
		if n.Place != faults.Broker && n.Place != faults.Authn {
			continue
		}
		t.Run(n.Name, func(t *testing.T) {
			n.Fault.Times = -1
			before := len(fed.Broker.Messages("egi_cloud_info", topic))
			mend := strike(fed.Faults, n)
			err := newAMS(t, fed, "egi_cloud_info", nil).Publish(t.Context(), p)
			mend()
			if n.Name == "ams-slow" {
				must(t, err)
				return
			}
			exit, definite := exits[n.Name]
			if !definite {
				exit = run.ExitUnavailable
			}
			f, ok := errors.AsType[*discovery.Failure](err)
			if !ok || f.Exit != exit || f.Permanent != definite || f.Hint == "" || strings.Contains(f.Hint, "accounting") {
				t.Errorf("%v: %+v", err, f)
			}
			if definite && len(fed.Broker.Messages("egi_cloud_info", topic)) != before {
				t.Error("it was stored")
			}
			if err != nil && strings.Contains(err.Error(), fed.Sites[0].Token) {
				t.Errorf("the token is in %v", err)
			}
		})
	}
}

// TestAMSSinkKeepsItsToken until it is refused, or the certificate is another one.
func TestAMSSinkKeepsItsToken(t *testing.T) {
	fed := newFederation(t)
	fed.Broker.OpenTopic("egi_cloud_info", topic, user, strings.Replace(user, "SITE-A", "SITE-B", 1))
	exchanged := 0
	fed.Faults.Watch(func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ":authx509") {
			exchanged++
		}
	})
	site := fed.Sites[0]
	p := publication(t, discovery.LDIF, 1)
	sink := newAMS(t, fed, "egi_cloud_info", func(cfg *discovery.AMSConfig) {
		cfg.Identity = func() (smime.Identity, error) { return smime.ParseIdentity(site.CertPEM, site.KeyPEM) }
	})
	for i, step := range []struct {
		before func()
		want   int
	}{
		{func() {}, 1},
		{func() {}, 1},
		{func() { fed.Broker.SetToken(user, broker.NewToken("fresh")) }, 2},
		{func() { site = fed.Sites[1] }, 3},
		{func() {}, 3},
	} {
		step.before()
		must(t, sink.Publish(t.Context(), p))
		if exchanged != step.want {
			t.Errorf("step %d: %d exchanges, want %d", i, exchanged, step.want)
		}
	}
	if n := len(fed.Broker.Messages("egi_cloud_info", topic)); n != 5 {
		t.Errorf("%d messages, want 5", n)
	}
	given := newAMS(t, fed, "egi_cloud_info", func(cfg *discovery.AMSConfig) {
		cfg.Token, cfg.Identity = func() (string, error) { return fed.Sites[0].Token, nil }, nil // the one before it was refreshed
	})
	if f, ok := errors.AsType[*discovery.Failure](given.Publish(t.Context(), p)); !ok || f.Exit != run.ExitNotAuthorised || exchanged != 3 {
		t.Errorf("a given token that ended: %+v, %d exchanges", f, exchanged)
	}
}

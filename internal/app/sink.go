package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/credential"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/ams"
	"github.com/fedsite/fedsite/protocol/smime"
)

// sink gives the way to where a site's documents are published. One that cannot even be tried says so when it is used.
func (a *App) sink(s config.Site, c config.Sink) discovery.Sink {
	switch c.Kind() {
	case config.SinkFile:
		return discovery.NewFile(c.Name, c.File.Path, discovery.Format(c.File.Format))
	case config.SinkSwift:
		return discovery.NewSwift(discovery.SwiftConfig{Name: c.Name, At: fmt.Sprintf("container %s of credential %s", c.Swift.Container, c.Swift.Credential),
			Open: func(ctx context.Context) (discovery.Container, error) { return a.container(ctx, s, *c.Swift) }})
	case config.SinkAMS:
		sink, err := a.topic(c.Name, *c.AMS)
		if err != nil {
			return brokenSink{c.Name, discovery.Format(c.AMS.Format), &discovery.Failure{Err: fmt.Errorf("discovery.publish, %s: %w", c.Name, err), Hint: "mend the configuration; nothing is lost", Permanent: true}}
		}
		return sink
	}
	return discovery.NewStore(c.Name, a.db) // the servers read it there
}

// topic gives the way to a topic of AMS.
func (a *App) topic(name string, c config.AMSSink) (discovery.Sink, error) {
	client, err := a.client(c.Network, transport.Config{Timeout: amsTimeout, Retry: transport.Retry{Attempts: 3, Base: cmp.Or(a.opts.BackOff, backOff), Max: longestBackOff}})
	if err != nil {
		return nil, err
	}
	ac := discovery.AMSConfig{
		Name:     name,
		Client:   &ams.Client{HTTP: client.Client, Host: c.Host, Port: c.Port, AuthnPort: c.AuthnPort, Project: c.Project},
		Format:   discovery.Format(c.Format),
		Topic:    c.Topic,
		Gzip:     c.Gzip,
		Identity: func() (smime.Identity, error) { return identity(c.Certificate) },
		Present:  func(id smime.Identity) { client.SetCertificate(id.TLS()) },
		Limit:    c.MaxBytes,
		Now:      a.Now,
	}
	if c.Token.IsSet() {
		ac.Token = c.Token.Value
	}
	return discovery.NewAMS(ac), nil
}

// container signs in to the project whose object storage is published to: that of a VO at a site, where the credential says
// so, else that of the credential itself at the site, which of clouds.yaml is the entry's.
func (a *App) container(ctx context.Context, s config.Site, c config.SwiftSink) (*openstack.Container, error) {
	cred := a.cfg.Credentials[c.Credential]
	where := func(text string, args ...any) error {
		return &openstack.Error{Kind: openstack.ErrConfiguration, Message: fmt.Sprintf("credential %s: ", c.Credential) + fmt.Sprintf(text, args...), Remedy: "mend credentials." + c.Credential + " in " + a.cfg.File}
	}
	use := credential.For{Site: s.Site.Name}
	if cred.Site == "" {
		if len(s.Clouds) == 0 {
			return nil, where("site %s has no cloud", s.Site.Name)
		}
		w, err := a.cloud(s, s.Clouds[0], c.Credential, use, nil, true)
		if err != nil {
			return nil, err
		}
		if w.entry.Project == "" {
			return w.cloud.Container(ctx, "", c.Container)
		}
		id, err := projectOf(ctx, w.cloud, w.entry.Project)
		if err != nil {
			return nil, err
		}
		return w.cloud.Container(ctx, id, c.Container)
	}
	i := slices.IndexFunc(a.cfg.Sites, func(o config.Site) bool { return o.Site.Name == cred.Site })
	if i < 0 {
		return nil, where("the configuration has no site %s", cred.Site)
	}
	at := a.cfg.Sites[i]
	use.Site, use.VO = at.Site.Name, cred.VO
	for _, cloud := range at.Clouds {
		for _, vo := range cloud.Cloud.VOs {
			if vo.Name != cred.VO {
				continue
			}
			w, err := a.cloud(at, cloud, c.Credential, use, nil, true)
			if err != nil {
				return nil, err
			}
			id, err := projectOf(ctx, w.cloud, vo.Project)
			if err != nil {
				return nil, fmt.Errorf("VO %s: %w", vo.Name, err)
			}
			return w.cloud.Container(ctx, id, c.Container)
		}
	}
	return nil, where("site %s has no VO %s in the configuration", cred.Site, cred.VO)
}

// projectOf gives the id of a project, which the configuration and clouds.yaml may have by its name.
func projectOf(ctx context.Context, cloud *openstack.Cloud, project string) (string, error) {
	if isID(project) {
		return project, nil
	}
	projects, err := cloud.Projects(ctx)
	if err != nil {
		return "", err
	}
	var ids []string
	for _, p := range projects {
		if p.ID == project || p.Name == project {
			ids = append(ids, p.ID)
		}
	}
	switch len(ids) {
	case 0:
		return "", &openstack.Error{Kind: openstack.ErrNoRole, Service: "identity", Message: fmt.Sprintf("no project %s can be signed in to", project)}
	case 1:
		return ids[0], nil
	}
	return "", &openstack.Error{Kind: openstack.ErrConfiguration, Service: "identity", Message: fmt.Sprintf("%d projects are called %s", len(ids), project), Remedy: "name it by its id"}
}

// brokenSink is one that cannot be used at all.
type brokenSink struct {
	name   string
	format discovery.Format
	err    error
}

func (b brokenSink) Name() string             { return b.name }
func (b brokenSink) Format() discovery.Format { return b.format }

// Probe says why.
func (b brokenSink) Probe(context.Context) error { return b.err }

func (b brokenSink) Publish(context.Context, discovery.Publication) error { return b.err }

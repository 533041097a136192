package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/conversion"
	"github.com/fedsite/fedsite/internal/credential"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/gridtrust"
	"github.com/fedsite/fedsite/protocol/oci"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// imaged gives what images work on for a site; without writes nothing can be changed by it.
func (a *App) imaged(s config.Site, writes bool) *images.Target {
	t := &images.Target{Site: s.Site, Settings: imageSettings(s.Images)}
	for _, c := range s.Clouds {
		cloud := c.Cloud
		cloud.VOs = slices.Clone(cloud.VOs)
		for i := range cloud.VOs {
			cloud.VOs[i].Mode = cloud.VOs[i].Images
		}
		t.Clouds = append(t.Clouds, images.CloudTarget{Cloud: cloud, Mode: c.ModeOf(site.Images), Way: imageWay{a.wayFor(s, c, site.Images, writes)}, Parallel: c.Parallel})
	}
	for _, src := range s.Images.Sources {
		t.Sources = append(t.Sources, images.SourceTarget{Source: a.imageSource(s, src), VOs: src.VOs, Images: src.Images})
	}
	if c, err := conversion.New(conversion.Settings{QEMU: s.Images.QemuImg, MaxVirtual: s.Images.MaxVirtualSize}); err == nil {
		t.Convert = c
	}
	blocks, err := a.blocks(s)
	if err != nil {
		t.Broken = fmt.Errorf("images.blocks: %w", err)
	}
	t.Blocks, t.Reblock = blocks, func() ([]images.Block, error) { return a.blocks(s) }
	return t
}

// imageWay is the way to a cloud for images.
type imageWay struct{ way }

// Store signs in to a project, for its images.
func (w imageWay) Store(ctx context.Context, project string) (images.Store, error) {
	s, err := w.way.Store(ctx, project)
	if err != nil {
		return nil, err // not s: a nil *ImageStore in an interface is not nil
	}
	return s, nil
}

func imageSettings(c config.Images) images.Settings {
	return images.Settings{
		Mode: c.Mode, Instance: c.Instance, Formats: c.Formats, Sharing: images.Sharing(c.Sharing), Owner: c.Owner, Visibility: c.Visibility, Prefix: c.NamePrefix, Properties: c.Properties, MinDisk: c.MinDisk, KeepLast: c.KeepLast,
		ExpiredList: images.ExpiredList(c.OnExpiredList), RemoveCount: c.RemoveCount, RemoveShare: c.RemovePercent, Adopt: c.Adopt, GoneAfter: c.GoneAfter, StaleUpload: c.StaleUpload,
		Parallel: c.Parallel, MaxSize: c.MaxSize, MaxVirtualSize: c.MaxVirtualSize, Staging: images.Staging(c.Staging), StagingDir: c.StagingDir, StageAbove: c.StageAbove, Compressed: c.Compressed,
	}
}

// blocksFile is where the blocks of a site stand.
func (a *App) blocksFile(s config.Site) string {
	if s.Images.Blocks != "" {
		return s.Images.Blocks
	}
	return filepath.Join(filepath.Dir(a.cfg.File), "blocks.yaml")
}

// blocks reads the blocks of a site; without a file there are none.
func (a *App) blocks(s config.Site) ([]images.Block, error) {
	file := a.blocksFile(s)
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := config.ParseBlocks(file, text)
	if err != nil {
		return nil, err
	}
	var blocks []images.Block
	for _, b := range all {
		one := images.Block{Digest: images.Digest(b.Checksum), Ref: b.Ref, Reason: b.Reason, By: b.By}
		one.Since, _ = time.Parse(time.RFC3339, b.Since) // one that says no moment has none
		blocks = append(blocks, one)
	}
	return blocks, nil
}

// imageSource gives the way to a source. One that cannot even be tried says so when it is asked.
func (a *App) imageSource(s config.Site, c config.ImageSource) images.Source {
	made, err := a.openSource(s, c)
	if err != nil {
		kind := images.Own
		switch {
		case c.List != nil:
			kind = images.List
		case c.Registry != nil:
			kind = images.Registry
		}
		return brokenSource{name: c.Name, kind: kind, err: &images.Failure{Kind: images.Unusable, Reason: err.Error(), Hint: "mend images.sources, " + c.Name + ", in " + a.cfg.File}}
	}
	return made
}

func (a *App) openSource(s config.Site, c config.ImageSource) (images.Source, error) {
	client, err := a.client(s.Images.Network, transport.Config{Redirects: transport.Anywhere, Stall: cmp.Or(a.opts.Stall, sourceStall), MaxBody: s.Images.MaxSize + 1, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	f := &fetcher{http: client.Client, pause: a.opts.BackOff, max: s.Images.MaxSize}
	switch {
	case c.List != nil:
		target, err := c.List.URL.Value()
		if err != nil {
			return nil, err
		}
		if err := f.logins(a, s, c.List); err != nil {
			return nil, err
		}
		f.from = target
		return &images.ListSource{Label: c.Name, URL: target, Shown: shownURL(target), Fetch: f, Unsigned: c.List.InsecureUnsigned, Trust: a.trustOf(s.Images, *c.List)}, nil
	case c.Registry != nil:
		return a.registrySource(s, c, f)
	}
	own := &images.OwnSource{Label: c.Name, Shown: shownURL(c.Own), Fetch: f, Parse: func(body []byte) ([]images.Entry, []images.BadEntry, error) { return ownEntries(c.Name, c.Own, body) }}
	if strings.HasPrefix(c.Own, "/") {
		own.Read = func() ([]byte, error) { return os.ReadFile(c.Own) }
	} else {
		own.URL, f.from = c.Own, c.Own
	}
	return own, nil
}

// sourceStall is for how long a source may give nothing.
const sourceStall = time.Minute

// shownURL is a URL as it is shown: without user and query.
func shownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// ownEntries reads a site's own list.
func ownEntries(source, name string, body []byte) ([]images.Entry, []images.BadEntry, error) {
	listed, bad, err := config.ParseOwnImages(name, body)
	if err != nil {
		return nil, nil, err
	}
	var entries []images.Entry
	for _, i := range listed {
		entries = append(entries, images.Entry{Key: images.Key{List: source, ID: i.ID}, Digest: images.Digest(i.Checksum), Size: i.Size, Format: i.Format, At: images.Location{URL: i.URL}, Title: i.Name, Description: i.Description,
			Version: i.Version, OS: i.OS, OSVersion: i.OSVersion, Architecture: i.Arch, MinRAM: i.MinRAM, MinDisk: i.MinDisk, Properties: i.Properties})
	}
	var unusable []images.BadEntry
	for _, b := range bad {
		unusable = append(unusable, images.BadEntry{Key: images.Key{List: source, ID: b.ID}, Title: b.Name, Reason: b.Reason})
	}
	return entries, unusable, nil
}

func (a *App) registrySource(s config.Site, c config.ImageSource, f *fetcher) (images.Source, error) {
	u, err := url.Parse(c.Registry.URL)
	if err != nil {
		return nil, err
	}
	tags, err := regexp.Compile(c.Registry.Tags)
	if err != nil {
		return nil, err
	}
	f.from = c.Registry.URL
	registry := &oci.Client{HTTP: f, URL: c.Registry.URL, Now: a.Now}
	if c.Registry.Credential != "" {
		if registry.User, registry.Password, err = a.credentials().Basic(context.Background(), c.Registry.Credential, credential.For{Site: s.Site.Name}); err != nil {
			return nil, err
		}
	}
	return &images.RegistrySource{Label: c.Name, Host: u.Host, Project: c.Registry.Project, ProjectIsVO: c.Registry.ProjectIsVO, Repositories: c.Registry.Repositories, Tags: tags, Annotation: c.Registry.Annotation, Registry: registry,
		File: func(ctx context.Context, repository, digest string, from int64, tag string) (images.File, error) {
			return f.blob(ctx, registry, repository, digest, from, tag)
		}}, nil
}

// trustOf gives what a list is measured against: the directory of authorities as it is now.
func (a *App) trustOf(c config.Images, l config.ListSource) func(now time.Time) (vmlist.Trust, []string, error) {
	return func(now time.Time) (vmlist.Trust, []string, error) {
		authorities, notices, err := a.trusts.read(c.CADir)
		if err != nil {
			return vmlist.Trust{}, nil, fmt.Errorf("images.ca_dir: %w", err)
		}
		t := vmlist.Trust{Authorities: authorities, Now: now, CRL: gridtrust.Policy(c.CRL), DN: l.EndorserDN, CA: l.EndorserCA, AllowSHA1: c.AllowSHA1, StrictPurpose: c.StrictPurpose}
		if c.SigningPolicy {
			t.Names = gridtrust.Require
		}
		return t, notices, nil
	}
}

// trusts are directories of authorities that the process has read; each is read anew when it changed.
type trusts struct {
	sync.Mutex
	by map[string]trusted
}

type trusted struct {
	state   string
	of      *gridtrust.Trust
	notices []string
}

func (t *trusts) read(dir string) (*gridtrust.Trust, []string, error) {
	t.Lock()
	defer t.Unlock()
	fs := os.DirFS(dir)
	state, err := gridtrust.State(fs)
	if err != nil {
		return nil, nil, err
	}
	if had, ok := t.by[dir]; ok && had.state == state {
		return had.of, had.notices, nil
	}
	of, warnings, err := gridtrust.Read(fs)
	if err != nil {
		return nil, nil, err
	}
	one := trusted{state: state, of: of}
	for _, w := range warnings {
		one.notices = append(one.notices, w.String())
	}
	if t.by == nil {
		t.by = map[string]trusted{}
	}
	t.by[dir] = one
	return of, one.notices, nil
}

// brokenSource is one that cannot even be asked.
type brokenSource struct {
	name string
	kind images.Kind
	err  error
}

func (b brokenSource) Name() string      { return b.name }
func (b brokenSource) Kind() images.Kind { return b.kind }
func (b brokenSource) Place() string     { return "" }

func (b brokenSource) Ask(context.Context, images.Memory, []string, time.Time) (images.Answer, error) {
	return images.Answer{}, b.err
}

func (b brokenSource) Open(context.Context, images.Entry, int64, string) (images.File, error) {
	return images.File{}, b.err
}

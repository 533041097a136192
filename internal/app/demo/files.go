package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

// Files of a demo's directory.
const (
	configFile = "fedsite.yaml"
	cloudsFile = "clouds.yaml"
	loginsFile = "logins.txt"
	stateDir   = "state"
	lockFile   = ".lock"
	blocksFile = "blocks.yaml" // of fedsite images block
)

// mark begins every demo's configuration; a directory without it is somebody's own.
const mark = "# DEMO: written by fedsite demo"

// ConfigFile is the demo's configuration.
func (d *Demo) ConfigFile() string { return filepath.Join(d.Dir, configFile) }

// CloudsFile is the demo's clouds.yaml.
func (d *Demo) CloudsFile() string { return filepath.Join(d.Dir, cloudsFile) }

// directory makes the directory; that of an earlier demo is used again, any other one that is not empty is refused.
func (d *Demo) directory() error {
	if d.Dir == "" {
		dir, err := os.MkdirTemp("", "fedsite-demo-")
		d.Dir, d.remove = dir, true
		return err
	}
	dir, err := filepath.Abs(d.Dir)
	if err != nil {
		return err
	}
	d.Dir = dir
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return err
	}
	if len(entries) == 0 || (len(entries) == 1 && entries[0].Name() == lockFile) {
		return d.occupy()
	}
	text, err := os.ReadFile(d.ConfigFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !strings.HasPrefix(string(text), mark) {
		return fmt.Errorf("%s holds something else than a demo: name an empty directory", d.Dir)
	}
	if err := d.occupy(); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(filepath.Join(d.Dir, stateDir)), os.RemoveAll(filepath.Join(d.Dir, blocksFile)))
}

// occupy keeps two demos out of one directory.
func (d *Demo) occupy() error {
	lock := flock.New(filepath.Join(d.Dir, lockFile))
	got, err := lock.TryLock()
	switch {
	case err != nil:
		return err
	case !got:
		return fmt.Errorf("another demo serves from %s: end it, or name another directory", d.Dir)
	}
	d.lock = lock
	return nil
}

// write writes the files that fedsite and OpenStack's clients need.
func (d *Demo) write() error {
	s := d.Federation.Sites[0]
	for _, f := range []struct {
		name string
		text string
		mode fs.FileMode
	}{
		{"ca.pem", string(d.Federation.CA.PEM), 0o644},
		{"hostcert.pem", string(s.CertPEM), 0o644},
		{"hostkey.pem", string(s.KeyPEM), 0o600},
		{cloudsFile, d.clouds(), 0o600},
		{loginsFile, d.logins(), 0o600},
		{configFile, d.configuration(), 0o600},
	} {
		if err := os.WriteFile(filepath.Join(d.Dir, f.name), []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	return nil
}

// since is the start of the history: the first of the month before the oldest VM.
func (d *Demo) since() time.Time {
	oldest := d.At
	for _, vm := range d.World.VMs() {
		if vm.Created.Before(oldest) {
			oldest = vm.Created
		}
	}
	return time.Date(oldest.Year(), oldest.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func (d *Demo) configuration() string {
	file := func(name string) string { return fmt.Sprintf("%q", filepath.Join(d.Dir, name)) }
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("%s; its services are emulated, on loopback, and end with it", mark)
	p("site: {gocdb: %s}", SiteName)
	p("clouds:")
	p("  - {name: main, credential: {accounting: reader, discovery: reader, images: images}}")
	p("credentials:")
	p("  reader: {os_cloud: %s, clouds_file: %s}", world.Reader, file(cloudsFile))
	p("  images: {os_cloud: %s, clouds_file: %s}   # a member may write images", world.Member, file(cloudsFile))
	p("vos:                                     # the other VOs come from their projects' property egi.VO")
	p("  - {name: ops, project: %s}", d.World.Projects[0].ID)
	p("accounting:")
	p("  mode: active")
	p("  previously: caso")
	p("  since: %s", d.since().Format("2006-01-02"))
	p("  active_from: %s", d.since().Format("2006-01-02"))
	p("  ams:")
	p("    host: %s", d.Federation.Host)
	p("    port: %d", d.Federation.Port)
	p("    authn_port: %d", d.Federation.AuthnPort)
	p("    project: %s", federation.Project)
	p("    topics: {cloud: %s}", federation.CloudTopic)
	p("    certificate: {cert: %s, key: %s}", file("hostcert.pem"), file("hostkey.pem"))
	p("    network: {ca_file: %s}", file("ca.pem"))
	d.offering(p, file)
	d.bringing(p, file)
	p("store: {path: %s}", file(stateDir))
	p(`web: {listen: "127.0.0.1:0"}`)
	p("%s", d.offset())
	return b.String()
}

// accounts are the emulated cloud's logins, with what they are good for.
var accounts = []struct{ name, password, what string }{
	{world.Reader, world.ReaderPass, "reader on every project and on the system: what fedsite uses"},
	{world.PlainReader, world.ReaderPass, "reader on every project: records go without GlobalUserName"},
	{world.Member, world.MemberPass, "member on every project: what fedsite brings images with"},
	{world.Admin, world.AdminPass, "admin on every project: the records are the same"},
	{world.SystemAdmin, world.AdminPass, "admin on every project and on the system: the records are the same"},
	{world.SystemReader, world.ReaderPass, "reader on the system alone: refused, with what to do"},
}

func (d *Demo) clouds() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# DEMO: logins of the emulated cloud\nclouds:\n")
	for _, a := range accounts {
		scope := fmt.Sprintf("project_id: %s", d.World.Projects[0].ID)
		if a.name == world.SystemReader {
			scope = "system_scope: all"
		}
		fmt.Fprintf(&b, "  %s:\n    region_name: %s\n    identity_api_version: 3\n    auth: {auth_url: %q, username: %s, password: %s, user_domain_id: default, %s}\n",
			a.name, d.World.Region, d.Cloud.AuthURL(), a.name, a.password, scope)
	}
	return b.String()
}

func (d *Demo) logins() string {
	var b strings.Builder
	fmt.Fprintf(&b, "DEMO: the emulated cloud's logins; entries of clouds.yaml have the same names\n\nKeystone  %s\n\n", d.Cloud.AuthURL())
	for _, a := range accounts {
		fmt.Fprintf(&b, "%-14s %-16s %s\n", a.name, a.password, a.what)
	}
	s := d.Federation.Sites[0]
	fmt.Fprintf(&b, "\nbroker    https://%s:%d, authn on port %d, CA in ca.pem\nsite      %s, %s\ntoken     %s\n",
		d.Federation.Host, d.Federation.Port, d.Federation.AuthnPort, s.Name, s.DN, s.Token)
	return b.String()
}

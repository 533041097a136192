//go:build bench

package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

// Files of the directory.
const (
	configFile = "fedsite.yaml"
	cloudsFile = "clouds.yaml"
	stateDir   = "state"
)

// files are those that fedsite and OpenStack's clients need for the services.
type files struct {
	dir   string
	cloud *openstack.Cloud
	fed   *federation.Federation
	clock *clock
	world *world.World
	since time.Time
}

func (f *files) path(name string) string { return filepath.Join(f.dir, name) }

// write makes the directory and all its files.
func (f *files) write() (err error) {
	if f.dir, err = filepath.Abs(f.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	s := f.fed.Sites[0]
	for _, file := range []struct {
		name, text string
		mode       fs.FileMode
	}{
		{"ca.pem", string(f.fed.CA.PEM), 0o644},
		{"hostcert.pem", string(s.CertPEM), 0o644},
		{"hostkey.pem", string(s.KeyPEM), 0o600},
		{cloudsFile, f.clouds(), 0o600},
	} {
		if err := os.WriteFile(f.path(file.name), []byte(file.text), file.mode); err != nil {
			return err
		}
	}
	return f.configure()
}

// configure writes fedsite.yaml for the present clock; all but the clock is what a site's minimal file says.
func (f *files) configure() error {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# emulated services on loopback, which end with the program that serves them")
	p("site: {gocdb: %s}", siteName)
	p("clouds:")
	p("  - {name: main, credential: reader}")
	p("credentials:")
	p("  reader: {os_cloud: %s, clouds_file: %q}", world.Reader, f.path(cloudsFile))
	p("vos:                                     # the others come from their projects' property egi.VO")
	p("  - {name: %s, project: %s}", f.world.Projects[0].Properties["egi.VO"], f.world.Projects[0].ID)
	p("accounting:")
	p("  mode: active")
	p("  previously: caso")
	p("  since: %s", f.since.Format("2006-01-02"))
	p("  active_from: %s", f.since.Format("2006-01-02"))
	p("  ams:")
	p("    host: %s", f.fed.Host)
	p("    port: %d", f.fed.Port)
	p("    authn_port: %d", f.fed.AuthnPort)
	p("    project: %s", federation.Project)
	p("    topics: {cloud: %s}", federation.CloudTopic)
	p("    certificate: {cert: %q, key: %q}", f.path("hostcert.pem"), f.path("hostkey.pem"))
	p("    network: {ca_file: %q}", f.path("ca.pem"))
	p("store: {path: %q}", f.path(stateDir))
	if d := f.clock.offset(); d != 0 {
		p("demo: {offset: %ds}", int64(d/time.Second))
	}
	next := f.path(configFile + ".new")
	return cmp.Or(os.WriteFile(next, []byte(b.String()), 0o600), os.Rename(next, f.path(configFile)))
}

func (f *files) clouds() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# logins of the emulated cloud\nclouds:\n")
	for _, a := range []struct{ name, password string }{{world.Reader, world.ReaderPass}, {world.Admin, world.AdminPass}} {
		fmt.Fprintf(&b, "  %s:\n    region_name: %s\n    identity_api_version: 3\n    auth: {auth_url: %q, username: %s, password: %s, user_domain_id: default, project_id: %s}\n",
			a.name, f.world.Region, f.cloud.AuthURL(), a.name, a.password, f.world.Projects[0].ID)
	}
	return b.String()
}

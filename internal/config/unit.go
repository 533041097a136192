package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/site"
)

// Unit is the file that one site was read from: a bad one spoils no other site (design §4, Included files are units).
type Unit struct {
	File string // "" = the main file
	Text []byte // what ParseUnit reads again: comments left out, no secret in it
	Err  error  // why this is the last good configuration, and not what the file says; nil = it is
}

// BrokenUnit is a site's file that cannot be used as it is.
type BrokenUnit struct {
	File string
	Site string // name in GOCDB, as far as the file says it
	Err  error  // *Errors, or why it cannot be read
}

// Include is a set of site files.
type Include struct {
	Pattern  string // absolute
	Prune    bool   // sites whose files are gone are given up without a question, however many they are
	CatchAll bool   // the files have the form of EGI's catch-all operations
}

// maxUnits bounds the site files of a configuration.
const maxUnits = 1000

// include notes a set of site files.
func (l *loader) include(n *node) {
	own := n.with(includeKeys)
	for _, p := range n.pairs {
		switch {
		case own.get(p.key) != nil:
		case isLater(p.value.path):
			own.partly = true
		default:
			l.add(p.value.key, p.value.where(), "stands beside include: it belongs into the site's file, or to the top of this one")
		}
	}
	f := fileSites{said: said{own}}
	l.object(own, reflect.ValueOf(&f).Elem())
	if f.Format.V != formCatchAll {
		for _, key := range []string{"defaults", "overrides"} {
			if n := own.get(key); n != nil && n.origin != byDefault {
				l.fail(n, "goes with format: catch-all only")
			}
		}
	}
	l.main.includes = append(l.main.includes, f)
}

// files lists the site files, in the order of includes and of their names. A directory that cannot be read is an error of
// the main file: it must not look as if all its sites were gone.
func (l *loader) files(cfg *Config) []string {
	var all []string
	whole := true
	for _, f := range l.main.includes {
		if f.Include.V == "" || f.at.partly {
			whole = false
			continue
		}
		pattern := f.Include.V
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(l.file), pattern)
		}
		pattern, err := filepath.Abs(pattern)
		if err != nil {
			l.fail(f.Include.at, "%v", err)
			continue
		}
		cfg.Includes = append(cfg.Includes, Include{Pattern: pattern, Prune: f.Prune.V, CatchAll: f.Format.V == formCatchAll})
		l.includeCredentials(cfg, f)
		dir, last := filepath.Split(pattern)
		if _, err := filepath.Match(last, ""); err != nil || strings.ContainsAny(dir, "*?[") {
			l.fail(f.Include.at, "must be the path of a directory and a pattern of its files, as /etc/fedsite/sites.d/*.yaml")
			whole = false
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			l.fail(f.Include.at, "cannot be read: %v", err)
			whole = false
			continue
		}
		for _, e := range entries {
			file := filepath.Join(dir, e.Name())
			if fits, _ := filepath.Match(last, e.Name()); fits && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(all, file) {
				all = append(all, file)
			}
		}
		if len(all) > maxUnits {
			l.fail(f.Include.at, "names more than %d files", maxUnits)
			return nil
		}
	}
	if whole && len(l.main.includes) > 0 && len(cfg.Sites) == 0 && len(all) == 0 {
		l.fail(l.main.includes[0].Include.at, "names no site: no file fits %s", l.main.includes[0].Include.V)
	}
	return all
}

// defaults checks what stands at the top of the file for sites in other files, as far as no site need say more.
func (l *loader) defaults() {
	n := l.main.root.with(sharedKeys).clone()
	n.partly = true
	var f fileParts
	l.object(n, reflect.ValueOf(&f).Elem())
	if f.Accounting.at != nil && f.Accounting.at.kind == mapping {
		l.checkDates(f.Accounting)
	}
}

// units reads site files. One that is wrong is noted, and no other site is the worse for it.
func (c *Config) units(files []string) {
	for _, file := range files {
		text, err := readUnit(file)
		if err != nil {
			c.Broken = append(c.Broken, BrokenUnit{File: file, Err: err})
			continue
		}
		u := c.unit(file, text)
		if u.err == nil {
			u.err = c.twice(u)
		}
		if u.err != nil {
			c.Broken = append(c.Broken, BrokenUnit{File: file, Site: u.name, Err: u.err})
			continue
		}
		c.add(u)
	}
}

// readUnit reads a site's file, which must be a file: a pipe would never end.
func readUnit(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: file, Err: errors.New("is no regular file")}
	}
	if err == nil && info.Size() > maxFile {
		err = &fs.PathError{Op: "read", Path: file, Err: fmt.Errorf("has more than %d MiB", maxFile>>20)}
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the site's file cannot be read: %w: let fedsite's user read it", err)
	case err != nil:
		return nil, fmt.Errorf("the site's file cannot be read: %w", err)
	}
	return text, nil
}

// unit is a site's file that was read.
type unit struct {
	catchAll bool
	notices  []Notice
	site     Site
	name     string // as far as the file says it
	at       *node  // of the name
	err      error
	shown    *node
	p        *problems
}

// unit reads a site's text, on top of what the main file says for all sites.
func (c *Config) unit(file string, text []byte) unit {
	p, root := read(file, text)
	p.unit = true
	u := unit{p: p}
	if root == nil {
		u.err = p.err()
		return u
	}
	l := &loader{decoder: &decoder{problems: p, complete: true}, main: c.main}
	name, parts, kept := c.form(file, root, p, &u)
	if name != nil && name.kind == mapping && parts != nil {
		partly := parts.partly
		parts = merge(c.main.root.with(sharedKeys), parts)
		parts.at, parts.partly = name.at, partly
		f := l.one(name, parts, c.main.root.get("credentials"))
		u.site = l.site(c, f)
		l.unique([]*fileSite{f})
		l.agree(c, u.site, f)
		u.notices = also(u.notices, l.notices...)
		u.shown = &node{kind: mapping, pairs: slices.Concat(name.pairs, parts.pairs), path: name.path, at: name.at}
	}
	if u.err = p.err(); u.err != nil {
		return u
	}
	u.site.Unit = Unit{File: file, Text: kept.plainText()}
	u.site.Runs = c.runsOf(file)
	return u
}

// form reads the site's name and parts in the form that the file has, and gives what is kept of its text.
func (c *Config) form(file string, root *node, p *problems, u *unit) (name, parts *node, kept *Config) {
	if set := c.setOf(file); set.Format.V == formCatchAll {
		other := &catchAll{problems: p, set: set, cfg: c}
		name, parts = other.read(root)
		u.notices, u.catchAll = other.notices, true
		if u.at = name.get("gocdb"); u.at != nil && u.at.kind == scalar {
			u.name = u.at.text
		}
		return name, parts, &Config{shown: root.clone()}
	}
	if name = root.get("site"); name == nil {
		p.add(root.at, "site", "is required: site: {gocdb: NAME}")
	}
	if u.at = name.get("gocdb"); u.at != nil && u.at.kind == scalar {
		u.name = u.at.text
	}
	(&decoder{problems: p}).object(root.clone(), reflect.ValueOf(new(fileUnit)).Elem())
	parts = root.with(siteKeys)
	parts.partly = root.partly
	return name, parts, &Config{shown: root.clone()}
}

// plainText gives what was read, without comments.
func (c *Config) plainText() []byte {
	s := shower{}
	s.mapping(c.shown, "", "")
	var b bytes.Buffer
	for _, line := range s.lines {
		fmt.Fprintln(&b, line.text)
	}
	return b.Bytes()
}

// twice reports a site that there is already. Several files of the form catch-all may be one site, each with an endpoint of
// its own.
func (c *Config) twice(u unit) error {
	for _, s := range c.Sites {
		if s.Site.Name != u.name {
			continue
		}
		in := c.File
		if s.Unit.File != "" {
			in = s.Unit.File
		}
		if !u.catchAll || s.Unit.File == "" || s.has(u.site.Unit.File) || !slices.ContainsFunc(c.Includes, func(i Include) bool {
			fits, _ := filepath.Match(i.Pattern, s.Unit.File)
			return fits && i.CatchAll
		}) {
			u.p.add(u.at.at, u.at.where(), fmt.Sprintf("a site is called %q already, in %s", u.name, in))
			return u.p.err()
		}
		for _, cloud := range u.site.Clouds {
			if slices.ContainsFunc(s.Clouds, func(its Cloud) bool { return its.Cloud.Name == cloud.Cloud.Name }) {
				u.p.add(u.at.at, u.at.where(), fmt.Sprintf("another file of the site, %s, has a cloud %s already: two endpoints of one host need a name, by overrides in the main file: {%q: {cloud: NAME}}",
					in, cloud.Cloud.Name, cloud.Cloud.AuthURL))
				return u.p.err()
			}
		}
	}
	return nil
}

// add puts a site into the configuration, or further clouds of one.
func (c *Config) add(u unit) {
	c.Notices = also(c.Notices, u.notices...)
	all := c.shown.get("sites")
	i := slices.IndexFunc(c.Sites, func(s Site) bool { return s.Site.Name == u.name })
	if i < 0 {
		c.Sites = append(c.Sites, u.site)
		if all != nil {
			all.items = append(all.items, u.shown)
		}
		return
	}
	s := &c.Sites[i]
	s.More = append(slices.Clip(s.More), u.site.Unit)
	s.Clouds = append(slices.Clip(s.Clouds), u.site.Clouds...)
	s.Site.Clouds = append(slices.Clip(s.Site.Clouds), u.site.Site.Clouds...)
	accounted := s.Accounting.Mode == site.Disabled && u.site.Accounting.Mode != site.Disabled // each cloud says for itself whether it is
	if accounted {
		s.Accounting = u.site.Accounting
	}
	imaged := s.Images.Mode == site.Disabled && u.site.Images.Mode != site.Disabled // likewise
	switch formats := u.shown.get("images").get("formats"); {
	case imaged:
		s.Images = u.site.Images
	case u.site.Images.Mode != site.Disabled && formats != nil && !slices.Equal(s.Images.Formats, u.site.Images.Formats):
		c.Notices = also(c.Notices, Notice{File: u.site.Unit.File, Line: formats.head().line, Column: formats.head().column, Path: formats.where(),
			Message: fmt.Sprintf("is not what %s says of the same site, [%s], which counts", s.Unit.File, strings.Join(s.Images.Formats, ", "))})
	}
	if all == nil {
		return
	}
	for _, shown := range all.items {
		if textOf(shown.get("gocdb")) != u.name {
			continue
		}
		for _, key := range siteKeys[:2] {
			switch more, had := u.shown.get(key), shown.get(key); {
			case more == nil:
			case had == nil:
				shown.set(key, more)
			default:
				had.items = append(had.items, more.items...)
			}
		}
		if accounted {
			shown.set("accounting", u.shown.get("accounting"))
		}
		if imaged {
			shown.set("images", u.shown.get("images"))
		}
	}
}

// ParseUnit reads the text of a site's file on top of what the main file says for all sites. What is wrong comes as
// *Errors, everything at once. Only one goroutine at a time may read units of one configuration.
func ParseUnit(main *Config, file string, text []byte) (Site, error) {
	if main.main == nil {
		return Site{}, errors.New("the main configuration was not read from a file")
	}
	u := main.unit(file, text)
	return u.site, u.err
}

// LastGood puts the last good text of a broken site file in that file's place: its site is served by it, and carries the
// error. It says why it cannot be used: the main file no longer has what it needs, or another file names the site.
func (c *Config) LastGood(file string, text []byte) error {
	i := slices.IndexFunc(c.Broken, func(b BrokenUnit) bool { return b.File == file })
	if i < 0 || c.main == nil {
		return fmt.Errorf("%s is no broken site file", file)
	}
	u := c.unit(file, text)
	if u.err == nil {
		u.err = c.twice(u)
	}
	if u.err != nil {
		return fmt.Errorf("the last good configuration of %s cannot be used: %w", file, u.err)
	}
	u.site.Unit.Err = c.Broken[i].Err
	u.notices = nil
	c.add(u)
	return nil
}

// Gone gives the sites of old whose files are gone from new, without those that new gives up without a question.
func Gone(old, new *Config) []Site {
	var gone []Site
	for _, s := range old.Sites {
		served := slices.ContainsFunc(new.Sites, func(n Site) bool { return n.Site.Name == s.Site.Name })
		if !served && slices.ContainsFunc(s.Units(), func(u Unit) bool { return new.lost(u.File) }) {
			gone = append(gone, s)
		}
	}
	return gone
}

// lost tells whether a site's file is gone, and nobody said that that is meant.
func (c *Config) lost(file string) bool {
	served := slices.ContainsFunc(c.Sites, func(s Site) bool { return s.has(file) })
	broken := slices.ContainsFunc(c.Broken, func(b BrokenUnit) bool { return b.File == file })
	pruned := slices.ContainsFunc(c.Includes, func(i Include) bool {
		fits, _ := filepath.Match(i.Pattern, file)
		return fits && i.Prune
	})
	return !served && !broken && !pruned
}

// Units gives the files that the site was read from; nil = the main file.
func (s Site) Units() []Unit {
	if s.Unit.File == "" {
		return nil
	}
	return append([]Unit{s.Unit}, s.More...)
}

// Outdated gives the first of the site's files that is not served as it is.
func (s Site) Outdated() (Unit, bool) {
	for _, u := range s.Units() {
		if u.Err != nil {
			return u, true
		}
	}
	return Unit{}, false
}

func (s Site) has(file string) bool {
	return slices.ContainsFunc(s.Units(), func(u Unit) bool { return u.File == file })
}

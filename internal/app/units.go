package app

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/store"
)

// goneAtOnce is how many sites may be given up at once because their files are gone: more look like a directory that is
// not mounted (design §4, Included files are units).
const goneAtOnce = 3

// lastGood is the last good text of a site's own file, as the store keeps it. A site may have several.
type lastGood struct {
	Name string `json:"-"`
	File string `json:"file"`
	Text string `json:"text"`
}

// hold puts the last good configuration in the place of site files that are broken, or of which too many are gone.
func (b *base) hold(ctx context.Context, cfg *config.Config) error {
	if len(cfg.Includes) == 0 {
		return nil
	}
	stored, err := lastGoods(ctx, b.db)
	if err != nil {
		return fmt.Errorf("last good site files: %w", err)
	}
	if gone := missing(cfg, stored); len(gone) > goneAtOnce {
		for _, g := range gone {
			cfg.Broken = append(cfg.Broken, config.BrokenUnit{File: g.File, Site: g.Name,
				Err: fmt.Errorf("%s is gone, and so are %d others: put them back, or say prune: true beside include", g.File, len(gone)-1)})
		}
	}
	for _, broken := range slices.Clone(cfg.Broken) {
		i := slices.IndexFunc(stored, func(s lastGood) bool { return s.File == broken.File })
		if i < 0 {
			b.opts.Log.Error("a site's file cannot be used, and there is no former configuration of it", "file", broken.File, "error", broken.Err)
			continue
		}
		if err := cfg.LastGood(broken.File, []byte(stored[i].Text)); err != nil {
			b.opts.Log.Error("a site's file cannot be used", "file", broken.File, "error", broken.Err, "former", err)
			continue
		}
		b.opts.Log.Error("a site's file cannot be used: its last good configuration counts", "file", broken.File, "error", broken.Err)
	}
	return nil
}

// missing gives the site files that are gone, though the main file still includes such files, and does not say prune. A
// file that was renamed is not gone.
func missing(cfg *config.Config, stored []lastGood) (gone []lastGood) {
	had := map[string]int{} // files of a site
	for _, s := range stored {
		had[s.Name]++
	}
	for _, s := range stored {
		served := slices.ContainsFunc(cfg.Sites, func(c config.Site) bool {
			return reads(c, s.File) || c.Site.Name == s.Name && (len(c.Units()) == 0 || len(c.Units()) >= had[s.Name])
		})
		broken := slices.ContainsFunc(cfg.Broken, func(u config.BrokenUnit) bool { return u.File == s.File })
		kept := slices.ContainsFunc(cfg.Includes, func(i config.Include) bool {
			fits, _ := filepath.Match(i.Pattern, s.File)
			return fits && !i.Prune
		})
		if !served && !broken && kept {
			gone = append(gone, s)
		}
	}
	return gone
}

// reads tells whether a site is read from the file.
func reads(c config.Site, file string) bool {
	return slices.ContainsFunc(c.Units(), func(u config.Unit) bool { return u.File == file })
}

// remember keeps the site files that are good, and forgets those that were given up.
func (b *base) remember(ctx context.Context, cfg *config.Config) error {
	stored, err := lastGoods(ctx, b.db)
	if err != nil {
		return fmt.Errorf("keep the site files: %w", err)
	}
	before, now := map[string][]lastGood{}, map[string][]lastGood{} // by the site's name
	for _, c := range cfg.Sites {
		for _, u := range c.Units() {
			now[c.Site.Name] = append(now[c.Site.Name], lastGood{Name: c.Site.Name, File: u.File, Text: string(u.Text)})
		}
	}
	for _, s := range stored {
		before[s.Name] = append(before[s.Name], s)
		served := slices.ContainsFunc(cfg.Sites, func(c config.Site) bool { return reads(c, s.File) })
		if broken := slices.ContainsFunc(cfg.Broken, func(u config.BrokenUnit) bool { return u.File == s.File }); broken && !served { // the main file cannot use it now
			now[s.Name] = append(now[s.Name], s)
		}
	}
	changed := map[string]string{}
	for name := range before {
		if len(now[name]) == 0 {
			changed[name] = ""
		}
	}
	for name, files := range now {
		slices.SortFunc(files, func(a, b lastGood) int { return strings.Compare(a.File, b.File) })
		if slices.Equal(files, before[name]) {
			continue
		}
		text, err := json.Marshal(files)
		if err != nil {
			return fmt.Errorf("keep the site files: %w", err)
		}
		changed[name] = string(text)
	}
	if len(changed) == 0 {
		return nil
	}
	return b.db.Write(ctx, func(tx *store.Tx) error {
		for name, text := range changed {
			if _, err := tx.Exec(`UPDATE site SET config = $1 WHERE name = $2`, text, name); err != nil {
				return err
			}
		}
		return nil
	})
}

func lastGoods(ctx context.Context, db *store.Store) (all []lastGood, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		all = nil
		rows, err := tx.Query(`SELECT name, config FROM site WHERE config <> '' ORDER BY name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name, text string
			if err := rows.Scan(&name, &text); err != nil {
				return err
			}
			if !strings.HasPrefix(text, "[") { // one file, as it was kept before a site could have several
				text = "[" + text + "]"
			}
			var files []lastGood
			if err := json.Unmarshal([]byte(text), &files); err != nil {
				return fmt.Errorf("site %s: %w", name, err)
			}
			for _, f := range files {
				f.Name = name
				all = append(all, f)
			}
		}
		return rows.Err()
	})
	return all, err
}

// unserved gives the broken site files in whose place nothing can be put.
func (a *App) unserved() []config.BrokenUnit {
	return slices.DeleteFunc(slices.Clone(a.cfg.Broken), func(u config.BrokenUnit) bool {
		return slices.ContainsFunc(a.cfg.Sites, func(c config.Site) bool { return reads(c, u.File) })
	})
}

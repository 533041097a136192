//go:build bench

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/test/bench/process"
)

// What fedsite may use to bring images: of the disk only what its database takes, whatever the images' size.
const (
	maxImageMemory  = 100_000_000
	maxImageWritten = 16_000_000
)

// sharingVOs is how many VOs share one image; sharedSize are its bytes.
const (
	sharingVOs = 10
	sharedSize = int64(256 << 20)
)

// images measures the bringing of one large image as it comes, beside the least that it takes on this machine, and of one
// that ten VOs share.
func (b *bench) images(ctx context.Context, size int64) (err error) {
	dir := filepath.Join(b.dir, "images")
	e, err := process.Serve(ctx, b.emulator, dir, "-receive=false", "-vms", "20", "-projects", strconv.Itoa(sharingVOs), "-users", "10")
	if err != nil {
		return err
	}
	g := &glance{emulator: &emulator{e}, dir: dir}
	defer func() { err = errors.Join(err, e.Close(), os.RemoveAll(dir)) }()
	if g.source, err = serveImages(map[string]*imageFile{"/large": newImageFile(size, 1), "/shared": newImageFile(sharedSize, 2)}); err != nil {
		return err
	}
	defer g.source.srv.Close() //nolint:errcheck // the process ends
	t := &table{title: fmt.Sprintf("IMAGES: one of %s MB as it comes, and one of %s MB that %d VOs share; the emulated Glance sums what it gets", whole(size/1e6), whole(sharedSize/1e6), sharingVOs),
		head: []string{"", "s", "MB/s", "CPU s", "downloads", "uploads", "VmHWM MB", "MB written"}}
	sum, summed, err := g.sha512sum(ctx, "/large")
	if err != nil {
		return err
	}
	bare, how, err := g.bare(ctx, "/large")
	if err != nil {
		return err
	}
	m, err := b.bring(ctx, g, t, "one image", "/large", sum, "copy", 1)
	if err != nil {
		return err
	}
	shared, _, err := g.sha512sum(ctx, "/shared")
	if err != nil {
		return err
	}
	if _, err := b.bring(ctx, g, t, fmt.Sprintf("for %d VOs", sharingVOs), "/shared", shared, "members", sharingVOs); err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg")
	t.note("bare: %s of the large one in %s s; fedsite took %.2f times as long", how, seconds(bare), m.wall.Seconds()/bare.Seconds())
	t.note("bare: sha512sum of the same bytes in %s s; fedsite took %.2f times as long", seconds(summed), m.wall.Seconds()/summed.Seconds())
	t.note("load of the machine at the end: %s", strings.TrimSpace(string(load)))
	t.print(os.Stdout)
	return nil
}

// bring has fedsite bring an image for so many VOs, and once more when it is there, and sees what that took.
func (b *bench) bring(ctx context.Context, g *glance, t *table, name, path, sum, sharing string, vos int) (measured, error) {
	config, err := g.configure(path, sum, sharing, vos)
	if err != nil {
		return measured{}, err
	}
	state := filepath.Join(g.dir, "state"+strings.ReplaceAll(path, "/", "-"))
	var first measured
	for i, step := range []struct {
		name     string
		once     int64 // downloads, and uploads
		accepted int64
	}{{name, 1, int64(vos - 1)}, {name + ", again", 0, 0}} {
		before := g.source.asked.Load()
		m, err := g.run(ctx, b.fedsite, config, state, "images", "apply")
		if err != nil {
			return m, err
		}
		downloads, uploads := g.source.asked.Load()-before, m.Kinds["image PUT images/{id}/file"]
		if downloads != step.once || uploads != step.once || m.counts["added"] != step.once {
			b.fail("%s: %d downloads and %d uploads, want %d: %v", step.name, downloads, uploads, step.once, m.Kinds)
		}
		if got := m.Kinds["image PUT images/{id}/members/{id}"]; got != step.accepted {
			b.fail("%s: %d projects accepted the image, want %d: %v", step.name, got, step.accepted, m.Kinds)
		}
		if m.peak > maxImageMemory {
			b.fail("%s: VmHWM is %s MB, at most %s", step.name, megabytes(m.peak), megabytes(maxImageMemory))
		}
		if m.written > maxImageWritten {
			b.fail("%s: %s MB were written to the disk, at most %s", step.name, megabytes(m.written), megabytes(maxImageWritten))
		}
		speed := "-"
		if i == 0 {
			first, speed = m, rate(g.source.files[path].size/1e6, m.wall)
		}
		t.row(step.name, seconds(m.wall), speed, seconds(m.cpu), whole(downloads), whole(uploads), megabytes(m.peak), megabytes(m.written))
	}
	return first, nil
}

// glance is the emulated cloud, as images are brought there.
type glance struct {
	*emulator
	dir    string
	source *source
}

// configure writes a configuration that brings one image for so many VOs.
func (g *glance) configure(path, sum, sharing string, vos int) (string, error) {
	var all, names []string
	for i, project := range g.Projects[:vos] {
		names = append(names, fmt.Sprintf("vo%d.example.eu", i))
		all = append(all, fmt.Sprintf("{name: %s, project: %s}", names[i], project))
	}
	at := filepath.Join(g.dir, "images"+strings.ReplaceAll(path, "/", "-"))
	list := fmt.Sprintf("images: [{name: %q, url: %q, sha512: %s, format: qcow2}]\n", "bench"+path, g.source.url+path, sum)
	text := fmt.Sprintf(`site: {gocdb: BENCH}
store: {path: %q}
credentials: {c: {username: %s, password: %s}}
clouds: [{name: main, auth_url: %q, credential: c}]
vos: [%s]
accounting: {mode: disabled}
discovery: {mode: disabled}
images:
  mode: active
  instance: %s
  formats: [qcow2]
  sharing: %s
  staging_dir: %q
  sources: [{name: own, vos: [%s], own: %q}]
`, filepath.Join(g.dir, "state"+strings.ReplaceAll(path, "/", "-")), world.Admin, world.AdminPass, g.AuthURL, strings.Join(all, ", "), "bench"+strings.ReplaceAll(path, "/", "-"), sharing, g.dir, strings.Join(names, ", "), at+".list.yaml")
	return at + ".yaml", errors.Join(os.WriteFile(at+".list.yaml", []byte(list), 0o600), os.WriteFile(at+".yaml", []byte(text), 0o600))
}

// sha512sum has the program of that name sum a file, and gives how long that took.
func (g *glance) sha512sum(ctx context.Context, path string) (sum string, took time.Duration, err error) {
	cmd := exec.CommandContext(ctx, "sha512sum")
	cmd.Stdin = &imageReader{imageFile: g.source.files[path]}
	began := time.Now()
	out, err := cmd.Output()
	if err != nil {
		return "", 0, fmt.Errorf("sha512sum: %w", err)
	}
	sum, _, _ = strings.Cut(string(out), " ")
	return sum, time.Since(began), nil
}

// bare has a file copied from its server into an image, by curl where it is installed, and gives how long that took. Nothing
// is checked on the way, and the image is taken away again.
func (g *glance) bare(ctx context.Context, path string) (took time.Duration, how string, err error) {
	token, err := g.token(ctx)
	if err != nil {
		return 0, "", err
	}
	url := strings.TrimSuffix(g.AuthURL, "/identity/v3") + "/image/v2/images"
	answer, _, err := g.ask(ctx, http.MethodPost, url, token, map[string]any{"name": "bare", "disk_format": "qcow2", "container_format": "bare"})
	if err != nil {
		return 0, "", err
	}
	var image struct{ ID string }
	if err := json.Unmarshal(answer, &image); err != nil {
		return 0, "", err
	}
	began := time.Now()
	if curl, missing := exec.LookPath("curl"); missing == nil {
		how = "curl source | curl -T - upload"
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `"$1" -sf "$2" | "$1" -sf -T - -H "X-Auth-Token: $3" -H "Content-Type: application/octet-stream" "$4"`, "sh", curl, g.source.url+path, token, url+"/"+image.ID+"/file")
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, "", fmt.Errorf("curl: %w: %.200s", err, out)
		}
	} else {
		how = "a copy in Go"
		if err := g.copied(ctx, g.source.url+path, url+"/"+image.ID+"/file", token); err != nil {
			return 0, "", err
		}
	}
	took = time.Since(began)
	_, _, err = g.ask(ctx, http.MethodDelete, url+"/"+image.ID, token, nil)
	return took, how, err
}

// copied sends what one URL gives to another one.
func (g *glance) copied(ctx context.Context, from, to, token string) error {
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	got, err := http.DefaultClient.Do(get)
	if err != nil {
		return err
	}
	defer got.Body.Close() //nolint:errcheck // only read
	put, err := http.NewRequestWithContext(ctx, http.MethodPut, to, got.Body)
	if err != nil {
		return err
	}
	put.Header.Set("X-Auth-Token", token)
	put.Header.Set("Content-Type", "application/octet-stream")
	res, err := http.DefaultClient.Do(put)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // only read
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("upload: %s", res.Status)
	}
	return nil
}

// token signs in as an administrator of the first project.
func (g *glance) token(ctx context.Context) (string, error) {
	_, header, err := g.ask(ctx, http.MethodPost, g.AuthURL+"/auth/tokens", "", map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{"name": world.Admin, "password": world.AdminPass, "domain": map[string]any{"id": "default"}}}},
		"scope":    map[string]any{"project": map[string]any{"id": g.Projects[0]}}}})
	return header.Get("X-Subject-Token"), err
}

// ask makes a request of OpenStack's.
func (g *glance) ask(ctx context.Context, method, url, token string, body any) ([]byte, http.Header, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close() //nolint:errcheck // only read
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %.200s", method, url, res.Status, answer)
	}
	return answer, res.Header, err
}

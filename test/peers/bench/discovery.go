//go:build peers

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/protocol/glue"
	"github.com/fedsite/fedsite/test/bench/process"
	"github.com/fedsite/fedsite/test/peers"
)

// The cloud that documents are made of: each project is a VO's, and is offered all flavors and images.
const (
	shares       = 10
	offered      = 30 // flavors
	offeredImage = 20
	delay        = 5 * time.Millisecond // before each answer
)

// discovery measures cloud-info-provider beside fedsite.
func (b *bench) discovery(ctx context.Context) (err error) {
	cloudInfo, err := peers.FindCloudInfo()
	if err != nil {
		return err
	}
	n := func(i int) string { return fmt.Sprint(i) }
	dir := filepath.Join(b.dir, "discovery")
	e, err := process.Serve(ctx, b.emulator, filepath.Join(dir, "cloud"), "-offers", "-receive=false", "-delay", delay.String(), "-gocdb-as", peers.CloudInfoGOCDB,
		"-vms", n(10*shares), "-projects", n(shares), "-users", n(shares), "-flavors", n(offered), "-images", n(offeredImage))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	fmt.Printf("\ncloud-info-provider %s beside fedsite: %d shares, %d flavors, %d images, the cloud waits %s before each answer; median of %d rounds\n", peers.CloudInfoVersion, shares, offered, offeredImage, delay, b.rounds)
	var first, again, theirs []figures
	for round := range b.rounds {
		ours, err := b.publisher(e, filepath.Join(dir, fmt.Sprint(round)))
		if err != nil {
			return err
		}
		peer := b.cloudInfo(e, cloudInfo, filepath.Join(dir, fmt.Sprint(round), "peer"))
		for _, p := range []struct {
			program
			to   *[]figures
			name string
		}{{ours, &first, "fedsite"}, {ours, &again, "fedsite, nothing changed"}, {peer, &theirs, "cloud-info-provider"}} {
			f, err := p.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			*p.to = append(*p.to, f)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\twall s\tCPU s\tpeak MB\trequests\t")
	line := func(name string, all []figures) figures {
		f := median(all)
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.0f\t%d\t\n", name, f.wall.Seconds(), f.cpu.Seconds(), float64(f.peak)/1e6, f.requests)
		return f
	}
	ours := line("fedsite, first run", first)
	line("fedsite, nothing changed", again)
	peer := line("cloud-info-provider", theirs)
	fmt.Fprintf(w, "cloud-info-provider ÷ fedsite, first run\t%.1f\t%.1f\t%.1f\t%.1f\t\n", ratio(peer.wall, ours.wall), ratio(peer.cpu, ours.cpu), ratio(peer.peak, ours.peak), ratio(peer.requests, ours.requests))
	return w.Flush()
}

// whole makes sure that a document holds all that is offered.
func whole(document []byte) error {
	d, _, err := glue.Parse(bytes.NewReader(document), glue.Limits{})
	if err == nil && (len(d.Shares) != shares || len(d.InstanceTypes) != shares*offered || len(d.Images) != shares*offeredImage) {
		err = fmt.Errorf("%d shares, %d instance types, %d images", len(d.Shares), len(d.InstanceTypes), len(d.Images))
	}
	if err != nil {
		return fmt.Errorf("its document is not whole: %w", err)
	}
	return nil
}

// publisherRun runs fedsite, into a file.
type publisherRun struct {
	e                         *process.Emulator
	program, config, document string
}

func (b *bench) publisher(e *process.Emulator, dir string) (program, error) {
	r := publisherRun{e: e, program: b.fedsite, config: filepath.Join(dir, "fedsite.yaml"), document: filepath.Join(dir, "site.json")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`site: {gocdb: BENCH-SITE}
clouds: [{name: main, credential: reader}]
credentials: {reader: {os_cloud: %s, clouds_file: %q}}
accounting: {mode: disabled}
discovery:
  mode: active
  gocdb: {url: %q, network: {ca_file: %q}}
  publish: [{file: {path: %q}}]
store: {path: %q}
`, world.Reader, e.Clouds, e.GOCDB, e.CA, r.document, filepath.Join(dir, "state"))
	return r, os.WriteFile(r.config, []byte(text), 0o600)
}

func (r publisherRun) run(ctx context.Context) (f figures, err error) {
	if err := r.e.Forget(); err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, r.program, "discovery", "publish", "--config", r.config)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(r.config)}
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return f, fmt.Errorf("%w\n%s", err, out)
	}
	f.add(time.Since(began), cmd.ProcessState)
	if f.requests, err = asked(r.e); err != nil {
		return f, err
	}
	document, err := os.ReadFile(r.document)
	if err != nil {
		return f, err
	}
	return f, whole(document)
}

// cloudInfoRun runs cloud-info-provider, which keeps nothing from one run to the next.
type cloudInfoRun struct {
	e    *process.Emulator
	peer peers.CloudInfo
}

func (b *bench) cloudInfo(e *process.Emulator, program, dir string) program {
	c := peers.CloudInfo{Program: program, Dir: dir, AuthURL: e.AuthURL, Region: e.Region, User: world.Reader, Password: world.ReaderPass, Site: "BENCH-SITE", Proxy: e.Proxy, CA: e.CA}
	for i, p := range e.Projects {
		c.VOs = append(c.VOs, [2]string{fmt.Sprintf("vo%d.example.eu", i), p})
	}
	return cloudInfoRun{e, c}
}

func (c cloudInfoRun) run(ctx context.Context) (f figures, err error) {
	if err := c.e.Forget(); err != nil {
		return f, err
	}
	began := time.Now()
	document, state, err := c.peer.Publish(ctx)
	if err != nil {
		return f, err
	}
	f.add(time.Since(began), state)
	if f.requests, err = asked(c.e); err != nil {
		return f, err
	}
	return f, whole(document)
}

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fedsite/fedsite/internal/conversion"
	"github.com/fedsite/fedsite/internal/prerequisite"
)

// newWorkshop is a gallery whose site takes qcow2 alone. qemu-img, the real one, asks before it begins.
func newWorkshop(t *testing.T) *gallery {
	t.Helper()
	if _, err := os.Stat(conversion.DefaultQEMU); err != nil {
		prerequisite.Missing(t, "qemu-img", "apt install qemu-utils")
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "qemu-img")
	// It becomes qemu-img, and does not call it: so it stays what fedsite started.
	text := fmt.Sprintf(`#!/bin/sh
echo "$1" >%[1]s/tell
read how <%[1]s/hear
case $how in slowly) shift; exec %[2]s convert -r 65536 "$@" ;; esac
exec %[2]s "$@"
`, dir, conversion.DefaultQEMU)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	pipes := map[string]*os.File{}
	for _, name := range []string{"tell", "hear"} {
		path := filepath.Join(dir, name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		pipe, err := os.OpenFile(path, os.O_RDWR, 0) // with this it never ends
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pipe.Close() })
		pipes[name] = pipe
	}
	g := newGallery(t, packed(t), fmt.Sprintf("  formats: [qcow2]\n  compressed: true\n  parallel: 1\n  qemu_img: %s\n", script))
	go g.heed(pipes["tell"], pipes["hear"])
	return g
}

// heed hears of each qemu-img before it begins, and lets it.
func (g *gallery) heed(tell, hear *os.File) {
	for lines := bufio.NewScanner(tell); lines.Scan(); {
		g.preserve.mu.Lock()
		p := g.onto["all"]
		g.preserve.mu.Unlock()
		if p.event("before qemu-img " + lines.Text()) {
			continue
		}
		how := "at once"
		if lines.Text() == "convert" && p.next() {
			how = "slowly"
		}
		if _, err := fmt.Fprintln(hear, how); err != nil {
			return
		}
		if lines.Text() == "convert" {
			p.event(amidConvert)
		}
	}
}

const amidConvert = "amid qemu-img convert"

// midway waits, where a process is to be killed amid something, until it is.
func (g *gallery) midway(what string) {
	name := ""
	switch {
	case what == amidConvert:
		name = conversion.Made
	case strings.HasPrefix(what, amidAnswer):
		name = conversion.Source
	default:
		return
	}
	seen := inTime(5*time.Second, func() bool {
		found, _ := filepath.Glob(g.file("staging/*/" + name))
		for _, path := range found {
			if stat, err := os.Stat(path); err == nil && stat.Size() > 0 && (name == conversion.Source || len(g.working()) > 0) {
				return true
			}
		}
		return name == conversion.Source && len(found) == 0 // it does not go to the disk
	})
	if !seen {
		g.t.Errorf("%s: it was not seen at work", what)
	}
}

// inTime tries until something is so, and tells whether it became so in time.
func inTime(most time.Duration, is func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); ; <-tick.C {
		if is() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// working are the processes that work in the staging directory, with their command lines.
func (g *gallery) working() map[int]string {
	all := map[int]string{}
	at, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range at {
		if dir, err := os.Readlink(link); err == nil && strings.HasPrefix(dir, g.file("staging")) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
				all[pid] = strings.ReplaceAll(string(line), "\x00", " ")
			}
		}
	}
	return all
}

// deserted: what a process had started ends with it.
func (g *gallery) deserted(t *testing.T) {
	t.Helper()
	if !inTime(10*time.Second, func() bool { return len(g.working()) == 0 }) {
		all := g.working()
		for pid := range all { // it would take the word that the next one waits for
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		t.Fatalf("it is dead, and what it started lives on: %v", all)
	}
}

// staged tells what is on the disk.
func (g *gallery) staged() (all []string) {
	found, _ := filepath.Glob(g.file("staging/*/*"))
	for _, path := range found {
		if stat, err := os.Stat(path); err == nil {
			all = append(all, fmt.Sprintf("%s of %d bytes", filepath.Base(path), stat.Size()))
		}
	}
	return all
}

// packed are editions of disks that have to be converted, but for one of each source. In the second they have successors, of
// which the OVA's disk takes a while to be unpacked; in the third they are gone.
func packed(t *testing.T) []edition {
	t.Helper()
	read := func(name string) []byte {
		body, err := os.ReadFile("../../internal/app/testdata/images/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	plain, other := file{"qcow2", made(t, 1<<20, 21, "qcow2")}, file{"qcow2", made(t, 1<<20, 22, "qcow2")}
	slow := ova(t, made(t, 24<<20, 23, "qcow2", "-S", "0"))
	return []edition{
		{list: map[string]file{"plain": plain, "packed": {"ova", read("disk.ova")}}, registry: map[string]file{"images/plain:1": other, "images/packed:1": {"vmdk", read("disk-stream.vmdk")}}},
		{list: map[string]file{"plain": plain, "packed": {"ova", slow}}, registry: map[string]file{"images/plain:1": other, "images/packed:1": {"vmdk", made(t, 1<<20, 24, "vmdk", "-o", "subformat=streamOptimized")}}},
		{list: map[string]file{"plain": plain}, registry: map[string]file{"images/plain:1": other}},
	}
}

// made is a disk of so many bytes in a format, the first 512 KiB of them not zero.
func made(t *testing.T, n int, seed byte, format string, more ...string) []byte {
	t.Helper()
	src, dst := filepath.Join(t.TempDir(), "src"), filepath.Join(t.TempDir(), "dst")
	if err := os.WriteFile(src, append(disk(512<<10, seed), make([]byte, n-512<<10)...), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append(append([]string{"convert", "-f", "raw", "-O", format}, more...), src, dst)
	if out, err := exec.CommandContext(t.Context(), conversion.DefaultQEMU, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	body, err := os.ReadFile(dst)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// ova is an archive of a disk, packed by gzip.
func ova(t *testing.T, disk []byte) []byte {
	t.Helper()
	var all, packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(disk); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(&all)
	for _, m := range []struct {
		name string
		data []byte
	}{
		{"i.ovf", []byte(`<Envelope xmlns:ovf="x"><References><File ovf:id="f" ovf:href="d.vmdk.gz" ovf:compression="gzip"/></References><DiskSection><Disk ovf:fileRef="f"/></DiskSection></Envelope>`)},
		{"d.vmdk.gz", packed.Bytes()},
	} {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Mode: 0o600, Size: int64(len(m.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}

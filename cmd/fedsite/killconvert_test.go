package main

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestImagesAreKilledConverted kills "fedsite images apply" where images have to be converted: at the events that
// TestImagesAreKilled has, before qemu-img begins, while it writes, and at what is seen on the disk, which no request and no
// commit tells of. What was started ends with it, and the next run leaves nothing on the disk; so it does when the image is
// offered no more by then.
func TestImagesAreKilledConverted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db store.Config) {
		if db.URL != "" && *kills != "all" {
			t.Skip("the disk is alike with both databases: FEDSITE_KILLS=all kills with this one, too")
		}
		c := follow(t, newWorkshop(t), db)
		for _, made := range []string{"ova to qcow2", "vmdk to qcow2"} {
			for version, gone := range []bool{false, false, true} {
				if text := strings.Join(c.shown[version], "\n"); strings.Contains(text, "fedsite_converted:"+made) == gone {
					t.Fatalf("edition %d: %s: %s", version, made, text)
				}
			}
		}
		c.atEvents(t, 8, 7, "before qemu-img convert", amidConvert)
		c.onDisk(t)
	})
}

// TestImagesAreKilledAtCheckpoints kills where a file is so long that it is written down how far it is on the disk: from there the
// next run goes on, and not from where the disk has more than was written down.
func TestImagesAreKilledAtCheckpoints(t *testing.T) {
	if *kills != "all" {
		t.Skip("it takes a while: FEDSITE_KILLS=all has it run")
	}
	long := disk(70<<20, 31)
	g := newGallery(t, []edition{{list: rawDisks(1<<19, 3, "three")}, {list: map[string]file{"three": {"raw", disk(1<<19, 3)}, "long": {"raw", long}}}}, "  formats: [raw]\n  stage_above: 64MiB\n")
	c := follow(t, g, store.Config{Path: t.TempDir() + "/db/fedsite.db"})
	at := slices.Index(c.events[1], amidAnswer+"/1/long") + 1
	if at == 0 || c.events[1][at] != "before commit" || c.events[1][at+1] != "after commit" {
		t.Fatalf("%q", c.events[1])
	}
	for _, from := range []int64{0, 64 << 20} {
		db := c.anew(t, 1)
		at++
		p := c.hunt(t, db, at)
		p.wait()
		t.Logf("%v; left: %q", p, c.staged())
		var asked []string
		c.asked = func(r *http.Request) { asked = append(asked, r.URL.Path+" "+r.Header.Get("Range")) }
		c.goesOn(t, db, 1, func() {})
		want := "/1/long "
		if from > 0 {
			want += fmt.Sprintf("bytes=%d-", from)
		}
		if all := slices.DeleteFunc(asked, func(a string) bool { return !strings.HasPrefix(a, "/1/long") }); !slices.Equal(all, []string{want}) {
			t.Errorf("it asked for %q, want %q", all, want)
		}
	}
}

// change is something that is seen on the disk.
type change struct {
	name string // of the file
	what string
	mask uint32
	some bool // also where not all kills are asked for
}

var changes = []change{
	{"src", "begun", unix.IN_CREATE, false},
	{"src", "written", unix.IN_MODIFY, true},
	{"disk", "begun", unix.IN_CREATE, false},
	{"disk", "written", unix.IN_MODIFY, true},
	{"disk", "whole", unix.IN_CLOSE_WRITE, false},
	{"dst", "begun", unix.IN_CREATE, false},
	{"dst", "written", unix.IN_MODIFY, true},
	{"dst", "whole", unix.IN_CLOSE_WRITE, false},
	{"disk", "gone", unix.IN_DELETE, false},
	{"dst", "gone", unix.IN_DELETE, false},
	{"src", "gone", unix.IN_DELETE, true},
}

// onDisk kills at the first sight of each change on the disk while the second edition's OVA is brought. The next run finds
// the same edition, or the third, which has it no more.
func (c *exhibition) onDisk(t *testing.T) {
	t.Helper()
	killed := 0
	for i, at := range changes {
		if *kills != "all" && (!at.some || testing.Short()) {
			continue
		}
		for k, then := range []string{"offered", "withdrawn"} {
			if *kills != "all" && i%2 != k {
				continue
			}
			t.Run(at.name+" "+at.what+", then "+then, func(t *testing.T) {
				const version = 1
				db := c.anew(t, version)
				p := c.aim(t, db, 0)
				c.spy(t, p, c.directory(t, db, c.editions[version].list["packed"]), at)
				p.start()
				p.wait()
				c.deserted(t)
				t.Logf("%v; left: %q", p, c.staged())
				if p.killed {
					killed++
				}
				end := version
				if then == "withdrawn" {
					end++
					c.publish(t, end)
				}
				c.goesOn(t, db, end, func() {})
			})
		}
	}
	t.Logf("%d kills at changes on the disk", killed)
}

// directory makes the directory in which a file will be staged, so that it can be watched from the beginning.
func (c *exhibition) directory(t *testing.T, db store.Config, f file) string {
	t.Helper()
	var id string
	opened(t, db, func(st *store.Store) {
		id = strings.TrimPrefix(rows(t, st, `SELECT id FROM site`)[0], "id=")
	})
	dir := c.file("staging/fedsite-" + id + "-" + c.sum(f, false)[:24])
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// spy kills a process when a change is seen in a directory.
func (c *exhibition) spy(t *testing.T, p *prey, dir string, at change) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	seen := os.NewFile(uintptr(fd), "inotify")
	t.Cleanup(func() { seen.Close() })
	if _, err := unix.InotifyAddWatch(fd, dir, at.mask); err != nil {
		t.Fatal(err)
	}
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := seen.Read(buffer)
			if err != nil {
				return
			}
			for b := buffer[:n]; len(b) >= unix.SizeofInotifyEvent; {
				e := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
				end := unix.SizeofInotifyEvent + int(e.Len)
				if name, _, _ := strings.Cut(string(b[unix.SizeofInotifyEvent:end]), "\x00"); name == at.name {
					p.kill("the file " + name + " is " + at.what)
					return
				}
				b = b[end:]
			}
		}
	}()
}

package conversion

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// TestFence has the child tell what it was given.
func TestFence(t *testing.T) {
	t.Setenv("FEDSITE_SECRET", "swordfish")
	c := script(t, `/bin/cat /proc/self/status >status
/bin/cat /proc/self/limits | /bin/sed -E 's/  +/:/; s/  +.*//' >limits
/usr/bin/env >environment
/usr/bin/readlink /proc/$$/fd/0 >input
echo "$@" >arguments
echo $PPID $$ >process
exit 3
`)
	dir, info := qcow2(t)
	if _, _, err := c.Convert(t.Context(), dir, info, diskimage.VHD, nil); err == nil || !strings.Contains(err.Error(), "qemu-img convert: exit status 3") {
		t.Fatal(err)
	}
	if got := words(t, filepath.Join(dir, "status"))["NoNewPrivs"]; got != "1" {
		t.Errorf("NoNewPrivs %q", got)
	}
	wall := 11 * time.Minute
	limits := words(t, filepath.Join(dir, "limits"))
	for name, want := range map[string]int64{"Max address space": 2 << 30, "Max core file size": 0, "Max file size": largest(info.VirtualSize), "Max cpu time": int64(2 * wall / time.Second)} {
		if got := limits[name]; got != strconv.FormatInt(want, 10) {
			t.Errorf("%s %q, want %d", name, got, want)
		}
	}
	for name, want := range map[string]string{"input": "/dev/null\n", "arguments": "convert -p -f qcow2 -O vpc -o subformat=dynamic,force_size=on " + dir + "/src " + dir + "/dst\n"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "environment")); err != nil || strings.Contains(string(b), "swordfish") || strings.Contains(string(b), "HOME=") || strings.Contains(string(b), "PATH=/") {
		t.Errorf("environment: %q, %v", b, err)
	}
}

// begun has the script say so once its group has two processes, whose ids are in the file group.
const begun = `/bin/sleep 1000 &
echo $! $$ >group
printf '    (1.00/100%%)\r'
wait
`

// watched waits for the end of the processes of a script. open is called while they live.
type watched struct {
	t   *testing.T
	fds []unix.PollFd
}

func (w *watched) open(dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "group"))
	if err != nil {
		w.t.Error(err)
	}
	for word := range strings.FieldsSeq(string(b)) {
		pid, _ := strconv.Atoi(word)
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			w.t.Errorf("process %q: %v", word, err)
			continue
		}
		w.fds = append(w.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
}

func (w *watched) ended() {
	w.t.Helper()
	if len(w.fds) != 2 {
		w.t.Fatalf("%d processes were seen", len(w.fds))
	}
	for _, fd := range w.fds {
		if n, err := unix.Poll([]unix.PollFd{fd}, 10_000); n != 1 || err != nil {
			w.t.Errorf("a process of the group lives on: %v", err)
		}
		_ = unix.Close(int(fd.Fd))
	}
}

// TestEnds ends a child and all of its group: by its context, and by its time.
func TestEnds(t *testing.T) {
	stop := errors.New("stopped by the test")
	for _, c := range []struct {
		name string
		wall time.Duration
		want error
	}{{"context", time.Hour, stop}, {"time", time.Second, errTime}} {
		t.Run(c.name, func(t *testing.T) {
			converter := script(t, begun)
			converter.fenced = func(f fence) fence { f.wall = c.wall; return f }
			dir, info := qcow2(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			w := &watched{t: t}
			_, _, err := converter.Convert(ctx, dir, info, diskimage.Raw, func(float64) {
				w.open(dir)
				if c.want == stop {
					cancel(stop)
				}
			})
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			w.ended()
			if names := left(t, dir); len(names) != 1 || names[0] != "group" {
				t.Errorf("%q is left", names)
			}
		})
	}
}

// TestDiesWithParent kills the program that converts: the child ends too.
func TestDiesWithParent(t *testing.T) {
	c := script(t, "echo $$ $$ >group\nprintf '    (1.00/100%%)\\r'\nexec /bin/sleep 1000\n")
	dir, _ := qcow2(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), parentEnv+"="+dir+":"+c.qemu)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "begun\n" {
		t.Fatalf("%q, %v", line, err)
	}
	w := &watched{t: t}
	w.open(dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	w.ended()
}

// TestLimits goes over each limit. It ends the child; the error says why, and nothing is left.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name, script string
		limit        func(*fence)
		want         error
		words        string
	}{
		{"processor", "while :; do :; done", func(f *fence) { f.cpu = time.Second }, errTime, "its time of the processor"},
		{"memory", `exec /bin/dd if=/dev/zero of=dst bs=2G count=1`, func(*fence) {}, nil, "memory exhausted"},
		{"file size", `exec /bin/dd if=/dev/zero of=dst bs=64k count=9`, func(f *fence) { f.file = 256 << 10 }, ErrNoRoom, "file too large"},
		{"disk", `: >dst; echo "qemu-img: error while writing: No space left on device" >&2; exit 1`, func(*fence) {}, ErrNoRoom, "no space left on device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			converter := script(t, c.script+"\n")
			converter.fenced = func(f fence) fence { c.limit(&f); return f }
			dir, info := qcow2(t)
			_, _, err := converter.Convert(t.Context(), dir, info, diskimage.Raw, nil)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(strings.ToLower(err.Error()), c.words) {
				t.Errorf("%v, want %v: %s", err, c.want, c.words)
			}
			if names := left(t, dir); len(names) > 0 {
				t.Errorf("%q is left", names)
			}
		})
	}
}

// TestFullDisk has the real qemu-img meet the end of what it may write.
func TestFullDisk(t *testing.T) {
	for _, to := range []diskimage.Format{diskimage.Raw, diskimage.QCOW2} {
		c := qemu(t, Settings{})
		c.fenced = func(f fence) fence { f.file = 64 << 10; return f }
		dir, info := qcow2(t)
		_, _, err := c.Convert(t.Context(), dir, info, to, nil)
		if !errors.Is(err, ErrNoRoom) || !strings.Contains(err.Error(), dir) {
			t.Errorf("to %s: %v", to, err)
		}
		if names := left(t, dir); len(names) > 0 {
			t.Errorf("to %s: %q is left", to, names)
		}
	}
}

// TestUnhooked shows that a program which would not know its child does not start it.
func TestUnhooked(t *testing.T) {
	hooked.Store(false)
	defer hooked.Store(true)
	c := script(t, ": >ran\n")
	dir, info := qcow2(t)
	if _, _, err := c.Convert(t.Context(), dir, info, diskimage.Raw, nil); err == nil || !strings.Contains(err.Error(), "conversion.Child") || len(left(t, dir)) > 0 {
		t.Errorf("%v, %q", err, left(t, dir))
	}
}

// TestChild refuses what is no child's call, without becoming anything.
func TestChild(t *testing.T) {
	for _, args := range [][]string{nil, {"images"}, {childWord}, {"-c", childWord, "1", "1", "1", "1", "/bin/true", "x"}} {
		if Child(args) {
			t.Errorf("%q is taken for a child's call", args)
		}
	}
	if err := become([]string{"x", "1", "1", "1", "/bin/true"}); err == nil || !strings.Contains(err.Error(), "argument 0") {
		t.Errorf("a limit that is no number: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", childWord, "1000000000", "1", "1", "1", "/bin/true", "x")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 127 || !strings.Contains(string(out), "the parent has ended") {
		t.Errorf("another's child: %v, %q", err, out)
	}
	if !errors.Is(full("/d", syscall.EDQUOT), ErrNoRoom) || errors.Is(full("/d", syscall.EIO), ErrNoRoom) {
		t.Error("a quota is no room, another error is itself")
	}
}

package conversion

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// childWord is the first argument of a child. Nobody else has a use for it.
const childWord = "fenced-qemu-img"

// hooked tells that this program calls Child at its start. One that does not would run itself as its own child, again and
// again.
var hooked atomic.Bool

// Child becomes qemu-img when args, this process's without its name, say that it was started for that; then it does not come
// back, but to say that it could not (true; the reason is on standard error, and the process is to exit with 127). main
// calls it before it does anything else; so does TestMain of a package that converts.
func Child(args []string) (failed bool) {
	hooked.Store(true)
	if len(args) < 7 || args[0] != childWord {
		return false
	}
	runtime.LockOSThread() // what is given up is given up by the thread that becomes the program
	fmt.Fprintln(os.Stderr, "fedsite:", become(args[1:]))
	return true
}

// become sets the limits memory, file, CPU seconds, has itself ended with the parent, and runs the program with its arguments.
func become(args []string) error {
	var n [4]uint64
	for i := range n {
		v, err := strconv.ParseUint(args[i], 10, 64)
		if err != nil {
			return fmt.Errorf("argument %d: %w", i, err)
		}
		n[i] = v
	}
	// A file that would be too large is an error that qemu-img reports, and not a signal.
	signal.Ignore(syscall.SIGXFSZ)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("end with the parent: %w", err)
	}
	if os.Getppid() != int(n[3]) {
		return fmt.Errorf("the parent has ended")
	}
	path, argv := args[4], args[4:]
	for _, l := range []struct {
		name     string
		resource int
		soft     uint64
		hard     uint64
	}{
		{"core", unix.RLIMIT_CORE, 0, 0},
		{"file size", unix.RLIMIT_FSIZE, n[1], n[1]},
		{"processor time", unix.RLIMIT_CPU, n[2], n[2] + 5},
		{"memory", unix.RLIMIT_AS, n[0], n[0]}, // the last: this program itself has little left then
	} {
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.soft, Max: l.hard}); err != nil {
			return fmt.Errorf("limit of %s: %w", l.name, err)
		}
	}
	return fmt.Errorf("%s: %w", path, syscall.Exec(path, argv, []string{}))
}

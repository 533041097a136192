package prerequisite

import (
	"os"
	"runtime"
	"syscall"
)

// AsNobody calls fn with the rights of nobody in particular, and gives its error. Root may read and write everything, so for
// the kernel's checks of files the thread becomes another user's; who is not root has no such rights anyway.
func AsNobody(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if os.Getuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				done <- err
				return
			}
		}
		done <- fn()
	}()
	return <-done
}

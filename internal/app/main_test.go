package app_test

import (
	"os"
	"testing"

	"github.com/fedsite/fedsite/internal/app/daemontest"
	"github.com/fedsite/fedsite/internal/conversion"
)

// TestMain fails when a test asks anybody beyond this machine. Disks are converted by this program, started anew.
func TestMain(m *testing.M) {
	if conversion.Child(os.Args[1:]) {
		os.Exit(127)
	}
	os.Exit(daemontest.Loopback(m.Run))
}

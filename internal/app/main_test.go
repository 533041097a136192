package app_test

import (
	"os"
	"testing"

	"github.com/fedsite/fedsite/internal/app/daemontest"
)

// TestMain fails when a test asks anybody beyond this machine.
func TestMain(m *testing.M) { os.Exit(daemontest.Loopback(m.Run)) }

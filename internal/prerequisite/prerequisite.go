// Package prerequisite lets a test say which outside program it needs, and do without the rights it has.
//
// Without the program the test is skipped, with the way to get it. Where a skip would hide a failure (continuous
// integration), FEDSITE_REQUIRE names the programs that must be there: postgres, openssl,
// openstackclient, promtool, chromium, systemd-analyze, slapd, fedcloudclient, qemu-img, xz, zstd.
package prerequisite

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Missing ends the test t because the program name was not found: a skip that says how to get it, or a failure when
// FEDSITE_REQUIRE (a comma list) names the program.
func Missing(t testing.TB, name, howToGet string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("FEDSITE_REQUIRE"), ","), name) {
		t.Fatalf("%s is required by FEDSITE_REQUIRE and was not found: %s", name, howToGet)
	}
	t.Skipf("%s was not found: %s", name, howToGet)
}

//go:build e2e

// Package e2e tests the built program against a real OpenStack (test/openstack), Python's dirq and openssl; it is run by
// `make e2e`. What the records must say is read from the services' own databases, and reckoned here, by other code than
// the product's: truth_test.go shares nothing with internal/accounting or protocol/apel.
//
//	lab → servers of our own → collect → records = truth → send → dirq, broker → change them → collect → records = truth → …
//
// TestAccounting follows the seeded servers, whose histories it asserts (history_test.go, seeded_test.go), and servers of
// its own through what may happen to them (lives_test.go). TestCompare asks the lab and the emulator of its release the
// same and compares the answers (compare_*_test.go); FEDSITE_E2E_ANSWERS names a directory to keep them in.
//
// No two runs at once: what others change in the lab meanwhile is taken for a difference.
//
// It needs the lab (make lab-install lab-up; LAB_DIR names its state), the Python programs of requirements.txt
// (FEDSITE_OPENSTACKCLIENT names one of them, dirq is found beside it) and openssl: none is skipped.
//
// It waits twice for a minute: a moment is collected when it is accounting.settle old, of which one minute is the least.
package e2e

// Package tasks runs every part on its schedule, one run of a task at a time over all processes and nodes that share a
// store.
//
//	set → poll → claim → run, renew, watch, report → finish
//
// A task is a row; a run holds it by a lease of 45 seconds in the same database as the data that the run writes. The
// lease is renewed every 10 seconds; when it is lost, or could not be renewed for 40 seconds, the run's context is
// cancelled locally, before another process may begin. Writes made under the lease carry a fence that store.Write checks
// (design §7, Tasks).
//
// Invariants: at most one run of a task goes on, over all nodes; a task that is due is begun as soon as there is room for
// it, and once, however long it was due; a run that was killed stays due; no task, and no site, keeps another waiting.
//
// Schedules go by the service's clock, which has an offset in the demo; leases, and wishes to run now, go by the
// database's alone. Any process writes wishes (run now, cancel, pause) into the row, where the poll finds them.
//
// What may fail: a poll, a claim, a renewal (it is tried again; the watchdog ends what cannot be renewed); a run (it
// panics, hangs, ignores its context: recorded, and the others go on); the giving back (tried until it succeeds or the
// lease is another's).
package tasks

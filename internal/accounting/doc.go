// Package accounting turns what an OpenStack cloud was used for into records that the federation counts.
//
//	window → collect → meter → record → ledger → message → send
//
// window says what is to be asked; collect reads the VMs of every project; meter reckons, purely, how long a VM has run
// and how much CPU it had up to each month's end and up to now; record makes the Cloud usage record, purely; ledger
// keeps the newest record per VM and month; message cuts messages out of what a destination has not got yet; send
// delivers them, and settles what was acknowledged.
//
// Invariants (design §7, the fifteen rules):
//
//   - A row's key holds no time of a run: a window collected twice, in other pieces or again later gives the same rows.
//   - StartTime + SuspendDuration + WallDuration of a row that is not completed is the instant it was measured at.
//   - Cumulative CPU is never re-priced; no month ever shrinks; only an EndTime lowers the instant of measurement.
//   - The mark of a window moves last. A record is in at most one unsettled message per destination.
//
// What may fail: a VM with impossible times is skipped; a project that cannot be read keeps its mark, so that the next
// run covers the window; a destination that refuses keeps its messages. All of it is reported, and the rest goes on.
package accounting

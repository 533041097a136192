// Package health says how everything is: ok, warn, fail, off or unknown, each with a reason and what to do; and tells the
// operator when that changes.
//
//	facts → assess → settle → tell
//
// Assess is pure: it makes items of what parts report (run.Check, run.Problem), of how their tasks ran, and of modes, pauses
// and mutes. It knows no part. A change counts once it has held (settle.go), and each channel is told of it once
// (tell.go); what could not be told is told with the next assessment.
//
// Invariants: an item is about one thing, whose key is the same from one assessment to the next; nothing that is wrong is
// ever left out without saying so; what an operator has switched off is off, and not ok. No secret is in an item.
package health

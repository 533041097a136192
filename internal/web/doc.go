// Package web shows on HTTP how the service is: to people as plain pages, to programs as JSON, to watchers as health,
// readiness and metrics.
//
//	Source → arrange → render
//
// Source is asked anew for each page, and gives values (view.go). What a page adds of its own, as the worst state, the last
// and next run of a part and the order of problems, is worked out from them (arrange.go), and written by templates or as
// JSON (pages.go, api.go).
//
// Invariants: a page only reads, and needs no script; what tenants and clouds wrote is shown, never obeyed; what went wrong
// inside goes to the log, and the page says only that it did; a state is a word and a sign before it is a colour; all times
// are UTC. Until there is sign-in, only loopback addresses are listened on (listen.go), and only requests that were meant
// for them are answered (guard.go).
package web

// Package browser looks at the web pages in a real browser: Debian's Chromium, driven through its own protocol on a pipe.
//
//	go test -tags browser ./test/browser
//
// FEDSITE_SCREENSHOTS names a directory that a picture of each page is written to.
package browser

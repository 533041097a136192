// Package peers holds fedsite against the tools that it replaces.
//
//	a peer's messages → records ⎫
//	                            ⎬ compare → differences, each explained by the catalogue or an error
//	our ledger        → records ⎭
//
// The peer is cASO, of the release in requirements.txt, in a virtual environment of its own. make e2e runs it on a real
// OpenStack (test/e2e); the tests here compare what it made of recorded clouds; make bench-peers measures it beside
// fedsite, and cloud-info-provider, too, whose documents test/e2e and protocol/glue compare. Why records differ is said to site administrators in docs/explanation/caso.md, under the headings that the
// catalogue names.
package peers

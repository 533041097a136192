// Package information answers what EGI's information service answers: which sites there are, which VOs they serve by which
// projects, and which images are offered there. It can stand in for that service (cloud-info-api).
//
//	sources → documents → readings → catalogue → answers
//
// A source gives documents: our own, those of other publishers in a directory or a container. Each document is read once,
// until it changes. The catalogue is made of all readings, and is a value: a request sees one catalogue from beginning to end.
//
// What holds:
//   - One bad document spoils itself alone. What was read of it before stays for a bounded time (Options.Keep).
//   - A source that does not answer keeps its last documents; so do GOCDB and the Operations Portal.
//   - Of two documents of one endpoint of one site, our own counts, else the newer one.
//   - Our own documents count as long as they say. Others' count longer, unless Options.CheckValidity says otherwise.
//   - Requests never wait for a source, but for the very first look.
//   - Names are a publisher's or a tenant's to choose. They are data in every answer, and never a path on this machine.
package information

// Package directory answers LDAP: what discovery publishes, to those who ask as they ask a site BDII.
//
//	poll → tree → read → search → answer
//
// It is read-only and for everybody: nobody signs in, nothing can be changed, and what it holds is public anyway. Under o=glue
// every document stands twice, in the tree of its site (GLUE2GroupID=cloud,GLUE2DomainID=SITE) and in that of the resource
// (GLUE2GroupID=resource).
//
// What holds:
//   - A tree is made once for each change, never changes, and takes the place of the last one at once: an answer is of one
//     state, even one in pages.
//   - A Source that fails leaves the last tree standing. Before there is any, searches are answered with "unavailable".
//   - Nothing that a stranger sends takes more memory, time or connections than Limits allow, ends the service or another's
//     connection. A request that makes no sense is answered with a result, or with a notice before the connection ends.
//   - Values are a tenant's to choose. They go out as bytes with their length, so that none can look like anything else.
//
// It answers as OpenLDAP's slapd does with the GLUE schema; TestSlapd asks both the same, and its list of differences is
// whole.
package directory

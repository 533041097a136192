// Package glue holds what a cloud says of itself to the federation: the cloud classes of GLUE 2.1 as values, their JSON as
// the federation's information API reads it, their LDIF, and what is wrong with a document.
//
//	values ── Summarize ──► Document ── Validate ──► findings
//	                            │
//	                            ├── WriteJSON ──► JSON, as cloud-info-provider 1.2.0 writes it but for Differences
//	                            ├── Entries ────► LDAP entries ── WriteLDIF ──► LDIF
//	JSON of any version ─ Parse ┘                 Diff, Merged
//
// Everything is pure: values in, bytes out. What is undefined is absent from the values, never a word such as "UNKNOWN".
//
// Names and properties are a tenant's to choose. Whatever they hold, JSON and LDIF stay well-formed and whole for all the
// rest; what cannot be shown is left out and named in a [Finding].
package glue

// Package discovery tells the federation what a site's clouds offer to each VO, as GLUE 2.1.
//
//	shares → catalog → keep → render → publish
//
// A share is a VO's place at a cloud: VO, cloud, project. The catalog asks each share's project what it is offered, with a
// token of that project; what was last known of a share stands in share_state. Rendering is pure: a Catalog in, a
// glue.Document out. Publishing hands the document to sinks and notes in publication what each of them has.
//
// What holds:
//   - One bad share, listing or entry spoils itself alone: the document is whole and valid for the rest.
//   - What fails keeps its last good value for a bounded time (Settings.KeepFor), marked with the reason, never as if fresh.
//   - A document that cannot be made is not published: the last one stays where it is, and health says so.
//   - Nothing of another project is published, whatever the credential may see.
//   - Observing renders and compares, and hands nothing to any sink.
package discovery

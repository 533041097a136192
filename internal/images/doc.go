// Package images keeps the federation's VM images in Glance: those that verified lists, registries and the site itself name,
// and no others of ours.
//
//	sources → places → observe → plan → transfer → publish → retire
//
// A source is a signed list, an OCI registry or the site's own list; it says which images there are (Entry). A place is a
// project that owns images for one or more VOs. What is in Glance is observed, and the plan is a pure function of sources,
// Glance and policy: apply runs the actions of the plan and no others, each after a look whether things still are as the
// plan saw them. The truth about what is managed is in Glance, in the marks on each image; the database only remembers what
// saves work.
//
// What holds:
//   - Nothing is taken away because something failed: only on the word of a verified, unexpired, newer list, or of a
//     registry whose listing was complete twice.
//   - A working image stays until its successor is active; one from which VMs run stays until they are gone, hidden.
//   - Content is checked before Glance has all of it: the last bytes of an upload are held back until the checksum is known
//     to be right, so that a wrong image never becomes active.
//   - Only images with our mark, or adopted ones, are ever changed.
//   - One bad source, image or project spoils itself alone.
//   - Observing plans, and changes nothing.
package images

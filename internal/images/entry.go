package images

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/protocol/vmlist"
)

// Kind is the kind of a source.
type Kind string

// The kinds of sources.
const (
	List     Kind = "list"     // S/MIME-signed image list
	Registry Kind = "registry" // OCI registry
	Own      Kind = "own"      // the site's own list, a YAML file
)

// Digest is a checksum of the file that a source names: "sha512:…" or "sha256:…", in lower-case hexadecimal.
type Digest string

// The algorithms of digests.
const (
	SHA512 = "sha512"
	SHA256 = "sha256"
)

// ParseDigest reads a digest as operators and sources write it.
func ParseDigest(text string) (Digest, error) {
	algorithm, sum, found := strings.Cut(strings.ToLower(strings.TrimSpace(text)), ":")
	if !found { // the length says which
		algorithm, sum = SHA512, algorithm
		if len(sum) == 64 {
			algorithm = SHA256
		}
	}
	want := map[string]int{SHA512: 128, SHA256: 64}[algorithm]
	if want == 0 || len(sum) != want || strings.Trim(sum, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%.40q is no checksum: sha512:… with 128 hexadecimal digits or sha256:… with 64 is one", text)
	}
	return Digest(algorithm + ":" + sum), nil
}

// Algorithm is SHA512 or SHA256.
func (d Digest) Algorithm() string { a, _, _ := strings.Cut(string(d), ":"); return a }

// Hex is the checksum alone.
func (d Digest) Hex() string { _, h, _ := strings.Cut(string(d), ":"); return h }

// Short is for screens: the algorithm and twelve digits.
func (d Digest) Short() string {
	if h := d.Hex(); len(h) > 12 {
		return d.Algorithm() + ":" + h[:12]
	}
	return string(d)
}

// Key says which image of which list it is, over all its versions. It is what an image in Glance is recognised by.
type Key struct {
	List string `json:"list"` // dc:identifier of the list; host and project of a registry; name of the site's own list
	ID   string `json:"id"`   // dc:identifier of the image; repository and tag; name
}

// Location says where an image's file is.
type Location struct {
	URL  string `json:"url"`            // http or https; of a registry: that of the blob
	Repo string `json:"repo,omitempty"` // repository in a registry, whose token is needed; "" = none
}

// Entry is an image that a source names, in the version that the source has now. Texts of sources may hold anything but
// control characters.
type Entry struct {
	Key
	Source  string    `json:"source"` // name of the source in the configuration
	Kind    Kind      `json:"kind"`
	VOs     []string  `json:"vos,omitzero"`
	Digest  Digest    `json:"digest"`
	Size    int64     `json:"size,omitzero"`    // bytes of the file; 0 = not said
	Format  string    `json:"format,omitempty"` // as the source says, in lower case; "" = not said. The file itself decides
	At      Location  `json:"at"`
	Expires time.Time `json:"expires,omitzero"` // zero = never

	Title        string            `json:"title,omitempty"`
	Description  string            `json:"description,omitempty"`
	Version      string            `json:"version,omitempty"`      // of the image, free text
	MPURI        string            `json:"mpuri"`                  // market place URI
	Architecture string            `json:"architecture,omitempty"` // x86_64 …
	OS           string            `json:"os,omitempty"`
	OSVersion    string            `json:"os_version,omitempty"` // os_distro and os_version
	MinRAM       int64             `json:"min_ram,omitzero"`     // MiB
	MinDisk      int64             `json:"min_disk,omitzero"`    // GiB; 0 = not said
	Attributes   string            `json:"attributes,omitempty"` // everything the source says, as a JSON object: APPLIANCE_ATTRIBUTES
	Properties   map[string]string `json:"properties,omitzero"`  // more properties that the image is to have

	ListVersion string    `json:"list_version,omitempty"` // hv:version of the list
	ListCreated time.Time `json:"list_created,omitzero"`  // dc:date:created of the list
	Published   time.Time `json:"published,omitzero"`     // when the source brought out this version; zero = not known
}

// Name says which image it is, for people.
func (e Entry) Name() string {
	if e.Kind == Registry || e.Title == "" {
		return e.ID
	}
	return e.Title
}

// Ref is what an operator may call the image by: its id within the source.
func (e Entry) Ref() string { return e.ID }

// is tells whether somebody means this entry by the text: its id, its digest, its MPURI with or without version, or
// source/id.
func (e Entry) is(ref string) bool {
	if d, err := ParseDigest(ref); err == nil {
		return d == e.Digest
	}
	return ref == e.ID || ref == e.Source+"/"+e.ID || ref == e.MPURI || strings.TrimSuffix(ref, "/") == vmlist.Versionless(e.MPURI) || (e.Kind == Registry && strings.HasSuffix(e.List+"/"+e.ID, "/"+ref))
}

// Verdict is what became of reading a source.
type Verdict struct {
	Source   string               `json:"source"`
	Kind     Kind                 `json:"kind"`
	List     string               `json:"list"` // its id, where it is known: of a source that failed, as it last was
	Title    string               `json:"title,omitempty"`
	Signer   string               `json:"signer,omitempty"`  // of a list, in slash form; "" = it is not signed
	Entries  []Entry              `json:"entries,omitzero"`  // in the source's order
	Bad      []BadEntry           `json:"bad,omitzero"`      // images that spoil themselves alone
	Failed   *Failure             `json:"failed,omitzero"`   // why its word does not count now; its images are kept
	Expired  time.Time            `json:"expired,omitzero"`  // when the list itself ended; zero = it has not
	Version  string               `json:"version,omitempty"` // hv:version
	Created  time.Time            `json:"created,omitzero"`
	Complete bool                 `json:"complete"`        // everything was listed, so that what is missing is gone
	Unused   []string             `json:"unused,omitzero"` // ids that are there, and are no images now
	Missing  map[string]time.Time `json:"-"`               // registry: ids that complete listings lack, since when
	Asked    time.Time            `json:"asked,omitzero"`
	Changed  bool                 `json:"changed"` // it says something else than at the last run
	Notices  []string             `json:"notices,omitzero"`
}

// BadEntry is an image of a source that cannot be used.
type BadEntry struct {
	Key
	Title  string `json:"title,omitempty"`
	Reason string `json:"reason"`
}

// Failure says why a source could not be read, or is not believed.
type Failure struct {
	Kind      FailureKind `json:"kind"`
	Reason    string      `json:"reason,omitempty"`
	Hint      string      `json:"hint,omitempty"`
	Permanent bool        `json:"permanent"`
}

// FailureKind is the kind of a source's failure, as metrics and health name it.
type FailureKind string

// The kinds of failures of a source.
const (
	Unreachable FailureKind = "unreachable" // not there, an error status, a time-out
	NotAllowed  FailureKind = "not allowed" // 401, 403
	NoList      FailureKind = "no list"     // something else came, an HTML page or nothing
	Forged      FailureKind = "not trusted" // the signature, its signer or the endorser is not right
	Replayed    FailureKind = "older list"  // an older list than one that was accepted
	NoVO        FailureKind = "no vo"       // no VO says who is to get the images
	Unusable    FailureKind = "unusable"    // it can be read and trusted, and makes no sense
)

// Error is the reason.
func (f *Failure) Error() string { return f.Reason }

// entry finds an entry by its key.
func (v Verdict) entry(k Key) (Entry, bool) {
	i := slices.IndexFunc(v.Entries, func(e Entry) bool { return e.Key == k })
	if i < 0 {
		return Entry{}, false
	}
	return v.Entries[i], true
}

// bad tells whether an entry of the key spoiled itself.
func (v Verdict) bad(k Key) bool {
	return slices.ContainsFunc(v.Bad, func(b BadEntry) bool { return b.Key == k })
}

// Package vmlist reads the federation's lists of VM images: JSON as HEPiX agreed on it and the AppDB extended it, signed by
// the list's endorser with S/MIME. It does no I/O.
//
//	message → Verify (signature, chain, revocation, endorser, date) → Parse → List
//
// One image that cannot be used spoils itself alone; it is in List.Bad.
package vmlist

import (
	"errors"
	"time"

	"github.com/fedsite/fedsite/protocol/gridtrust"
	"github.com/fedsite/fedsite/protocol/smime"
)

// Errors that a caller decides by. Each says that nothing of the list may be used.
var (
	ErrUnsigned  = errors.New("the list is not signed")
	ErrNotList   = errors.New("not a signed image list")
	ErrSignature = smime.ErrSignature
	ErrSigner    = smime.ErrSigner
	ErrRevoked   = gridtrust.ErrRevoked // an ErrSigner: the certificate of the signer, or of an authority between
	ErrDocument  = errors.New("the list cannot be read")
	ErrEndorser  = errors.New("the list is not by its endorser")
	ErrFuture    = errors.New("the list is of the future")
)

// Skew is by how much a list may be dated ahead of this host's clock.
const Skew = 5 * time.Minute

// List is an image list.
type List struct {
	Edition
	ID                 string // dc:identifier; the same in all editions
	Title, Description string
	Source             string // dc:source
	VO                 string // ad:vo; "" = none, as in plain HEPiX lists
	URI                string // hv:uri: where the list says that it is, without credentials
	Expires            time.Time
	Endorser           Endorser // as the list names its endorser
	Images             []Image  // in the order of the list
	Bad                []Bad    // images that cannot be used
	Signed             *Signed  // nil if the list was only parsed
}

// Edition tells the editions of a list apart.
type Edition struct {
	Version string    // hv:version, free text
	Created time.Time // dc:date:created; zero = not said
}

// Signed says who signed a list.
type Signed struct {
	DN, CA   string    // names of the signer and of its certificate's issuer, in slash form
	NotAfter time.Time // of the certificate
	Warnings []gridtrust.Warning
}

// Endorser is who stands for a list.
type Endorser struct {
	Creator string // dc:creator
	DN, CA  string // hv:dn and hv:ca, in slash form
	Email   string
}

// Image is an image of a list. Its texts may hold anything but control characters other than tab and line end.
type Image struct {
	ID                 string // dc:identifier; the same in all versions
	MPURI, BaseMPURI   string // ad:mpuri, ad:base_mpuri; "" = none
	AppID, Group       string // ad:appid, ad:group
	Title, Description string
	Version            string // hv:version, free text
	Format             string // hv:format as it is declared: OVA, QCOW2, RAW, VMDK …
	Hypervisor         string
	URI                string // hv:uri, http or https. It may hold credentials: Shown is for people
	SHA512             string // of the file at URI: 128 lower-case hexadecimal digits
	Size               int64  // bytes of the file at URI; 0 = not said
	RAM                int64  // MiB; 0 = not said
	Cores              int    // 0 = not said
	Arch               string // sl:arch
	OS                 string // sl:os, sl:osname, sl:osversion
	OSName, OSVersion  string
	Comments           string
	Expires            time.Time // its own dc:date:expires, else the list's
	Attributes         string    // all keys of the list with their values as texts: a JSON object, in the list's order
	Notes              []string  // what was passed over, in words

	// Digests by which cloudkeeper 2.0 knows an appliance and its image (spec images §1.5), 128 hexadecimal digits.
	ApplianceDigest, ImageDigest string
}

// Bad is an image of a list that cannot be used.
type Bad struct {
	ID     string // dc:identifier; "" if it has none
	Place  int    // in the list, from 1
	Reason string
}

// Expired tells whether the list has ended.
func (l List) Expired(now time.Time) bool { return !now.Before(l.Expires) }

// Expired tells whether the image has ended.
func (i Image) Expired(now time.Time) bool { return !now.Before(i.Expires) }

// Package gridtrust holds the certificate authorities that a grid site trusts, as IGTF's distribution lays them out in a
// directory: certificates, revocation lists, and the names that each authority may give. It judges certificates by them.
// It does no I/O but through the fs.FS that it is handed.
//
//	directory → certificates, crls, policies → verify → verdict
//
// One file that cannot be used is a warning, and spoils nothing else. Trust is a directory as it was read; whoever keeps
// one compares State from time to time, and reads anew when it differs.
package gridtrust

import (
	"crypto/x509"
	"errors"
	"time"
)

// Errors that a caller decides by.
var (
	ErrUntrusted = errors.New("no chain to a trusted authority")
	ErrRevoked   = errors.New("the certificate was revoked")
	ErrNoCRL     = errors.New("no revocation list that is in force")
	ErrName      = errors.New("the authority may not give this name")
)

// Policy says how much something counts that a directory may have or not.
type Policy string

// Policies.
const (
	Off       Policy = "off"        // it is not looked at
	IfPresent Policy = "if-present" // it counts where it is; that it is missing or out of date is a warning
	Require   Policy = "require"    // without it, a certificate is refused
)

// Valid tells whether it is one of the three.
func (p Policy) Valid() bool { return p == Off || p == IfPresent || p == Require }

// Options says what a certificate is measured against.
type Options struct {
	Now   time.Time // required
	CRL   Policy    // revocation lists; "" = IfPresent
	Names Policy    // signing policies and namespaces; "" = Off, as the peers do
	// Usages that the certificate must allow one of; none = any.
	Usages []x509.ExtKeyUsage
}

// Verdict is what was found about a certificate that is trusted.
type Verdict struct {
	Chain    []*x509.Certificate // from the certificate to a trusted root
	Warnings []Warning
}

// Warning is something that an operator should know and that stopped nothing.
type Warning struct {
	Object string // file, or name of an authority in slash form
	Text   string
}

// String is both.
func (w Warning) String() string { return w.Object + ": " + w.Text }

// Authority is a certificate authority of a directory.
type Authority struct {
	Certificate *x509.Certificate
	DN          string    // in slash form
	File        string    // where it was found first
	Root        bool      // self-signed; others are trusted through their roots
	CRL         bool      // there is a revocation list of it, whose signature is right
	NextUpdate  time.Time // of that list; zero = it does not say
}

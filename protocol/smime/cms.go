package smime

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// Limits of a SignedData from outside. Lists have one signer and at most a handful of certificates.
const (
	maxCertificates = 64
	maxSigners      = 8
	maxAttributes   = 64
	maxRSABits      = 16384 // a larger key costs minutes of CPU time, and its sender nothing
	maxStringDepth  = 5     // OpenSSL's limit for octet strings within octet strings
)

// errBER is what the reader says of bytes that are no elements.
var errBER = errors.New("unreadable structure")

// tlv is an element of BER: its identifier octet, what is inside, and all of it.
type tlv struct {
	tag       byte
	body, raw []byte
}

// cutElement takes the first element off. It does not recurse: the end of an element of indefinite length is counted out.
func cutElement(ber []byte) (e tlv, rest []byte, err error) {
	if len(ber) == 0 {
		return tlv{}, nil, errBER
	}
	start, length := element(ber, 0)
	if start < 0 || start+max(length, 0) > len(ber) {
		return tlv{}, nil, errBER
	}
	if length >= 0 {
		end := start + length
		return tlv{tag: ber[0], body: ber[start:end], raw: ber[:end]}, ber[end:], nil
	}
	end, err := endOfContents(ber, start)
	if err != nil || ber[0]&0x20 == 0 {
		return tlv{}, nil, errBER
	}
	return tlv{tag: ber[0], body: ber[start : end-2], raw: ber[:end]}, ber[end:], nil
}

// endOfContents gives where an element of indefinite length ends whose content starts at an offset: behind its mark.
func endOfContents(ber []byte, at int) (int, error) {
	for open := 1; at+1 < len(ber); {
		if ber[at] == 0 && ber[at+1] == 0 {
			if at, open = at+2, open-1; open == 0 {
				return at, nil
			}
			continue
		}
		start, length := element(ber, at)
		switch {
		case start < 0 || start+max(length, 0) > len(ber) || length < 0 && ber[at]&0x20 == 0:
			return 0, errBER
		case length < 0:
			open++
		}
		at = start + max(length, 0)
	}
	return 0, errBER
}

// elements gives what is inside an element, at most limit of them.
func (e tlv) elements(limit int) ([]tlv, error) {
	var all []tlv
	for rest := e.body; len(rest) > 0; {
		if len(all) == limit {
			return nil, fmt.Errorf("more than %d elements where fewer are usual", limit)
		}
		var (
			inner tlv
			err   error
		)
		if inner, rest, err = cutElement(rest); err != nil {
			return nil, err
		}
		all = append(all, inner)
	}
	return all, nil
}

// octets gives an octet string, put together where it is written in pieces.
func (e tlv) octets(depth int) ([]byte, error) {
	switch {
	case e.tag == 0x04:
		return e.body, nil
	case e.tag != 0x24 || depth == 0:
		return nil, errBER
	}
	var all []byte
	for rest := e.body; len(rest) > 0; {
		piece, after, err := cutElement(rest)
		if err != nil {
			return nil, err
		}
		bytes, err := piece.octets(depth - 1)
		if err != nil {
			return nil, err
		}
		all, rest = append(all, bytes...), after
	}
	return all, nil
}

// signedData is what a SignedData says (RFC 5652, 5.1).
type signedData struct {
	attached     bool
	content      []byte // if attached
	certificates []*x509.Certificate
	signers      []signerInfo
}

// readSignedData reads a ContentInfo that holds a SignedData, in BER or DER.
func readSignedData(ber []byte) (signedData, error) {
	sd, err := cutSignedData(ber)
	if err != nil {
		return signedData{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return sd, nil
}

func cutSignedData(ber []byte) (sd signedData, err error) {
	outer, rest, err := cutElement(ber)
	if err != nil || outer.tag != 0x30 || len(rest) > 0 {
		return sd, errBER
	}
	info, err := outer.elements(2)
	if err != nil || len(info) != 2 || !info[0].is(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}) || info[1].tag != 0xA0 {
		return sd, errors.New("not a SignedData")
	}
	inside, err := info[1].elements(1)
	if err != nil || len(inside) != 1 || inside[0].tag != 0x30 {
		return sd, errBER
	}
	// version, digest algorithms, content; certificates and revocation lists if any; signers
	parts, err := inside[0].elements(6)
	if err != nil || len(parts) < 4 || parts[0].tag != 0x02 || parts[1].tag != 0x31 || parts[2].tag != 0x30 {
		return sd, errBER
	}
	if err := sd.readContent(parts[2]); err != nil {
		return sd, err
	}
	last := len(parts) - 1
	for _, p := range parts[3:last] {
		switch p.tag {
		case 0xA0:
			if err := sd.readCertificates(p); err != nil {
				return sd, err
			}
		case 0xA1: // the sender's revocation lists say nothing that counts
		default:
			return sd, errBER
		}
	}
	if parts[last].tag != 0x31 {
		return sd, errBER
	}
	return sd, sd.readSigners(parts[last])
}

func (sd *signedData) readContent(e tlv) error {
	parts, err := e.elements(2)
	if err != nil || len(parts) == 0 {
		return errBER
	}
	if !parts[0].is(oidData) {
		return errors.New("the signed content type is not data")
	}
	if len(parts) == 1 {
		return nil
	}
	inside, err := parts[1].elements(1)
	if err != nil || len(inside) != 1 || parts[1].tag != 0xA0 {
		return errBER
	}
	sd.attached = true
	sd.content, err = inside[0].octets(maxStringDepth)
	return err
}

// readCertificates takes the certificates that can be used. Others of the message spoil nothing: the signer's must be
// among these, and with them his chain.
func (sd *signedData) readCertificates(e tlv) error {
	all, err := e.elements(maxCertificates)
	if err != nil {
		return err
	}
	for _, c := range all {
		if cert, err := x509.ParseCertificate(c.raw); err == nil && c.tag == 0x30 && !costly(cert) {
			sd.certificates = append(sd.certificates, cert)
		}
	}
	return nil
}

func costly(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() > maxRSABits
}

// is tells whether an element is this object identifier.
func (e tlv) is(want asn1.ObjectIdentifier) bool {
	var oid asn1.ObjectIdentifier
	rest, err := asn1.Unmarshal(e.raw, &oid)
	return err == nil && len(rest) == 0 && oid.Equal(want)
}

func (sd *signedData) readSigners(e tlv) error {
	all, err := e.elements(maxSigners)
	if err != nil {
		return fmt.Errorf("signers: %w", err)
	}
	for _, one := range all {
		s, err := readSigner(one)
		if err != nil {
			return err
		}
		sd.signers = append(sd.signers, s)
	}
	return nil
}

// signerInfo is what a SignerInfo says (RFC 5652, 5.3). The signer is named by issuer and serial number, or by key id.
type signerInfo struct {
	issuer     []byte
	serial     *big.Int
	keyID      []byte
	digest     tlv
	attributes *tlv // signed ones; nil = none
	algorithm  tlv
	signature  []byte
}

func readSigner(e tlv) (s signerInfo, err error) {
	parts, err := e.elements(7)
	if err != nil || e.tag != 0x30 || len(parts) < 5 || parts[0].tag != 0x02 {
		return s, errBER
	}
	if err := s.readName(parts[1]); err != nil {
		return s, err
	}
	s.digest, parts = parts[2], parts[3:]
	if parts[0].tag == 0xA0 {
		s.attributes, parts = &parts[0], parts[1:]
	}
	if len(parts) < 2 {
		return s, errBER
	}
	s.algorithm = parts[0]
	s.signature, err = parts[1].octets(maxStringDepth)
	return s, err
}

func (s *signerInfo) readName(e tlv) error {
	if e.tag == 0x80 {
		s.keyID = e.body
		return nil
	}
	parts, err := e.elements(2)
	if err != nil || len(parts) != 2 || e.tag != 0x30 || parts[1].tag != 0x02 {
		return errBER
	}
	s.issuer = parts[0].raw
	if _, err := asn1.Unmarshal(parts[1].raw, &s.serial); err != nil {
		return errBER
	}
	return nil
}

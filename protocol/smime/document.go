package smime

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
)

// VerifyDocument checks a signed document in each form that S/MIME has for one: multipart/signed of exactly two parts, and
// application/pkcs7-mime with the content inside. It reads BER and DER; RSA (PKCS #1 and PSS) and ECDSA with SHA-2; signers
// by issuer and serial number or by key id; with and without signed attributes. Every signature of the message must be
// right and its signer trusted at the caller's time: the time that the signer claims counts for nothing. The key usage of
// a signer's certificate, where it has one, must allow signing.
//
// It fails with ErrFormat if it is no signed message, ErrSignature, or ErrSigner.
func VerifyDocument(message []byte, o VerifyOptions) (Verified, error) {
	if err := o.check(message); err != nil {
		return Verified{}, err
	}
	part, sd, err := openDocument(message)
	if err != nil {
		return Verified{}, err
	}
	// A signer may have signed the bytes as they stand, or, as OpenSSL does for text, with each line ended by CRLF.
	signed := part
	signers, err := sd.verify(signed, o)
	if errors.Is(err, ErrSignature) && !sd.attached {
		canonical := toCRLF(part)
		if again, other := sd.verify(canonical, o); other == nil || errors.Is(err, errDigest) { // else the first says more
			signed, signers, err = canonical, again, other
		}
	}
	if err != nil {
		return Verified{}, err
	}
	first := signers[0].Certificate
	return Verified{Signer: first, DN: SlashDN(first.RawSubject), Signers: signers, Signed: signed, Text: withoutHeader(signed)}, nil
}

// openDocument gives the content that was signed, as it stands, and the signatures.
func openDocument(message []byte) ([]byte, signedData, error) {
	fields, body, err := cutHeader(message)
	if err != nil {
		return nil, signedData{}, err
	}
	kind, params, err := mime.ParseMediaType(fields["content-type"])
	switch {
	case err == nil && kind == "multipart/signed":
		return openDetached(body, params)
	case err == nil && isPKCS7(kind, "mime") && params["smime-type"] == "signed-data":
		sd, err := openSignedData(fields, body)
		if err == nil && !sd.attached {
			err = fmt.Errorf("%w: nothing inside the signed-data", ErrFormat)
		}
		return sd.content, sd, err
	}
	return nil, signedData{}, fmt.Errorf("%w: not signed, but of content type %.80q", ErrFormat, fields["content-type"])
}

func openDetached(body []byte, params map[string]string) ([]byte, signedData, error) {
	if !isPKCS7(params["protocol"], "signature") || params["boundary"] == "" {
		return nil, signedData{}, fmt.Errorf("%w: multipart/signed by protocol %.80q", ErrFormat, params["protocol"])
	}
	part, signature, err := cutTwo(body, params["boundary"])
	if err != nil {
		return nil, signedData{}, err
	}
	fields, encoded, err := cutHeader(signature)
	if err != nil {
		return nil, signedData{}, err
	}
	if kind, _, err := mime.ParseMediaType(fields["content-type"]); err != nil || !isPKCS7(kind, "signature") {
		return nil, signedData{}, fmt.Errorf("%w: the second part is no signature, but %.80q", ErrFormat, fields["content-type"])
	}
	sd, err := openSignedData(fields, encoded)
	if err == nil && sd.attached {
		err = fmt.Errorf("%w: a content beside the signature and another one inside it", ErrFormat)
	}
	return part, sd, err
}

// isPKCS7 tells whether a media type is the one of the name, old or new.
func isPKCS7(kind, name string) bool {
	return kind == "application/pkcs7-"+name || kind == "application/x-pkcs7-"+name
}

func openSignedData(fields map[string]string, body []byte) (signedData, error) {
	switch coding := bytes.ToLower([]byte(fields["content-transfer-encoding"])); string(coding) {
	case "base64":
		der, err := decodeBase64(body)
		if err != nil {
			return signedData{}, err
		}
		return readSignedData(der)
	case "binary":
		return readSignedData(body)
	}
	return signedData{}, fmt.Errorf("%w: signature in transfer encoding %.80q, not base64", ErrFormat, fields["content-transfer-encoding"])
}

// cutTwo gives the two parts of a multipart body that has two and no more. The first is byte for byte what stands between
// the lines of the boundary, without the line end before the second.
func cutTwo(body []byte, boundary string) (first, second []byte, err error) {
	var (
		mark  = []byte("--" + boundary)
		parts [][]byte
		start = -1 // of the part that is open
	)
	for at := boundaryAt(body, mark, 0); at >= 0; {
		next := afterLine(body, at)
		line := bytes.TrimRight(body[at:next], " \t\r\n")
		last := len(line) == len(mark)+2 && bytes.HasSuffix(line, []byte("--"))
		if last || len(line) == len(mark) {
			if start >= 0 {
				parts = append(parts, withoutLineEnd(body[start:at]))
			}
			start = next
			if len(parts) > 2 {
				break
			}
		}
		if last {
			if len(parts) != 2 || len(bytes.TrimSpace(body[next:])) > 0 {
				break
			}
			return parts[0], parts[1], nil
		}
		at = boundaryAt(body, mark, next)
	}
	return nil, nil, fmt.Errorf("%w: multipart/signed that has not exactly two parts", ErrFormat)
}

func withoutLineEnd(part []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(part, []byte("\n")), []byte("\r"))
}

// withoutHeader takes the MIME header off which OpenSSL's -text puts before the text. It is signed, and no part of the
// document.
func withoutHeader(signed []byte) []byte {
	name, _, found := bytes.Cut(signed, []byte(":"))
	if !found || len(name) < len("content-") || !bytes.EqualFold(name[:len("content-")], []byte("content-")) {
		return signed
	}
	if _, text, err := cutHeader(signed); err == nil {
		return text
	}
	return signed
}

// verify checks every signature over the content, and that every signer is trusted.
func (sd signedData) verify(content []byte, o VerifyOptions) ([]Signer, error) {
	if len(sd.signers) == 0 {
		return nil, fmt.Errorf("%w: nobody signed", ErrSignature)
	}
	known := withoutDoubles(sd.certificates, o.Certificates)
	found := make([][]*x509.Certificate, len(sd.signers))
	for i, s := range sd.signers {
		var err error
		if found[i], err = s.signers(content, known, o.AllowSHA1); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSignature, err)
		}
	}
	var signers []Signer
	for _, candidates := range found {
		// Several certificates may have one key and one name; one that is trusted is enough.
		var problem error
		for _, c := range candidates {
			s, err := trustedToSign(c, known, o)
			if err == nil {
				signers, problem = append(signers, s), nil
				break
			}
			problem = err
		}
		if problem != nil {
			return nil, problem
		}
	}
	return signers, nil
}

func withoutDoubles(lists ...[]*x509.Certificate) []*x509.Certificate {
	var (
		all  []*x509.Certificate
		seen = map[string]bool{}
	)
	for _, l := range lists {
		for _, c := range l {
			if !seen[string(c.Raw)] {
				seen[string(c.Raw)] = true
				all = append(all, c)
			}
		}
	}
	return all
}

func trustedToSign(c *x509.Certificate, others []*x509.Certificate, o VerifyOptions) (Signer, error) {
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return Signer{}, fmt.Errorf("%w: %s: its key usage does not allow signing", ErrSigner, SlashDN(c.RawSubject))
	}
	purpose := x509.ExtKeyUsageAny
	if o.StrictPurpose {
		purpose = x509.ExtKeyUsageEmailProtection
	}
	chains, err := trusted(c, others, o, purpose)
	return Signer{Certificate: c, Chains: chains}, err
}

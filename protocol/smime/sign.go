package smime

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"io"
	"time"

	"github.com/smallstep/pkcs7"
)

// Sign clear-signs a text as `openssl smime -sign -text` does (spec accounting §2.6): detached, SHA-256, the signer's
// certificate alone, LF line ends on the wire, CRLF under the signature. now becomes the signing time.
func Sign(body []byte, id Identity, now time.Time) ([]byte, error) {
	content := append([]byte(textHeader), toCRLF(body)...)
	der, err := signDetached(content, id, now)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signedForm(body, der)
}

// signDetached makes the SignedData. The library puts its own clock into the attributes; they are dated anew and signed
// here, once.
func signDetached(content []byte, id Identity, now time.Time) ([]byte, error) {
	sd, err := pkcs7.NewSignedData(content)
	if err != nil {
		return nil, err
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := sd.AddSigner(id.Certificate, unsigned{id.key}, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, err
	}
	signer := &sd.GetSignedData().SignerInfos[0]
	signingTime, err := asn1.MarshalWithParams(now.UTC().Truncate(time.Second), "utc")
	if err != nil {
		return nil, fmt.Errorf("signing time %s: %w", now, err)
	}
	var set []byte
	for i, a := range signer.AuthenticatedAttributes {
		if a.Type.Equal(pkcs7.OIDAttributeSigningTime) {
			a.Value = asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: signingTime}
			signer.AuthenticatedAttributes[i] = a
		}
		der, err := asn1.Marshal(a)
		if err != nil {
			return nil, err
		}
		set = append(set, der...)
	}
	attributes, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: set})
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(attributes)
	if signer.EncryptedDigest, err = id.key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
		return nil, err
	}
	sd.Detach()
	return sd.Finish()
}

// unsigned stands for a key while the library lays out the structure: its signature is thrown away.
type unsigned struct{ crypto.Signer }

// Sign gives nothing.
func (unsigned) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return []byte{0}, nil }

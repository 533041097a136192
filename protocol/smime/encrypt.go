package smime

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"mime"

	"github.com/smallstep/pkcs7"
)

func init() {
	// The library's choice is a variable of the package, and its default is DES. AES-256-CBC is what every OpenSSL reads.
	pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES256CBC
}

// Encrypt makes a message that only the recipient can read, as `openssl smime -encrypt -aes256` does. The recipient's key
// must be RSA.
func Encrypt(message []byte, recipient *x509.Certificate) ([]byte, error) {
	if _, ok := recipient.PublicKey.(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("encrypt to %s: its key is not RSA, which is needed for encryption", SlashDN(recipient.RawSubject))
	}
	der, err := pkcs7.Encrypt(toCRLF(message), []*x509.Certificate{recipient})
	if err != nil {
		return nil, fmt.Errorf("encrypt to %s: %w", SlashDN(recipient.RawSubject), err)
	}
	var b bytes.Buffer
	b.WriteString("MIME-Version: 1.0\nContent-Disposition: attachment; filename=\"smime.p7m\"\n" +
		"Content-Type: application/x-pkcs7-mime; smime-type=enveloped-data; name=\"smime.p7m\"\nContent-Transfer-Encoding: base64\n\n")
	writeBase64(&b, der)
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// Encrypted tells whether a message is one that Decrypt is for.
func Encrypted(message []byte) bool {
	fields, _, err := cutHeader(message)
	if err != nil {
		return false
	}
	kind, params, err := mime.ParseMediaType(fields["content-type"])
	return err == nil && (kind == "application/x-pkcs7-mime" || kind == "application/pkcs7-mime") && params["smime-type"] != "signed-data"
}

// Decrypt gives the message inside an encrypted one.
func Decrypt(message []byte, id Identity) ([]byte, error) {
	if len(message) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes are too many", ErrFormat, len(message))
	}
	if !Encrypted(message) {
		return nil, fmt.Errorf("%w: not encrypted", ErrFormat)
	}
	_, encoded, err := cutHeader(message)
	if err != nil {
		return nil, err
	}
	der, err := decodeBase64(encoded)
	if err != nil {
		return nil, err
	}
	return decrypt(der, id)
}

func decrypt(der []byte, id Identity) (inner []byte, err error) {
	p7, err := parse(der)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			inner, err = nil, fmt.Errorf("%w: unreadable structure", ErrRecipient)
		}
	}()
	inner, err = p7.Decrypt(id.Certificate, id.key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecipient, err)
	}
	return inner, nil
}

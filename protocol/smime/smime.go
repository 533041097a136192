// Package smime signs, verifies, encrypts and decrypts S/MIME messages in the forms that OpenSSL writes, which are those
// of the federation's accounting messages, and verifies the forms that image lists come in. It does no I/O.
//
// It wraps a CMS library and adds what that leaves open: the signer is the certificate that SignerInfo names, at least one
// signer is required, chain and validity are checked at the caller's time, and the signed bytes are cut out exactly. Image
// lists are signed in more ways than the library knows; VerifyDocument reads those by itself (cms.go, signer.go).
package smime

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// MaxSize is how large a message may be that is verified or decrypted, in bytes, unless the caller says otherwise.
const MaxSize = 16 << 20

// Errors that a receiver decides by.
var (
	ErrFormat    = errors.New("no S/MIME message of a known form")
	ErrSignature = errors.New("the signature is not valid")
	ErrSigner    = errors.New("the signer's certificate is not trusted")
	ErrRecipient = errors.New("cannot be decrypted with this certificate and key")
)

// maxHeader is how long a header may be, in bytes: joining the folded lines of one takes time that grows with its square.
const maxHeader = 64 << 10

const textHeader = "Content-Type: text/plain\r\n\r\n"

// signedForm writes a clear-signed message as `openssl smime -sign -text` does, with LF line ends.
func signedForm(body, der []byte) ([]byte, error) {
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return nil, err
	}
	boundary := "----" + strings.ToUpper(hex.EncodeToString(token))
	var b bytes.Buffer
	b.Grow(len(body) + len(der)*4/3 + 1024)
	fmt.Fprintf(&b, "MIME-Version: 1.0\nContent-Type: multipart/signed; protocol=\"application/x-pkcs7-signature\"; micalg=\"sha-256\"; boundary=%q\n\n", boundary)
	fmt.Fprintf(&b, "This is an S/MIME signed message\n\n--%s\n", boundary)
	b.WriteString("Content-Type: text/plain\n\n")
	b.Write(body)
	fmt.Fprintf(&b, "\n--%s\n", boundary)
	b.WriteString("Content-Type: application/x-pkcs7-signature; name=\"smime.p7s\"\nContent-Transfer-Encoding: base64\n" +
		"Content-Disposition: attachment; filename=\"smime.p7s\"\n\n")
	writeBase64(&b, der)
	fmt.Fprintf(&b, "\n--%s--\n\n", boundary)
	return b.Bytes(), nil
}

// writeBase64 writes lines of 64 columns, as OpenSSL does.
func writeBase64(b *bytes.Buffer, data []byte) {
	text := base64.StdEncoding.EncodeToString(data)
	for len(text) > 0 {
		n := min(64, len(text))
		b.WriteString(text[:n])
		b.WriteByte('\n')
		text = text[n:]
	}
}

// toCRLF gives text with CRLF line ends, which is what a signature is made over.
func toCRLF(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/32)
	for i, c := range text {
		if c == '\n' && (i == 0 || text[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// header is the part of a message before its first blank line, by lower-case name, with folded lines joined.
func cutHeader(message []byte) (map[string]string, []byte, error) {
	fields := map[string]string{}
	name, limit := "", len(message)-maxHeader
	for len(message) > 0 {
		if len(message) < limit {
			return nil, nil, fmt.Errorf("%w: a header of more than %d bytes", ErrFormat, maxHeader)
		}
		line, rest, found := bytes.Cut(message, []byte("\n"))
		message = rest
		text := strings.TrimSuffix(string(line), "\r")
		switch {
		case text == "":
			return fields, message, nil
		case !found:
			return nil, nil, fmt.Errorf("%w: the header does not end", ErrFormat)
		case (text[0] == ' ' || text[0] == '\t') && name != "":
			fields[name] += " " + strings.TrimSpace(text)
		default:
			key, value, ok := strings.Cut(text, ":")
			if !ok {
				return nil, nil, fmt.Errorf("%w: header line without a colon", ErrFormat)
			}
			name = strings.ToLower(strings.TrimSpace(key))
			fields[name] = strings.TrimSpace(value)
		}
	}
	return nil, nil, fmt.Errorf("%w: no blank line after the header", ErrFormat)
}

// cutParts gives the two parts of a multipart/signed body, the first byte for byte as it stands on the wire, without the
// line end that precedes the boundary.
func cutParts(body []byte, boundary string) (signed, signature []byte, err error) {
	mark := []byte("--" + boundary)
	start := boundaryAt(body, mark, 0)
	if start < 0 {
		return nil, nil, fmt.Errorf("%w: no boundary", ErrFormat)
	}
	first := afterLine(body, start)
	second := boundaryAt(body, mark, first)
	if second < 0 {
		return nil, nil, fmt.Errorf("%w: the signed part does not end", ErrFormat)
	}
	end := second
	if end > first && body[end-1] == '\n' {
		end--
		if end > first && body[end-1] == '\r' {
			end--
		}
	}
	third := afterLine(body, second)
	last := boundaryAt(body, mark, third)
	if last < 0 {
		return nil, nil, fmt.Errorf("%w: the signature part does not end", ErrFormat)
	}
	return body[first:end], body[third:last], nil
}

// boundaryAt finds the next line that begins with mark, at or after the offset.
func boundaryAt(body, mark []byte, from int) int {
	for from <= len(body) {
		i := bytes.Index(body[from:], mark)
		if i < 0 {
			return -1
		}
		i += from
		if i == 0 || body[i-1] == '\n' {
			return i
		}
		from = i + 1
	}
	return -1
}

func afterLine(body []byte, at int) int {
	if i := bytes.IndexByte(body[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(body)
}

func decodeBase64(text []byte) ([]byte, error) {
	clean := bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, text)
	der := make([]byte, base64.StdEncoding.DecodedLen(len(clean)))
	n, err := base64.StdEncoding.Decode(der, clean)
	if err != nil {
		return nil, fmt.Errorf("%w: base64: %w", ErrFormat, err)
	}
	return der[:n], nil
}

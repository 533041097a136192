package gridtrust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/fedsite/fedsite/protocol/smime"
)

// Limits of a directory. IGTF's has about 100 authorities, and the largest lists have some megabytes.
const (
	maxFiles   = 10_000
	maxFile    = 1 << 20  // bytes of a file with certificates or names
	maxCRL     = 32 << 20 // bytes of a file with a revocation list
	maxPerFile = 1_000    // certificates, or rules, in one file
)

// Trust is a directory of authorities as it was read. It does not change; its methods may be called at the same time.
type Trust struct {
	authorities []Authority
	roots       *x509.CertPool
	between     []*x509.Certificate
	crls        map[string][]*crl     // by name of their issuer
	names       map[string][]nameRule // by name of the authority, as plain gives it
}

// Read reads a directory: certificates in *.pem and *.0 … *.9, revocation lists in *.r0 … *.r9, and the names that
// authorities may give in *.signing_policy and *.namespaces. Other files are passed over. A file that cannot be used is a
// warning. It fails if the directory cannot be listed or holds no authority.
func Read(dir fs.FS) (*Trust, []Warning, error) {
	entries, err := fs.ReadDir(dir, ".")
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("list the directory of authorities: %w", err)
	case len(entries) > maxFiles:
		return nil, nil, fmt.Errorf("the directory of authorities has %d files: it is not one", len(entries))
	}
	t := &Trust{roots: x509.NewCertPool(), crls: map[string][]*crl{}, names: map[string][]nameRule{}}
	var (
		warnings []Warning
		seen     = map[string]bool{} // certificates, lists and policies by their bytes: most stand twice, as links
	)
	for _, e := range entries {
		name := e.Name()
		read, limit := t.reader(name)
		if read == nil || e.IsDir() {
			continue
		}
		text, err := readFile(dir, name, limit)
		if err == nil {
			err = read(name, text, seen)
		}
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) { // the name is said, and may be anything
				err = path.Err
			}
			warnings = append(warnings, Warning{Object: shown(name), Text: err.Error()})
		}
	}
	if len(t.authorities) == 0 {
		return nil, warnings, errors.New("no certificate of an authority in the directory: one in PEM form in a file *.pem or *.0 is needed")
	}
	return t, append(warnings, t.settle()...), nil
}

// reader gives what reads a file of this name, nil if nothing does.
func (t *Trust) reader(name string) (read func(name string, text []byte, seen map[string]bool) error, limit int64) {
	switch ext := path.Ext(name); {
	case ext == ".pem", len(ext) == 2 && digit(ext[1]):
		return t.readCertificates, maxFile
	case len(ext) == 3 && ext[1] == 'r' && digit(ext[2]):
		return t.readCRL, maxCRL
	case ext == ".signing_policy":
		return t.readNames(parseSigningPolicy), maxFile
	case ext == ".namespaces":
		return t.readNames(parseNamespaces), maxFile
	}
	return nil, 0
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// shown is a file's name for people: without what would do something to a terminal.
func shown(name string) string {
	if q := fmt.Sprintf("%.120q", name); q != `"`+name+`"` {
		return q
	}
	return name
}

func readFile(dir fs.FS, name string, limit int64) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errors.New("not a file")
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	return text, nil
}

func (t *Trust) readCertificates(name string, text []byte, seen map[string]bool) error {
	var (
		problem error
		found   int
	)
	for block, rest := pem.Decode(text); block != nil && found < maxPerFile; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
			continue
		}
		found++
		if seen[string(block.Bytes)] {
			continue
		}
		seen[string(block.Bytes)] = true
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			problem = fmt.Errorf("certificate %d cannot be used: %w", found, err)
			continue
		}
		root := string(c.RawSubject) == string(c.RawIssuer)
		t.authorities = append(t.authorities, Authority{Certificate: c, DN: smime.SlashDN(c.RawSubject), File: shown(name), Root: root})
	}
	if found == 0 {
		return errors.New("no certificate in PEM form")
	}
	return problem
}

// settle sorts authorities and lists by what they belong to, when all files were read.
func (t *Trust) settle() []Warning {
	warnings := t.settleCRLs()
	bySubject := map[string]bool{}
	for _, a := range t.authorities {
		bySubject[string(a.Certificate.RawSubject)] = true
	}
	for i := range t.authorities {
		a := &t.authorities[i]
		if a.Root {
			t.roots.AddCert(a.Certificate)
		} else if t.between = append(t.between, a.Certificate); !bySubject[string(a.Certificate.RawIssuer)] {
			warnings = append(warnings, Warning{Object: a.File, Text: a.DN + " cannot be trusted: its issuer " + smime.SlashDN(a.Certificate.RawIssuer) + " is not in the directory"})
		}
		if c := t.crlOf(a.Certificate); c != nil {
			a.CRL, a.NextUpdate = true, c.list.NextUpdate
		}
	}
	return warnings
}

// Authorities gives the authorities in the order of their files.
func (t *Trust) Authorities() []Authority { return append([]Authority(nil), t.authorities...) }

// Roots are the self-signed authorities. The pool is the directory's own: do not add to it.
func (t *Trust) Roots() *x509.CertPool { return t.roots }

// Intermediates are the other authorities of the directory: they complete chains, and are trusted through their roots.
func (t *Trust) Intermediates() []*x509.Certificate {
	return append([]*x509.Certificate(nil), t.between...)
}

// State tells a directory apart from what it was: two states are equal as long as no file that Read looks at came, went or
// was written. It reads no file, and so is cheap enough to be asked every minute.
func State(dir fs.FS) (string, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return "", fmt.Errorf("list the directory of authorities: %w", err)
	}
	var none *Trust
	h := sha256.New()
	for _, e := range entries {
		if read, _ := none.reader(e.Name()); read == nil {
			continue
		}
		info, err := fs.Stat(dir, e.Name()) // of what a link points to, which may be elsewhere
		if err != nil {
			fmt.Fprintf(h, "%q gone\n", e.Name())
			continue
		}
		fmt.Fprintf(h, "%q %d %d %s\n", e.Name(), info.Size(), info.ModTime().UnixNano(), info.Mode())
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// plain gives a name in slash form as policies and lists write it: without the backslash before a slash inside a value,
// and with one name for the e-mail address and the user id. A slash that would begin another attribute keeps its
// backslash, so that no value can pass for several attributes.
func plain(dn string) string {
	var b strings.Builder
	for i := 0; i < len(dn); i++ {
		if dn[i] == '\\' && i+1 < len(dn) && (dn[i+1] == '+' || dn[i+1] == '/' && !attribute(dn[i+2:])) {
			continue
		}
		b.WriteByte(dn[i])
	}
	return aliases.Replace(b.String())
}

var aliases = strings.NewReplacer("/Email=", "/emailAddress=", "/E=", "/emailAddress=", "/email=", "/emailAddress=", "/USERID=", "/UID=", "/UserID=", "/UID=", "/S=", "/ST=")

// attribute tells whether a text begins like an attribute of a name: letters, digits and dots up to an equals sign.
func attribute(text string) bool {
	name, _, found := strings.Cut(text, "=")
	return found && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == ""
}

// SameName tells whether two names in slash form are the same, in the spellings that OpenSSL and grid software have had:
// /Email= or /emailAddress=, a slash inside a value with a backslash or without.
func SameName(a, b string) bool { return a != "" && plain(a) == plain(b) }

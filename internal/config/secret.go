package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"unique"
)

// hidden is what stands for a secret wherever one would be printed.
const hidden = "***"

// Secret is a value that no way of printing shows. It is said in the file itself, or where to read it: then each Value
// reads it anew, so that a renewed secret needs no restart.
type Secret struct{ from source }

// source says where a secret is. The value is behind a handle: what prints structs by reflection, and asks no method,
// shows an address.
type source struct {
	kind  string                // "", literal, file, env, credential
	value unique.Handle[string] // the literal, or the name of file, variable or credential
}

// name gives the name of file, variable or credential.
func (s source) name() string { return s.value.Value() }

// Ways to say a secret.
const (
	fromLiteral    = "literal"
	fromFile       = "file"
	fromEnv        = "env"
	fromCredential = "credential"
)

// NewSecret gives a secret that is known already.
func NewSecret(literal string) Secret { return secretFrom(fromLiteral, literal) }

func secretFrom(kind, value string) Secret { return Secret{source{kind, unique.Make(value)}} }

// maxSecret bounds what is read as a secret, in bytes.
const maxSecret = 1 << 20

// IsSet tells whether the secret is said at all, be it readable or not.
func (s Secret) IsSet() bool { return s.from.kind != "" }

// Value reads the secret. One newline at its end is cut. An empty or unreadable one is an error that names the source,
// never the value.
func (s Secret) Value() (string, error) {
	var (
		text  string
		where = s.Origin()
	)
	switch s.from.kind {
	case "":
		return "", errors.New("the secret is not set")
	case fromLiteral:
		text = s.from.value.Value()
	case fromEnv:
		value, ok := os.LookupEnv(s.from.name())
		if !ok {
			return "", fmt.Errorf("the secret cannot be read: %s is not set", where)
		}
		text = value
	case fromCredential:
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return "", fmt.Errorf("the secret cannot be read: %s, but CREDENTIALS_DIRECTORY is not set: name it in the unit as LoadCredential=%s:FILE, and start fedsite by systemd", where, s.from.name())
		}
		var err error
		if text, err = readSecret(filepath.Join(dir, s.from.name())); err != nil {
			return "", fmt.Errorf("%s: %w", where, err)
		}
	default:
		var err error
		if text, err = readSecret(s.from.name()); err != nil {
			return "", err
		}
	}
	if cut, ok := strings.CutSuffix(text, "\n"); ok {
		text, _ = strings.CutSuffix(cut, "\r")
	}
	if text == "" {
		return "", fmt.Errorf("the secret is empty: %s", where)
	}
	return text, nil
}

func readSecret(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("the secret cannot be read: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("the secret cannot be read: %w", err)
	case len(text) > maxSecret:
		return "", fmt.Errorf("the secret cannot be read: %s has more than %d bytes", name, maxSecret)
	}
	return string(text), nil
}

// Equal tells whether both are said in the same way; nothing is read.
func (s Secret) Equal(other Secret) bool { return s == other }

// Origin says where the secret is read: "file /run/secrets/x", "variable X", "credential x", "the configuration".
func (s Secret) Origin() string {
	switch s.from.kind {
	case "":
		return ""
	case fromLiteral:
		return "the configuration"
	case fromEnv:
		return "variable " + s.from.name()
	}
	return s.from.kind + " " + s.from.name()
}

// String gives *** for a secret that is set, else nothing.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return hidden
}

// GoString is String in Go's form, for %#v.
func (s Secret) GoString() string { return fmt.Sprintf("config.Secret(%q)", s.String()) }

// Format covers every verb of fmt, also those that would look into the struct.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = f.Write([]byte(text))
}

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON is String, quoted.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalYAML is String.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

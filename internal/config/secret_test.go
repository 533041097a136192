package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const planted = "hunter2-planted"

// printed gives a value in every way that the program has to print one.
func printed(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%X", "%08v"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	fmt.Fprintln(&b, fmt.Errorf("wrapped: %v", v))
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := MarshalYAML(v)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(bytes.Join([][]byte{asJSON, asYAML, ours}, []byte("\n")))
	slog.New(slog.NewTextHandler(&b, nil)).Info("text", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "v", v)
	return b.String()
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := NewSecret(planted)
	type holder struct {
		Name   string
		Secret Secret
		Ref    *Secret
		Map    map[string]Secret
	}
	for _, v := range []any{s, &s, []Secret{s}, map[string]Secret{"a": s}, holder{"n", s, &s, map[string]Secret{"k": s}},
		Config{Credentials: map[string]Credential{"a": {Password: s, ApplicationSecret: s, Token: s}}, Store: Store{URL: s}}} {
		text := printed(t, v)
		hex := fmt.Sprintf("%x", planted)
		if strings.Contains(text, planted) || strings.Contains(strings.ToLower(text), hex) || strings.Contains(text, "[104 117") {
			t.Errorf("%T shows its secret:\n%s", v, text)
		}
		if _, pointer := v.(*Secret); !pointer && !strings.Contains(text, hidden) {
			t.Errorf("%T does not say that there is a secret:\n%s", v, text)
		}
	}
	if text := fmt.Sprintf("%#v", s); text != `config.Secret("***")` {
		t.Errorf("in Go's form: %s", text)
	}
	if text := fmt.Sprint(Secret{}); text != "" || (Secret{}).IsSet() {
		t.Errorf("a secret that is not set: %q", text)
	}
}

func TestProxyPasswordIsNeverPrinted(t *testing.T) {
	n := Network{Proxy: "http://user:" + planted + "@proxy.example.org:3128", CAFile: "/etc/ca.pem"}
	for _, v := range []any{n, &n, Cloud{Network: n}, Config{Network: n}, AMS{Network: n}} {
		text := printed(t, v)
		if strings.Contains(text, planted) || strings.Contains(text, fmt.Sprintf("%x", planted)) {
			t.Errorf("%T shows the proxy's password:\n%s", v, text)
		}
		if !strings.Contains(text, "http://user:***@proxy.example.org:3128") || !strings.Contains(text, "/etc/ca.pem") {
			t.Errorf("%T does not show the rest:\n%s", v, text)
		}
	}
}

func TestSecretIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	file := filepath.Join(dir, "pass")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("FEDSITE_TEST_SECRET", text)
	}
	for name, s := range map[string]Secret{
		"file":       {source{fromFile, file}},
		"env":        {source{fromEnv, "FEDSITE_TEST_SECRET"}},
		"credential": {source{fromCredential, "pass"}},
	} {
		for _, c := range []struct{ text, want string }{
			{"first", "first"}, {"second\n", "second"}, {"two\n\n", "two\n"}, {"windows\r\n", "windows"}, {" spaces \t", " spaces \t"}, {"cr\r", "cr\r"},
		} {
			write(c.text)
			if got, err := s.Value(); got != c.want || err != nil {
				t.Errorf("%s: %q is read as %q, %v; want %q", name, c.text, got, err, c.want)
			}
		}
	}
	if got, err := NewSecret("block\n").Value(); got != "block" || err != nil {
		t.Errorf("literal: %q, %v", got, err)
	}
}

func TestSecretThatCannotBeReadNamesItsSource(t *testing.T) {
	dir := t.TempDir()
	empty, large := filepath.Join(dir, "empty"), filepath.Join(dir, "large")
	for file, text := range map[string]string{empty: "\n", large: strings.Repeat(planted, maxSecret/len(planted)+1)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FEDSITE_TEST_EMPTY", "")
	for _, c := range []struct {
		s         Secret
		directory string // of the unit's credentials
		want      string
	}{
		{Secret{source{fromFile, empty}}, "", empty},
		{Secret{source{fromFile, large}}, "", large},
		{Secret{source{fromFile, filepath.Join(dir, "missing")}}, "", filepath.Join(dir, "missing")},
		{Secret{source{fromFile, dir}}, "", dir},
		{Secret{source{fromEnv, "FEDSITE_TEST_UNSET"}}, "", "FEDSITE_TEST_UNSET is not set"},
		{Secret{source{fromEnv, "FEDSITE_TEST_EMPTY"}}, "", "FEDSITE_TEST_EMPTY"},
		{Secret{source{fromCredential, "pass"}}, "", "LoadCredential=pass:"},
		{Secret{source{fromCredential, "pass"}}, dir, filepath.Join(dir, "pass")},
		{Secret{source{fromCredential, "empty"}}, dir, "credential empty"},
		{NewSecret(""), "", "the configuration"},
		{Secret{}, "", "not set"},
	} {
		t.Setenv("CREDENTIALS_DIRECTORY", c.directory)
		value, err := c.s.Value()
		if err == nil || value != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: value %q, error %v; want one that names %s", c.s.Origin(), value, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), planted) {
			t.Errorf("the error shows the secret: %.80s", err)
		}
	}
}

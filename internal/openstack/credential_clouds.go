package openstack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v2" // the parser that gophercloud reads the same files with
)

// accessEntry is what an entry of clouds.yaml says that gophercloud does not know.
type accessEntry struct {
	AuthType string `yaml:"auth_type"`
	Auth     struct {
		AccessToken      string `yaml:"access_token"`
		IdentityProvider string `yaml:"identity_provider"`
		Protocol         string `yaml:"protocol"`
	} `yaml:"auth"`
}

// withAccessToken reads of an entry what signs in with an OIDC access token (auth_type v3oidcaccesstoken), from clouds.yaml
// and from secure.yaml beside it.
func withAccessToken(c *Credential, path, name string) error {
	path, err := cloudsFile(path)
	if err != nil || path == "" {
		return err
	}
	var e accessEntry
	for _, file := range []string{path, filepath.Join(filepath.Dir(path), "secure.yaml")} {
		text, err := os.ReadFile(file)
		if err != nil { // it was read already, or is a secure.yaml that gophercloud did without, too
			continue
		}
		var doc struct {
			Clouds map[string]accessEntry `yaml:"clouds"`
		}
		if err := yaml.Unmarshal(text, &doc); err != nil {
			return errors.New(unquoted(err.Error()))
		}
		more := doc.Clouds[name]
		e.AuthType = cmpOr(e.AuthType, more.AuthType)
		e.Auth.AccessToken = cmpOr(more.Auth.AccessToken, e.Auth.AccessToken) // secure.yaml wins
		e.Auth.IdentityProvider = cmpOr(more.Auth.IdentityProvider, e.Auth.IdentityProvider)
		e.Auth.Protocol = cmpOr(more.Auth.Protocol, e.Auth.Protocol)
	}
	switch {
	case e.AuthType == "v3oidcaccesstoken":
		if e.Auth.AccessToken == "" {
			return errors.New("auth.access_token is missing, which auth_type v3oidcaccesstoken needs")
		}
		*c = Credential{AccessToken: e.Auth.AccessToken, IdentityProvider: e.Auth.IdentityProvider, Protocol: e.Auth.Protocol, SystemScope: c.SystemScope, DomainScope: c.DomainScope}
	case strings.HasPrefix(e.AuthType, "v3oidc"), e.AuthType == "v3adfspassword", strings.HasPrefix(e.AuthType, "v3saml"):
		return fmt.Errorf("auth_type %s is not supported: name a credential of the kind oidc in the configuration, or use v3oidcaccesstoken", e.AuthType)
	}
	return nil
}

// cloudsFile gives the clouds.yaml that is read: the one that is named, else the first in the places where OpenStack's
// clients look that can be read; "" if there is none. It is an error when there is one, and this user may not read it.
func cloudsFile(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	if named := os.Getenv("OS_CLIENT_CONFIG_FILE"); named != "" {
		return named, nil
	}
	user := os.Getenv("XDG_CONFIG_HOME")
	if user == "" {
		home, _ := os.UserHomeDir()
		user = filepath.Join(home, ".config")
	}
	var closed error
	for _, p := range []string{"clouds.yaml", filepath.Join(user, "openstack", "clouds.yaml"), "/etc/openstack/clouds.yaml"} {
		f, err := os.Open(p)
		if err == nil {
			_ = f.Close()
			return p, nil
		}
		if closed == nil && errors.Is(err, fs.ErrPermission) {
			closed = err
		}
	}
	return "", closed
}

package openstack

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
)

// Credential signs in to Keystone: with a password, an application credential, a token, or an access token of an OpenID
// provider that Keystone trusts. It never prints a secret.
type Credential struct {
	Username, UserID         string
	Password                 string
	UserDomain, UserDomainID string // name, id; default: the domain with id "default"
	ApplicationID            string // application credential by id
	ApplicationName          string // by name, with the user
	ApplicationSecret        string
	Token                    string
	AccessToken              string // of an OpenID provider
	IdentityProvider         string // Keystone's name of that provider, beside AccessToken
	Protocol                 string // likewise
	SystemScope              bool   // asked for by clouds.yaml: refused
	DomainScope              bool   // likewise
}

// String says of what kind the credential is.
func (c Credential) String() string {
	switch {
	case c.ApplicationID != "" || c.ApplicationName != "":
		return "application credential " + c.ApplicationID + c.ApplicationName
	case c.AccessToken != "":
		return "access token for the identity provider " + c.IdentityProvider
	case c.Token != "":
		return "token"
	}
	return "password of " + c.Username + c.UserID
}

// Method names the way of signing in as keystoneauth's plug-ins are called: password, v3applicationcredential, v3token,
// v3oidcaccesstoken.
func (c Credential) Method() string {
	switch {
	case c.ApplicationID != "" || c.ApplicationName != "":
		return "v3applicationcredential"
	case c.AccessToken != "":
		return "v3oidcaccesstoken"
	case c.Token != "":
		return "v3token"
	}
	return "password"
}

// GoString is String, so that no format prints a secret.
func (c Credential) GoString() string { return c.String() }

// MarshalText is String, so that neither JSON nor a log prints a secret.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// secrets gives what nobody may read.
func (c Credential) secrets() []string {
	return []string{c.Password, c.ApplicationSecret, c.Token, c.AccessToken}
}

// oneProject tells whether tokens of this credential are of one project only.
func (c Credential) oneProject() bool { return c.ApplicationID != "" || c.ApplicationName != "" }

// options gives the sign-in for a scope.
func (c Credential) options(authURL string, scope *gophercloud.AuthScope) gophercloud.AuthOptions {
	o := gophercloud.AuthOptions{IdentityEndpoint: authURL, Scope: scope}
	domain := func() {
		o.DomainName, o.DomainID = c.UserDomain, c.UserDomainID
		if o.DomainName == "" && o.DomainID == "" {
			o.DomainID = "default"
		}
	}
	switch {
	case c.ApplicationID != "":
		o.ApplicationCredentialID, o.ApplicationCredentialSecret, o.Scope = c.ApplicationID, c.ApplicationSecret, nil
	case c.ApplicationName != "":
		o.ApplicationCredentialName, o.ApplicationCredentialSecret, o.Scope = c.ApplicationName, c.ApplicationSecret, nil
		if o.UserID = c.UserID; c.UserID == "" {
			o.Username = c.Username
			domain()
		}
	case c.Token != "":
		o.TokenID = c.Token
	default:
		o.Password = c.Password
		if o.UserID = c.UserID; c.UserID == "" {
			o.Username = c.Username
			domain()
		}
	}
	return o
}

// Entry is what an entry of clouds.yaml says.
type Entry struct {
	Credential Credential
	AuthURL    string
	Region     string
	Interface  string
	Project    string         // id or name of the one it names, of clouds.yaml alone; "" = none
	Roots      *x509.CertPool // of its cacert; nil = not said
}

// FromCloudsYAML reads an entry of clouds.yaml and secure.yaml. An empty path searches the places where OpenStack's
// clients look. Its project is not signed in to: fedsite signs in to each project that it asks for.
func FromCloudsYAML(path, name string) (Entry, error) {
	opts := []clouds.ParseOption{clouds.WithCloudName(name), clouds.WithRegion(""), clouds.WithEndpointType("")} // else OS_REGION_NAME and OS_INTERFACE win
	if path != "" {
		f, err := os.Open(path) // the library says of an unreadable file that there is none
		if err != nil {
			return Entry{}, fmt.Errorf("clouds.yaml, entry %s: %w", name, err)
		}
		_ = f.Close()
		opts = append(opts, clouds.WithLocations(path))
	} else if _, err := cloudsFile(""); err != nil {
		return Entry{}, fmt.Errorf("clouds.yaml, entry %s: %w", name, err)
	}
	auth, endpoint, tlsConfig, err := parseClouds(opts)
	if err != nil {
		return Entry{}, fmt.Errorf("clouds.yaml, entry %s: %s", name, unquoted(err.Error())) // the cause may quote a secret
	}
	e := Entry{AuthURL: auth.IdentityEndpoint, Region: endpoint.Region, Interface: string(endpoint.Availability), Credential: Credential{
		Username: auth.Username, UserID: auth.UserID, Password: auth.Password, UserDomain: auth.DomainName, UserDomainID: auth.DomainID,
		ApplicationID: auth.ApplicationCredentialID, ApplicationName: auth.ApplicationCredentialName, ApplicationSecret: auth.ApplicationCredentialSecret,
		Token: auth.TokenID,
	}}
	if s := auth.Scope; s != nil {
		e.Project, e.Credential.SystemScope = cmpOr(s.ProjectID, s.ProjectName), s.System
		e.Credential.DomainScope = s.ProjectID == "" && s.ProjectName == "" && s.TrustID == "" && (s.DomainID != "" || s.DomainName != "")
	}
	if tlsConfig != nil {
		if tlsConfig.InsecureSkipVerify {
			return Entry{}, fmt.Errorf("clouds.yaml, entry %s: verify: false is not supported: name the cloud's authority as cacert", name)
		}
		e.Roots = tlsConfig.RootCAs
	}
	if err := withAccessToken(&e.Credential, path, name); err != nil {
		return Entry{}, fmt.Errorf("clouds.yaml, entry %s: %w", name, err)
	}
	if e.AuthURL == "" {
		return Entry{}, fmt.Errorf("clouds.yaml, entry %s: auth.auth_url is missing", name)
	}
	return e, nil
}

// parseClouds reads an entry. The library panics over one without auth, which is no reason to end a daemon.
func parseClouds(opts []clouds.ParseOption) (auth gophercloud.AuthOptions, endpoint gophercloud.EndpointOpts, t *tls.Config, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("auth is missing")
		}
	}()
	return clouds.Parse(opts...)
}

// unquoted leaves out what a YAML parser quotes of a file.
func unquoted(text string) string {
	parts := strings.Split(text, "`")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = "…"
	}
	return strings.Join(parts, "`")
}

// FromEnvironment reads the OS_* variables that OpenStack's clients use.
func FromEnvironment(env func(string) string) (Entry, error) {
	if env("OS_AUTH_URL") == "" {
		return Entry{}, errors.New("OS_AUTH_URL is not set")
	}
	first := func(names ...string) string {
		for _, n := range names {
			if v := env(n); v != "" {
				return v
			}
		}
		return ""
	}
	var roots *x509.CertPool
	if file := env("OS_CACERT"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return Entry{}, fmt.Errorf("OS_CACERT: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(text) {
			return Entry{}, fmt.Errorf("OS_CACERT: %s holds no certificate in PEM form", file)
		}
	}
	domainScope := first("OS_DOMAIN_ID", "OS_DOMAIN_NAME") != "" && first("OS_PROJECT_ID", "OS_PROJECT_NAME", "OS_TENANT_ID", "OS_TENANT_NAME") == ""
	return Entry{AuthURL: env("OS_AUTH_URL"), Roots: roots, Region: env("OS_REGION_NAME"), Interface: strings.TrimSuffix(first("OS_INTERFACE", "OS_ENDPOINT_TYPE"), "URL"), Credential: Credential{
		Username: env("OS_USERNAME"), UserID: env("OS_USER_ID"), Password: env("OS_PASSWORD"), UserDomain: env("OS_USER_DOMAIN_NAME"), UserDomainID: env("OS_USER_DOMAIN_ID"),
		ApplicationID: env("OS_APPLICATION_CREDENTIAL_ID"), ApplicationName: env("OS_APPLICATION_CREDENTIAL_NAME"), ApplicationSecret: env("OS_APPLICATION_CREDENTIAL_SECRET"),
		Token: first("OS_TOKEN", "OS_AUTH_TOKEN"), AccessToken: env("OS_ACCESS_TOKEN"), IdentityProvider: env("OS_IDENTITY_PROVIDER"), Protocol: env("OS_PROTOCOL"), SystemScope: env("OS_SYSTEM_SCOPE") != "", DomainScope: domainScope,
	}}, nil
}

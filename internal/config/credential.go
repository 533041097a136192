package config

import "time"

// Credential is one way to sign in: to OpenStack, or to another service. It is of exactly one kind (Kind), and the fields
// of the others are empty.
type Credential struct {
	OSCloud    string // entry of clouds.yaml
	CloudsFile string // clouds.yaml; "" = where OpenStack's clients look

	Username, UserID         string
	UserDomain, UserDomainID string
	Password                 Secret
	ApplicationID            string
	ApplicationName          string
	ApplicationSecret        Secret
	Token                    Secret

	OIDC        *OIDCCredential
	Vault       *VaultCredential
	Exec        *ExecCredential
	Basic       *BasicCredential
	Certificate *Certificate

	Site, VO string // a share whose cloud and project it is used at, as for Swift; "" = whatever names it says that
}

// Kinds of credentials, as errors and screens name them.
const (
	KindOSCloud     = "os_cloud"
	KindPassword    = "password"
	KindApplication = "application credential"
	KindToken       = "token"
	KindOIDC        = "oidc"
	KindVault       = "vault"
	KindExec        = "exec"
	KindBasic       = "basic"
	KindCertificate = "certificate"
)

// Kind tells the credential's kind; "" for none.
func (c Credential) Kind() string {
	for _, k := range []struct {
		is   bool
		kind string
	}{
		{c.OSCloud != "", KindOSCloud},
		{c.Password.IsSet(), KindPassword},
		{c.ApplicationID != "" || c.ApplicationName != "" || c.ApplicationSecret.IsSet(), KindApplication},
		{c.Token.IsSet(), KindToken},
		{c.OIDC != nil, KindOIDC},
		{c.Vault != nil, KindVault},
		{c.Exec != nil, KindExec},
		{c.Basic != nil, KindBasic},
		{c.Certificate != nil, KindCertificate},
	} {
		if k.is {
			return k.kind
		}
	}
	return ""
}

// OIDCCredential is a client of an OpenID provider, or an access token that something else renews.
type OIDCCredential struct {
	Issuer       string // its discovery document names the token endpoint
	TokenURL     string // in place of asking the issuer; "" = ask
	ClientID     string
	ClientSecret Secret // not set = a public client
	Scopes       []string
	Grant        string // client_credentials, refresh_token; "" with AccessToken
	RefreshToken Secret
	AccessToken  Secret // used as it is, in place of a grant
	IDP          string // Keystone's name of the identity provider; "" = not for OpenStack
	Protocol     string // Keystone's name of the protocol
}

// VaultCredential is a secret in Vault, that holds the fields of another credential.
type VaultCredential struct {
	URL    string
	KV     int    // version of the secrets engine: 1, 2
	Mount  string // of the secrets engine
	Path   string // within it, with {sub}, {keystone_host}, {vo} and {site} in it
	Login  VaultLogin
	Key    string // the key of the secret that holds a token or password; "" = keys as credentials have them
	CAFile string
}

// VaultLogin is the way to sign in to Vault: one of JWT, Token and AppRole.
type VaultLogin struct {
	JWT     string // key of Config.Credentials, of the kind oidc: its access token is the JWT
	Role    string // beside JWT; "" = Vault's default role
	Mount   string // of the auth method: jwt, approle
	Token   Secret
	AppRole *AppRole
}

// AppRole is Vault's way to sign programs in.
type AppRole struct {
	RoleID   string
	SecretID Secret
}

// ExecCredential is a program that prints the fields of another credential as JSON.
type ExecCredential struct {
	Command []string // program and arguments; no shell
	Timeout time.Duration
}

// BasicCredential is a user's name and password.
type BasicCredential struct {
	User     string
	Password Secret
}

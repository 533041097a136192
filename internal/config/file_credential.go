package config

type fileCredential struct {
	said
	Like         text             `key:"like" doc:"Another credential, whose keys are taken over; own ones win."`
	OSCloud      text             `key:"os_cloud" doc:"Entry of clouds.yaml."`
	CloudsFile   text             `key:"clouds_file" format:"path" doc:"Path of clouds.yaml. Left out: where OpenStack's clients look."`
	Username     text             `key:"username" note:"personal, if it is a person's" doc:"Name of the user; with user_domain or user_domain_id unless it is in the domain default."`
	UserID       text             `key:"user_id" note:"personal, if it is a person's" doc:"Id of the user, in place of username."`
	Password     secret           `key:"password" doc:"Password of the user."`
	UserDomain   text             `key:"user_domain" doc:"Name of the user's domain."`
	UserDomainID text             `key:"user_domain_id" doc:"Id of the user's domain."`
	AppID        text             `key:"application_credential_id" doc:"Id of an application credential."`
	AppName      text             `key:"application_credential_name" doc:"Its name, in place of the id; with username or user_id."`
	AppSecret    secret           `key:"application_credential_secret" doc:"Secret of the application credential."`
	Token        secret           `key:"token" doc:"A token; it serves the one project that it is for."`
	OIDC         *fileOIDC        `key:"oidc" doc:"Client of an OpenID provider, or an access token."`
	Vault        *fileVault       `key:"vault" doc:"A secret in Vault, with the keys of another kind of credential in it."`
	Exec         *fileExec        `key:"exec" doc:"A program that prints the keys of another kind of credential as JSON."`
	Basic        *fileBasic       `key:"basic" doc:"A user's name and password, for services other than OpenStack."`
	Site         text             `key:"site" doc:"A site, by its name in GOCDB, at whose cloud it is used; for Swift."`
	VO           text             `key:"vo" doc:"The VO whose project there it is used in, beside site."`
	Certificate  *fileCertificate `key:"certificate" doc:"A certificate with its key, for services other than OpenStack."`
}

type fileOIDC struct {
	said
	Issuer       text   `key:"issuer" format:"url" words:"https://aai.egi.eu/auth/realms/egi" doc:"URL of the provider; its discovery document says where tokens are given."`
	TokenURL     text   `key:"token_url" format:"url" words:"https://aai.egi.eu/auth/realms/egi/protocol/openid-connect/token" doc:"Where tokens are given, when the provider is not to be asked for it."`
	ClientID     text   `key:"client_id" doc:"Id of the client."`
	ClientSecret secret `key:"client_secret" doc:"Secret of the client. Left out with the grant refresh_token: a public client."`
	Scopes       []text `key:"scopes" default:"[openid]" pattern:"^[!#-\\[\\]-~]+$" words:"a scope, which has no spaces" doc:"Scopes that are asked for."`
	Grant        text   `key:"grant" enum:"client_credentials|refresh_token" doc:"How a token is got. Left out: refresh_token when there is one, else client_credentials."`
	RefreshToken secret `key:"refresh_token" doc:"Refresh token, for that grant."`
	AccessToken  secret `key:"access_token" doc:"An access token, in place of a client: something else renews it, as a file."`
	IDP          text   `key:"idp" doc:"Name of the identity provider in Keystone. Required to sign in to OpenStack."`
	Protocol     text   `key:"protocol" default:"openid" doc:"Name of the protocol in Keystone."`
}

type fileVault struct {
	said
	URL    text           `key:"url" required:"true" format:"url" words:"https://vault.example.org:8200" doc:"URL of Vault, without /v1."`
	KV     number         `key:"kv" default:"2" min:"1" max:"2" doc:"Version of the secrets engine."`
	Mount  text           `key:"mount" default:"secret" pattern:"^[^/]+(/[^/]+)*$" words:"a path without / at its ends" doc:"Path of the secrets engine."`
	Path   text           `key:"path" required:"true" pattern:"^[^/]+(/[^/]+)*$" words:"a path without / at its ends" doc:"Path of the secret. {sub} is the subject of the JWT, {keystone_host} the host of Keystone, {vo} the VO, {site} the site."`
	Login  fileVaultLogin `key:"login" doc:"How to sign in to Vault: one of jwt, token, approle."`
	Key    text           `key:"key" doc:"The key of the secret that holds a token or password, when its keys are not named as those of a credential."`
	CAFile text           `key:"ca_file" format:"path" doc:"PEM file of authorities trusted for Vault beside the system's."`
}

type fileVaultLogin struct {
	said
	JWT     text         `key:"jwt" doc:"A credential of the kind oidc, whose access token is the JWT."`
	Role    text         `key:"role" doc:"Vault's role, beside jwt. Left out: its default one."`
	Mount   text         `key:"mount" pattern:"^[^/]+(/[^/]+)*$" words:"a path without / at its ends" doc:"Path of the auth method. Left out: jwt or approle."`
	Token   secret       `key:"token" doc:"A token of Vault."`
	AppRole *fileAppRole `key:"approle" doc:"Vault's way to sign programs in."`
}

type fileAppRole struct {
	said
	RoleID   text   `key:"role_id" required:"true" doc:"Id of the role."`
	SecretID secret `key:"secret_id" required:"true" doc:"Secret id of the role."`
}

type fileExec struct {
	said
	Command []text   `key:"command" required:"true" doc:"Path of the program, and its arguments; no shell. Arguments are seen by everybody on the host: they are no place for secrets."`
	Timeout duration `key:"timeout" default:"30s" min:"1s" max:"10m" doc:"How long it may take."`
}

type fileBasic struct {
	said
	User     text   `key:"user" required:"true" doc:"Name of the user."`
	Password secret `key:"password" required:"true" doc:"Password of the user."`
}

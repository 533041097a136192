package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/site"
)

// Grants of an OIDC client.
const (
	grantClient  = "client_credentials"
	grantRefresh = "refresh_token"
)

// credentials checks and takes over the credentials.
func (l *loader) credentials(cfg *Config) {
	cfg.Credentials = map[string]Credential{}
	for _, e := range l.main.rest.Credentials.entries {
		cfg.Credentials[e.name] = credentialOf(e.value)
		if e.at.kind == mapping && !e.at.partly {
			l.credential(e.at, e.value)
		}
	}
	for _, e := range l.main.rest.Credentials.entries {
		if v := e.value.Vault; v != nil {
			l.vaultLogin(cfg, v.Login)
		}
	}
}

func credentialOf(f *fileCredential) Credential {
	c := Credential{OSCloud: f.OSCloud.V, CloudsFile: f.CloudsFile.V,
		Username: f.Username.V, UserID: f.UserID.V, UserDomain: f.UserDomain.V, UserDomainID: f.UserDomainID.V, Password: f.Password.V,
		ApplicationID: f.AppID.V, ApplicationName: f.AppName.V, ApplicationSecret: f.AppSecret.V, Token: f.Token.V, Site: f.Site.V, VO: f.VO.V}
	if o := f.OIDC; o != nil {
		c.OIDC = &OIDCCredential{Issuer: o.Issuer.V, TokenURL: o.TokenURL.V, ClientID: o.ClientID.V, ClientSecret: o.ClientSecret.V, Scopes: values(o.Scopes),
			Grant: o.Grant.V, RefreshToken: o.RefreshToken.V, AccessToken: o.AccessToken.V, IDP: o.IDP.V, Protocol: o.Protocol.V}
	}
	if v := f.Vault; v != nil {
		c.Vault = &VaultCredential{URL: v.URL.V, KV: v.KV.V, Mount: v.Mount.V, Path: v.Path.V, Key: v.Key.V, CAFile: v.CAFile.V,
			Login: VaultLogin{JWT: v.Login.JWT.V, Role: v.Login.Role.V, Mount: v.Login.Mount.V, Token: v.Login.Token.V}}
		if a := v.Login.AppRole; a != nil {
			c.Vault.Login.AppRole = &AppRole{RoleID: a.RoleID.V, SecretID: a.SecretID.V}
		}
	}
	if x := f.Exec; x != nil {
		c.Exec = &ExecCredential{Command: values(x.Command), Timeout: x.Timeout.V}
	}
	if b := f.Basic; b != nil {
		c.Basic = &BasicCredential{User: b.User.V, Password: b.Password.V}
	}
	if t := f.Certificate; t != nil {
		c.Certificate = &Certificate{Cert: t.Cert.V, Key: t.Key.V}
	}
	return c
}

// credential checks that one is of exactly one kind, and complete.
func (l *loader) credential(at *node, f *fileCredential) {
	app := f.AppID.isSet() || f.AppName.isSet() || f.AppSecret.isSet()
	kinds := []string{}
	for _, k := range []struct {
		is   bool
		name string
	}{{f.OSCloud.isSet(), KindOSCloud}, {f.Password.isSet(), KindPassword}, {app, KindApplication}, {f.Token.isSet(), KindToken},
		{f.OIDC != nil, KindOIDC}, {f.Vault != nil, KindVault}, {f.Exec != nil, KindExec}, {f.Basic != nil, KindBasic}, {f.Certificate != nil, KindCertificate}} {
		if k.is {
			kinds = append(kinds, k.name)
		}
	}
	switch {
	case f.Site.isSet() && !f.VO.isSet():
		l.missing(at, "vo", "is required beside site")
	case f.VO.isSet() && !f.Site.isSet():
		l.missing(at, "site", "is required beside vo")
	case f.Site.isSet() && (f.Basic != nil || f.Certificate != nil):
		l.fail(f.Site.at, "goes with what signs in to OpenStack only")
	}
	user := f.Username.isSet() || f.UserID.isSet()
	domain := f.UserDomain.isSet() || f.UserDomainID.isSet()
	switch {
	case len(kinds) == 0 && user:
		l.missing(at, "password", "is required beside a user")
		return
	case len(kinds) == 0:
		l.fail(at, "must say how to sign in: os_cloud, username and password, an application credential, token, oidc, vault, exec, basic or certificate")
		return
	case len(kinds) > 1:
		l.fail(at, "must be of one kind, and is of %d: %s", len(kinds), strings.Join(kinds, ", "))
		return
	}
	if f.CloudsFile.isSet() && kinds[0] != KindOSCloud {
		l.fail(f.CloudsFile.at, "goes with os_cloud only")
	}
	if (user || domain) && kinds[0] != KindPassword && kinds[0] != KindApplication {
		l.fail(at, "names a user beside %s: keep one of them", kinds[0])
	}
	if f.Username.isSet() && f.UserID.isSet() {
		l.fail(f.UserID.at, "stands beside username: keep one of them")
	}
	if f.UserDomain.isSet() && f.UserDomainID.isSet() {
		l.fail(f.UserDomainID.at, "stands beside user_domain: keep one of them")
	}
	switch {
	case kinds[0] == KindPassword && !user:
		l.missing(at, "username", "is required, or user_id")
	case app:
		l.application(at, f, user)
	case f.OIDC != nil:
		l.oidc(f.OIDC)
	case f.Vault != nil:
		l.vault(f.Vault)
	case f.Exec != nil:
		l.exec(f.Exec)
	}
}

func (l *loader) application(at *node, f *fileCredential, user bool) {
	if !f.AppSecret.isSet() {
		l.missing(at, "application_credential_secret", "is required")
	}
	switch {
	case f.AppID.isSet() && f.AppName.isSet():
		l.fail(f.AppName.at, "stands beside application_credential_id: keep one of them")
	case !f.AppID.isSet() && !f.AppName.isSet():
		l.missing(at, "application_credential_id", "is required, or application_credential_name with a user")
	case f.AppName.isSet() && !user:
		l.missing(at, "username", "is required beside application_credential_name, or user_id")
	}
}

// oidc checks that a client has what its grant needs, and that an access token stands alone.
func (l *loader) oidc(f *fileOIDC) {
	if f.at.kind != mapping {
		return
	}
	if f.AccessToken.isSet() {
		for _, other := range []struct {
			key string
			at  *node
		}{{"client_secret", f.ClientSecret.at}, {"refresh_token", f.RefreshToken.at}, {"grant", f.Grant.at}} {
			if other.at != nil {
				l.fail(other.at, "stands beside access_token: keep one of them")
			}
		}
		return
	}
	if !f.Issuer.isSet() && !f.TokenURL.isSet() {
		l.missing(f.at, "issuer", "is required, or token_url, or access_token")
	}
	if !f.ClientID.isSet() {
		l.missing(f.at, "client_id", "is required")
	}
	switch f.Grant.V {
	case grantClient:
		if !f.ClientSecret.isSet() {
			l.missing(f.at, "client_secret", "is required for the grant client_credentials")
		}
		if f.RefreshToken.isSet() {
			l.fail(f.RefreshToken.at, "goes with grant: refresh_token only")
		}
	case grantRefresh:
		if !f.RefreshToken.isSet() {
			l.missing(f.at, "refresh_token", "is required for this grant")
		}
	}
}

var (
	placeholder  = regexp.MustCompile(`\{[^{}]*\}`)
	placeholders = []string{"{keystone_host}", "{site}", "{sub}", "{vo}"}
)

// vault checks the path, and that there is one way to sign in.
func (l *loader) vault(f *fileVault) {
	if f.at.kind != mapping {
		return
	}
	for _, p := range placeholder.FindAllString(f.Path.V, -1) {
		if !slices.Contains(placeholders, p) {
			l.fail(f.Path.at, "%s stands for nothing: %s do", p, strings.Join(placeholders, ", "))
		}
	}
	if strings.ContainsAny(placeholder.ReplaceAllString(f.Path.V, ""), "{}") {
		l.fail(f.Path.at, "has a bracket without its other half")
	}
	in := f.Login
	ways := 0
	for _, is := range []bool{in.JWT.isSet(), in.Token.isSet(), in.AppRole != nil} {
		if is {
			ways++
		}
	}
	switch {
	case in.at == nil || in.at.kind != mapping && in.at.origin != byDefault || in.at.partly:
	case ways == 0:
		l.missing(f.at, "login", "is required: {jwt: NAME}, {token: …} or {approle: …}")
	case ways > 1:
		l.fail(in.at, "must be one of jwt, token and approle")
	}
	if in.Role.isSet() && !in.JWT.isSet() {
		l.fail(in.Role.at, "goes with jwt only")
	}
	if in.Mount.isSet() && in.Token.isSet() {
		l.fail(in.Mount.at, "goes with jwt or approle only")
	}
	if strings.Contains(f.Path.V, "{sub}") && ways == 1 && !in.JWT.isSet() {
		l.fail(f.Path.at, "{sub} is the subject of a JWT, and login names none")
	}
}

// vaultLogin checks the credential that a login names.
func (l *loader) vaultLogin(cfg *Config, f fileVaultLogin) {
	if name := f.JWT; name.isSet() && name.V != "" {
		c, ok := cfg.Credentials[name.V]
		switch {
		case !ok:
			l.fail(name.at, "no credential is called %q%s", name.V, suggest(name.V, l.main.rest.Credentials.names()))
		case c.OIDC == nil && !l.isPartly(name.V):
			l.fail(name.at, "must be a credential of the kind oidc, and %s is of the kind %s", name.V, c.Kind())
		}
	}
}

func (l *loader) exec(f *fileExec) {
	if f.at.kind != mapping {
		return
	}
	if f.Command != nil && len(f.Command) == 0 {
		l.fail(f.at.get("command"), "names no program")
	}
	if len(f.Command) > 0 && f.Command[0].V != "" && !strings.HasPrefix(f.Command[0].V, "/") {
		l.fail(f.Command[0].at, "must be an absolute path: no shell looks for it")
	}
}

// missing reports a key that a mapping lacks.
func (l *loader) missing(n *node, key, message string) {
	l.add(n.head(), n.where()+"."+key, message)
}

// signIn checks the way of a cloud to its credential.
func (l *loader) signIn(cfg *Config, f fileCloud) {
	if f.at.kind != mapping || f.at.partly {
		return
	}
	if n := f.Credential.at; n == nil {
		if len(cfg.Credentials) == 0 {
			l.missing(f.at, "credential", "is required: name one under credentials")
		} else {
			l.missing(f.at, "credential", fmt.Sprintf("is required when there are several credentials: %s", strings.Join(l.main.rest.Credentials.names(), ", ")))
		}
		return
	}
	for _, name := range f.Credential.texts() {
		if c, ok := l.credentialNamed(cfg, name, f.at); ok && c.OSCloud == "" && !f.AuthURL.isSet() && !l.isPartly(name.V) {
			l.missing(f.at, "auth_url", fmt.Sprintf("is required: credential %s is no entry of clouds.yaml that would say it", name.V))
			return
		}
	}
}

// partCredentials checks that a mapping names a credential for each part that does anything at the cloud.
func (l *loader) partCredentials(s Site, f fileCloud, c Cloud) {
	n := f.Credential.at
	if n == nil || n.kind != mapping || n.partly || f.at.partly {
		return
	}
	for _, part := range parts {
		mode := s.Accounting.Mode
		switch part {
		case site.Discovery:
			mode = s.Discovery.Mode
		case site.Images:
			mode = s.Images.Mode
		}
		if _, said := f.Credential.own[part]; !said && site.Lowest(mode, c.ModeOf(part)) != site.Disabled {
			l.missing(n, string(part), "is required, unless the mode of "+string(part)+" is disabled")
		}
	}
}

// credentialNamed gives the credential that something of the file names to sign in to OpenStack, and reports one that
// cannot do that.
func (l *loader) credentialNamed(cfg *Config, name text, by *node) (Credential, bool) {
	if !name.isSet() || name.V == "" || name.at.kind != scalar {
		return Credential{}, false
	}
	c, ok := cfg.Credentials[name.V]
	switch {
	case !ok:
		l.fail(name.at, "no credential is called %q%s", name.V, suggest(name.V, l.main.rest.Credentials.names()))
	case c.Basic != nil || c.Certificate != nil:
		l.wrongCredential(name, by, fmt.Sprintf("is of the kind %s, which OpenStack does not take", c.Kind()))
	case c.Site != "":
		l.wrongCredential(name, by, fmt.Sprintf("is for one share of site %s, as for Swift: clouds and VOs take one without site and vo", c.Site))
	case c.OIDC != nil && c.OIDC.IDP == "":
		for _, e := range l.main.rest.Credentials.entries {
			if o := e.value.OIDC; e.name == name.V && o.at.kind == mapping && o.IDP.at == nil {
				l.missing(o.at, "idp", "is required to sign in to OpenStack: Keystone's name of the identity provider")
			}
		}
	default:
		return c, true
	}
	return Credential{}, false
}

// wrongCredential reports a credential where it is named; the only one there is need not be.
func (l *loader) wrongCredential(name text, by *node, message string) {
	at := name.at.at
	if name.at.origin == byDefault {
		at = by.head()
	}
	l.add(at, name.at.where(), name.V+" "+message)
}

// isPartly tells whether a credential is of a kind that is not there yet, or wrong anyway.
func (l *loader) isPartly(name string) bool {
	for _, e := range l.main.rest.Credentials.entries {
		if e.name == name {
			return e.at.kind != mapping || e.at.partly
		}
	}
	return false
}

// shareSites checks the sites that credentials name. Where sites have files of their own, one may be gone for now.
func (l *loader) shareSites(cfg *Config) {
	var known []string
	for _, s := range cfg.Sites {
		known = append(known, s.Site.Name)
	}
	for _, e := range l.main.rest.Credentials.entries {
		if s := e.value.Site; s.isSet() && s.V != "" && !slices.Contains(known, s.V) && len(l.main.includes) == 0 {
			l.fail(s.at, "no site is called %q%s", s.V, suggest(s.V, known))
		}
	}
}

// mutes checks what mutes name. A site whose file is gone for now is no error of the main file.
func (l *loader) mutes(cfg *Config) {
	var known []string
	for _, s := range cfg.Sites {
		known = append(known, s.Site.Name)
	}
	for _, m := range l.main.rest.Mute {
		if m.Site.isSet() && m.Site.V != "" && !slices.Contains(known, m.Site.V) && len(l.main.includes) == 0 {
			l.fail(m.Site.at, "no site is called %q%s", m.Site.V, suggest(m.Site.V, known))
		}
		cfg.Mutes = append(cfg.Mutes, Mute{Site: m.Site.V, Part: site.Part(m.Part.V), Reason: m.Reason.V, Until: m.Until.V})
	}
}

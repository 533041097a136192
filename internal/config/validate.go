package config

import (
	"fmt"
	"strings"
	"time"
)

// siteName checks a name as GOCDB and the accounting server take it.
func (l *loader) siteName(t text) {
	if !t.isSet() || t.V == "" {
		return
	}
	switch {
	case len(t.V) > 255 || strings.ContainsFunc(t.V, func(r rune) bool { return r < ' ' || r > '~' }):
		l.fail(t.at, "must be 1 to 255 printable ASCII characters, as GOCDB writes it")
	case strings.EqualFold(t.V, "none"), strings.EqualFold(t.V, "null"):
		l.fail(t.at, "must be a name: the accounting server takes %s for none", t.V)
	}
}

// unique reports names that are there twice, and clouds that stand in for another.
func (l *loader) unique(sites []*fileSite) {
	seen := map[string]bool{}
	for _, s := range sites {
		l.once(seen, s.GOCDB, "a site")
		clouds := map[string]bool{}
		for _, c := range s.Clouds {
			l.once(clouds, c.Name, "a cloud of this site")
		}
	}
}

func (l *loader) once(seen map[string]bool, t text, what string) {
	if !t.isSet() || t.V == "" {
		return
	}
	if seen[t.V] {
		l.fail(t.at, "%s is called %q already", what, t.V)
	}
	seen[t.V] = true
}

// credentials checks and takes over the credentials.
func (l *loader) credentials(cfg *Config) {
	cfg.Credentials = map[string]Credential{}
	for _, e := range l.rest.Credentials.entries {
		f := e.value
		if e.at.kind == mapping && !e.at.partly {
			l.credential(e.at, f)
		}
		cfg.Credentials[e.name] = Credential{OSCloud: f.OSCloud.V, CloudsFile: f.CloudsFile.V,
			Username: f.Username.V, UserID: f.UserID.V, UserDomain: f.UserDomain.V, UserDomainID: f.UserDomainID.V, Password: f.Password.V,
			ApplicationID: f.AppID.V, ApplicationName: f.AppName.V, ApplicationSecret: f.AppSecret.V, Token: f.Token.V}
	}
}

// credential checks that one is of exactly one kind, and complete.
func (l *loader) credential(at *node, f *fileCredential) {
	app := f.AppID.isSet() || f.AppName.isSet() || f.AppSecret.isSet()
	kinds := []string{}
	for _, k := range []struct {
		is   bool
		name string
	}{{f.OSCloud.isSet(), "os_cloud"}, {f.Password.isSet(), "password"}, {app, "application credential"}, {f.Token.isSet(), "token"}} {
		if k.is {
			kinds = append(kinds, k.name)
		}
	}
	user := f.Username.isSet() || f.UserID.isSet()
	domain := f.UserDomain.isSet() || f.UserDomainID.isSet()
	switch {
	case len(kinds) == 0 && user:
		l.missing(at, "password", "is required beside a user")
		return
	case len(kinds) == 0:
		l.fail(at, "must say how to sign in: os_cloud, username and password, an application credential, or token")
		return
	case len(kinds) > 1:
		l.fail(at, "must be of one kind, and is of %d: %s", len(kinds), strings.Join(kinds, ", "))
		return
	}
	if f.CloudsFile.isSet() && kinds[0] != "os_cloud" {
		l.fail(f.CloudsFile.at, "goes with os_cloud only")
	}
	if (user || domain) && (kinds[0] == "os_cloud" || kinds[0] == "token") {
		l.fail(at, "names a user beside %s: keep one of them", kinds[0])
	}
	if f.Username.isSet() && f.UserID.isSet() {
		l.fail(f.UserID.at, "stands beside username: keep one of them")
	}
	if f.UserDomain.isSet() && f.UserDomainID.isSet() {
		l.fail(f.UserDomainID.at, "stands beside user_domain: keep one of them")
	}
	switch {
	case kinds[0] == "password" && !user:
		l.missing(at, "username", "is required, or user_id")
	case app:
		l.application(at, f, user)
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

// missing reports a key that a mapping lacks.
func (l *loader) missing(n *node, key, message string) {
	l.add(n.head(), n.where()+"."+key, message)
}

// credentialOf checks the way of a cloud to its credential.
func (l *loader) credentialOf(cfg *Config, f fileCloud) {
	if f.at.kind != mapping || f.at.partly {
		return
	}
	name := f.Credential.accounting
	if !name.isSet() {
		switch n := f.Credential.at; {
		case n == nil && len(cfg.Credentials) == 0:
			l.missing(f.at, "credential", "is required: name one under credentials")
		case n == nil:
			l.missing(f.at, "credential", fmt.Sprintf("is required when there are several credentials: %s", strings.Join(l.rest.Credentials.names(), ", ")))
		case n.kind == mapping && len(n.pairs) == 0:
			l.missing(n, partAccounting, "is required")
		}
		return
	}
	c, ok := cfg.Credentials[name.V]
	switch {
	case name.V == "":
	case !ok:
		l.fail(name.at, "no credential is called %q%s", name.V, suggest(name.V, l.rest.Credentials.names()))
	case c.OSCloud == "" && !f.AuthURL.isSet() && !l.isPartly(name.V):
		l.missing(f.at, "auth_url", fmt.Sprintf("is required: credential %s is no entry of clouds.yaml that would say it", name.V))
	}
}

// isPartly tells whether a credential is of a kind that is not there yet.
func (l *loader) isPartly(name string) bool {
	for _, e := range l.rest.Credentials.entries {
		if e.name == name {
			return e.at.kind != mapping || e.at.partly
		}
	}
	return false
}

func (l *loader) checkAccounting(f fileAccounting) {
	if f.at == nil || f.at.kind != mapping {
		return
	}
	if from := f.ActiveFrom; from.isSet() && !from.V.IsZero() && !from.V.Equal(time.Date(from.V.Year(), from.V.Month(), 1, 0, 0, 0, 0, time.UTC)) {
		l.fail(from.at, "must be the first day of a month, UTC: months are sent whole")
	}
	if from, since := f.ActiveFrom, f.Since; f.Previously.V == "nothing" && from.isSet() && since.isSet() && !from.V.IsZero() && !since.V.IsZero() && from.V.Format("2006-01") != since.V.Format("2006-01") {
		l.fail(from.at, "must be in the month of since, %s: where nothing sent records before, the first month that is sent is charged with all use until then", since.V.Format("2006-01"))
	}
	if f.Records != nil && len(f.Records) == 0 {
		l.fail(f.at.get("records"), "names no kind: for no accounting say mode: disabled")
	}
	if f.Mode.V != "active" {
		return
	}
	if !f.Previously.isSet() && f.at.get("previously") == nil {
		l.add(f.Mode.at.at, f.at.where()+".previously", "is required to be active: caso, if cASO sent this site's records, else nothing")
	}
	l.destinations(f)
}

// destinations checks that exactly one destination is no copy: two ways to one server have no order (design §7, rule 13).
func (l *loader) destinations(f fileAccounting) {
	var all, real []*node
	if f.AMS != nil {
		all = append(all, f.AMS.at)
		if !f.AMS.Copy.V {
			real = append(real, f.AMS.at)
		}
	}
	if f.Dirq != nil {
		all = append(all, f.Dirq.at)
		if !f.Dirq.Copy.V {
			real = append(real, f.Dirq.at)
		}
	}
	switch {
	case len(all) == 0: // their form is wrong, which is said already
	case len(real) == 0:
		l.fail(all[0], "is a copy, and nothing is there to be copied: take copy: true out of one destination")
	case len(real) > 1:
		l.fail(real[1], "is a second destination: mark one of them as copy: true")
	}
}

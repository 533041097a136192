package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// unscoped is the token of no project that Keystone gave for an access token. It is exchanged for one of each project, so
// that the identity provider is not asked again for each.
type unscoped struct {
	mu sync.Mutex
	granted
	of Credential // what it was given for
}

// federate signs in with an access token at Keystone's identity provider, and exchanges what that gives for a token of the
// scope; without a scope that is all.
func (c *Cloud) federate(ctx context.Context, cred Credential, scope *gophercloud.AuthScope, spent string) (granted, error) {
	u, err := c.unscopedToken(ctx, cred, spent)
	if err != nil || scope == nil {
		return u, err
	}
	g, err := c.exchange(ctx, u.token, scope)
	if e, ok := errors.AsType[*Error](err); ok && (e.Status == http.StatusUnauthorized || e.Status == http.StatusNotFound) { // it may have ended meanwhile
		if u, err = c.unscopedToken(ctx, cred, u.token); err != nil {
			return granted{}, err
		}
		g, err = c.exchange(ctx, u.token, scope)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		e.exchanged = true
	}
	return g, err
}

// unscopedToken gives a token of no project that is not the spent one.
func (c *Cloud) unscopedToken(ctx context.Context, cred Credential, spent string) (granted, error) {
	u := &c.federated
	u.mu.Lock()
	defer u.mu.Unlock()
	// A new access token is no reason to sign in anew: what was given for the one before holds until it ends.
	if u.token != "" && u.token != spent && u.of.IdentityProvider == cred.IdentityProvider && u.of.Protocol == cred.Protocol {
		return u.granted, nil
	}
	u.token = ""
	g, err := c.enterFederated(ctx, cred)
	if err != nil {
		return granted{}, err
	}
	u.granted, u.of = g, cred
	return g, nil
}

// enterFederated shows an access token to Keystone's identity provider.
func (c *Cloud) enterFederated(ctx context.Context, cred Credential) (granted, error) {
	if cred.IdentityProvider == "" || cred.Protocol == "" {
		return granted{}, incomplete(errors.New("identity provider and protocol must be said beside an access token"))
	}
	target := c.identity + "OS-FEDERATION/identity_providers/" + url.PathEscape(cred.IdentityProvider) + "/protocols/" + url.PathEscape(cred.Protocol) + "/auth"
	client := &gophercloud.ProviderClient{HTTPClient: *c.cfg.HTTP}
	asked := c.cfg.Now()
	var result tokens.CreateResult
	res, err := client.Request(ctx, http.MethodPost, target, &gophercloud.RequestOpts{JSONResponse: &result.Body, OkCodes: []int{http.StatusOK, http.StatusCreated},
		MoreHeaders: map[string]string{"Authorization": "Bearer " + cred.AccessToken, "Accept": "application/json"}})
	if _, result.Header, result.Err = gophercloud.ParseResponse(res, err); result.Err != nil {
		return granted{}, refusedEntry(translate("identity", http.MethodPost, target, result.Err), cred)
	}
	id, err := result.ExtractTokenID()
	if err != nil || id == "" {
		return granted{}, &Error{Kind: ErrBadAnswer, Service: "identity", Method: http.MethodPost, Path: pathOf(target), Message: "the answer has no token"}
	}
	g, err := c.read(result.Result, id, http.MethodPost, asked)
	if err == nil && (g.projectID != "" || g.system) { // a token of a scope would list other things than asked for
		return granted{}, &Error{Kind: ErrScope, Service: "identity", Message: fmt.Sprintf("asked for a token of no project, got one of %s", g.scope())}
	}
	return g, err
}

// refusedEntry says what it means that an identity provider did not let somebody in: who answers tells how far it came.
func refusedEntry(err error, cred Credential) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	e.entering = true
	where := fmt.Sprintf("identity provider %s, protocol %s", cred.IdentityProvider, cred.Protocol)
	switch {
	case e.Status == http.StatusUnauthorized && !e.fromService: // the web server before Keystone
		e.Message = "the access token is not taken: it has ended, or the provider does not know it"
		e.Remedy = "get a new access token; if it is new, the site's Keystone may trust another provider, or not reach it"
	case e.Status == http.StatusUnauthorized:
		e.Remedy = "no rule of the site's mapping fits who the token is for: check its entitlements, and the mapping of " + where
	case e.Status == http.StatusForbidden:
		e.Remedy = "the site's Keystone trusts another issuer: check the remote ids of the " + where
	case e.Status == http.StatusNotFound:
		e.Kind, e.Remedy = ErrConfiguration, "Keystone has no such "+where+": check idp and protocol (openid, or oidc at some sites)"
	case e.Status == http.StatusConflict:
		e.Remedy = "the user was made through another protocol of this identity provider: use that one"
	case e.Status == http.StatusInternalServerError:
		e.Remedy = "the site's mapping may name a group that is gone: see Keystone's log"
	}
	return e
}

// exchange gives a token of the scope for one of no project.
func (c *Cloud) exchange(ctx context.Context, token string, scope *gophercloud.AuthScope) (granted, error) {
	return c.grant(ctx, Credential{Token: token}, scope, "")
}

package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/fedsite/fedsite/internal/transport"
)

// granted is what Keystone gave with a token.
type granted struct {
	token            string
	projectID        string
	project          Scope // with names
	admin            bool  // of that project: services show it what is others', too
	domainID         string
	system           bool
	userID, userName string
	ahead            *time.Duration // of Keystone's clock; nil = it said no date
	catalog          []tokens.CatalogEntry
}

// session is one scope of one credential. Its token may change, its scope never does.
type session struct {
	granted
	cloud       *Cloud
	provider    *gophercloud.ProviderClient // holds the token, and signs in anew once when it is refused
	onlyProject string                      // the credential cannot sign in to another
}

func (s granted) scope() string {
	switch {
	case s.projectID != "":
		return "project " + s.projectID
	case s.system:
		return "the whole system"
	case s.domainID != "":
		return "domain " + s.domainID
	}
	return "no project"
}

// start signs in without a project of ours, once.
func (c *Cloud) start(ctx context.Context) (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base != nil {
		return c.base, nil
	}
	cred, err := c.cfg.Supply(ctx, nil)
	if err != nil {
		return nil, unsupplied(err)
	}
	if cred.SystemScope || cred.DomainScope {
		what := "system_scope"
		if cred.DomainScope {
			what = "domain scope"
		}
		return nil, &Error{Kind: ErrScope, Service: "identity", Message: "the credential asks for " + what + ": with such a token Nova answers every project's listing with nothing",
			Remedy: "remove " + what + " from the credential, and give its user the role reader on each project"}
	}
	s, err := c.enter(ctx, cred)
	if cred.Token != "" && refused(err) { // the others are asked for anew below
		if fresh, again := c.cfg.Supply(ctx, &cred); again == nil && fresh != cred {
			s, err = c.enter(ctx, fresh)
		}
	}
	if err != nil {
		return nil, err
	}
	if s.system {
		return nil, &Error{Kind: ErrScope, Service: "identity", Message: "the token is for the whole system: with it Nova answers every project's listing with nothing",
			Remedy: "use a credential that can sign in to each project"}
	}
	if cred.oneProject() {
		s.onlyProject = s.projectID
	}
	c.base = s
	return s, nil
}

// enter signs in without asking for a scope. A given token is looked at first: exchanged without a scope, one of the whole
// system becomes one of nothing, which Keystone then refuses for every project as if a role were missing. It is used as
// it is where Keystone does not exchange it.
func (c *Cloud) enter(ctx context.Context, cred Credential) (*session, error) {
	if cred.Token == "" {
		return c.signIn(ctx, nil, nil)
	}
	given, unread := c.asGiven(ctx, cred.Token)
	if refused(unread) || (unread == nil && given.system) {
		return given, unread
	}
	s, err := c.signIn(ctx, nil, nil)
	var refused *Error
	if errors.As(err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden) {
		if unread == nil && given.projectID == "" {
			return nil, &Error{Kind: ErrScope, Service: "identity", Message: fmt.Sprintf("the token is of %s, and Keystone does not exchange it for one of a project", given.scope())}
		}
		return given, unread
	}
	return s, err
}

// asGiven is a token as it is, for where Keystone does not exchange it for another: that of an application credential, or
// any where Keystone forbids it (allow_rescope_scoped_token). It serves its own project only.
func (c *Cloud) asGiven(ctx context.Context, token string) (*session, error) {
	asked := c.cfg.Now()
	client := &gophercloud.ServiceClient{ProviderClient: &gophercloud.ProviderClient{HTTPClient: *c.cfg.HTTP, TokenID: token}, Endpoint: c.identity}
	result := tokens.Get(ctx, client, token)
	if result.Err != nil {
		e := translate("identity", http.MethodGet, c.identity+"auth/tokens", result.Err)
		if failed, ok := errors.AsType[*Error](e); ok && failed.Kind == ErrNotAuthorised {
			failed.Remedy = "the token has expired or was revoked: put a new one in its place"
		}
		return nil, e
	}
	g, err := c.read(result.Result, token, http.MethodGet, asked)
	if err != nil {
		return nil, err
	}
	return &session{granted: g, cloud: c, onlyProject: g.projectID, provider: &gophercloud.ProviderClient{HTTPClient: *c.cfg.HTTP, IdentityBase: c.identity, TokenID: token}}, nil
}

// signIn gets a token of the scope; nil leaves the scope to Keystone. A base session saves nothing but names the user.
func (c *Cloud) signIn(ctx context.Context, scope *gophercloud.AuthScope, base *session) (*session, error) {
	g, err := c.admit(ctx, scope, "")
	if err != nil {
		var e *Error
		if errors.As(err, &e) && !e.entering && scope != nil && scope.ProjectID != "" && base != nil && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || e.Status == http.StatusNotFound) {
			e.Kind = ErrNoRole
			e.Message = fmt.Sprintf("user %s cannot sign in to project %s: it has no role there, or the project is disabled", cmpOr(base.userName, base.userID), scope.ProjectID)
			e.Remedy = fmt.Sprintf("openstack role add --user %s --project %s reader", cmpOr(base.userID, base.userName), scope.ProjectID)
		} else if e != nil && !e.entering && e.Status == http.StatusNotFound && e.fromService { // Keystone's word for a token or an application credential that it does not know
			e.Kind = ErrNotAuthorised
		}
		return nil, err
	}
	s := &session{granted: g, cloud: c, provider: &gophercloud.ProviderClient{HTTPClient: *c.cfg.HTTP, IdentityBase: c.identity}}
	s.provider.UseTokenLock()
	s.provider.SetToken(g.token)
	s.provider.ReauthFunc = func(ctx context.Context) error {
		again, err := c.admit(ctx, scope, s.provider.Token())
		if err != nil {
			return err
		}
		if again.scope() != s.scope() {
			return &Error{Kind: ErrScope, Service: "identity", Message: fmt.Sprintf("signed in anew, the token is of %s instead of %s", again.scope(), s.scope())}
		}
		s.provider.SetToken(again.token)
		return nil
	}
	return s, nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// admit gets a token of the scope with the credential of the moment; spent is a token that is not taken any more. A
// credential that Keystone refuses is asked for anew, once: it may have ended where it comes from.
func (c *Cloud) admit(ctx context.Context, scope *gophercloud.AuthScope, spent string) (granted, error) {
	cred, err := c.cfg.Supply(ctx, nil)
	if err != nil {
		return granted{}, unsupplied(err)
	}
	g, err := c.grant(ctx, cred, scope, spent)
	if !refused(err) {
		return g, err
	}
	fresh, again := c.cfg.Supply(ctx, &cred)
	if again != nil || fresh == cred {
		return g, err
	}
	return c.grant(ctx, fresh, scope, spent)
}

// refused tells whether Keystone refused a credential, and not what it was to give.
func refused(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && !e.exchanged && (e.Status == http.StatusUnauthorized || (e.Status == http.StatusNotFound && e.fromService && !e.entering))
}

// unsupplied says that there is no credential to sign in with.
func unsupplied(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: ErrNotAuthorised, Service: "identity", Message: "credential: " + err.Error(), Remedy: "check the credential's entry in the configuration"}
}

// grant gets a token and what comes with it.
func (c *Cloud) grant(ctx context.Context, cred Credential, scope *gophercloud.AuthScope, spent string) (granted, error) {
	ctx = transport.Hiding(ctx, cred.secrets()...)
	if cred.AccessToken != "" {
		return c.federate(ctx, cred, scope, spent)
	}
	throwaway := &gophercloud.ServiceClient{ProviderClient: &gophercloud.ProviderClient{HTTPClient: *c.cfg.HTTP}, Endpoint: c.identity}
	opts := cred.options(c.identity, scope)
	if _, err := opts.ToTokenV3CreateMap(nil); err != nil { // nothing is asked: a part is missing
		return granted{}, incomplete(err)
	}
	asked := c.cfg.Now()
	result := tokens.Create(ctx, throwaway, &opts)
	if result.Err != nil {
		return granted{}, translate("identity", http.MethodPost, c.identity+"auth/tokens", result.Err)
	}
	id, err := result.ExtractTokenID()
	if err != nil || id == "" {
		return granted{}, &Error{Kind: ErrBadAnswer, Service: "identity", Method: http.MethodPost, Path: pathOf(c.identity + "auth/tokens"), Message: "the answer has no token"}
	}
	return c.read(result.Result, id, http.MethodPost, asked)
}

// incomplete says that a credential lacks what its kind needs, a password above all.
func incomplete(err error) error {
	return &Error{Kind: ErrNotAuthorised, Service: "identity", Message: "the credential is not complete: " + err.Error(),
		Remedy: "fill in what its kind needs: user and password, id and secret of an application credential, a token, or an access token; a file or variable that it is read from may be empty"}
}

// read takes from Keystone's answer what comes with the token, and checks its clock.
func (c *Cloud) read(result gophercloud.Result, token, method string, asked time.Time) (granted, error) {
	var body struct {
		User struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"user"`
		Project struct {
			ID     string `json:"id"`
			Name   string `json:"name"`
			Domain struct {
				ID   string `json:"id"`
				Name string `json:"name"`
			} `json:"domain"`
		} `json:"project"`
		Roles []struct {
			Name string `json:"name"`
		} `json:"roles"`
		Domain struct {
			ID string `json:"id"`
		} `json:"domain"`
		System  map[string]any        `json:"system"`
		Catalog []tokens.CatalogEntry `json:"catalog"`
	}
	if err := result.ExtractIntoStructPtr(&body, "token"); err != nil {
		return granted{}, &Error{Kind: ErrBadAnswer, Service: "identity", Method: method, Path: pathOf(c.identity + "auth/tokens"), Message: "the answer is not what Keystone says of a token"}
	}
	if err := c.checkClock(result.Header.Get("Date"), asked); err != nil {
		return granted{}, err
	}
	admin := false
	for _, r := range body.Roles {
		admin = admin || strings.EqualFold(r.Name, "admin")
	}
	p := body.Project
	return granted{token: token, projectID: p.ID, project: Scope{ID: p.ID, Name: p.Name, DomainID: p.Domain.ID, DomainName: p.Domain.Name}, admin: admin, domainID: body.Domain.ID, system: len(body.System) > 0,
		userID: body.User.ID, userName: body.User.Name, ahead: aheadOf(result.Header.Get("Date"), asked), catalog: body.Catalog}, nil
}

// checkClock refuses to go on when Keystone's clock and ours differ too much: windows and sightings would be wrong
// (design §7, Clocks).
func (c *Cloud) checkClock(date string, asked time.Time) error {
	d := aheadOf(date, asked)
	if d == nil || c.cfg.MaxSkew == 0 { // a Keystone that says no date cannot be compared with
		return nil
	}
	if d.Abs() > c.cfg.MaxSkew {
		return &Error{Kind: ErrClock, Service: "identity", Message: fmt.Sprintf("Keystone's clock says %s, ours %s", asked.Add(*d).UTC().Format(time.RFC3339), asked.UTC().Format(time.RFC3339))}
	}
	return nil
}

// aheadOf tells how far the clock that wrote the date is ahead of ours; nil when there is no date.
func aheadOf(date string, asked time.Time) *time.Duration {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return nil
	}
	d := theirs.Sub(asked)
	return &d
}

// endpoint finds a service in the catalog; it ends in a slash. Without a region there must be no choice: a catalog has no
// order, and another region has other VMs.
func (s *session) endpoint(service, region, iface string) (string, error) {
	var (
		found   string
		regions []string
	)
	for _, entry := range s.catalog {
		if entry.Type != service {
			continue
		}
		for _, e := range entry.Endpoints {
			if e.Interface != iface {
				continue
			}
			name := cmpOr(e.RegionID, e.Region)
			if found == "" && (region == "" || name == region) {
				found = strings.TrimRight(e.URL, "/") + "/"
			}
			regions = append(regions, name)
		}
	}
	slices.Sort(regions)
	regions = slices.Compact(regions)
	e := &Error{Kind: ErrNoService, Service: service, Message: fmt.Sprintf("the catalog of %s has no %s endpoint for %s", s.scope(), iface, service)}
	switch {
	case found != "" && (region != "" || len(regions) == 1):
		return found, nil
	case found != "":
		e.Message = fmt.Sprintf("the catalog has %s endpoints in regions %s: one must be chosen", service, strings.Join(regions, ", "))
		e.Remedy = "name the cloud's region in the configuration, as region; another one is another cloud"
	case len(regions) > 0:
		e.Message = fmt.Sprintf("the catalog has no %s endpoint in region %s, only in %s", service, region, strings.Join(regions, ", "))
	}
	return "", e
}

// get reads a JSON answer. An expired token leads to one new sign-in with the same scope.
func (s *session) get(ctx context.Context, service, target, microversion string, into any) error {
	opts := &gophercloud.RequestOpts{KeepResponseBody: true, OkCodes: []int{http.StatusOK, http.StatusMultipleChoices}, MoreHeaders: map[string]string{"Accept": "application/json"}}
	if microversion != "" {
		opts.MoreHeaders["X-OpenStack-Nova-API-Version"] = microversion
		opts.MoreHeaders["OpenStack-API-Version"] = "compute " + microversion
	}
	res, err := s.provider.Request(ctx, http.MethodGet, target, opts)
	if err != nil {
		return translate(service, http.MethodGet, target, err)
	}
	defer res.Body.Close()
	decoder := json.NewDecoder(res.Body)
	if l, ok := into.(*listing); ok {
		err = l.decode(decoder)
	} else {
		err = decoder.Decode(into)
	}
	if err != nil {
		e := &Error{Kind: ErrBadAnswer, Service: service, Method: http.MethodGet, Path: pathOf(target), RequestID: res.Header.Get("X-Openstack-Request-Id"), Cause: err}
		var syntax *json.SyntaxError
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			e.Kind, e.Message = ErrUnavailable, "the answer was cut"
		} else if errors.As(err, &syntax) {
			e.Message = "the answer is not JSON"
		} else if ctx.Err() == nil && errors.Is(err, transport.ErrUnreachable) {
			e.Kind = ErrUnavailable
		}
		return e
	}
	return nil
}

func pathOf(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Path
}

// translate gives an error of the library our kind, and what the service said.
func translate(service, method, target string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Service: service, Method: method, Path: pathOf(target), Kind: ErrUnavailable, Cause: err}
	if hint := transport.Hint(err); hint != "" {
		e.Remedy = hint
	}
	if re, ok := errors.AsType[*gophercloud.ErrErrorAfterReauthentication](err); ok {
		err = re.ErrOriginal
	}
	if re, ok := errors.AsType[*gophercloud.ErrUnableToReauthenticate](err); ok {
		if inner, ok := errors.AsType[*Error](re.ErrReauth); ok {
			return inner
		}
		e.Kind, e.Message = ErrNotAuthorised, "the token was refused, and signing in anew failed"
	}
	code, ok := errors.AsType[gophercloud.ErrUnexpectedResponseCode](err)
	if !ok {
		if failure, ok := errors.AsType[*transport.Failure](err); ok {
			e.Message = failure.Error()
		} else if _, ok := errors.AsType[*json.SyntaxError](err); ok {
			e.Kind, e.Message = ErrBadAnswer, "the answer is not JSON"
		}
		return e
	}
	e.Status, e.Cause, e.RequestID = code.Actual, nil, code.ResponseHeader.Get("X-Openstack-Request-Id")
	e.Message, e.fromService = said(code.Body)
	switch {
	case code.Actual == http.StatusUnauthorized:
		e.Kind = ErrNotAuthorised
	case code.Actual == http.StatusForbidden:
		e.Kind = ErrForbidden
	case code.Actual == http.StatusNotFound:
		e.Kind = ErrNotFound
	case code.Actual >= 500 || code.Actual == http.StatusTooManyRequests || code.Actual == http.StatusRequestTimeout:
		e.Kind = ErrUnavailable
	default:
		e.Kind = ErrBadAnswer
	}
	return e
}

// said gives what a service's error body says, on one short line, and whether it has the form of OpenStack's own.
func said(body []byte) (message string, own bool) {
	var doc map[string]struct {
		Message string `json:"message"`
	}
	text := string(body)
	if json.Unmarshal(body, &doc) == nil {
		for _, v := range doc {
			text, own = v.Message, true
		}
	}
	text = strings.Join(strings.Fields(printable(text)), " ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text, own
}

package openstack

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
)

// send asks the object storage, and gives an answer of one of the statuses. After a 401 it signs in anew, once. The library
// is not used for it: with the second attempt it would rewind the body while the first may still be read from it.
func (c *Container) send(ctx context.Context, method, target string, header map[string]string, body []byte, ok ...int) (*http.Response, error) {
	provider := c.session.provider
	token := provider.Token()
	res, err := c.once(ctx, method, target, token, header, body)
	if err == nil && res.StatusCode == http.StatusUnauthorized && provider.ReauthFunc != nil {
		drain(res)
		if err := provider.Reauthenticate(ctx, token); err != nil {
			return nil, translate(objectStore, method, target, err)
		}
		res, err = c.once(ctx, method, target, provider.Token(), header, body)
	}
	if err != nil {
		return nil, c.explain(method, target, nil, err)
	}
	if slices.Contains(ok, res.StatusCode) {
		return res, nil
	}
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	_ = res.Body.Close()
	return nil, c.explain(method, target, res, gophercloud.ErrUnexpectedResponseCode{Method: method, URL: target, Actual: res.StatusCode, Body: plainly(text), ResponseHeader: res.Header})
}

func (c *Container) once(ctx context.Context, method, target, token string, header map[string]string, body []byte) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Auth-Token", token)
	for key, value := range header {
		req.Header.Set(key, value)
	}
	return c.session.provider.HTTPClient.Do(req)
}

// explain gives a failure of the object storage its kind, and says what to do.
func (c *Container) explain(method, target string, res *http.Response, err error) error {
	e, ok := translate(objectStore, method, target, err).(*Error)
	if !ok {
		return err
	}
	if res != nil {
		e.RequestID = requestID(res)
	}
	who, project := cmpOr(c.session.userName, c.session.userID), c.session.projectID
	switch {
	case e.Status == http.StatusForbidden:
		e.Remedy = "openstack role add --user " + who + " --project " + project + " member: object storage lets in who has a role that its operators chose (operator_roles), and a reader may not be one"
	case e.Status == http.StatusRequestEntityTooLarge, e.Status == http.StatusInsufficientStorage:
		e.Kind, e.Remedy = ErrFull, "make room, or raise the quota of container "+c.name+" or of project "+project+"'s account: openstack object store account show"
	case e.Status == http.StatusUnprocessableEntity: // the sum that was sent is not that of what arrived
		e.Kind, e.Message = ErrUnavailable, cmpOr(e.Message, "what arrived is not what was sent")
	case e.Status == 498, e.Status == 499: // Swift's: too fast; the upload ended early
		e.Kind = ErrUnavailable
	case e.Status == http.StatusNotFound && method == http.MethodPut:
		e.Remedy = "openstack container create " + c.name
	case e.Kind == ErrBadAnswer:
		e.Remedy = "check the object-store endpoint of the catalog: something else than object storage may answer there"
	}
	if e.Kind == ErrUnavailable && e.Remedy == "" {
		e.Remedy = "nothing is lost: what is stored stays, and the next run tries again"
	}
	return e
}

// changed is an answer of success that cannot be one.
func (c *Container) changed(method, target string, res *http.Response, message string) *Error {
	return &Error{Kind: ErrBadAnswer, Service: objectStore, Method: method, Path: pathOf(target), Status: res.StatusCode, RequestID: requestID(res), Message: message,
		Remedy: "something between here and the object storage may change what passes, or answer in its place; the next run tries again"}
}

// requestID is what the administrator finds in the logs; an old Swift has another header for it.
func requestID(res *http.Response) string {
	return cmpOr(res.Header.Get("X-Openstack-Request-Id"), res.Header.Get("X-Trans-Id"))
}

var tags = regexp.MustCompile("<[^>]*>")

// plainly gives the text of a page: Swift says in HTML what is wrong.
func plainly(body []byte) []byte {
	text := strings.TrimSpace(string(body))
	if !strings.HasPrefix(text, "<") {
		return body
	}
	return []byte(tags.ReplaceAllString(text, " "))
}

package openstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gophercloud/gophercloud/v2"
)

// Change is one change of what an image says.
type Change struct {
	Name     string // of a property; else name, visibility, os_hidden, protected, min_ram, min_disk, tags (separated by commas)
	Value    string
	Remove   bool // of a property
	Property bool
}

// Create makes an image without content; it is queued until it gets some.
func (s *ImageStore) Create(ctx context.Context, n NewImage) (StoredImage, error) {
	body := map[string]any{}
	for name, value := range n.Properties {
		body[name] = value
	}
	body["name"], body["disk_format"], body["container_format"], body["min_disk"], body["min_ram"] = n.Name, n.DiskFormat, n.ContainerFormat, n.MinDisk, n.MinRAM
	body["visibility"] = s.visibility(n.Visibility)
	if len(n.Tags) > 0 {
		body["tags"] = n.Tags
	}
	var raw json.RawMessage
	if err := s.write(ctx, http.MethodPost, s.endpoint+"images", "application/json", body, &raw, http.StatusCreated); err != nil {
		return StoredImage{}, err
	}
	return s.decoded(http.MethodPost, "", raw)
}

// visibility is what an older Glance calls it.
func (s *ImageStore) visibility(v string) string {
	if !s.abler.shared && v != "public" {
		return "private"
	}
	return v
}

// Change changes what an image says, all of it or nothing. A property that is to go and is not there is no error.
func (s *ImageStore) Change(ctx context.Context, id string, changes []Change) (StoredImage, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value,omitempty"`
	}
	var all []operation
	for _, c := range changes {
		op := operation{Op: "replace", Path: "/" + pointer(c.Name), Value: c.Value}
		switch {
		case c.Remove:
			op.Op, op.Value = "remove", nil
		case c.Property: // to replace one that is not there is a conflict; to add one that is there replaces it
			op.Op = "add"
		case c.Name == "visibility":
			op.Value = s.visibility(c.Value)
		case c.Name == "os_hidden" || c.Name == "protected":
			op.Value = c.Value == "true"
		case c.Name == "min_ram" || c.Name == "min_disk":
			n, err := strconv.ParseInt(c.Value, 10, 64)
			if err != nil {
				return StoredImage{}, fmt.Errorf("image %s: %s is a number: %w", id, c.Name, err)
			}
			op.Value = n
		case c.Name == "tags":
			op.Value = slices.DeleteFunc(strings.Split(c.Value, ","), func(tag string) bool { return tag == "" })
		}
		if c.Name == "os_hidden" && !s.abler.hides {
			continue
		}
		all = append(all, op)
	}
	if len(all) == 0 {
		return s.Image(ctx, id)
	}
	var raw json.RawMessage
	if err := s.write(ctx, http.MethodPatch, s.image(id), "application/openstack-images-v2.1-json-patch", all, &raw, http.StatusOK); err != nil {
		return StoredImage{}, err
	}
	return s.decoded(http.MethodPatch, id, raw)
}

// pointer escapes a name for a JSON pointer (RFC 6901).
func pointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// Delete takes an image away; that it is not there is no error. ErrInUse and ErrProtected say why it stays.
func (s *ImageStore) Delete(ctx context.Context, id string) error {
	err := s.write(ctx, http.MethodDelete, s.image(id), "", nil, nil, http.StatusNoContent)
	var e *Error
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case errors.As(err, &e) && e.Status == http.StatusConflict:
		e.Kind, e.Remedy = ErrInUse, "it can be deleted when nothing is made of it any more"
	case errors.As(err, &e) && e.Status == http.StatusForbidden && strings.Contains(strings.ToLower(e.Message), "protected"):
		e.Kind, e.Remedy = ErrProtected, "openstack image set --unprotect "+id
	}
	return err
}

// Deactivate keeps an image's content from everybody but administrators.
func (s *ImageStore) Deactivate(ctx context.Context, id string) error {
	return s.write(ctx, http.MethodPost, s.image(id)+"/actions/deactivate", "", nil, nil, http.StatusNoContent)
}

// Reactivate undoes Deactivate.
func (s *ImageStore) Reactivate(ctx context.Context, id string) error {
	return s.write(ctx, http.MethodPost, s.image(id)+"/actions/reactivate", "", nil, nil, http.StatusNoContent)
}

// Share offers an image to a project, which sees it once it has accepted it. That it was offered before is no error.
func (s *ImageStore) Share(ctx context.Context, id, project string) error {
	err := s.write(ctx, http.MethodPost, s.image(id)+"/members", "application/json", map[string]string{"member": project}, nil, http.StatusOK)
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusConflict {
		return nil
	}
	return err
}

// Unshare takes the offer back; that there is none is no error.
func (s *ImageStore) Unshare(ctx context.Context, id, project string) error {
	err := s.write(ctx, http.MethodDelete, s.image(id)+"/members/"+url.PathEscape(project), "", nil, nil, http.StatusNoContent)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Accept takes an image that is offered to this store's project.
func (s *ImageStore) Accept(ctx context.Context, id string) error {
	return s.write(ctx, http.MethodPut, s.image(id)+"/members/"+url.PathEscape(s.session.projectID), "application/json", map[string]string{"status": "accepted"}, nil, http.StatusOK)
}

// write makes a request that changes something. An expired token leads to one new sign-in.
func (s *ImageStore) write(ctx context.Context, method, target, contentType string, body, into any, ok int) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	provider := s.session.provider
	token := provider.Token()
	res, err := s.once(ctx, method, target, token, contentType, bytes.NewReader(content), int64(len(content)))
	if err == nil && res.StatusCode == http.StatusUnauthorized && provider.ReauthFunc != nil {
		drain(res)
		if err := provider.Reauthenticate(ctx, token); err != nil {
			return translate("image", method, target, err)
		}
		res, err = s.once(ctx, method, target, provider.Token(), contentType, bytes.NewReader(content), int64(len(content)))
	}
	if err != nil {
		return s.explain(method, target, nil, err)
	}
	if res.StatusCode != ok {
		return s.refused(method, target, res)
	}
	defer res.Body.Close()
	if into == nil {
		drain(res)
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return &Error{Kind: ErrUnavailable, Service: "image", Method: method, Path: pathOf(target), RequestID: requestID(res), Message: "the answer was cut", Cause: err}
	}
	return nil
}

func (s *ImageStore) once(ctx context.Context, method, target, token, contentType string, body io.Reader, size int64) (*http.Response, error) {
	if size == 0 {
		body = http.NoBody
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	req.Header.Set("X-Auth-Token", token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return s.session.provider.HTTPClient.Do(req)
}

// refused reads why Glance did not do what was asked.
func (s *ImageStore) refused(method, target string, res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	_ = res.Body.Close()
	return s.explain(method, target, res, gophercloud.ErrUnexpectedResponseCode{Method: method, URL: target, Actual: res.StatusCode, Body: plainly(text), ResponseHeader: res.Header})
}

// explain gives a failure of Glance its kind, and says what to do.
func (s *ImageStore) explain(method, target string, res *http.Response, err error) error {
	e, ok := translate("image", method, target, err).(*Error)
	if !ok {
		return err
	}
	if res != nil {
		e.RequestID = requestID(res)
	}
	who := cmpOr(s.session.userName, s.session.userID)
	switch {
	case e.Status == http.StatusForbidden:
		e.Remedy = "openstack role add --user " + who + " --project " + s.session.projectID + " member: Glance lets members of a project write its images"
	case e.Status == http.StatusRequestEntityTooLarge:
		e.Kind, e.Remedy = ErrFull, "raise the quota of images of project "+s.session.projectID+", or make room in Glance's storage"
	case e.Status == http.StatusUnsupportedMediaType:
		e.Kind, e.Remedy = ErrFormat, "Glance looked into the image and does not take it: tell its endorser"
	case e.Status == http.StatusConflict:
		e.Kind, e.Remedy = ErrConflict, "somebody else changes the image, or did: the next run looks at what is there"
	case e.Status == http.StatusBadRequest:
		e.Kind = ErrBadAnswer
	}
	if e.Kind == ErrUnavailable && e.Remedy == "" {
		e.Remedy = "nothing is lost: the next run goes on"
	}
	return e
}

// Upload gives a queued image its content, which must have exactly so many bytes and break off when ctx ends. It is not repeated, and begins with a
// fresh token where one can be had: Glance may throw away what it has when a token ends meanwhile. When the body breaks off
// Glance puts the image back to queued within seconds. What Glance said before the end counts more than what the body met.
func (s *ImageStore) Upload(ctx context.Context, id string, size int64, body io.Reader) error {
	provider := s.session.provider
	if provider.ReauthFunc != nil {
		_ = provider.Reauthenticate(ctx, provider.Token()) // without one, that there is has to do: Glance says whether it does
	}
	target := s.image(id) + "/file"
	watched := &watchedReader{r: body}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, watched)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("X-Auth-Token", provider.Token())
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("X-Openstack-Image-Size", strconv.FormatInt(size, 10))
	res, err := provider.HTTPClient.Do(req)
	broke := watched.leave()
	switch {
	case err != nil && broke != nil: // the body broke off, and not the way to Glance
		return broke
	case err != nil:
		return s.explain(http.MethodPut, target, nil, err)
	case slices.Contains([]int{http.StatusNoContent, http.StatusOK, http.StatusCreated}, res.StatusCode):
		drain(res)
		return nil
	}
	if err = s.refused(http.MethodPut, target, res); broke != nil {
		return fmt.Errorf("%w; what was to go there broke off, too: %w", err, broke)
	}
	return err
}

// watchedReader remembers what broke it off, and gives nothing more once it was left: whoever sends a body may go on reading
// for a moment after the answer is there.
type watchedReader struct {
	r io.Reader

	mu   sync.Mutex
	err  error
	left bool
}

var errLeft = errors.New("the upload has ended")

func (w *watchedReader) Read(p []byte) (int, error) {
	w.mu.Lock()
	left := w.left
	w.mu.Unlock()
	if left {
		return 0, errLeft
	}
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
	}
	return n, err
}

// leave ends the reading and tells what broke it off, if anything did.
func (w *watchedReader) leave() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = true
	return w.err
}

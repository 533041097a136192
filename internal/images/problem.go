package images

import (
	"context"
	"errors"

	"github.com/fedsite/fedsite/internal/conversion"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/diskimage"
)

// longestReason is how much is kept of an error's text: a cloud or a source may say anything.
const longestReason = 500

// problem says in a report what failed.
func problem(t *Target, cloud, object, step string, err error, failed bool) run.Problem {
	p := openstack.Problem(err)
	p.Site, p.Cloud, p.Object, p.Step = t.Site.Name, cloud, object, step
	p.Failed = failed
	p.Reason = run.Line(p.Reason, longestReason)
	if f, ok := errors.AsType[*Failure](err); ok {
		p.Hint, p.Permanent = f.Hint, f.Permanent
	}
	if hint := hintOf(err); hint != "" {
		p.Hint = hint
	}
	p.Permanent = p.Permanent || lasting(err)
	return p
}

// hintOf says what can be done about an image that could not be brought.
func hintOf(err error) string {
	var refused *diskimage.Error
	switch {
	case errors.As(err, &refused):
		return "tell the source's endorser; nothing of the image went to Glance"
	case errors.Is(err, errWrongSum):
		return "the file at the source is not the one that was endorsed: tell its endorser; a former version stays in use"
	case errors.Is(err, errTooLarge):
		return "raise images.max_size if the image is wanted"
	case errors.Is(err, errNoRoom), errors.Is(err, conversion.ErrNoRoom):
		return "make room there, or name another directory in images.staging_dir"
	case errors.Is(err, errStagingDir):
		return "make the directory, owned by fedsite's user, or name another one in images.staging_dir"
	case errors.Is(err, errBroken) && !lasting(err):
		return "the next run tries again; if it stays so, the source's server breaks off"
	}
	return ""
}

// lasting tells whether an error will not pass by itself: the same content would meet it again.
func lasting(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var refused *diskimage.Error
	f, ok := errors.AsType[*Failure](err)
	return errors.Is(err, errWrongSum) || errors.Is(err, errTooLarge) || errors.As(err, &refused) || errors.Is(err, openstack.ErrFormat) || ok && f.Permanent
}

package accounting

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/smime"
)

// Certificate is one that a destination needs.
type Certificate struct {
	Name     string // "host", "receiver"
	DN       string
	NotAfter time.Time
	Err      error // why it cannot be used at all
}

// Certified is a destination that needs certificates.
type Certified interface {
	// Certificates reads them anew.
	Certificates() []Certificate
}

// Asker is a destination that can be asked, without sending anything, whether it would take messages.
type Asker interface {
	// Ask tells in words what it would take. The error, if any, is a *DeliveryError.
	Ask(ctx context.Context, now time.Time) (string, error)
}

var (
	_ Certified = (*amsDestination)(nil)
	_ Asker     = (*amsDestination)(nil)
	_ Asker     = (*dirqDestination)(nil)
)

// Certificates reads the certificate that signs, and that of the receiver if messages are encrypted.
func (a *amsDestination) Certificates() []Certificate {
	host := Certificate{Name: "host", Err: errors.New("accounting.ams.certificate names none")}
	if a.cfg.Identity != nil {
		id, err := a.cfg.Identity()
		if host.Err = err; err == nil {
			host.DN, host.NotAfter = smime.SlashDN(id.Certificate.RawSubject), id.Certificate.NotAfter
		}
	}
	all := []Certificate{host}
	if a.cfg.Recipient != nil {
		receiver := Certificate{Name: "receiver"}
		cert, err := a.cfg.Recipient()
		if receiver.Err = err; err == nil {
			receiver.DN, receiver.NotAfter = smime.SlashDN(cert.RawSubject), cert.NotAfter
		}
		all = append(all, receiver)
	}
	return all
}

// Ask gets a token, and asks the broker whose it is and where it may publish.
func (a *amsDestination) Ask(ctx context.Context, now time.Time) (string, error) {
	if err := a.Prepare(ctx, now); err != nil {
		return "", err
	}
	a.mu.Lock()
	token := a.token
	a.mu.Unlock()
	p, err := a.cfg.Client.Profile(ctx, token)
	if err != nil {
		return "", delivery(err, 0)
	}
	project := a.cfg.Client.Project
	for _, in := range p.Projects {
		if in.Project != project {
			continue
		}
		if slices.Contains(in.Topics, a.cfg.Topic) || slices.Contains(in.Roles, "project_admin") {
			return fmt.Sprintf("%s may publish to topic %s of project %s", p.Name, a.cfg.Topic, project), nil
		}
	}
	return "", &DeliveryError{Verdict: Refused, Exit: run.ExitNotAuthorised,
		Err:  fmt.Errorf("%s may not publish to topic %s of project %s", p.Name, a.cfg.Topic, project),
		Hint: "check accounting.ams.project and topics; if they are right, the broker's administrators must allow this user: a GGUS ticket to ARGO Messaging"}
}

// Ask tells whether the queue is there and can be written to; what it writes to find out is taken away again.
func (d *dirqDestination) Ask(context.Context, time.Time) (string, error) {
	info, err := os.Stat(d.queue.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &DeliveryError{Verdict: Unanswered, Err: fmt.Errorf("%s is not there yet", d.queue.Path),
			Hint: fmt.Sprintf("it is made when the first message is sent, where fedsite may; else: install -d -o <fedsite's user> %s", d.queue.Path)}
	case err != nil:
		return "", d.unreadable(err)
	case !info.IsDir():
		return "", d.unreadable(fmt.Errorf("%s is no directory", d.queue.Path))
	}
	f, err := os.CreateTemp(d.queue.Path, ".fedsite-check-*") // readers look at names of hexadecimal digits only
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return "", refused(err, fmt.Sprintf("give fedsite's user the right to write into %s, and make room", d.queue.Path))
	}
	return d.queue.Path + " can be written to", nil
}

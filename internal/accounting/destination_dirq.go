package accounting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/protocol/dirq"
	"github.com/fedsite/fedsite/protocol/ssm"
)

// NewDirq gives the destination "directory queue": unsigned bodies for an existing ssmsend, which signs and sends them.
func NewDirq(name string, q dirq.Queue) Destination { return &dirqDestination{name: name, queue: q} }

type dirqDestination struct {
	name  string
	queue dirq.Queue
}

var _ interface {
	Destination
	Queuer
} = (*dirqDestination)(nil)

func (d *dirqDestination) Name() string { return d.name }

// MaxBytes is what ssmsend can get through AMS after it has signed the body.
func (d *dirqDestination) MaxBytes() int { return 700_000 }

func (d *dirqDestination) Seal(m Message, _ time.Time) ([]byte, error) {
	if err := ssm.Fit(m.Body); err != nil {
		return nil, &DeliveryError{Verdict: BadBody, Err: err}
	}
	return m.Body, nil
}

// QueueID names the directory: a message waits in this one, and not in another that stands at the same path.
func (d *dirqDestination) QueueID() (string, error) {
	id, err := d.queue.ID()
	if err != nil {
		return "", d.unreadable(err)
	}
	return id, nil
}

func (d *dirqDestination) Deliver(_ context.Context, m Message, sealed []byte) (Receipt, error) {
	id, err := d.queue.Mark()
	if err == nil {
		err = d.queue.Add(m.Name, sealed)
	}
	if err != nil {
		hint := fmt.Sprintf("make room or mend the rights of %s: nothing is lost, the message goes again with the next run", d.queue.Path)
		if errors.Is(err, dirq.ErrTaken) {
			hint = fmt.Sprintf("another program wrote into %s: give each its own queue", d.queue.Path)
		}
		return Receipt{}, refused(err, hint)
	}
	return Receipt{Remote: id, Queued: true}, nil
}

// Gone looks for the message in the queue that it was written into. A directory without it that is another one, not
// mounted say, was not emptied by anybody.
func (d *dirqDestination) Gone(_ context.Context, m Message) (bool, error) {
	has, err := d.queue.Has(m.Name)
	if err != nil {
		return false, d.unreadable(err)
	}
	if has {
		return false, nil
	}
	id, err := d.QueueID()
	if err != nil {
		return false, err
	}
	if id == "" || id != m.Remote {
		return false, refused(fmt.Errorf("the message waits in another queue than the one that is at %s now", d.queue.Path),
			"that queue must be there until its messages are taken: put accounting.dirq.path back, mount it, or move it here; if it is lost, fedsite accounting send --retry-parked writes its messages into the present one")
	}
	return true, nil
}

func (d *dirqDestination) unreadable(err error) *DeliveryError {
	return refused(err, fmt.Sprintf("the queue %s must be there, and fedsite must be able to read it", d.queue.Path))
}

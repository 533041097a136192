package accounting

import (
	"context"
	"errors"
	"fmt"
	"os"
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

var _ Destination = (*dirqDestination)(nil)

func (d *dirqDestination) Name() string { return d.name }

// MaxBytes is what ssmsend can get through AMS after it has signed the body.
func (d *dirqDestination) MaxBytes() int { return 700_000 }

func (d *dirqDestination) Seal(m Message, _ time.Time) ([]byte, error) {
	if err := ssm.Fit(m.Body); err != nil {
		return nil, &DeliveryError{Verdict: BadBody, Err: err}
	}
	return m.Body, nil
}

func (d *dirqDestination) Deliver(_ context.Context, m Message, sealed []byte) (Receipt, error) {
	if err := d.queue.Add(m.Name, sealed); err != nil {
		hint := fmt.Sprintf("make room or mend the rights of %s: nothing is lost, the message goes again with the next run", d.queue.Path)
		if errors.Is(err, dirq.ErrTaken) {
			hint = fmt.Sprintf("another program wrote into %s: give each its own queue", d.queue.Path)
		}
		return Receipt{}, refused(err, hint)
	}
	return Receipt{Remote: "queued", Queued: true}, nil
}

func (d *dirqDestination) Gone(_ context.Context, m Message) (bool, error) {
	has, err := d.queue.Has(m.Name)
	if err == nil && !has {
		_, err = os.Stat(d.queue.Path) // a queue that is not there, not mounted say, was not emptied by anybody
	}
	if err != nil {
		return false, refused(err, fmt.Sprintf("the queue %s must be there, and fedsite must be able to read it", d.queue.Path))
	}
	return !has, nil
}

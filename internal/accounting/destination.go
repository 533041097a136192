package accounting

import (
	"context"
	"time"
)

// Destination is a way to an accounting server. Implementations decide nothing about what is sent: they deliver one
// message, and say exactly what is known afterwards (design §7, rules 11 and 12).
type Destination interface {
	// Name is the destination's name in configuration, store and reports.
	Name() string
	// MaxBytes is how large a sealed message may be, in bytes as Seal gives them; 0 = no limit.
	MaxBytes() int
	// Seal makes of a message's body what goes out: signed with the certificate of the day, and encrypted if told to.
	Seal(m Message, now time.Time) ([]byte, error)
	// Deliver sends a sealed message once. The error, if any, is a *DeliveryError.
	Deliver(ctx context.Context, m Message, sealed []byte) (Receipt, error)
	// Gone tells whether a message that was Queued has been taken away.
	Gone(ctx context.Context, m Message) (bool, error)
}

// Preparer is a destination that has something to check or to fetch before the first message: certificates, a token.
type Preparer interface {
	// Check is the part of Prepare that needs no network and leaves nothing behind. The error is a *DeliveryError.
	Check(now time.Time) error
	Prepare(ctx context.Context, now time.Time) error
}

// Queuer is a destination whose messages wait until another program takes them away.
type Queuer interface {
	// QueueID names the queue that is there now; "" when there is none yet.
	QueueID() (string, error)
}

// Message is one message as it was cut: body, id and name stay the same for all attempts (design §7, rule 10).
type Message struct {
	ID          string
	Destination string
	Site        string // site id
	Kind        string
	Name        string // empaid, or the name of the directory queue's element
	Body        []byte // unsigned text
	Records     int
	Period      string // of its oldest record
	Attempts    int
	LastAttempt int64     // unix seconds; 0 = none
	HoldUntil   int64     // unix seconds; until then no newer revision of its records may be cut
	Remote      string    // the broker's id, or that of the queue it was written into
	Written     bool      // a queue has it, and it has not been taken away yet
	list        []waiting // its records, as far as they were read; their texts are in Body
	resumed     bool      // cut by an earlier run: an attempt of that run may be unanswered
}

// Receipt says what a destination did with a message.
type Receipt struct {
	Remote string // the broker's id, for the log; that of the queue when Queued
	Queued bool   // it waits in a queue: settled only when it has left it
}

// Verdict says what a failed delivery means for the message and the destination.
type Verdict int

// Verdicts of a failed delivery.
const (
	Unanswered Verdict = iota // it may have arrived; the same message goes again
	Refused                   // a definite no that is not about this message: the destination stops, nothing is parked
	TooLarge                  // the message is too large: cut in two
	BadBody                   // the broker does not take this body: cut in two, to find the record to blame
	Busy                      // not taken now, but not stored either: again later
)

// DeliveryError is why a message was not delivered.
type DeliveryError struct {
	Verdict    Verdict
	Err        error
	Hint       string
	Stored     bool          // it may have been stored all the same
	Exit       int           // exit code when it stops the run
	RetryAfter time.Duration // what the other side asked for; 0 = nothing
}

// Error gives the cause.
func (e *DeliveryError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *DeliveryError) Unwrap() error { return e.Err }

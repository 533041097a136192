package discovery

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/ams"
	"github.com/fedsite/fedsite/protocol/glue"
	"github.com/fedsite/fedsite/protocol/smime"
)

// AMSConfig is what the sink "ARGO Messaging Service" needs. What can change under a running program, certificate and
// token, is read anew with each document.
type AMSConfig struct {
	Name     string
	Client   *ams.Client
	Format   Format
	Topic    string                         // "" = glue.TopicName: one for each endpoint that is registered
	Gzip     bool                           // compressed, as the catch-all published (spec discovery §1.2)
	Token    func() (string, error)         // nil = from the certificate
	Identity func() (smime.Identity, error) // exchanged for a token when Token is nil
	Present  func(id smime.Identity)        // told the identity that the client shows to authn; may be nil
	Limit    int                            // bytes of base64; 0 = ams.DefaultLimit
	Interval time.Duration                  // between deliveries of what did not change; 0 = 6 h
	Now      func() time.Time               // UTC
}

// NewAMS gives the sink: a document is one message without attributes. Whether it was delivered before is not to be seen
// there, so that it is no Remover.
func NewAMS(cfg AMSConfig) Sink {
	cfg.Limit = cmp.Or(cfg.Limit, ams.DefaultLimit)
	cfg.Interval = cmp.Or(cfg.Interval, 6*time.Hour)
	return &amsSink{cfg: cfg}
}

type amsSink struct {
	cfg AMSConfig

	mu    sync.Mutex
	token string
	by    []byte // the certificate that was exchanged for it
}

var _ interface {
	Sink
	Placed
	Sparing
} = (*amsSink)(nil)

func (a *amsSink) Name() string   { return a.cfg.Name }
func (a *amsSink) Format() Format { return a.cfg.Format }

// Place tells the broker's project, and the topic if there is but one.
func (a *amsSink) Place() string {
	return strings.TrimSpace(fmt.Sprintf("ams %s:%d %s %s", a.cfg.Client.Host, cmp.Or(a.cfg.Client.Port, ams.DefaultPort), a.cfg.Client.Project, a.cfg.Topic))
}

// Every tells how often what did not change is delivered: whoever reads the topic keeps what it got.
func (a *amsSink) Every() time.Duration { return a.cfg.Interval }

// topicForm is what AMS takes for a topic's name.
var topicForm = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,255}$`)

// Publish sends the document as one message. Where no answer came it may have arrived all the same, and the next run sends
// it again: a newer document takes the place of an older one.
func (a *amsSink) Publish(ctx context.Context, p Publication) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	topic, err := a.topic(p)
	if err != nil {
		return err
	}
	m, err := a.message(p)
	if err != nil {
		return err
	}
	token, err := a.getToken(ctx, "")
	if err != nil {
		return err
	}
	_, err = a.cfg.Client.Publish(ctx, token, topic, m)
	if e, ok := errors.AsType[*ams.Error](err); ok && e.HTTPStatus == 401 && a.cfg.Token == nil {
		if fresh, again := a.getToken(ctx, token); again == nil && fresh != token {
			_, err = a.cfg.Client.Publish(ctx, fresh, topic, m)
		}
	}
	if err != nil {
		return a.failure(err, len(m.Data))
	}
	return nil
}

// topic gives where the document goes. What the topic's name is made of is the site's own; no tenant has a say in it.
func (a *amsSink) topic(p Publication) (string, error) {
	topic := a.cfg.Topic
	if topic == "" && p.GOCDBKey == "" {
		return "", &Failure{Err: fmt.Errorf("%s has no key of GOCDB, and its topic is named by that: nothing was sent", p.Endpoint), Permanent: true, Exit: run.ExitFailed,
			Hint: "register the endpoint in GOCDB with exactly this URL, or set gocdb_id of the cloud, or " + amsSettings + ".topic"}
	}
	if topic == "" {
		topic = glue.TopicName(p.Site, p.GOCDBKey)
	}
	if !topicForm.MatchString(topic) {
		return "", &Failure{Err: fmt.Errorf("%.300q is no name of a topic, which is made of letters, digits, _ and -: nothing was sent", topic), Permanent: true, Exit: run.ExitFailed,
			Hint: "the site's name must be the one in GOCDB; or set " + amsSettings + ".topic"}
	}
	return topic, nil
}

// message is what goes out; one that AMS would refuse for its size does not.
func (a *amsSink) message(p Publication) (ams.Message, error) {
	m := ams.Message{Attributes: map[string]string{}, Data: p.Body}
	hint := "set " + amsSettings + ".gzip, if those who read the topic can take it, or publish fewer images"
	if a.cfg.Gzip {
		hint = "publish fewer images, or merge what several shares have (merged: true)"
		var packed bytes.Buffer
		w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // it is a level
		_, err := w.Write(p.Body)
		if err = errors.Join(err, w.Close()); err != nil {
			return m, err
		}
		m.Data = packed.Bytes()
	}
	if n := ams.Size(m); n > a.cfg.Limit {
		return m, &Failure{Err: fmt.Errorf("the document has %d bytes, which make a message of %d, and AMS takes %d: nothing was sent", len(p.Body), n, a.cfg.Limit), Permanent: true, Exit: run.ExitFailed, Hint: hint}
	}
	return m, nil
}

// getToken gives the token: as it is given, or the one that the certificate was exchanged for, which is kept until it is
// spent or the certificate is another one.
func (a *amsSink) getToken(ctx context.Context, spent string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cfg.Token != nil {
		token, err := a.cfg.Token()
		if err != nil {
			return "", &Failure{Err: fmt.Errorf("AMS token: %w", err), Permanent: true, Exit: run.ExitFailed, Hint: "check " + amsSettings + ".token"}
		}
		return token, nil
	}
	if a.cfg.Identity == nil {
		return "", &Failure{Err: errors.New("neither a token for AMS nor a certificate that gives one"), Permanent: true, Exit: run.ExitFailed, Hint: "set " + amsSettings + ".certificate: {cert: …, key: …}"}
	}
	id, err := a.cfg.Identity()
	if err != nil {
		return "", &Failure{Err: fmt.Errorf("host certificate: %w", err), Permanent: true, Exit: run.ExitFailed,
			Hint: "check " + amsSettings + ".certificate: both files must be there, readable by fedsite's user, and belong together"}
	}
	same := bytes.Equal(a.by, id.Certificate.Raw)
	if same && a.token != "" && a.token != spent {
		return a.token, nil
	}
	if err := smime.CheckValidity(id.Certificate, a.cfg.Now(), 0); err != nil {
		return "", &Failure{Err: fmt.Errorf("host certificate: %w", err), Permanent: true, Exit: run.ExitFailed, Hint: "renew the certificate, or name another in " + amsSettings + ".certificate"}
	}
	if !same && a.cfg.Present != nil {
		a.cfg.Present(id)
	}
	a.token, a.by = "", id.Certificate.Raw
	token, err := a.cfg.Client.Token(ctx)
	if err != nil {
		return "", a.failure(err, 0)
	}
	a.token = token
	return token, nil
}

// amsSettings is where the sink stands in the configuration.
const amsSettings = "discovery.publish[].ams"

// amsHints turns what protocol/ams says to do, which is said for accounting.
var amsHints = strings.NewReplacer("accounting.ams.topics", amsSettings+".topic", "accounting.ams.token_file", amsSettings+".token", "accounting.ams", amsSettings, "the accounting team", "the messaging service's support")

// failure says what an answer of AMS, or its absence, means for a message of so many bytes of data.
func (a *amsSink) failure(err error, size int) error {
	f := &Failure{Err: err, Exit: run.ExitUnavailable}
	e, ok := errors.AsType[*ams.Error](err)
	if !ok {
		f.Permanent, f.Exit = true, run.ExitFailed
		return f
	}
	f.Hint = cmp.Or(amsHints.Replace(e.Hint()), transport.Hint(err), "it may have arrived, or not: the next run publishes again")
	switch {
	case e.TooLarge(size):
		f.Permanent, f.Exit, f.Hint = true, run.ExitFailed, "AMS takes less than "+amsSettings+".max_bytes says: lower that, and publish fewer images or with gzip"
	case e.HTTPStatus == 429:
		f.Hint = "AMS takes no more for now: the next run publishes again"
	case e.Answered():
		f.Permanent, f.Exit = true, run.ExitFailed
		if e.HTTPStatus == 401 || e.HTTPStatus == 403 {
			f.Exit = run.ExitNotAuthorised
		}
	}
	return f
}

package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

// counted is a GOCDB that takes its time, and counts.
type counted struct {
	mu        sync.Mutex
	asked     []string
	takes     time.Duration
	err       error
	services  []gocdb.Service
	downtimes []gocdb.Downtime
}

func (c *counted) ask(ctx context.Context, what string) error {
	c.mu.Lock()
	c.asked = append(c.asked, what)
	takes, err := c.takes, c.err
	c.mu.Unlock()
	select {
	case <-time.After(takes):
		return err
	case <-ctx.Done():
		return &gocdb.Error{Op: "ask", Cause: ctx.Err()}
	}
}

// times tells how often it was asked.
func (c *counted) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked)
}

// becomes changes how it answers from now on.
func (c *counted) becomes(takes time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takes, c.err = takes, err
}

func (c *counted) Services(ctx context.Context, q gocdb.Query) ([]gocdb.Service, []gocdb.Oddity, error) {
	return c.services, nil, c.ask(ctx, fmt.Sprint("services ", q))
}

func (c *counted) Downtimes(ctx context.Context, q gocdb.Query, after time.Time) ([]gocdb.Downtime, []gocdb.Oddity, error) {
	return c.downtimes, nil, c.ask(ctx, fmt.Sprint("downtimes ", q, after.Format(time.RFC3339)))
}

// TestSharedRegistry: two hundred sites cost one question of a kind, and each gets what is its own.
func TestSharedRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sites = 200
		c := &counted{takes: 3 * time.Second}
		for n := range sites {
			name := fmt.Sprint("SITE-", n)
			c.services = append(c.services, gocdb.Service{Key: fmt.Sprint(n, "G0"), Site: name})
		}
		now := time.Now()
		in := func(d time.Duration) time.Time { return now.Add(d) }
		c.downtimes = []gocdb.Downtime{
			{ID: "1", Start: in(-time.Hour), End: in(time.Hour), Services: []gocdb.Affected{{Site: "SITE-7"}, {Site: "SITE-8"}}},
			{ID: "2", Start: in(-2 * time.Hour), End: in(-time.Hour), Services: []gocdb.Affected{{Site: "SITE-7"}}},
		}
		shared := discovery.SharedRegistry(c, 10*time.Minute, time.Now)
		all := func() {
			var group sync.WaitGroup
			for n := range sites {
				group.Go(func() {
					site := fmt.Sprint("site-", n)
					services, _, err := shared.Services(t.Context(), gocdb.Query{Site: site, Type: gocdb.Nova})
					if err != nil || len(services) != 1 || services[0].Key != fmt.Sprint(n, "G0") {
						t.Errorf("%s: %+v, %v", site, services, err)
					}
					downtimes, _, err := shared.Downtimes(t.Context(), gocdb.Query{Site: site, Type: gocdb.Nova}, now)
					if want := map[int]int{7: 1, 8: 1}[n]; err != nil || len(downtimes) != want || (want == 1 && len(downtimes[0].Services) != 1) {
						t.Errorf("%s: %+v, %v", site, downtimes, err)
					}
				})
			}
			group.Wait()
		}
		for _, step := range []struct {
			pass  time.Duration
			asked int
		}{{0, 2}, {0, 2}, {9 * time.Minute, 2}, {time.Minute, 4}} {
			time.Sleep(step.pass) // in the bubble's time
			if all(); len(c.asked) != step.asked {
				t.Errorf("after %s: %d questions: %v", step.pass, len(c.asked), c.asked)
			}
		}
		if len(c.downtimes[0].Services) != 2 {
			t.Error("one site's answer changed what others get")
		}
		if services, _, err := shared.Services(t.Context(), gocdb.Query{Type: gocdb.Nova}); err != nil || len(services) != sites {
			t.Errorf("%d, %v", len(services), err)
		}
		if _, _, err := shared.Services(t.Context(), gocdb.Query{Type: gocdb.Nova, AllScopes: true}); err != nil || len(c.asked) != 5 {
			t.Errorf("another question: %v, %v", c.asked, err)
		}
	})
}

// TestSharedRegistrySlow: who waits goes when his time is over, and the answer is there for those that come after; a failure is
// not asked for again at once, and no question hangs for good.
func TestSharedRegistrySlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{takes: 40 * time.Second, services: []gocdb.Service{{Key: "1G0", Site: "SITE-A"}}}
		shared := discovery.SharedRegistry(c, time.Hour, time.Now)
		ask := func() (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			began := time.Now()
			_, _, err := shared.Services(ctx, gocdb.Query{})
			return time.Since(began), err
		}
		expect := func(what string, took time.Duration, failed error, asked int) {
			t.Helper()
			got, err := ask()
			if n := c.times(); got != took || !errors.Is(err, failed) || n != asked {
				t.Errorf("%s: %s, %v, asked %d times", what, got, err, n)
			}
		}
		expect("first", 15*time.Second, context.DeadlineExceeded, 1)
		expect("second", 15*time.Second, context.DeadlineExceeded, 1)
		expect("third", 10*time.Second, nil, 1)
		expect("fourth", 0, nil, 1)
		time.Sleep(time.Hour)
		c.becomes(0, errors.ErrUnsupported)
		expect("failed", 0, errors.ErrUnsupported, 2)
		expect("failed, not asked again", 0, errors.ErrUnsupported, 2)
		time.Sleep(5 * time.Minute)
		expect("failed again", 0, errors.ErrUnsupported, 3)
		time.Sleep(5 * time.Minute)
		c.becomes(24*time.Hour, nil)
		expect("hangs", 15*time.Second, context.DeadlineExceeded, 4)
		time.Sleep(2 * time.Minute)
		c.becomes(0, nil)
		expect("hung", 0, context.DeadlineExceeded, 4)
		time.Sleep(5 * time.Minute)
		expect("well", 0, nil, 5)
	})
}

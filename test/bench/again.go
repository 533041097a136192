//go:build bench

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// again is what merely making the same requests took.
type again struct {
	requests  int
	bytes     int64
	took, cpu time.Duration
}

// asked is a request that the cloud was asked, as the emulator keeps it.
type asked struct {
	Method  string            `json:"method"`
	URI     string            `json:"uri"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// again makes all requests that the cloud was asked since it was told to forget once more: the services at once, each with
// so many requests at once as fedsite makes, and the answers thrown away. No client that asks the same can be faster.
func (e *emulator) again(ctx context.Context) (a again, err error) {
	var all []asked
	if err := e.Control(http.MethodGet, "/asked", &all); err != nil {
		return a, err
	}
	base, err := url.Parse(e.AuthURL)
	if err != nil {
		return a, err
	}
	by := map[string][]asked{}
	for _, r := range all {
		service, _, _ := strings.Cut(strings.TrimPrefix(r.URI, "/"), "/")
		by[service] = append(by[service], r)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8 * parallel}}
	defer client.CloseIdleConnections()
	var bytes atomic.Int64
	before, began := processorTime(), time.Now()
	services, ctx := errgroup.WithContext(ctx)
	for _, requests := range by {
		services.Go(func() error {
			some, ctx := errgroup.WithContext(ctx)
			some.SetLimit(parallel)
			for _, r := range requests {
				some.Go(func() error {
					n, err := r.make(ctx, client, "http://"+base.Host)
					bytes.Add(n)
					return err
				})
			}
			return some.Wait()
		})
	}
	err = services.Wait()
	a = again{requests: len(all), bytes: bytes.Load(), took: time.Since(began), cpu: processorTime() - before}
	return a, err
}

// make makes the request, and gives how many bytes the answer has.
func (r asked) make(ctx context.Context, client *http.Client, base string) (n int64, err error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, base+r.URI, strings.NewReader(r.Body))
	if err != nil {
		return 0, err
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(io.Discard, res.Body)
	if err = errors.Join(err, res.Body.Close()); err == nil && res.StatusCode >= 500 {
		err = fmt.Errorf("bare: %s %s: %s", r.Method, r.URI, res.Status)
	}
	return n, err
}

// processorTime is what this process has used, user and system.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

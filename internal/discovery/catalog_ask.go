package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// failure is a question that was not answered.
type failure struct {
	stage string
	err   error
}

// questions are those to one project. Services are asked at the same time, each one question after the other, so that a
// service has no more requests at once than projects are asked at once.
type questions struct {
	*taker
	p  site.Project
	at time.Time

	mu     sync.Mutex
	failed []failure
}

// refused is the offer of a project that told nothing.
func refused(t *Trouble, p site.Project) Offer {
	t.Hint = strings.ReplaceAll(t.Hint, "<project>", p.ID)
	o := Offer{}
	o.Scope.Trouble, o.Flavors.Trouble, o.Images.Trouble, o.Networks.Trouble = t, t, t, t
	o.Quotas.Trouble, o.NetworkQuotas.Trouble, o.VolumeQuotas.Trouble, o.VMs.Trouble = t, t, t, t
	return o
}

// ask signs in to a project and asks it all.
func (c *taker) ask(ctx context.Context, p site.Project, at time.Time) (Offer, []failure) {
	err := c.silent.refuses("sign-in")
	var inv Inventory
	if err == nil {
		inv, err = c.c.Source.Inventory(ctx, p.ID)
		c.silent.note("sign-in", err)
	}
	if err == nil && inv.Scope().ID != p.ID {
		err = &openstack.Error{Kind: openstack.ErrScope, Service: "identity", Message: fmt.Sprintf("signed in to project %s instead of %s: refused", inv.Scope().ID, p.ID)}
	}
	if err != nil {
		return refused(troubleOf("sign-in", err, at), p), []failure{{"sign-in", err}}
	}
	q := &questions{taker: c, p: p, at: at}
	o := Offer{Scope: Known[openstack.Scope]{Value: inv.Scope(), At: at}}
	var services sync.WaitGroup
	services.Go(func() {
		q.askVersion(ctx, inv)
		o.Flavors = q.flavors(ctx, inv)
		o.Quotas = quotasOf(q, "quotas", func() (openstack.Quotas, error) { return inv.Quotas(ctx) })
		o.VMs = ask(q, "VMs", func() (openstack.VMCounts, error) { return inv.VMCounts(ctx) })
	})
	services.Go(func() { o.Images = q.images(ctx, inv) })
	services.Go(func() {
		o.Networks = q.networks(ctx, inv)
		o.NetworkQuotas = quotasOf(q, "network quotas", func() (openstack.Quotas, error) { return inv.NetworkQuotas(ctx) })
	})
	services.Go(func() {
		o.VolumeQuotas = quotasOf(q, "volume quotas", func() (openstack.Quotas, error) { return inv.VolumeQuotas(ctx) })
	})
	services.Wait()
	slices.SortFunc(q.failed, func(a, b failure) int { return strings.Compare(a.stage, b.stage) })
	return o, q.failed
}

// fail notes that a question was not answered, and gives its trouble.
func (q *questions) fail(stage string, err error) *Trouble {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed = append(q.failed, failure{stage, err})
	t := troubleOf(stage, err, q.at)
	t.Hint = strings.ReplaceAll(t.Hint, "<project>", q.p.ID)
	return t
}

// ask asks one question.
func ask[T any](q *questions, stage string, question func() (T, error)) Known[T] {
	err := q.silent.refuses(stage)
	var value T
	if err == nil {
		value, err = question()
		q.silent.note(stage, err)
	}
	if err != nil {
		return Known[T]{Trouble: q.fail(stage, err)}
	}
	return Known[T]{Value: value, At: q.at}
}

// quotasOf asks for quotas. That they may not be read, or that there is no such service, is an answer.
func quotasOf(q *questions, stage string, question func() (openstack.Quotas, error)) Known[map[string]int64] {
	return ask(q, stage, func() (map[string]int64, error) {
		quotas, err := question()
		return quotas.Limits, err
	})
}

// askVersion asks for Nova's version until one project has told it.
func (q *questions) askVersion(ctx context.Context, inv Inventory) {
	q.versions.Lock()
	defer q.versions.Unlock()
	if q.version != nil && q.version.IsKnown() {
		return
	}
	got := ask(q, "version", func() (string, error) { return inv.ComputeVersion(ctx) })
	q.version = &got
}

// flavors asks for the flavors that new VMs can have. Without their extra specs, but for those that may not be read, the
// listing has a gap: what they say of accelerators would be gone.
func (q *questions) flavors(ctx context.Context, inv Inventory) Known[[]Flavor] {
	var gap error
	known := ask(q, "flavors", func() ([]Flavor, error) {
		listed, bad, err := inv.Flavors(ctx, q.specs)
		if err != nil {
			return nil, err
		}
		q.bad(q.p, "flavors", bad)
		flavors, denied, left := make([]Flavor, 0, len(listed)), 0, 0
		for _, f := range listed {
			if f.Disabled {
				continue
			}
			switch {
			case errors.Is(f.SpecsUnknown, openstack.ErrForbidden):
				denied++
			case errors.Is(f.SpecsUnknown, openstack.ErrNotFound): // it was deleted in the meantime
				continue
			case f.SpecsUnknown != nil && gap == nil:
				gap = fmt.Errorf("extra specs of flavor %s: %w", run.Line(f.ID, 100), f.SpecsUnknown)
			}
			left += len(f.Left)
			flavors = append(flavors, q.sameFlavor(flavorOf(f)))
		}
		if denied > 0 {
			q.notice(q.p.Object(), "the credential may not read the extra specs of flavors: accelerators and architectures are not published",
				"let its role read them in Nova's policy: os_compute_api:os-flavor-extra-specs:index")
		}
		if left > 0 {
			q.notice(q.p.Object(), fmt.Sprintf("%d extra specs of flavors are too long to keep", left), "")
		}
		return flavors, nil
	})
	if gap != nil {
		known.Trouble = q.fail("flavors", gap)
	}
	return known
}

// images asks for the images.
func (q *questions) images(ctx context.Context, inv Inventory) Known[[]Image] {
	return ask(q, "images", func() ([]Image, error) {
		listed, bad, err := inv.Images(ctx, q.taker.images)
		if err != nil {
			return nil, err
		}
		q.bad(q.p, "images", bad)
		endpoint := glance(inv.Catalog(), q.c.Cloud.Region)
		images, left := make([]Image, 0, len(listed)), 0
		for _, i := range listed {
			for _, key := range i.Left {
				if isKept(key) {
					left++
				}
			}
			images = append(images, q.sameImage(imageOf(i, q.p.ID, endpoint)))
		}
		if left > 0 {
			q.notice(q.p.Object(), fmt.Sprintf("%d properties of images are too long to keep", left), "")
		}
		return images, nil
	})
}

// networks asks for the networks. That there is no Neutron is an answer.
func (q *questions) networks(ctx context.Context, inv Inventory) Known[[]openstack.Network] {
	return ask(q, "networks", func() ([]openstack.Network, error) {
		listed, bad, err := inv.Networks(ctx)
		if errors.Is(err, openstack.ErrNoService) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		q.bad(q.p, "networks", bad)
		return append([]openstack.Network{}, listed...), nil
	})
}

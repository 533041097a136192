package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// part is one part of an offer, whatever its value.
type part struct {
	Value   any
	At      time.Time
	Trouble *discovery.Trouble
}

func partOf[T any](k discovery.Known[T]) part { return part{k.Value, k.At, k.Trouble} }

// parts gives the parts of an offer by the stages at which they are asked for.
func parts(o discovery.Offer) map[string]part {
	return map[string]part{"sign-in": partOf(o.Scope), "flavors": partOf(o.Flavors), "images": partOf(o.Images), "networks": partOf(o.Networks), "quotas": partOf(o.Quotas),
		"network quotas": partOf(o.NetworkQuotas), "volume quotas": partOf(o.VolumeQuotas), "VMs": partOf(o.VMs)}
}

// asks are the questions to a project: the service and the path that each goes to.
var asks = map[string][2]string{
	"flavors":        {"compute", "/v2.1/flavors/detail"},
	"quotas":         {"compute", "/v2.1/os-quota-sets/*"},
	"VMs":            {"compute", "/v2.1/servers/detail"},
	"images":         {"image", "/v2/images"},
	"networks":       {"network", "/v2.0/networks"},
	"network quotas": {"network", "/v2.0/quotas/*"},
	"volume quotas":  {"volume", "/*/*/limits"},
}

// TestOneQuestionFails: a question that is not answered keeps its last answer, marked, for as long as is set, and nothing
// else changes.
func TestOneQuestionFails(t *testing.T) {
	effects := map[string]faults.Effect{"401": {Status: 401}, "403": {Status: 403}, "500": {Status: 500, Body: "internal\nerror\x00"}, "no answer": {Unread: true}, "cut": {Cut: true},
		"no JSON": {Change: func([]byte) []byte { return []byte("<html>") }}}
	inEras(t, func(t *testing.T, era emulated.Era) {
		b := newBed(t, told(t, "01-single-vo"), era, onDisk(t), "ops=p-ops")
		for name, effect := range effects {
			if era.Name != emulated.Current.Name && name != "403" && name != "500" {
				continue // the rest is the same in each
			}
			for stage, where := range asks {
				good := b.share().Offer
				b.clean()
				b.fault(where[0], where[1], effect)
				failed := b.now().Add(time.Hour)
				for range 2 {
					b.pass(time.Hour)
					got := b.share().Offer
					for s, p := range parts(got) {
						before := parts(good)[s]
						switch {
						case s != stage:
							if p.Trouble != nil || !p.At.Equal(b.now()) || cmp.Diff(before.Value, p.Value) != "" {
								t.Errorf("%s, %s: %s are %+v", name, stage, s, p)
							}
						case name == "403" && strings.HasSuffix(stage, "quotas"): // the role may not read them: nothing is wrong
							if p.Trouble != nil || !p.At.Equal(b.now()) || fmt.Sprint(p.Value) != "map[]" {
								t.Errorf("%s, %s: %+v", name, stage, p)
							}
						case p.Trouble == nil || !p.At.Equal(before.At) || cmp.Diff(before.Value, p.Value) != "" || p.Trouble.Stage != stage || p.Trouble.Status != effect.Status || !p.Trouble.Since.Equal(failed) ||
							(effect.Status != 0 && !strings.HasPrefix(p.Trouble.RequestID, "req-")) || p.Trouble.Hint == "" || p.Trouble.Kind == "" || strings.ContainsAny(p.Trouble.Reason, "\n\x00"):
							t.Errorf("%s, %s: %+v, %+v", name, stage, p, p.Trouble)
						}
					}
				}
				if quiet := name == "403" && strings.HasSuffix(stage, "quotas"); quiet != (b.last.Outcome == run.Done) || (!quiet && (b.last.Outcome != run.Partial || len(b.last.Problems) != 1)) {
					t.Errorf("%s, %s: %s, %q", name, stage, b.last.Outcome, b.problems())
				}
				b.faults.Clear()
			}
		}
	})
}

// TestKeptForSoLong: what was last known is told until it is twelve hours old, and is not known from then on; when it is
// there again it is as new.
func TestKeptForSoLong(t *testing.T) {
	b := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
	b.share()
	b.fault("image", "", faults.Effect{Status: 503})
	b.pass(12*time.Hour - time.Second)
	if i := b.share().Offer.Images; len(i.Value) != 1 || !i.At.Equal(present) || i.Trouble == nil {
		t.Errorf("%+v", i)
	}
	b.pass(time.Second)
	if i := b.share().Offer.Images; i.Value != nil || i.IsKnown() || i.Trouble == nil || !i.Trouble.Since.Equal(present.Add(12*time.Hour-time.Second)) {
		t.Errorf("%+v", i)
	}
	b.faults.Clear()
	if i := b.share().Offer.Images; len(i.Value) != 1 || !i.At.Equal(b.now()) || i.Trouble != nil {
		t.Errorf("%+v", i)
	}
}

// impatient gives up requests to a service, and counts them.
type impatient struct {
	next    http.RoundTripper
	service string
	asked   *atomic.Int64
}

func (i impatient) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/"+i.service+"/") {
		i.asked.Add(1)
		return nil, os.ErrDeadlineExceeded
	}
	return i.next.RoundTrip(r)
}

// TestTimeOut: what is not answered in time is as a service that is down; Nova's three answers are one problem.
func TestTimeOut(t *testing.T) {
	for service, want := range map[string]string{"image": "images", "network": "networks network quotas", "volume": "volume quotas", "compute": "flavors quotas VMs"} {
		b := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
		good := b.share().Offer
		b.target.Clouds[0].Source = b.connect(b.cloud.AuthURL(), "", func(next http.RoundTripper) http.RoundTripper { return impatient{next, service, &atomic.Int64{}} })
		b.pass(time.Minute)
		s := b.share()
		var stages []string
		for _, trouble := range s.Offer.Troubles() {
			stages = append(stages, trouble.Stage)
			if trouble.Kind != openstack.ErrUnavailable.Error() || trouble.Status != 0 || trouble.RequestID != "" {
				t.Errorf("%s: %+v", service, trouble)
			}
		}
		if strings.Join(stages, " ") != want || cmp.Diff(good.Images.Value, s.Offer.Images.Value) != "" || cmp.Diff(good.VMs.Value, s.Offer.VMs.Value) != "" {
			t.Errorf("%s: %q", service, stages)
		}
		if service == "compute" && (len(b.last.Problems) != 1 || !strings.HasPrefix(b.last.Problems[0].Reason, "VMs, flavors, quotas, version: compute: ")) {
			t.Errorf("%q", b.problems())
		}
	}
}

// TestSilentService: a service that does not answer is not waited for by every project; each is told why, and what is
// answered by others is as new.
func TestSilentService(t *testing.T) {
	w := told(t, "22-perf-10vo-30flavors")
	var vos []string
	for _, p := range w.Projects {
		vos = append(vos, p.Name+"="+p.ID)
	}
	for service, stages := range map[string][]string{"image": {"images"}, "network": {"networks", "network quotas"}, "compute": {"flavors", "quotas", "VMs"}} {
		b := newBed(t, w, emulated.Current, onDisk(t), vos...)
		good := b.region(b.take())
		asked := &atomic.Int64{}
		b.target.Clouds[0].Source = b.connect(b.cloud.AuthURL(), "", func(next http.RoundTripper) http.RoundTripper { return impatient{next, service, asked} })
		b.pass(time.Minute)
		r := b.region(b.take())
		if n, most := asked.Load(), int64(3+b.target.Clouds[0].Parallel); n < 3 || n > most || len(r.Shares) != 10 || b.last.Counts["shares_in_trouble"] != 10 {
			t.Errorf("%s: asked %d times, of %d; %+v", service, n, most, b.last.Counts)
		}
		for n, s := range r.Shares {
			for stage, p := range parts(s.Offer) {
				silent := slices.Contains(stages, stage)
				if silent != (p.Trouble != nil) || silent == p.At.Equal(b.now()) || cmp.Diff(parts(good.Shares[n].Offer)[stage].Value, p.Value) != "" || (silent && p.Trouble.Kind != openstack.ErrUnavailable.Error()) {
					t.Errorf("%s: %s of %s: %+v", service, stage, s.VO, p.Trouble)
				}
			}
		}
	}
}

// refusing lets Keystone refuse tokens of one project.
func refusing(project string, e faults.Effect) faults.Fault {
	return faults.Fault{Service: "identity", Method: http.MethodPost, Times: -1, Effect: e, Fits: func(r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		return strings.Contains(string(body), `"`+project+`"`)
	}}
}

// TestOneProjectIsRefused: a project that cannot be signed in to keeps what it had, and the others are as new; one that
// never could has nothing.
func TestOneProjectIsRefused(t *testing.T) {
	inEras(t, func(t *testing.T, era emulated.Era) {
		for _, status := range []int{401, 403, 404, 500} {
			b := newBed(t, told(t, "02-two-vos-states"), era, onDisk(t), "ops=p-ops", "ai=p-ai")
			b.take()
			b.faults.Add(refusing("p-ai", faults.Effect{Status: status}))
			b.pass(time.Hour)
			r := b.region(b.take())
			if len(r.Shares) != 2 || len(r.Shares[0].Offer.Troubles()) != 0 || !r.Shares[0].Offer.VMs.At.Equal(b.now()) {
				t.Fatalf("%d: %+v", status, r.Shares)
			}
			all := r.Shares[1].Offer.Troubles()
			if len(all) != 1 || all[0].Stage != "sign-in" || all[0].Status != status || strings.Contains(all[0].Hint, "<project>") || r.Shares[1].Offer.VMs.Value.Total != 9 || r.Trouble != nil {
				t.Errorf("%d: %+v", status, all)
			}
			if b.last.Outcome != run.Partial || len(b.last.Problems) != 1 || !strings.HasPrefix(b.problems()[0], "project p-ai (ai4eosc): identity: ") {
				t.Errorf("%d: %s, %q", status, b.last.Outcome, b.problems())
			}
		}
	})
	for name, status := range map[string]int{"05-one-vo-401": 401, "28-vo-auth-500": 500} {
		b := newBed(t, told(t, name), emulated.Current, onDisk(t), "ops=p-ops", "ai=p-ai")
		r := b.region(b.take())
		good, bad := r.Shares[0].Offer, r.Shares[1].Offer
		if status == 500 && bad.IsKnown() {
			good, bad = bad, good
		}
		if !good.IsKnown() || len(good.Troubles()) > 0 || bad.IsKnown() || len(bad.Troubles()) != 1 || bad.Troubles()[0].Status != status || b.last.Outcome != run.Partial {
			t.Errorf("%s: %+v, %+v", name, good.Troubles(), bad.Troubles())
		}
	}
}

// TestCloudIsAway: a cloud that does not say which projects it has keeps all its shares, those that only its projects named
// too, until they are too old; then, and when nothing was known before, the run has failed.
func TestCloudIsAway(t *testing.T) {
	w := told(t, "02-two-vos-states")
	w.Projects[1].Properties = map[string]string{"VO": "ai,biomed"}
	b := newBed(t, w, emulated.Current, onDisk(t), "ops=p-ops")
	good := b.region(b.take())
	if len(good.Shares) != 3 || good.Shares[2].VO != "biomed" || good.Shares[2].Project != "p-ai" {
		t.Fatalf("%+v", good.Shares)
	}
	b.clean()
	for name, f := range map[string]faults.Fault{
		"down":            {Service: "identity", Times: -1, Effect: faults.Effect{Status: 503}},
		"without an end":  {Service: "identity", Path: "/v3/auth/projects", Times: -1, Effect: faults.Effect{Cut: true}},
		"without a role":  {Service: "identity", Path: "/v3/auth/projects", Times: -1, Effect: faults.Effect{Change: func([]byte) []byte { return []byte(`{"projects":[]}`) }}},
		"without a login": {Service: "identity", Method: http.MethodPost, Times: -1, Effect: faults.Effect{Status: 401}},
	} {
		b := b.with(f)
		began := b.now().Add(time.Hour)
		for range 2 {
			b.pass(time.Hour)
			r := b.region(b.take())
			if r.Trouble == nil || r.Trouble.Stage != "projects" || !r.Trouble.Since.Equal(began) || len(r.Shares) != 3 || b.last.Outcome != run.Partial || r.Version.Trouble == nil || r.Version.Value != good.Version.Value {
				t.Fatalf("%s: %+v, %q", name, r, b.problems())
			}
			for n, s := range r.Shares {
				if g := good.Shares[n]; s.VO != g.VO || s.Project != g.Project || cmp.Diff(g.Offer.Images, s.Offer.Images, ignoreTrouble) != "" || cmp.Diff(g.Offer.VMs, s.Offer.VMs, ignoreTrouble) != "" || len(s.Offer.Troubles()) != 1 {
					t.Errorf("%s: %+v", name, s)
				}
			}
		}
		b.pass(12 * time.Hour)
		r := b.region(b.take())
		if len(r.Shares) != 3 || r.Shares[0].Offer.IsKnown() || r.Version.IsKnown() || b.last.Outcome != run.Failed {
			t.Errorf("%s: %+v, %s", name, r, b.last.Outcome)
		}
		b.faults.Clear()
		if r := b.region(b.take()); len(r.Shares) != 3 || len(r.Shares[2].Offer.Troubles()) != 0 || r.Trouble != nil || b.last.Outcome != run.Done {
			t.Errorf("%s is over: %+v", name, r)
		}
		good = b.region(b.take())
	}
	first := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
	first.fault("identity", "", faults.Effect{Status: 503})
	r := first.region(first.take())
	if len(r.Shares) != 0 || r.Trouble == nil || r.Trouble.Status != 503 || first.last.Outcome != run.Failed || first.last.Exit() != run.ExitUnavailable {
		t.Errorf("%+v, exit %d", r, first.last.Exit())
	}
}

var ignoreTrouble = cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), "Trouble") }, cmp.Ignore())

// with arms a fault.
func (b *bed) with(f faults.Fault) *bed {
	b.faults.Add(f)
	return b
}

// TestServicesThatAreNotThere: a cloud without Neutron, without Cinder, or whose Nova tells no quotas is a cloud like others.
func TestServicesThatAreNotThere(t *testing.T) {
	inEras(t, func(t *testing.T, era emulated.Era) {
		hide := func(services ...string) faults.Fault {
			return faults.Fault{Service: "identity", Method: http.MethodPost, Times: -1, Effect: faults.Effect{Change: func(body []byte) []byte {
				for _, s := range services {
					body = bytes.ReplaceAll(body, []byte(`"`+s+`"`), []byte(`"x-`+s+`"`))
				}
				return body
			}}}
		}
		for name, c := range map[string]struct {
			fault   faults.Fault
			unknown []string
		}{
			"no Neutron":           {hide("network"), []string{"networks", "network quotas"}},
			"no Cinder":            {hide("volumev3", "volumev2", "volume", "block-storage"), []string{"volume quotas"}},
			"Nova without quotas":  {faults.Fault{Service: "compute", Path: "/v2.1/os-quota-sets/*", Times: -1, Effect: faults.Effect{Status: 404}}, []string{"quotas"}},
			"Nova denying quotas":  {faults.Fault{Service: "compute", Path: "/v2.1/os-quota-sets/*", Times: -1, Effect: faults.Effect{Status: 403}}, []string{"quotas"}},
			"neither of these two": {hide("network", "volumev3", "volumev2", "volume", "block-storage"), []string{"networks", "network quotas", "volume quotas"}},
		} {
			b := newBed(t, told(t, "01-single-vo"), era, onDisk(t), "ops=p-ops").with(c.fault)
			o := b.share().Offer
			b.clean()
			for s, p := range parts(o) {
				absent := fmt.Sprint(p.Value) == "map[]" || fmt.Sprint(p.Value) == "[]"
				if want := slices.Contains(c.unknown, s); absent != want || p.Trouble != nil || !p.At.Equal(present) {
					t.Errorf("%s: %s are %+v", name, s, p)
				}
			}
		}
	})
}

// TestExtraSpecsGap: flavors whose extra specs could not be had stand back behind the last ones that had them; those that may
// not be read are told without.
func TestExtraSpecsGap(t *testing.T) {
	const path = "/v2.1/flavors/*/os-extra_specs"
	b := newBed(t, told(t, "34-gpu-number-fraction"), emulated.Mitaka, onDisk(t), "ops=p-ops")
	b.fault("compute", path, faults.Effect{Status: 500})
	if f := b.share().Offer.Flavors; len(f.Value) != 1 || f.Value[0].ExtraSpecs != nil || f.Trouble == nil || !f.At.Equal(present) {
		t.Errorf("the first time: %+v", f)
	}
	b.faults.Clear()
	b.pass(time.Minute)
	good := b.share().Offer.Flavors
	if good.Trouble != nil || good.Value[0].ExtraSpecs["Accelerator:Number"] != "0.5" {
		t.Fatalf("%+v", good)
	}
	b.fault("compute", path, faults.Effect{Status: 500})
	for range 2 {
		b.pass(time.Hour)
		if f := b.share().Offer.Flavors; f.Trouble == nil || !f.At.Equal(good.At) || f.Value[0].ExtraSpecs["Accelerator:Number"] != "0.5" {
			t.Errorf("%+v", f)
		}
	}
	b.faults.Clear()
	b.fault("compute", path, faults.Effect{Status: 403})
	if f := b.share().Offer.Flavors; f.Trouble != nil || !f.At.Equal(b.now()) || f.Value[0].ExtraSpecs != nil {
		t.Errorf("%+v", f)
	}
	if b.last.Outcome != run.Done || len(b.last.Problems) != 1 || !b.last.Problems[0].Notice {
		t.Errorf("%q", b.problems())
	}
}

// TestBadEntries: entries that cannot be used are counted, and spoil nothing but themselves.
func TestBadEntries(t *testing.T) {
	b := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
	for stage, list := range map[string]string{"flavors": "flavors", "images": "images", "networks": "networks"} {
		b.fault(asks[stage][0], asks[stage][1], faults.Effect{Change: func(body []byte) []byte {
			body = bytes.Replace(body, []byte(`"`+list+`": [`), []byte(`"`+list+`":[`), 1)
			return bytes.Replace(body, []byte(`"`+list+`":[`), []byte(`"`+list+`":[7,{"id":"x\u0000\n","name":[]},`), 1)
		}})
	}
	o := b.share().Offer
	if len(o.Flavors.Value) != 2 || len(o.Images.Value) != 1 || len(o.Networks.Value) != 2 || len(o.Troubles()) > 0 || b.last.Outcome != run.Done || len(b.last.Problems) != 3 {
		t.Errorf("%+v, %q", o, b.problems())
	}
	for _, p := range b.last.Problems {
		if !p.Notice || !strings.HasPrefix(p.Reason, "2 of its ") || strings.ContainsAny(p.Reason, "\n\x00") {
			t.Errorf("%+v", p)
		}
	}
}

// foreign is a source whose tokens are of another project.
type foreign struct {
	discovery.Source
	instead string
}

func (f foreign) Inventory(ctx context.Context, _ string) (discovery.Inventory, error) {
	return f.Source.Inventory(ctx, f.instead)
}

// TestTokenOfAnotherProject: nothing is asked with it, and nothing that was kept is lost for it.
func TestTokenOfAnotherProject(t *testing.T) {
	b := newBed(t, told(t, "02-two-vos-states"), emulated.Current, onDisk(t), "ops=p-ops")
	b.share()
	b.target.Clouds[0].Source = foreign{b.target.Clouds[0].Source, "p-ai"}
	b.cloud.Forget()
	s := b.share()
	if all := s.Offer.Troubles(); len(all) != 1 || all[0].Kind != openstack.ErrScope.Error() || s.Offer.Scope.Value.ID != "p-ops" || s.Offer.VMs.Value.Total != 1 {
		t.Errorf("%+v", s)
	}
	for _, r := range b.cloud.Requests() {
		if !strings.HasPrefix(r.Path, "/identity/") {
			t.Errorf("asked %s", r.Path)
		}
	}
}

// TestCancelled: a run that is ended in the middle of any question ends with the cause, and leaves what is kept as it was.
func TestCancelled(t *testing.T) {
	b := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
	good := b.take()
	b.pass(time.Hour)
	cause := errors.New("that is enough")
	places := map[string][2]string{"sign-in": {"identity", "/v3/auth/tokens"}, "projects": {"identity", "/v3/auth/projects"}, "version": {"compute", "/v2.1/"}}
	for stage, where := range asks {
		places[stage] = where
	}
	for stage, where := range places {
		ctx, cancel := context.WithCancelCause(t.Context())
		b.target.Clouds[0].Source = b.source(b.cloud.AuthURL(), "")
		b.fault(where[0], where[1], faults.Effect{Do: func() { cancel(cause) }, Status: 500})
		if all, err := discovery.Take(ctx, b.deps(), b.target); !errors.Is(err, cause) || all != nil {
			t.Errorf("%s: %v, %v", stage, all, err)
		}
		b.faults.Clear()
		cancel(nil)
		if last, err := discovery.Last(t.Context(), b.deps(), b.target); err != nil || cmp.Diff(good[0].Regions, last[0].Regions) != "" {
			t.Errorf("%s: %v (-kept +now):\n%s", stage, err, cmp.Diff(good[0].Regions, last[0].Regions))
		}
	}
}

// TestStoreFails: without its store a run ends with an error, and one whose lease was lost writes nothing.
func TestStoreFails(t *testing.T) {
	b := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
	ctx := store.WithLease(t.Context(), store.Lease{Task: "discovery.publish/site-a", Owner: "me", Fence: 1})
	if _, err := discovery.Take(ctx, b.deps(), b.target); !errors.Is(err, store.ErrFenced) {
		t.Errorf("%v", err)
	}
	if last, err := discovery.Last(t.Context(), b.deps(), b.target); err != nil || len(last) != 0 {
		t.Errorf("%v, %v", last, err)
	}
}

package accounting

import (
	"cmp"
	"errors"
	"time"

	"github.com/fedsite/fedsite/internal/site"
)

// basis is what all VMs of one project are measured against in one run.
type basis struct {
	Target   *Target
	Cloud    site.Cloud
	Project  string
	Shares   []site.Share
	To       int64 // the window's end
	Since    int64 // the site's first instant of accounting
	Previous Previously
}

// Row is one row of the ledger before it has a revision: a record and where it belongs.
type Row struct {
	VM      string
	Period  string
	At      int64 // the instant of measurement
	VO      string
	Reading Reading
}

// errNotYet marks a VM that had not begun at the window's end.
var errNotYet = errors.New("nothing to account yet")

// errOlder marks an observation that is older than the one the ledger has.
var errOlder = errors.New("observed before what is known")

// apply counts a VM on by one observation and gives its new state with the rows that follow from it. It is pure: was is
// what the ledger knew, nil for a VM not seen before. An observation older than the one the ledger has changes nothing
// (design §7, rule 2): errOlder. notes are what an operator should know of it.
func (b *basis) apply(was *VM, o Observation) (vm VM, rows []Row, notes []string, err error) {
	settings, to := b.Target.Settings, b.To
	start, end, err := lifetime(o.Server, o.Seen)
	if err != nil {
		return VM{}, nil, nil, err
	}
	size, serr := sizeOf(o.Server.Flavor, settings.Benchmarks)
	if serr != nil {
		notes = append(notes, serr.Error())
	}
	if was != nil {
		if o.Seen < was.Seen {
			return VM{}, nil, nil, errOlder
		}
		vm = *was
		vm.Meter = was.sure(b.charge())
		to = max(to, was.CountedTo) // no measured time is taken back
		if end != 0 {
			end = max(end, vm.StartedAt) // it ended before accounting began, and was taken for alive
		}
	} else {
		if vm, err = b.begin(o, start, end, size); err != nil {
			return VM{}, nil, notes, err
		}
	}
	b.name(&vm, o)
	charge := b.charge()
	changes, doubt := changesOf(vm.Meter, o, size, charge, int64(settings.Settle/time.Second))
	if was == nil { // nothing is known of how it was before: as it is now, it was from the start
		changes, doubt = initial(changes), before(o, vm.StartedAt, size)
	}
	if doubt != "" {
		notes = append(notes, doubt)
	}
	meter, readings := vm.Advance(changes, to, end, b.Since, charge)
	if len(readings) == 0 {
		return VM{}, nil, notes, errNotYet
	}
	vm.Meter, vm.Vanished, vm.Missing, vm.EndsAt = meter, 0, 0, 0
	if meter.EndedAt == 0 {
		vm.EndsAt = end
	}
	if rows = b.rows(&vm, readings); len(rows) == 0 {
		return vm, nil, notes, errNoVO
	}
	return vm, rows, notes, nil
}

// sure gives the meter as it stood before the VM was closed unseen: from there to its last sight it was counted on as it was,
// without what was done to it meanwhile, which is known when it is shown again.
func (v VM) sure(charge Charge) Meter {
	m := v.Meter
	if m.EndedAt != 0 && v.EndsAt != 0 && v.EndsAt < m.CountedTo {
		m.count(v.EndsAt, charge)
	}
	return m
}

// errNoVO marks a VM of a project that belongs to no VO at the time; what is known of the VM goes on all the same.
var errNoVO = errors.New("its project belongs to no VO at that time")

// owned tells whether the project belongs to a VO at the window's end.
func (b *basis) owned() bool {
	_, ok := site.Accounted(b.Shares, b.Project, time.Unix(b.To, 0).UTC())
	return ok
}

// begin gives the meter of a VM not seen before: from its creation, or, where nothing accounted before us, from the
// site's first instant (design §7, accounting.previously).
func (b *basis) begin(o Observation, start, end int64, size Size) (VM, error) {
	if b.Previous == Nothing && start < b.Since {
		start = b.Since
	}
	if end != 0 && end < b.Since {
		return VM{}, errNotYet // it ended before accounting began
	}
	state := o.Server.Status
	switch {
	case o.Actions != nil: // they say what came after, too
		state = stateAt(o.Actions, start)
	case state == "DELETED", o.ActionDenied && b.charge().free(state): // until when is told by its row alone
		state = "ACTIVE"
	}
	return VM{
		Site: b.Target.Site.ID, Cloud: b.Cloud.ID, ID: o.Server.ID, Project: b.Project,
		Meter: Meter{StartedAt: start, CountedTo: start, Size: size, State: state},
	}, nil
}

// initial keeps of a new VM's changes those that instance actions date.
func initial(changes []Change) []Change {
	var kept []Change
	for _, c := range changes {
		if c.State != "" && c.Size == nil {
			kept = append(kept, c)
		}
	}
	return kept
}

// name takes over what the observation calls the VM. What could not be read stays as it was known.
func (b *basis) name(v *VM, o Observation) {
	s := o.Server
	v.Seen, v.Shown = o.Seen, max(v.Shown, o.Seen)
	v.UserID = cmp.Or(s.UserID, v.UserID)
	v.UserName = cmp.Or(o.UserName, v.UserName)
	v.Name = s.Name
	v.Floating = int64(s.Floating)
	if !o.ImageUnknown || v.Image == "" {
		v.Image = o.Image
	}
}

// rows makes a row of each reading whose month has a VO, and moves the VM's VO and Measured on.
func (b *basis) rows(v *VM, readings []Reading) []Row {
	var rows []Row
	for _, r := range readings {
		vo, ok := account(*v, b.Shares, r.At)
		if !ok {
			continue
		}
		v.VO = vo
		v.Measured = r.At
		rows = append(rows, Row{VM: v.ID, Period: Period(r.At), At: r.At, VO: vo, Reading: r})
	}
	return rows
}

// charge gives what is use in the project: time in which it belongs to no VO is not, whatever the state. Otherwise the
// next VO would be charged with it, because records are cumulative. Of what cASO counted before us nothing is taken back:
// the server's differences go on from there (design §7, accounting.previously).
func (b *basis) charge() Charge {
	c := b.Target.Settings.Charge
	c.unowned = unowned(b.Shares, b.Project)
	if b.Previous != Nothing {
		c.since = b.Since
	}
	return c
}

// labels gives the words of a row measured at the instant that are not the VM's.
func (b *basis) labels(at int64) labels {
	s := b.Target.Settings
	month := time.Unix(monthStart(at), 0).UTC()
	return labels{
		Site:      b.Target.Site.NameAt(month), // a new name applies from the next month's rows (rule 8)
		Service:   b.Cloud.ServiceName,
		CloudType: s.CloudType,
		UserName:  s.UserName,
		Machine:   s.Machine,
	}
}

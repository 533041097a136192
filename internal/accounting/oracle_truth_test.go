package accounting_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
)

// use is wall and CPU time in seconds.
type use struct{ wall, cpu int64 }

// judge compares what the accounting server has with the world's truth.
func (tr *trial) judge() {
	end := tr.sights[len(tr.sights)-1].to // of the last collection, whose host's clock is right
	rows := map[string][]apelserver.Row{}
	for _, r := range tr.server.Kept() {
		rows[strings.ToLower(r.VMUUID)] = append(rows[strings.ToLower(r.VMUUID)], r)
	}
	for _, l := range tr.lives {
		tr.judgeVM(l, rows[l.vm.ID], end)
		delete(rows, l.vm.ID)
	}
	for id := range rows {
		tr.wrong("the server has records of a VM that there never was: %s", id)
	}
	tr.judgeSummaries()
	tr.judgeCleanUps()
}

func (tr *trial) judgeVM(l life, rows []apelserver.Row, end time.Time) {
	slices.SortFunc(rows, func(a, b apelserver.Row) int { return int(a.Measured - b.Measured) })
	got := map[string]use{}
	var before use
	var ended int64
	for _, r := range rows {
		now := use{value(r.Wall), value(r.CPU)}
		got[fmt.Sprintf("%04d-%02d", r.Year, r.Month)] = use{now.wall - before.wall, now.cpu - before.cpu}
		before = now
		if strings.EqualFold(r.Status, apel.StatusCompleted) {
			ended = value(r.EndTime)
		}
	}
	vm := tr.asEnded(l, ended)
	want := tr.expect(vm, end)
	if tr.endedBefore(l) && len(rows) > 0 && endOf(vm) == endOf(l.vm) { // and not closed as vanished, before its end showed to anybody
		// its whole use, as cASO counted it: the record of the month in which it ended, or of the first one sent
		w := world.World{Flavors: oracleFlavors}
		w.Add(vm)
		for _, u := range w.Usage("", vm.Created.Add(-time.Second), tr.since, world.Charge{}) {
			want = map[string]use{tr.since.Format("2006-01"): {u.Wall, u.CPU}}
		}
	}
	slack := tr.slack(l)
	if ended != 0 && ended != endOf(l.vm) { // closed when it was last seen: what was done to it between the window's end and this sight was not known then
		if from := tr.column(l.vm.ID, "ends_at"); from != 0 && slices.ContainsFunc(l.vm.Events, func(e world.Event) bool { return e.At.Unix() >= from && e.At.Unix() <= ended }) {
			slack.cpu += 8 * (ended - from)
			if tr.charge.StoppedFree || tr.charge.ShelvedFree {
				slack.wall += ended - from
			}
		}
	}
	if l.vm.ID == "" {
		panic("a VM without id")
	}
	periods := slices.Sorted(maps.Keys(want))
	for p := range got {
		if _, ok := want[p]; !ok && got[p] != (use{}) {
			periods = append(periods, p)
		}
	}
	var sum use
	off := false
	for _, p := range periods {
		d := use{got[p].wall - want[p].wall, got[p].cpu - want[p].cpu}
		sum.wall, sum.cpu = sum.wall+d.wall, sum.cpu+d.cpu
		off = off || d.wall != 0 || abs(d.cpu) > slack.silent
		if abs(d.wall) > slack.wall || abs(d.cpu) > slack.cpu {
			tr.wrong("VM %s, %s: wall %d, want %d (%+d, may be off by %d); CPU %d, want %d (%+d, may be off by %d)", l.vm.ID, p, got[p].wall, want[p].wall, d.wall, slack.wall, got[p].cpu, want[p].cpu, d.cpu, slack.cpu)
		}
	}
	if abs(sum.wall) > slack.wall || abs(sum.cpu) > slack.cpu {
		tr.wrong("VM %s, whole life: wall off by %d, CPU by %d (may be by %d)", l.vm.ID, sum.wall, sum.cpu, slack.cpu)
	}
	if off && slack.cpu > 0 && !tr.saidOfFlavor(l.vm.ID) {
		tr.wrong("VM %s: its CPU is off by %d, and no report said that it may be", l.vm.ID, sum.cpu)
	}
	if want := endOf(vm); want != 0 && want > tr.since.Unix() && ran(vm) && ended != want {
		tr.wrong("VM %s ended %s, the server has EndTime %d", l.vm.ID, stamp(time.Unix(want, 0)), ended)
	}
}

// saidOfFlavor tells whether a report said that a VM's CPU may be off. Where actions are denied one notice stands for all VMs.
func (tr *trial) saidOfFlavor(vm string) bool {
	denied := func(n string) bool { return strings.Contains(n, "instance actions cannot be read") }
	return tr.noticed(vm, "flavor") || tr.noticed(vm, "instance actions cannot be read") || (tr.denied && slices.ContainsFunc(tr.notices, denied))
}

// endedBefore tells whether the VM ended before accounting began, and was taken for alive by a collection because its end
// showed late. Where cASO went before, what the server has of it is corrected to its true use; it is not taken away.
func (tr *trial) endedBefore(l life) bool {
	end := endOf(l.vm)
	return tr.previously == accounting.CASO && ran(l.vm) && l.late > 0 && end != 0 && end < tr.since.Unix() &&
		slices.ContainsFunc(tr.collections, func(c span) bool { return c.from.Add(-oracleSettle).Before(time.Unix(end, 0).Add(l.late)) })
}

func value(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}

func abs(n int64) int64 { return max(n, -n) }

func endOf(vm world.VM) int64 {
	for _, e := range vm.Events {
		if e.Kind == world.Delete {
			return e.At.Unix()
		}
	}
	return 0
}

func ran(vm world.VM) bool {
	return slices.ContainsFunc(vm.Events, func(e world.Event) bool { return e.Kind == world.Launch })
}

// asEnded gives the VM as it can be known: one that ended while it was hidden and was never shown again may be closed when
// it was last seen, and a report must have said so.
func (tr *trial) asEnded(l life, ended int64) world.VM {
	vm := clone(l.vm)
	end := endOf(vm)
	if ended == end || ended == 0 || (end == 0 && !tr.softForGood(l)) {
		return vm
	}
	for _, seen := range tr.collections {
		if !tr.noticed(vm.ID, "vanished") || len(l.hidden) == 0 || ended < seen.from.Unix() || ended > seen.to.Unix() {
			continue
		}
		vm.Events = slices.DeleteFunc(vm.Events, func(e world.Event) bool { return e.At.Unix() >= ended || e.Kind == world.Delete })
		vm.Events = append(vm.Events, world.Event{At: time.Unix(ended, 0), Kind: world.Delete})
		break
	}
	return vm
}

// softForGood tells whether a softly deleted VM that was closed as vanished is back too late: no undisturbed collection had
// it before its eyes again as long as it was looked for, and afterwards no listing shows it.
func (tr *trial) softForGood(l life) bool {
	closed := tr.column(l.vm.ID, "vanished")
	if closed == 0 || l.vm.Events[len(l.vm.Events)-1].Kind != world.Soft {
		return false
	}
	until := time.Unix(closed, 0).Add(7*day - oracleSettle) // clocks may differ
	return !slices.ContainsFunc(tr.sights, func(s sight) bool {
		return tr.sees(s, l.vm) && s.at.Before(until) && s.at.After(time.Unix(closed, 0).Add(oracleSettle)) && !slices.ContainsFunc(l.hidden, func(h span) bool { return h.to.After(s.at) })
	})
}

// column gives a number of the ledger's VM; 0 when it has none.
func (tr *trial) column(vm, name string) (n int64) {
	err := tr.archive.db.Read(context.Background(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT coalesce(max(`+name+`), 0) FROM vm WHERE cloud = $1 AND vm = $2`, tr.target.Clouds[0].Cloud.ID, vm).Scan(&n)
	})
	if err != nil {
		panic(err)
	}
	return n
}

// sees tells whether a collection may have seen the VM, apart from its hiding.
func (tr *trial) sees(s sight, vm world.VM) bool {
	begun := vm.Created
	if tr.previously == accounting.Nothing && begun.Before(tr.since) {
		begun = tr.since
	}
	if at, soft := softly(vm, s.at); soft && at.Before(tr.since.Add(-tr.target.Settings.Overlap)) {
		return false // it is in no listing that is asked for
	}
	return (len(s.projects) == 0 || slices.Contains(s.projects, vm.Project)) && vm.Created.Before(s.at) && begun.Before(s.to) && launchedBy(vm, s.at)
}

// softly tells whether a VM is softly deleted at an instant, and since when.
func softly(vm world.VM, t time.Time) (since time.Time, is bool) {
	for _, e := range vm.Events {
		if !e.At.After(t) {
			since, is = e.At, e.Kind == world.Soft
		}
	}
	return since, is
}

func launchedBy(vm world.VM, t time.Time) bool {
	return slices.ContainsFunc(vm.Events, func(e world.Event) bool { return e.Kind == world.Launch && !e.At.After(t) })
}

// expect gives what a VM truly used by month, as the server can count it: from one 23:59:59 to the next. What was used
// before accounting began is in the first month when cASO went before, because the server has no record of it here; cASO
// charged all of it.
func (tr *trial) expect(vm world.VM, end time.Time) map[string]use {
	want := map[string]use{}
	if e := endOf(vm); !ran(vm) || (e != 0 && e < tr.since.Unix()) {
		return want
	}
	// what was softly deleted before accounting began is in no listing that a first collection asks for
	if last := vm.Events[len(vm.Events)-1]; last.Kind == world.Soft && last.At.Before(tr.since.Add(-tr.target.Settings.Overlap)) {
		return want
	}
	var w world.World
	w.Flavors = oracleFlavors
	w.Add(vm)
	charge := world.Charge{StoppedFree: tr.charge.StoppedFree, ShelvedFree: tr.charge.ShelvedFree}
	from := tr.since
	add := func(period string, from, to time.Time, charge world.Charge) {
		for _, u := range w.Usage("", from, to, charge) {
			was := want[period]
			want[period] = use{was.wall + u.Wall, was.cpu + u.CPU}
		}
	}
	first := from.Format("2006-01")
	if vm.Created.After(from) {
		first = vm.Created.Format("2006-01")
	}
	if tr.previously == accounting.CASO {
		add(first, vm.Created.Add(-time.Second), from, world.Charge{})
	}
	for month := time.Date(from.Year(), from.Month(), 1, 0, 0, 0, 0, time.UTC); month.Before(end); month = month.AddDate(0, 1, 0) {
		lo, hi := month.Add(-time.Second), month.AddDate(0, 1, 0).Add(-time.Second)
		if lo.Before(from) {
			lo = from
		}
		if hi.After(end) {
			hi = end
		}
		add(month.Format("2006-01"), lo, hi, charge)
	}
	return want
}

// slack is by how much, in seconds, a VM's figures may be off.
type slack struct {
	wall, cpu int64
	silent    int64 // of the CPU: without a report
}

// slack reckons what cannot be known of a VM's sizes: with more than one change between two collections, or one before
// the first, a flavor was never seen; where actions are denied a change of size or state has no date; below microversion 2.58 it has the
// date at which it was asked for.
func (tr *trial) slack(l life) (s slack) {
	const largest = 8 // vCPU
	changes, most := tr.resizes(l.vm)
	byState := tr.charge.StoppedFree || tr.charge.ShelvedFree
	denied := tr.denied || tr.noticed(l.vm.ID, "its instance actions cannot be read")         // it was hidden between listing and question
	if from, ok := tr.saidSince(l.vm.ID, "to one that was not seen before it was gone"); ok { // and no flavor of a deleted VM is asked for
		s.cpu += most * max(endOf(l.vm)-from, 0)
	}
	if from, ok := tr.saidSince(l.vm.ID, "is shown no more"); ok { // its end was seen in an earlier window's collection, and its actions were never to be read again
		s.cpu += largest * max(endOf(l.vm)-from, 0)
		if byState {
			s.wall += max(endOf(l.vm)-from, 0)
		}
	}
	if from, ok := tr.saidSince(l.vm.ID, "to one that was not seen"); ok && ((tr.era == emulated.Mitaka && tr.notFound) || slices.ContainsFunc(tr.notices, func(n string) bool {
		return strings.HasPrefix(n, "flavor ") && strings.Contains(n, "it may not be read")
	})) {
		s.cpu += most * (tr.last().Unix() - from) // Nova gives the flavor's id alone, and to ask for it was refused, or it was said to be gone
	}
	if tr.era == emulated.Mitaka {
		s.silent = int64(len(changes)) * most * 20
		s.cpu += s.silent
	}
	counted := l.vm.Created // what is counted with a size that was seen reaches to here
	seen := false
	for _, at := range tr.sights {
		if !tr.sees(at, l.vm) || slices.ContainsFunc(l.hidden, func(h span) bool { return !h.from.After(at.done) && h.to.After(at.at) }) {
			continue
		}
		until := at.done.Add(max(at.skew, 0))
		n := 0
		for _, c := range changes {
			if c.After(counted) && !c.After(until) {
				n++
			}
		}
		if n > 1 || (n == 1 && (!seen || denied)) {
			s.cpu += most * int64(until.Sub(counted)/time.Second)
			if !seen { // in its first minutes it may be resized without a word
				s.silent += most * int64(5*time.Minute/time.Second)
			}
			if !seen && tr.previously == accounting.CASO && l.vm.Created.Before(tr.since) {
				s.silent += most * int64(until.Sub(counted)/time.Second)
			}
		}
		if denied && byState && (resized(l.vm, counted) || slices.ContainsFunc(l.vm.Events, func(e world.Event) bool { return e.At.After(counted) && !e.At.After(until) })) {
			s.wall += int64(until.Sub(counted) / time.Second)
			s.cpu += largest * int64(until.Sub(counted)/time.Second)
		}
		to := at.to
		if at.skew > 0 {
			to = to.Add(-at.skew)
		}
		if to.After(counted) {
			counted = to
		}
		seen = true
	}
	return s
}

// resized tells whether a resize of the VM is to be confirmed at the instant: its row does not tell whether it runs.
func resized(vm world.VM, t time.Time) (is bool) {
	for _, e := range vm.Events {
		if !e.At.After(t) {
			is = e.Kind == world.Resize || (is && e.Kind != world.Confirm && e.Kind != world.Revert)
		}
	}
	return is
}

// saidSince gives the instant from which on, as a report said in the given words, something of the VM is not known.
func (tr *trial) saidSince(vm, words string) (from int64, ok bool) {
	for _, n := range tr.notices {
		if !strings.HasPrefix(n, "VM "+vm+": ") || !strings.Contains(n, words) {
			continue
		}
		_, text, _ := strings.Cut(n, " since ")
		if at, err := time.Parse("2006-01-02T15:04:05Z", text[:min(20, len(text))]); err == nil && (!ok || at.Unix() < from) {
			from, ok = at.Unix(), true
		}
	}
	return from, ok
}

// resizes gives when a VM got another size, and the largest difference of vCPUs among its sizes.
func (tr *trial) resizes(vm world.VM) (at []time.Time, most int64) {
	vcpus := map[string]int64{}
	for _, f := range oracleFlavors {
		vcpus[f.ID] = f.VCPUs
	}
	lo, hi := vcpus[vm.Flavor], vcpus[vm.Flavor]
	for _, e := range vm.Events {
		if e.Kind == world.Resize {
			lo, hi = min(lo, vcpus[e.Value]), max(hi, vcpus[e.Value])
		}
		if e.Kind == world.Resize || e.Kind == world.Revert {
			at = append(at, e.At)
		}
	}
	return at, hi - lo
}

// rowsNow gives the server's rows by VM and month.
func (tr *trial) rowsNow() map[string]apelserver.Row {
	m := map[string]apelserver.Row{}
	for _, r := range tr.server.Kept() {
		m[fmt.Sprintf("%s %04d-%02d", r.VMUUID, r.Year, r.Month)] = r
	}
	return m
}

// compareRows holds after each message: no month's record shrinks except by an EndTime. One of a VM that had vanished, and is
// back, may be of less use: only now is it known what was done to it between the window's end and its last sight.
func (tr *trial) compareRows(before map[string]apelserver.Row) {
	for key, now := range tr.rowsNow() {
		was, ok := before[key]
		if !ok || (now.Measured >= was.Measured && value(now.Wall) >= value(was.Wall) && value(now.CPU) >= value(was.CPU)) {
			continue
		}
		if !tr.ended(now.VMUUID) && (now.Measured < was.Measured || !strings.EqualFold(was.Status, apel.StatusCompleted)) {
			tr.wrong("%s: the record of %s shrank at the server, and the VM has no end: measured %d → %d, wall %d → %d, CPU %d → %d", stamp(tr.cloudNow()), key,
				was.Measured, now.Measured, value(was.Wall), value(now.Wall), value(was.CPU), value(now.CPU))
		}
	}
}

// ended tells whether the ledger has an end of the VM.
func (tr *trial) ended(vm string) bool { return tr.has(vm, "ended_at IS NOT NULL") }

// known tells whether the ledger has the VM.
func (tr *trial) known(vm string) bool { return tr.has(vm, "1 = 1") }

func (tr *trial) has(vm, condition string) bool {
	var n int
	err := tr.archive.db.Read(context.Background(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM vm WHERE cloud = $1 AND vm = $2 AND `+condition, tr.target.Clouds[0].Cloud.ID, vm).Scan(&n)
	})
	return err == nil && n > 0
}

// reopened tells, of a row of a VM that lives, whether the VM had been closed as vanished (see compareRows).
func reopened(was accounting.Entry) bool {
	return strings.Contains(was.Wire, "Status: "+apel.StatusCompleted)
}

// inspect holds after each step.
func (tr *trial) inspect() {
	ctx := context.Background()
	all, err := accounting.Records(ctx, tr.archive.db, tr.target, accounting.Filter{})
	if err != nil {
		tr.wrong("the ledger cannot be read: %v", err)
		return
	}
	now := map[string]accounting.Entry{}
	for _, e := range all {
		key := e.VM + " " + e.Period
		now[key] = e
		rec, err := apel.ParseCloud([]byte(apel.CloudHeader + "\n" + e.Wire))
		if err != nil || len(rec) != 1 {
			tr.wrong("the ledger's record of %s is none: %v", key, err)
			continue
		}
		r := rec[0]
		sum := r.StartTime + r.SuspendDuration + r.WallDuration
		if r.Status == apel.StatusCompleted {
			sum = r.EndTime
		}
		if sum != e.Measured.Unix() || accounting.Period(sum) != e.Period {
			tr.wrong("%s: the record of %s would be dated %s, the ledger says %s", stamp(tr.cloudNow()), key, stamp(time.Unix(sum, 0)), stamp(e.Measured))
		}
		if was, ok := tr.ledger[key]; ok && (e.Measured.Before(was.Measured) || !reopened(was) && e.Wall < was.Wall || !reopened(was) && e.CPU < was.CPU || e.Revision < was.Revision) && !tr.ended(e.VM) {
			tr.wrong("%s: the row of %s shrank, and the VM has no end: measured %s → %s, wall %d → %d, CPU %d → %d", stamp(tr.cloudNow()), key, stamp(was.Measured), stamp(e.Measured), was.Wall, e.Wall, was.CPU, e.CPU)
		}
	}
	tr.ledger = now
	var doubled int
	err = tr.archive.db.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM (SELECT r.subject FROM message_record r JOIN message m ON m.id = r.message
			WHERE r.site = $1 AND m.state IN ('cut', 'parked') GROUP BY m.destination, r.cloud, r.subject, r.period HAVING count(*) > 1) twice`, tr.target.Site.ID).Scan(&doubled)
	})
	if err != nil || doubled > 0 {
		tr.wrong("%s: %d records are in more than one unsettled message: %v", stamp(tr.cloudNow()), doubled, err)
	}
}

package accounting

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
)

// evidence is what archives say of the targets.
type evidence struct {
	d       Deps
	targets []*siteEvidence
	sites   map[string]*siteEvidence // by the id that the archives know it under; nil = not one of the targets
	strange map[string]int           // messages of what is none
}

// siteEvidence is what archives say of one site, in the ids of the present database.
type siteEvidence struct {
	d        Deps
	t        *Target
	clouds   []knownCloud
	ids      map[string]string // clouds: present ids, by those of the archives; "" = none
	names    map[string]string // clouds: names, by the ids of the archives
	messages map[string]*sentMessage
	open     map[string]*sentMessage // those that were on their way
	vms      map[vmKey]*vmEvidence
	mark     Archived
	start    ArchivedStart
	scopes   []ArchivedScope
	startAt  int64
}

type knownCloud struct {
	id, name   string
	formerly   []string
	replacedBy string
}

// sentMessage is a delivered message, without its text.
type sentMessage struct {
	Archived
	records int
	period  string // of its oldest record
}

type vmKey struct{ cloud, vm string }

// vmEvidence is what was sent of a VM, by month.
type vmEvidence struct{ rows map[string]*rowEvidence }

// size is how many rows a transaction writes for it at most.
func (v *vmEvidence) size() int {
	n := 1
	for _, r := range v.rows {
		n += 1 + len(r.sent) + len(r.open)
	}
	return n
}

// rowEvidence is what was sent of a VM's month: the newest observation, and what each destination has got last.
type rowEvidence struct {
	newest revision
	top    int64               // the highest revision
	sent   map[string]revision // by destination
	open   map[string]revision // the same of messages that were on their way
}

// revision is one revision of a row as it went out.
type revision struct {
	ArchivedRecord
	body    string
	digest  string
	at      int64
	hold    int64
	message string
}

// newer tells whether the revision is a newer observation than the other.
func (r revision) newer(o revision) bool {
	if r.Seen != 0 && o.Seen != 0 && r.Seen != o.Seen {
		return r.Seen > o.Seen
	}
	return r.Revision > o.Revision || r.Revision == o.Revision && r.Seen > o.Seen
}

func newEvidence(ctx context.Context, d Deps, t *Target) (*siteEvidence, error) {
	s := &siteEvidence{d: d, t: t, ids: map[string]string{}, names: map[string]string{}, messages: map[string]*sentMessage{}, open: map[string]*sentMessage{}, vms: map[vmKey]*vmEvidence{}}
	for _, c := range t.Clouds {
		s.clouds = append(s.clouds, knownCloud{id: c.Cloud.ID, name: c.Cloud.Name})
	}
	return s, d.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT id, name, formerly, coalesce(replaced_by, '') FROM cloud WHERE site = $1 ORDER BY created, id`, t.Site.ID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				c        knownCloud
				formerly string
			)
			if err := rows.Scan(&c.id, &c.name, &formerly, &c.replacedBy); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(formerly), &c.formerly); err != nil {
				return err
			}
			s.clouds = append(s.clouds, c)
		}
		return rows.Err()
	})
}

// cloud gives the present id of a cloud of the archives; false when there is none.
func (s *siteEvidence) cloud(id string, names map[string]string) (string, bool) {
	if found, ok := s.ids[id]; ok {
		return found, found != ""
	}
	name := names[id]
	for _, is := range []func(knownCloud) bool{
		func(c knownCloud) bool { return c.id == id },
		func(c knownCloud) bool { return name != "" && c.name == name },
		func(c knownCloud) bool { return name != "" && slices.Contains(c.formerly, name) },
	} {
		if i := slices.IndexFunc(s.clouds, is); i >= 0 {
			s.ids[id] = cmp.Or(s.clouds[i].replacedBy, s.clouds[i].id)
			return s.ids[id], true
		}
	}
	if name == "" { // another message may tell
		return "", false
	}
	s.ids[id] = ""
	return "", false
}

// site gives the target of an entry; nil when there is none.
func (e *evidence) site(a Archived) *siteEvidence {
	if s, ok := e.sites[a.Site]; ok {
		return s
	}
	for _, is := range []func(*Target) bool{
		func(t *Target) bool { return t.Site.ID == a.Site },
		func(t *Target) bool { return t.Site.Name == a.SiteName },
		func(t *Target) bool {
			for _, f := range t.Site.Formerly {
				if f.Name == a.SiteName {
					return true
				}
			}
			return false
		},
	} {
		if i := slices.IndexFunc(e.targets, func(s *siteEvidence) bool { return is(s.t) }); i >= 0 {
			e.sites[a.Site] = e.targets[i]
			return e.targets[i]
		}
	}
	e.sites[a.Site] = nil
	return nil
}

// read takes in what an archive holds. Torn entries are told; they never counted as settled.
func (e *evidence) read(a *Archive) error {
	for _, kind := range []struct {
		files func() ([]string, error)
		add   func(*siteEvidence, Archived) error
	}{{a.Files, (*siteEvidence).delivered}, {a.Open, (*siteEvidence).onItsWay}} {
		files, err := kind.files()
		if err != nil {
			return err
		}
		for _, file := range files {
			torn, err := readArchive(file, func(entry Archived) error {
				s := e.site(entry)
				if s == nil {
					e.strange["site "+cmp.Or(entry.SiteName, entry.Site)]++
					return nil
				}
				return kind.add(s, entry)
			})
			if err != nil {
				return fmt.Errorf("archive of sent messages: %s: %w", file, err)
			}
			for _, t := range torn {
				if filepath.Base(filepath.Dir(file)) != openDir { // one that had not gone out yet
					e.d.Run.Problem(run.Problem{Object: "archive of sent messages", Step: "rebuild", Notice: true,
						Reason: fmt.Sprintf("%s: %d bytes from byte %d on are no whole entry: a process was killed while it wrote it, or the disk is damaged", t.File, t.Bytes, t.At)})
				}
			}
		}
	}
	return nil
}

func (s *siteEvidence) delivered(a Archived) error {
	if a.At >= s.startAt && a.Start.Since != 0 {
		s.start, s.scopes, s.startAt = a.Start, a.Scopes, a.At
		s.names = a.Clouds
	}
	if a.Message == "" {
		if a.At >= s.mark.At {
			s.mark = a
		}
		return nil
	}
	m := &sentMessage{Archived: a, records: len(a.Records)}
	m.Text, m.Records, m.Clouds = "", nil, nil
	err := s.revisions(a, func(row *rowEvidence, rev revision) {
		m.period = least(m.period, rev.Period)
		if was, ok := row.sent[a.Destination]; !ok || rev.at > was.at || rev.at == was.at && rev.Revision >= was.Revision {
			row.sent[a.Destination] = rev
		}
	})
	if was := s.messages[a.Message]; was == nil || was.At < a.At {
		s.messages[a.Message] = m
	}
	return err
}

func least(a, b string) string {
	if a == "" || b < a {
		return b
	}
	return a
}

func (s *siteEvidence) onItsWay(a Archived) error {
	if s.messages[a.Message] != nil {
		return nil
	}
	if s.startAt == 0 && a.Start.Since != 0 {
		s.start, s.scopes, s.names = a.Start, a.Scopes, a.Clouds
	}
	m := &sentMessage{Archived: a, records: len(a.Records)}
	m.Text, m.Records, m.Clouds = "", nil, nil
	s.open[a.Message] = m
	return s.revisions(a, func(row *rowEvidence, rev revision) {
		m.period = least(m.period, rev.Period)
		if was, ok := row.open[a.Destination]; !ok || rev.Revision > was.Revision {
			row.open[a.Destination] = rev
		}
	})
}

// revisions gives each record of a message to the function, after its row was brought up to it.
func (s *siteEvidence) revisions(a Archived, each func(*rowEvidence, revision)) error {
	bodies := apel.SplitCloud([]byte(a.Text))
	if len(bodies) != len(a.Records) {
		return fmt.Errorf("message %s holds %d records, its list has %d", a.Message, len(bodies), len(a.Records))
	}
	for i, rec := range a.Records {
		cloud, ok := s.cloud(rec.Cloud, a.Clouds)
		if !ok {
			s.d.Run.Problem(run.Problem{Site: s.t.Site.Name, Object: "cloud " + cmp.Or(a.Clouds[rec.Cloud], rec.Cloud), Step: "rebuild",
				Reason: "the archives have records of it, and the site has no such cloud: they are left out", Hint: "if it has another name now, give the cloud formerly: with that one, and rebuild again"})
			continue
		}
		key := vmKey{cloud, rec.VM}
		vm := s.vms[key]
		if vm == nil {
			vm = &vmEvidence{rows: map[string]*rowEvidence{}}
			s.vms[key] = vm
		}
		row := vm.rows[rec.Period]
		if row == nil {
			row = &rowEvidence{sent: map[string]revision{}, open: map[string]revision{}}
			vm.rows[rec.Period] = row
		}
		rev := revision{ArchivedRecord: rec, body: bodies[i], digest: digestOf(bodies[i]), at: a.At, hold: a.HoldUntil, message: a.Message}
		if row.newest.body == rev.body {
			rev.body = row.newest.body
		} else {
			rev.body = strings.Clone(rev.body) // else it would keep its whole message
		}
		row.top = max(row.top, rev.Revision)
		if row.newest.message == "" || rev.newer(row.newest) {
			row.newest = rev
		}
		each(row, rev)
	}
	return nil
}

// missing gives how many messages of the week before the newest mark are in none of the archives, as far as that can be
// told: other nodes have sent them.
func (s *siteEvidence) missing() int64 {
	var have int64
	for _, m := range s.messages {
		if m.Destination == s.mark.Destination && m.At > s.mark.At-markedFor-3600 && m.At <= s.mark.At+3600 {
			have++
		}
	}
	return max(0, s.mark.Settled-have)
}

// meter reads the VM's state back from its newest records. Rows of months after its end are no meter's.
func (v *vmEvidence) meter(site string, key vmKey, now int64) (vm VM, ok bool, err error) {
	var alive, final *lastRow
	var seen int64
	for period, row := range v.rows {
		rec, perr := parseRecord(row.newest.body)
		if perr != nil {
			err = errors.Join(err, fmt.Errorf("VM %s, %s: %w", key.vm, period, perr))
			continue
		}
		r := &lastRow{rec: rec, rev: row.newest}
		if r.rev.Seen == 0 {
			r.rev.Seen = rec.Measured() * 1000
		}
		seen = max(seen, r.rev.Seen)
		switch {
		case rec.Status == apel.StatusCompleted:
			if final == nil || r.rev.Seen > final.rev.Seen || r.rev.Seen == final.rev.Seen && rec.EndTime > final.rec.EndTime {
				final = r
			}
		case r.rev.State == stateAfterEnd:
		case alive == nil || rec.Measured() > alive.rec.Measured():
			alive = r
		}
	}
	last := alive
	if final != nil && (alive == nil || alive.rec.Measured() <= final.rec.EndTime || alive.rev.Seen <= final.rev.Seen) {
		last = final
	}
	if last == nil {
		return VM{}, false, err
	}
	vm = last.vm(site, key)
	vm.Seen, vm.Shown = seen, seen
	if vm.EndedAt != 0 && seen > now*1000-vanishedFor.Milliseconds() {
		vm.Vanished = seen / 1000 // perhaps it was closed so: then the cloud may still show another end
	}
	return vm, true, err
}

type lastRow struct {
	rec apel.CloudRecord
	rev revision
}

// vm gives what the VM was when the record was made.
func (r lastRow) vm(site string, key vmKey) VM {
	rec := r.rec
	vm := VM{Site: site, Cloud: key.cloud, ID: key.vm, Project: rec.LocalGroupID, VO: rec.FQAN,
		Meter: Meter{StartedAt: rec.StartTime, Wall: rec.WallDuration, Suspended: rec.SuspendDuration, CPU: rec.CPUDuration, CountedTo: rec.Measured(), EndedAt: rec.EndTime,
			Size:  Size{Flavor: r.rev.Flavor, VCPUs: int64(rec.CPUCount), Memory: rec.Memory, Disk: rec.Disk, BenchmarkType: rec.BenchmarkType, Benchmark: rec.Benchmark},
			State: cmp.Or(r.rev.State, stateOf(rec.Status))},
		Measured: rec.Measured(), UserID: rec.LocalUserID, UserName: rec.GlobalUserName, Image: rec.ImageID, Name: rec.MachineName, Floating: rec.PublicIPCount}
	if vm.UserName == vm.UserID {
		vm.UserName = "" // by policy it was the id
	}
	return vm
}

// stateOf gives Nova's word for a record's, where the archive has none.
func stateOf(status string) string {
	switch status {
	case "stopped":
		return "SHUTOFF"
	case "suspended":
		return "SHELVED_OFFLOADED"
	case "paused":
		return "PAUSED"
	case "error":
		return "ERROR"
	}
	return "ACTIVE"
}

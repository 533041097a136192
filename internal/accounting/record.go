package accounting

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/protocol/apel"
)

// VM is what the ledger knows of one VM: who it belongs to, what has been counted, what it was last called.
type VM struct {
	Site, Cloud, ID string
	Project         string
	VO              string // as accounted in the month of the newest row
	Meter
	Measured int64 // the newest instant for which there is a row
	Seen     int64 // unix milliseconds of the newest observation
	Shown    int64 // the same, or of a later listing of an unreachable cell, which says only that the VM is there
	UserID   string
	UserName string // kept when it can no longer be read
	Image    string // marketplace URI, else the image's id; "" = booted from a volume
	Name     string
	Floating int64
	EndsAt   int64  // an end that was seen, and lies after CountedTo; of one that was closed unseen: until when its meter is sure; 0 = none
	Missing  int64  // unix milliseconds: since when it cannot be found; 0 = it was found when it was last looked for
	Vanished int64  // when it was closed because it could no longer be found; 0 = not
	Parked   string // why its records must not be sent
}

// labels are the words of a record that do not come from the VM.
type labels struct {
	Site      string
	Service   string // CloudComputeService
	CloudType string
	UserName  Policy
	Machine   Policy
}

// record makes the Cloud usage record of a VM at one reading (spec accounting §1.6, §1.11). It is pure. RecordCreateTime
// is never set, because the server would date the record by it (design §7, rule 14).
func record(v VM, r Reading, l labels) apel.CloudRecord {
	rec := apel.CloudRecord{
		VMUUID:              v.ID,
		SiteName:            l.Site,
		CloudComputeService: l.Service,
		MachineName:         v.Name,
		LocalUserID:         v.UserID,
		LocalGroupID:        v.Project,
		GlobalUserName:      v.UserName,
		FQAN:                v.VO,
		Status:              status(r),
		StartTime:           r.StartedAt,
		SuspendDuration:     r.Suspended,
		WallDuration:        r.Wall,
		CPUDuration:         r.CPU,
		CPUCount:            float64(r.Size.VCPUs),
		PublicIPCount:       v.Floating,
		Memory:              r.Size.Memory,
		Disk:                r.Size.Disk,
		BenchmarkType:       r.Size.BenchmarkType,
		Benchmark:           r.Size.Benchmark,
		ImageID:             v.Image,
		CloudType:           l.CloudType,
	}
	if r.Final {
		rec.EndTime = r.At
	}
	switch l.UserName {
	case SendID:
		rec.GlobalUserName = v.UserID
	case Omit:
		rec.GlobalUserName = ""
	}
	if l.Machine == Omit {
		rec.MachineName = ""
	}
	return rec
}

// status gives the record's word for the VM's state: completed only with an EndTime, because only that word has a
// meaning to the server (design §7, Status).
func status(r Reading) string {
	if r.Final {
		return apel.StatusCompleted
	}
	switch r.State {
	case "SHUTOFF", "STOPPED":
		return "stopped"
	case "SHELVED", "SHELVED_OFFLOADED", "SUSPENDED":
		return "suspended"
	case "PAUSED":
		return "paused"
	case "ERROR":
		return "error"
	case "UNKNOWN":
		return "unknown"
	}
	return "started"
}

// account gives the VO that a row of the instant's month is accounted to: the one that the month's earlier rows name,
// else the first share of the project in effect when the month, or the VM, began (design §7, rule 8), else the first that
// came into effect since then.
func account(v VM, shares []site.Share, at int64) (string, bool) {
	if v.VO != "" && v.Measured != 0 && Period(v.Measured) == Period(at) {
		return v.VO, true
	}
	began := max(monthStart(at), v.StartedAt)
	instants := []int64{began}
	for _, s := range shares {
		if t := bound(s.Since, began); t > began && t <= at && s.Project.ID == v.Project {
			instants = append(instants, t)
		}
	}
	slices.Sort(instants)
	for _, t := range instants {
		if s, ok := site.Accounted(shares, v.Project, time.Unix(t, 0).UTC()); ok {
			return cmp.Or(s.AccountAs, s.VO), true
		}
	}
	return "", false
}

// unowned gives when a project belongs to no VO, in order.
func unowned(shares []site.Share, project string) []Window {
	var owned []Window
	for _, s := range shares {
		if s.Project.ID == project {
			owned = append(owned, Window{bound(s.Since, math.MinInt64), bound(s.Until, math.MaxInt64)})
		}
	}
	slices.SortFunc(owned, func(a, b Window) int { return cmp.Compare(a.From, b.From) })
	var gaps []Window
	last := int64(math.MinInt64)
	for _, w := range append(owned, Window{math.MaxInt64, math.MaxInt64}) {
		if w.From > last {
			gaps = append(gaps, Window{last, w.From})
		}
		last = max(last, w.To)
	}
	return gaps
}

// bound gives the first whole second, in unix seconds, at or after a share's bound; open is for one that is not there.
func bound(t time.Time, open int64) int64 {
	if t.IsZero() {
		return open
	}
	return t.Add(time.Second - 1).Unix()
}

// Package apelserver is a model of the federation's accounting server for Cloud records: what it accepts, what it keeps,
// and what it makes of it month by month (spec accounting §3.1–3.3). It reproduces the released server's verdicts on the
// recorded cases, and is what demo and tests read the federation's truth from.
package apelserver

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server keeps records. It may be used from several goroutines.
type Server struct {
	mu        sync.Mutex
	rows      map[rowKey]Row
	order     []rowKey
	summaries map[groupKey]Summary
	spelling  map[[2]string]string // names that differ only in case or accents become the first spelling
}

// rowKey is what the server replaces by: site is not in it.
type rowKey struct {
	vm    string
	month int
	year  int
}

// Row is a kept record with its measurement time; a null integer is nil.
type Row struct {
	VMUUID, SiteName, Service                 string
	MachineName, LocalUserID, LocalGroupID    string
	GlobalUserName, FQAN, VO, VOGroup, VORole string
	Status, NetworkType, StorageRecordID      string
	ImageID, CloudType, BenchmarkType         string
	StartTime, EndTime, RecordCreateTime      *int64
	Suspend, Wall, CPU                        *int64
	NetworkInbound, NetworkOutbound           *int64
	PublicIPs, Memory, Disk                   *int64
	CPUCount, Benchmark                       float64
	Measured                                  int64
	Month, Year                               int
	DN                                        string
}

// Verdict is what the loader does with a message.
type Verdict struct {
	Accepted bool
	Crash    bool   // the loader ends, and the message meets it again at every restart
	Records  int    // loaded
	Reason   string // why it was rejected
}

// New gives an empty server.
func New() *Server {
	return &Server{rows: map[rowKey]Row{}, summaries: map[groupKey]Summary{}, spelling: map[[2]string]string{}}
}

// Load takes a message, all of it or nothing.
func (s *Server) Load(message []byte, dn string) Verdict {
	rows, err := parseMessage(message)
	if err != nil {
		return Verdict{Crash: err == errCrash, Reason: err.Error()}
	}
	for i := range rows {
		if err := rows[i].fit(); err != nil {
			return Verdict{Reason: err.Error()}
		}
		rows[i].DN = dn
		rows[i].measure()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rows {
		s.spell("site", &r.SiteName)
		s.spell("service", &r.Service)
		s.spell("user", &r.GlobalUserName)
		s.spell("vo", &r.VO)
		s.spell("group", &r.VOGroup)
		s.spell("role", &r.VORole)
		key := rowKey{fold(r.VMUUID), r.Month, r.Year}
		if _, ok := s.rows[key]; !ok {
			s.order = append(s.order, key)
		}
		s.rows[key] = r
	}
	return Verdict{Accepted: true, Records: len(rows)}
}

// spell replaces a name by the first one that the database takes for equal.
func (s *Server) spell(table string, name *string) {
	key := [2]string{table, fold(*name)}
	if first, ok := s.spelling[key]; ok {
		*name = first
		return
	}
	s.spelling[key] = *name
}

// measure dates the row as the server's REPLACE does (spec accounting §3.3).
func (r *Row) measure() {
	value := func(p *int64) int64 {
		if p == nil {
			return 0
		}
		return *p
	}
	switch {
	case strings.EqualFold(r.Status, "completed"):
		if r.EndTime == nil {
			return // month 0 of year 0
		}
		r.Measured = *r.EndTime
	case r.RecordCreateTime != nil:
		r.Measured = *r.RecordCreateTime
	case r.StartTime == nil:
		return
	default:
		r.Measured = *r.StartTime + value(r.Suspend) + value(r.Wall)
	}
	t := time.Unix(r.Measured, 0).UTC()
	r.Month, r.Year = int(t.Month()), t.Year()
}

// Kept gives the rows in the order in which their keys first came.
func (s *Server) Kept() []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Row, 0, len(s.order))
	for _, k := range s.order {
		all = append(all, s.rows[k])
	}
	return all
}

// Monthly is what the federation counts for a site, VO and month.
type Monthly struct {
	Site, VO, Period string // Period "2024-03"
	Wall, CPU        int64  // seconds
	VMs              int64
}

// Monthly sums the summaries by site, VO and month, in that order.
func (s *Server) Monthly() []Monthly {
	s.mu.Lock()
	defer s.mu.Unlock()
	sums := map[[3]string]*Monthly{}
	for _, m := range s.summaries {
		period := fmt.Sprintf("%04d-%02d", m.Year, m.Month)
		key := [3]string{m.Site, m.VO, period}
		if sums[key] == nil {
			sums[key] = &Monthly{Site: m.Site, VO: m.VO, Period: period}
		}
		sums[key].Wall += m.Wall
		sums[key].CPU += m.CPU
		sums[key].VMs += m.VMs
	}
	var all []Monthly
	for _, m := range sums {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b Monthly) int {
		return strings.Compare(a.Site+"\x00"+a.Period+"\x00"+a.VO, b.Site+"\x00"+b.Period+"\x00"+b.VO)
	})
	return all
}

package accounting_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
)

// TestOracleCatches shows that the oracle is one: it puts a wrong part into the pipeline, and demands that timelines fail
// for the reason that it has; TestOracle shows that they pass without it.
func TestOracleCatches(t *testing.T) {
	for name, c := range map[string]struct {
		bend   func(*trial)
		reason string
	}{
		"a window that is dropped":             {dropWindow, "wall"},
		"an older revision after a newer one":  {deliverOlder, "shrank at the server"},
		"a record in two unsettled messages":   {cutTwice, "in more than one unsettled message"},
		"a past that is priced anew":           {priceAnew, "CPU"},
		"the last second of months lost":       {loseSecond, "wall"},
		"a month's end dated into the next":    {dateLater, "wall"},
		"suspended time that is charged":       {chargeSuspended, "wall"},
		"suspended time that is left out":      {leaveOutSuspended, ""},
		"a ledger dated by something else":     {misdate, "would be dated"},
		"a month that shrinks in the ledger":   {shrinkLedger, "shrank, and the VM has no end"},
		"a message with another text":          {changeText, "went out with another text"},
		"a VM that is forgotten":               {forgetVM, "wall"},
		"an end that is forgotten":             {forgetEnd, "EndTime"},
		"a record that the server cannot read": {spoil, "rejected"},
		"a clean-up that is told again":        {tellAgain, "noted 1 times, told 2 times"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := openArchive(t)
			caught := 0
			for seed := uint64(1); seed <= 60 && caught < 2; seed++ {
				tl := newTimeline(seed)
				tl.charge.ShelvedFree, tl.denied = true, false
				tr := newTrial(a, tl, fmt.Sprint("wrong-", seed), c.bend)
				if tr.run(); slices.ContainsFunc(tr.faults, func(f string) bool { return strings.Contains(f, c.reason) }) {
					caught++
				}
			}
			if caught < 2 {
				t.Errorf("caught in %d of 60 timelines", caught)
			}
		})
	}
}

// write changes the store behind the pipeline's back.
func (tr *trial) write(statement string, args ...any) {
	err := tr.archive.db.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(statement, args...)
		return err
	})
	if err != nil {
		panic(err)
	}
}

// dropWindow moves the mark of every second collection without collecting.
func dropWindow(tr *trial) {
	n := 0
	tr.instead = func(s step) bool {
		if n++; n%2 == 1 || s.final {
			return false
		}
		for _, p := range tr.projects {
			now := s.at.Add(s.skew)
			tr.write(`INSERT INTO collected (cloud, project, kind, from_time, to_time, seen) VALUES ($1, $2, 'cloud', $3, $4, $5)
				ON CONFLICT (cloud, project, kind, from_time) DO UPDATE SET to_time = excluded.to_time`,
				tr.target.Clouds[0].Cloud.ID, p, tr.since.Unix(), now.Add(-oracleSettle).Unix(), now.UnixMilli())
		}
		return true
	}
}

// deliverOlder loads the first message once more at the end of each step.
func deliverOlder(tr *trial) {
	var first []byte
	tr.door.after = func(body []byte) {
		if first == nil {
			first = body
		}
	}
	tr.done = func(s step) {
		if first != nil {
			before := tr.rowsNow()
			tr.server.Load(first, "/DC=org/CN=oracle")
			tr.compareRows(before)
		}
	}
}

// cutTwice makes a second message of one that is not settled.
func cutTwice(tr *trial) {
	tr.done = func(step) {
		tr.write(`INSERT INTO message (id, destination, site, kind, name, state, attempts, last_attempt, next, hold_until, reason, body, records, created, period)
			SELECT 'x' || id, destination, site, kind, 'x' || name, state, attempts, last_attempt, next, hold_until, reason, body, records, created, period
			FROM message m WHERE site = $1 AND state = 'cut' AND id NOT LIKE 'x%' AND NOT EXISTS (SELECT 1 FROM message x WHERE x.id = 'x' || m.id)`, tr.target.Site.ID)
		tr.write(`INSERT INTO message_record (message, site, cloud, kind, subject, period, rev, wall)
			SELECT 'x' || message, site, cloud, kind, subject, period, rev, wall FROM message_record r
			WHERE site = $1 AND EXISTS (SELECT 1 FROM message x WHERE x.id = 'x' || r.message) AND NOT EXISTS (SELECT 1 FROM message_record y WHERE y.message = 'x' || r.message)`, tr.target.Site.ID)
	}
}

// priceAnew multiplies all wall time by the present number of vCPUs.
func priceAnew(tr *trial) {
	tr.door.edit = records(func(r apel.CloudRecord) apel.CloudRecord {
		r.CPUDuration = int64(r.CPUCount) * r.WallDuration
		return r
	})
}

func measured(r apel.CloudRecord) time.Time {
	if r.Status == apel.StatusCompleted {
		return time.Unix(r.EndTime, 0).UTC()
	}
	return time.Unix(r.StartTime+r.SuspendDuration+r.WallDuration, 0).UTC()
}

// loseSecond ends months at 23:59:58.
func loseSecond(tr *trial) {
	tr.door.edit = records(func(r apel.CloudRecord) apel.CloudRecord {
		if r.Status != apel.StatusCompleted && measured(r).Add(time.Second).Day() == 1 && measured(r).Day() != 1 && r.WallDuration > 0 {
			r.WallDuration--
			r.CPUDuration -= int64(r.CPUCount)
		}
		return r
	})
}

// dateLater ends months at 00:00:00.
func dateLater(tr *trial) {
	tr.door.edit = records(func(r apel.CloudRecord) apel.CloudRecord {
		if r.Status != apel.StatusCompleted && measured(r).Add(time.Second).Day() == 1 && measured(r).Day() != 1 {
			r.WallDuration++
		}
		return r
	})
}

func chargeSuspended(tr *trial) {
	tr.door.edit = records(func(r apel.CloudRecord) apel.CloudRecord {
		r.WallDuration, r.SuspendDuration = r.WallDuration+r.SuspendDuration, 0
		return r
	})
}

func leaveOutSuspended(tr *trial) {
	tr.door.edit = records(func(r apel.CloudRecord) apel.CloudRecord {
		r.SuspendDuration = 0
		return r
	})
}

// misdate moves the ledger's instants of measurement.
func misdate(tr *trial) {
	tr.done = func(step) {
		tr.write(`UPDATE ledger SET measured = measured - 1 WHERE site = $1`, tr.target.Site.ID)
	}
}

// shrinkLedger gives rows of the ledger, in the end, the text of an earlier month's.
func shrinkLedger(tr *trial) {
	tr.done = func(s step) {
		if !s.final || !s.send {
			return
		}
		tr.write(`UPDATE ledger SET body = (SELECT o.body FROM ledger o WHERE o.site = ledger.site AND o.subject = ledger.subject AND o.period < ledger.period LIMIT 1)
			WHERE site = $1 AND EXISTS (SELECT 1 FROM ledger o WHERE o.site = ledger.site AND o.subject = ledger.subject AND o.period < ledger.period)`, tr.target.Site.ID)
	}
}

// changeText changes messages that are not settled.
func changeText(tr *trial) {
	tr.done = func(step) {
		tr.write(`UPDATE message SET body = replace(body, 'ORACLE-CLOUD', 'CLOUD') WHERE site = $1 AND state = 'cut'`, tr.target.Site.ID)
	}
}

// forgetVM never sees the first VM.
func forgetVM(tr *trial) { tr.blind = tr.lives[0].vm.ID }

// forgetEnd says of no VM that it ended.
func forgetEnd(tr *trial) {
	tr.door.edit = records(func(r apel.CloudRecord) apel.CloudRecord {
		if r.Status == apel.StatusCompleted {
			r.Status, r.EndTime = "started", 0
		}
		return r
	})
}

// spoil makes a record that the server does not take.
func spoil(tr *trial) {
	tr.door.edit = func(body []byte) []byte { return bytes.Replace(body, []byte("CpuCount: "), []byte("CpuCount: -"), 1) }
}

// tellAgain forgets, once, that a clean-up was told.
func tellAgain(tr *trial) {
	tr.done = func(s step) {
		if s.send && !s.final && len(tr.cleanUps) > 0 {
			tr.write(`UPDATE clean_up SET told = NULL, task = '', fence = 0 WHERE site = $1`, tr.target.Site.ID)
			tr.done = nil
		}
	}
}

// records makes of a change of one record a change of a message.
func records(edit func(apel.CloudRecord) apel.CloudRecord) func([]byte) []byte {
	return func(body []byte) []byte {
		all, err := apel.ParseCloud(body)
		if err != nil {
			panic(err)
		}
		var texts []string
		for _, r := range all {
			text, err := apel.EncodeCloudRecord(edit(r))
			if err != nil {
				panic(err)
			}
			texts = append(texts, string(text))
		}
		return apel.JoinCloud(texts)
	}
}

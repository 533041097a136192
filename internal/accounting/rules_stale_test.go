package accounting_test

import (
	"context"
	"testing"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/store"
)

// lostAnswer has March's row of VM 1 go out as started, and on April 1 as it is by then; that message's answer is lost.
// The cloud tells the ends first and then, if they are not empty: then in days in which the server no longer cleans March.
func lostAnswer(t *testing.T, cfg store.Config, first, then string, events ...world.Event) *bed {
	w := small()
	vm(w, id(1), "2024-03-02", events...)
	b := newBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
	dest := &server{name: "ams"}
	b.target.Destinations = []accounting.Destination{dest}
	end := ""
	b.answers(func(s map[string]any) bool {
		if end != "" {
			s["status"], s["OS-SRV-USG:terminated_at"] = "DELETED", end
		}
		return true
	})
	b.clean(b.collect(""))
	b.clean(b.send())
	end = first
	b.clean(b.collect("2024-04-01T00:10:00Z"))
	dest.judge = func(accounting.Message) error {
		return &accounting.DeliveryError{Verdict: accounting.Unanswered, Err: context.DeadlineExceeded}
	}
	b.send()
	dest.judge = nil
	end = then
	b.clean(b.collect("2024-04-05T00:05:00Z"))
	b.send() // the same message again, then the newer revision
	return b
}

// TestRule08LabelsThatWereTakenBack: the message said that the VM had ended, and it lives after all. Its former labels are
// the row's again, but the server may have summed it under those of the message.
func TestRule08LabelsThatWereTakenBack(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := lostAnswer(t, cfg, "2024-03-20T00:00:00.000000", "")
		b.told("VM "+id(1), "needs clean-up at APEL", "2024-03", "VO ops", "432.0 h")
	})
}

// TestRule08LabelsThatChangedTwice: the message said that the VM was stopped, then it turns out to have ended before. The
// server may have sums under the first labels and under those of the message.
func TestRule08LabelsThatChangedTwice(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := lostAnswer(t, cfg, "", "2024-03-20T00:00:00.000000", on(world.Stop, "2024-03-30"))
		b.told("VM "+id(1), "needs clean-up at APEL", "2024-03", "VO ops", "192.0 h")
		b.told("VM "+id(1), "needs clean-up at APEL", "2024-03", "VO ops", "720.0 h")
	})
}

// TestRule08ANoteOfBefore has a ledger whose rows note one set of former labels, without a list.
func TestRule08ANoteOfBefore(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		vm(w, id(1), "2024-03-02", on(world.Stop, "2024-03-30"))
		b := newBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		b.clean(b.send())
		b.clean(b.collect("2024-04-10T00:05:00Z"))
		b.write(`UPDATE ledger SET stale = substr(stale, 2, length(stale) - 2) WHERE stale IS NOT NULL`)
		b.send()
		b.told("VM "+id(1), "needs clean-up at APEL", "2024-03", "VO ops", "192.0 h")
	})
}

package audit

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

func TestRecordAndPrune(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		db := storetest.Open(t, cfg)
		at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		for i := range 3 {
			e := Entry{At: at.AddDate(0, 0, i), Who: "ann@node (uid 7)", Action: "accounting.release", Object: fmt.Sprint("project ", i)}
			if err := Record(t.Context(), db, e); err != nil {
				t.Fatal(err)
			}
		}
		boom := errors.New("boom")
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return errors.Join(Write(tx, Entry{At: at}), boom) }); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		all, err := Recent(t.Context(), db, 2)
		if err != nil || len(all) != 2 || all[0].Object != "project 2" || all[0].Origin != Shell || all[0].ID == "" || !all[0].At.Equal(at.AddDate(0, 0, 2)) {
			t.Fatalf("%+v, %v", all, err)
		}
		n, err := Prune(t.Context(), db, at.AddDate(0, 0, 1))
		if err != nil || n != 1 {
			t.Errorf("%d rows were pruned: %v", n, err)
		}
		if all, err := Recent(t.Context(), db, 9); err != nil || len(all) != 2 {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

func TestActor(t *testing.T) {
	none := func(string) string { return "" }
	sudo := func(key string) string {
		return map[string]string{"SUDO_USER": "ann\nroot", "SUDO_UID": "1000"}[key]
	}
	ann := func(int) string { return "ann" }
	nobody := func(int) string { return "" }
	node := func() (string, error) { return "node-1", nil }
	lost := func() (string, error) { return "", errors.New("no name") }
	for want, got := range map[string]string{
		"ann@node-1 (uid 7)":                          actor(none, 7, ann, node),
		"annroot@node-1 (uid 1000, by sudo as uid 0)": actor(sudo, 0, nobody, node),
		"?@? (uid 4242)":                              actor(none, 4242, nobody, lost),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

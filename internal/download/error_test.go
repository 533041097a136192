package download

import (
	"testing"
	"time"
)

func TestPause(t *testing.T) {
	const date = "Tue, 24 Nov 2026 12:00:00 GMT"
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "17": 17 * time.Second, " 17 ": 17 * time.Second, "-1": 0, "9999": time.Hour, "99999999999999999999": 0, "soon": 0,
		"Tue, 24 Nov 2026 12:00:30 GMT": 30 * time.Second, "Tue, 24 Nov 2026 11:00:00 GMT": 0, "Fri, 24 Nov 2028 12:00:00 GMT": time.Hour,
	} {
		if got := pause(value, date); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	if got := pause("Tue, 24 Nov 2026 12:00:30 GMT", ""); got != 0 {
		t.Errorf("without the server's own date: %s", got)
	}
}

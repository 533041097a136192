package world

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzLoadScenario: a text is refused, or makes a world that can be looked at in any instant, in which no VM is used for
// less than nothing or longer than it can have been.
func FuzzLoadScenario(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("scenarios: %v, %v", files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(text) < 8<<10 { // what the larger ones have more is more of the same
			f.Add(text)
		}
	}
	f.Add([]byte(`{"servers":[{"id":"v","tenant_id":"p","status":"ACTIVE","flavor":"1","created":"2024-03-01T00:00:00Z","updated":"2024-03-01T00:01:00Z","launched_at":"2024-03-01T00:01:00"}],"projects":[{"id":"p","tags":[1,null]}],"users":{"u":"name"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		w, err := LoadScenario(text)
		if err != nil {
			return
		}
		first, last := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		for _, u := range w.Usage("", first, last, Charge{}) {
			if u.Wall < 0 || u.Wall > int64(last.Sub(first)/time.Second) {
				t.Errorf("%+v", u)
			}
		}
		for _, vm := range w.VMs() {
			for _, e := range vm.Events {
				_ = w.Servers(vm.Project, e.At, nil)
			}
			_ = w.Servers(vm.Project, last, &first)
		}
	})
}

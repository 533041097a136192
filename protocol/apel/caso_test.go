package apel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadsCASO reads what cASO really wrote, and writes it again to the byte, but for what cASO does wrong.
func TestReadsCASO(t *testing.T) {
	for name, c := range map[string]struct {
		records int
		differs map[string]string // lines that we write otherwise
		never   map[string]string // by VM: part of the error with which we refuse to write such a record
		refused string            // part of the error, where the message is none of this package
	}{
		// cASO: an EndTime with the status error, and with started.
		"base_utc-cloud.txt": {records: 21, never: map[string]string{
			"00000008-0000-4000-8000-000000000008": "only completed has an end", "00000020-0000-4000-8000-000000000020": "only completed has an end"}},
		"gap1-cloud.txt":       {records: 1},
		"gpu-cloud.txt":        {records: 2},
		"h_inv-cloud.txt":      {records: 3},
		"pct-cloud.txt":        {records: 2, differs: map[string]string{"MachineName: a%%b": "MachineName: a%25%25b"}},
		"base_utc-ip.txt":      {refused: "no message of Cloud records"}, // JSON
		"base_utc-storage.txt": {refused: "no message of Cloud records"}, // XML
	} {
		t.Run(name, func(t *testing.T) {
			message, err := os.ReadFile(filepath.Join("testdata", "caso", name))
			if err != nil {
				t.Fatal(err)
			}
			records, err := ParseCloud(message)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%v, want an error with %q", err, c.refused)
				}
				return
			}
			if err != nil || len(records) != c.records {
				t.Fatalf("%d records, want %d: %v", len(records), c.records, err)
			}
			bodies := SplitCloud(message)
			for i, r := range records {
				got, err := EncodeCloudRecord(r)
				if why := c.never[r.VMUUID]; why != "" {
					if err == nil || !strings.Contains(err.Error(), why) {
						t.Errorf("VM %s: %v, want an error with %q", r.VMUUID, err, why)
					}
					continue
				}
				if err != nil {
					t.Errorf("VM %s: %v", r.VMUUID, err)
				}
				want := bodies[i]
				for caso, ours := range c.differs {
					want = strings.Replace(want, caso+"\n", ours+"\n", 1)
				}
				if d := cmp.Diff(strings.TrimSuffix(want, "\n"), strings.TrimSuffix(string(got), "\n")); d != "" {
					t.Errorf("VM %s (-cASO +ours):\n%s", r.VMUUID, d)
				}
			}
		})
	}
}

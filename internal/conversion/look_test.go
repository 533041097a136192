package conversion

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// TestLook: what is packed is judged by what is in it, and by all of it.
func TestLook(t *testing.T) {
	raw := append(content(1<<20), make([]byte, 1<<20)...)
	raw[510], raw[511] = 0x55, 0xaa
	gz := packed(t, diskimage.Gzip, raw)
	for name, c := range map[string]struct {
		format diskimage.Format
		packed []byte
		most   int64
		found  diskimage.Format
		seen   bool
		reason diskimage.Reason
	}{
		"a raw disk":       {diskimage.Gzip, gz, 1 << 30, diskimage.Raw, true, ""},
		"of zstd":          {diskimage.Zstd, packed(t, diskimage.Zstd, raw), 1 << 30, diskimage.Raw, true, ""},
		"of xz":            {diskimage.Xz, packed(t, diskimage.Xz, raw), 1 << 30, diskimage.Raw, true, ""},
		"a qcow2":          {diskimage.Gzip, packed(t, diskimage.Gzip, vector(t, "disk-v3.qcow2")), 1 << 30, diskimage.QCOW2, true, ""},
		"a backing file":   {diskimage.Gzip, packed(t, diskimage.Gzip, vector(t, "bad-backing.qcow2")), 1 << 30, 0, false, diskimage.BackingFile},
		"an archive":       {diskimage.Gzip, packed(t, diskimage.Gzip, vector(t, "disk.ova")), 1 << 30, diskimage.OVA, false, ""},
		"packed twice":     {diskimage.Gzip, packed(t, diskimage.Gzip, gz), 1 << 30, 0, false, diskimage.Packed},
		"cut":              {diskimage.Gzip, gz[:len(gz)-9], 1 << 30, diskimage.Raw, false, diskimage.Truncated},
		"cut early":        {diskimage.Gzip, gz[:100], 1 << 30, 0, false, diskimage.Truncated},
		"no header":        {diskimage.Gzip, gz[:5], 1 << 30, 0, false, diskimage.Truncated},
		"nothing":          {diskimage.Gzip, packed(t, diskimage.Gzip, nil), 1 << 30, 0, false, diskimage.Truncated},
		"too large":        {diskimage.Gzip, gz, 3 << 19, diskimage.Raw, false, ""},
		"said to be large": {diskimage.Xz, packed(t, diskimage.Xz, raw), 3 << 19, diskimage.Raw, false, ""},
	} {
		info, seen, err := Look(t.Context(), c.format, io.NewSectionReader(bytes.NewReader(c.packed), 0, int64(len(c.packed))), c.most, func(int64) {})
		refused, _ := errors.AsType[*diskimage.Error](err)
		if seen != c.seen || c.found != 0 && info.Format != c.found || (c.reason == "") != (err == nil) || c.reason != "" && (refused == nil || refused.Reason != c.reason) {
			t.Errorf("%s: %s, seen %v, %v", name, info.Format, seen, err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, _, err := Look(ended, diskimage.Gzip, io.NewSectionReader(bytes.NewReader(gz), 0, int64(len(gz))), 1<<30, func(int64) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

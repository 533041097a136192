package app

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/fedsite/fedsite/internal/config"
)

// TestBlocksAtOnce: of those who block at the same time, none writes over what another wrote.
func TestBlocksAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "blocks.yaml")
	var all errgroup.Group
	for n := range 20 {
		all.Go(func() error {
			return changeBlocks(t.Context(), file, func(had []config.ImageBlock) ([]config.ImageBlock, error) {
				return append(had, config.ImageBlock{Ref: fmt.Sprintf("a/%d", n), Reason: "because", Since: "2026-11-24T12:00:00Z", By: "root"}), nil
			})
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if blocks, err := config.ParseBlocks(file, text); err != nil || len(blocks) != 20 {
		t.Errorf("%d of 20 blocks are there, %v", len(blocks), err)
	}
}

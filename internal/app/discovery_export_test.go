package app

import (
	"context"

	"github.com/fedsite/fedsite/internal/run"
)

// Remove takes away what was published of what is gone, as the task does.
func (a *App) Remove(ctx context.Context) (run.Report, error) {
	return a.task(ctx, taskRemove, "", a.remove)
}

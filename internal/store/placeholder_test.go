package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPositional(t *testing.T) {
	for _, c := range []struct {
		query string
		args  []any
		want  string
		used  []any
	}{
		{"SELECT 1", nil, "SELECT 1", nil},
		{"SELECT ? ", []any{1}, "SELECT ? ", []any{1}},
		{"INSERT INTO t VALUES ($1,$2)", []any{"a", 2}, "INSERT INTO t VALUES (?,?)", []any{"a", 2}},
		{"SELECT $2, $1, $2, $12", []any{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, "SELECT ?, ?, ?, ?", []any{2, 1, 2, 12}},
		{"SELECT '$1 it''s $2', $1", []any{1}, "SELECT '$1 it''s $2', ?", []any{1}},
		{"SELECT $3", []any{1}, "SELECT $3", []any{1}},
		{"SELECT $", []any{1}, "SELECT $", []any{1}},
	} {
		query, used := positional(c.query, c.args)
		if query != c.want || !cmp.Equal(used, c.used) {
			t.Errorf("%s: %s %v", c.query, query, used)
		}
	}
}

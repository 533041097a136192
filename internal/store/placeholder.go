package store

import "strings"

// positional gives a query with a plain "?" for each $N, and the arguments in the order in which they are used. To
// SQLite $N is a name, which it and its driver look up in a list, one by one: a statement of 1,000 of them takes a
// million steps, and most of the time of a large write. Text in quotes is left alone.
func positional(query string, args []any) (string, []any) {
	if !strings.Contains(query, "$") {
		return query, args
	}
	var b strings.Builder
	b.Grow(len(query))
	used := make([]any, 0, len(args))
	quoted := false
	for i := 0; i < len(query); i++ {
		c := query[i]
		if c == '\'' {
			quoted = !quoted
		}
		if c != '$' || quoted {
			b.WriteByte(c)
			continue
		}
		n := 0
		for i+1 < len(query) && query[i+1] >= '0' && query[i+1] <= '9' {
			i++
			n = n*10 + int(query[i]-'0')
		}
		if n < 1 || n > len(args) {
			return query, args // the database says what is wrong
		}
		b.WriteByte('?')
		used = append(used, args[n-1])
	}
	return b.String(), used
}

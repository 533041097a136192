package information

import (
	"net/url"
	"strings"
)

// detail is how the original says what is wrong with a request.
type detail struct {
	Detail any `json:"detail"`
}

// invalid is a parameter whose value cannot be used.
type invalid struct {
	Type  string    `json:"type"`
	Loc   [2]string `json:"loc"`
	Msg   string    `json:"msg"`
	Input string    `json:"input"`
}

// query reads parameters; what is wrong with them it keeps.
type query struct {
	values  url.Values
	invalid []invalid
}

// text gives a parameter; the last one counts.
func (q *query) text(name string) string {
	all := q.values[name]
	if len(all) == 0 {
		return ""
	}
	return strings.ToValidUTF8(all[len(all)-1], "\uFFFD")
}

// yes gives a parameter that is yes or no, in the words that the original takes.
func (q *query) yes(name string, unsaid bool) bool {
	if len(q.values[name]) == 0 {
		return unsaid
	}
	text := q.text(name)
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on", "t", "y":
		return true
	case "false", "0", "no", "off", "f", "n":
		return false
	}
	q.invalid = append(q.invalid, invalid{"bool_parsing", [2]string{"query", name}, "Input should be a valid boolean, unable to interpret input", text})
	return unsaid
}

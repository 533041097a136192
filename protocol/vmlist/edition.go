package vmlist

import (
	"cmp"
	"strings"
)

// Newer tells whether a is a later edition than b.
func Newer(a, b Edition) bool { return Compare(a, b) > 0 }

// Compare gives -1 if a is an earlier edition than b, +1 if it is a later one, 0 if they cannot be told apart. The numbers
// in hv:version decide, one after the other, as they did for vmcatcher; then dc:date:created, if both have it.
func Compare(a, b Edition) int {
	if c := compareNumbers(numbers(a.Version), numbers(b.Version)); c != 0 {
		return c
	}
	if a.Created.IsZero() || b.Created.IsZero() {
		return 0
	}
	return a.Created.Compare(b.Created)
}

// numbers gives the runs of digits in a version, without leading zeros.
func numbers(version string) []string {
	parts := strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	for i, p := range parts {
		parts[i] = strings.TrimLeft(p, "0")
	}
	return parts
}

// compareNumbers compares number by number; a number that is missing is less than any.
func compareNumbers(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if c := cmp.Or(cmp.Compare(len(a[i]), len(b[i])), cmp.Compare(a[i], b[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// Versionless gives a market place URI without the number of the version: the same over all versions of an image.
func Versionless(mpuri string) string {
	mpuri = strings.TrimRight(mpuri, "/")
	rest, number, found := cutLast(mpuri, ':')
	if found && number != "" && strings.Trim(number, "0123456789") == "" {
		return rest
	}
	return mpuri
}

func cutLast(text string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(text, sep); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

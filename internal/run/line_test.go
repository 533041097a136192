package run

import "testing"

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"as it is":              "as it is",
		"a\nb\tc\x1b[0m":        "a b c [0m",
		"a\u2028b\u2029c":       "a b c",
		"not \xff UTF-8":        "not ? UTF-8",
		"twelve bytes":          "twelve bytes",
		"thirteen byte":         "thirteen byt…",
		"cut within é: 11byteé": "cut within …",
	} {
		if got := Line(text, 12); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

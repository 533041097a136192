package apel

import (
	"strings"
	"testing"
)

func TestEscape(t *testing.T) {
	long := strings.Repeat("a", 253)
	for name, c := range map[string]struct{ text, want string }{
		"plain":                            {"vm-1 (test) ~/:;", "vm-1 (test) ~/:;"},
		"nothing":                          {"", ""},
		"outside ASCII, by UTF-8":          {"señor", "se%C3%B1or"},
		"broken UTF-8, by bytes":           {"a\xffb", "a%FFb"},
		"a percent sign":                   {"50%", "50%25"},
		"a separator":                      {"a%%b", "a%25%25b"},
		"looks like an escape":             {"%41", "%2541"},
		"a second record":                  {"a\n%%\nVMUUID: x", "a%0A%25%25%0AVMUUID: x"},
		"line ends of other kinds":         {"a\r\v\f\x1c\u0085\u2028", "a%0D%0B%0C%1C%C2%85%E2%80%A8"},
		"NUL, tab, delete":                 {"\x00\t\x7f", "%00%09%7F"},
		"blank at the beginning":           {" a", "%20a"},
		"blanks at the beginning":          {"  a", "%20 a"},
		"blanks at the end":                {"a  ", "a%20%20"},
		"blanks inside":                    {"a  b", "a  b"},
		"blanks only":                      {"   ", "%20%20%20"},
		"no-break space, which is trimmed": {"\u00a0a", "%C2%A0a"},
		"a word for nothing":               {"none", "%6Eone"},
		"in other letters":                 {"NULL", "%4EULL"},
		"with more behind":                 {"nonesuch", "nonesuch"},
		"longest":                          {long + "bc", long + "bc"},
		"cut":                              {long + "bcd", long + "bc"},
		"cut before an escape":             {long + "ñ", long},
		"an escape that just fits":         {long[:252] + "\n", long[:252] + "%0A"},
		"cut between the bytes of one":     {long[:252] + "ñ", long[:252] + "%C3"},
		"no blank at the end of a cut":     {long + " bcd", long + " b"},
		"a blank where it is cut":          {long + "b cd", long + "b"},
	} {
		if got := Escape(c.text); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestUnescapeLeavesWhatEscapeDoesNotWrite(t *testing.T) {
	for wire, want := range map[string]string{"a%%b": "a%%b", "100%": "100%", "%4": "%4", "%zz": "%zz", "%+1": "%+1", "%c3%b1": "ñ", "%25%25": "%%"} {
		if got := Unescape(wire); got != want {
			t.Errorf("%q: %q, want %q", wire, got, want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "señor", "%%", "none", " a ", "a\r\nVMUUID: x", strings.Repeat("é", 100), strings.Repeat("a", 254) + " b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		wire := Escape(text)
		if len(wire) > maxText {
			t.Errorf("%d bytes", len(wire))
		}
		for _, c := range []byte(wire) {
			if c < 0x20 || c > 0x7E {
				t.Errorf("byte %#x on the wire", c)
			}
		}
		if strings.Contains(wire, "%%") || strings.TrimSpace(wire) != wire {
			t.Errorf("%q would be split or trimmed", wire)
		}
		switch strings.ToLower(wire) {
		case "none", "null":
			t.Errorf("%q is a word for nothing", wire)
		}
		back := Unescape(wire)
		if !strings.HasPrefix(text, back) {
			t.Errorf("%q came back as %q", text, back)
		}
		if len(text) <= maxText/3 && back != text { // short enough never to be cut
			t.Errorf("%q came back as %q", text, back)
		}
		if (wire == "") != (text == "") {
			t.Errorf("%q became %q", text, wire)
		}
		if Escape(back) != wire {
			t.Errorf("%q is not stable: %q", wire, Escape(back))
		}
	})
}

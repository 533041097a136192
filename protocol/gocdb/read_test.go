package gocdb

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// nested gives elements inside each other.
func nested(n int) string { return strings.Repeat("<A>", n) + strings.Repeat("</A>", n) }

// TestLimits meets each limit exactly, and breaks it by one.
func TestLimits(t *testing.T) {
	small := limits{bytes: 1000, records: 3, pages: 1, nodes: 4, field: 10, depth: 5}
	record := "<R>%s</R>"
	for name, c := range map[string]struct {
		fits, breaks string
		want         string // error of the answer, or else of the record
		ofRecord     bool
	}{
		"bytes":   {"<results>" + strings.Repeat(" ", 1000-19) + "</results>", "<results>" + strings.Repeat(" ", 1001-19) + "</results>", "a larger answer", false},
		"records": {"<results>" + strings.Repeat("<R/>", 3) + "</results>", "<results>" + strings.Repeat("<R/>", 4) + "</results>", "more records", false},
		"depth":   {"<results>" + nested(4) + "</results>", "<results>" + nested(5) + "</results>", "more than 5 elements in each other", false},
		"nodes":   {"<results>" + fmt.Sprintf(record, "<A/><A/><A/>") + "</results>", "<results>" + fmt.Sprintf(record, "<A/><A/><A/><A/>") + "</results>", "it has more than 4 parts", true},
		"field":   {"<results>" + fmt.Sprintf(record, "<A>0123456789</A>") + "</results>", "<results>" + fmt.Sprintf(record, "<A>0123456789a</A>") + "</results>", "its A is longer than 10 bytes", true},
	} {
		for text, broken := range map[string]bool{c.fits: false, c.breaks: true} {
			left := small
			var odd []string
			_, err := read(strings.NewReader(text), &left, func(e *element) {
				if e.odd != "" {
					odd = append(odd, e.odd)
				}
			})
			switch {
			case !broken && (err != nil || odd != nil):
				t.Errorf("%s: %v, %v", name, err, odd)
			case broken && c.ofRecord:
				if d := cmp.Diff([]string{c.want}, odd); d != "" || err != nil {
					t.Errorf("%s: %v, %s", name, err, d)
				}
			case broken:
				e := failed(t, err)
				if e.HTTPStatus = 200; !strings.Contains(e.Message, c.want) || !e.Permanent() || !strings.Contains(e.Hint(), "check GOCDB's URL") {
					t.Errorf("%s: %v, permanent %v", name, err, e.Permanent())
				}
			}
		}
	}
}

// A record beyond a limit spoils no other one.
func TestALongRecord(t *testing.T) {
	long := strings.Repeat("x", usual.field+1)
	s := one("<results><SERVICE_ENDPOINT PRIMARY_KEY='1G0'><SITENAME>A</SITENAME><URL>" + long + "</URL></SERVICE_ENDPOINT><SERVICE_ENDPOINT PRIMARY_KEY='2G0'><SITENAME>A</SITENAME></SERVICE_ENDPOINT></results>")
	got, odd, err := s.client().Services(t.Context(), Query{})
	if err != nil || len(got) != 1 || got[0].Key != "2G0" {
		t.Errorf("%v, %v", got, err)
	}
	if d := cmp.Diff([]Oddity{{"service 1G0", "its URL is longer than 16384 bytes"}}, odd); d != "" {
		t.Error(d)
	}
}

// What may be read counts over all pages, and so does their number.
func TestLimitsOfPages(t *testing.T) {
	endless := &Client{URL: "https://goc.example.org/", Paged: true}
	s := &server{pages: map[string]string{}}
	for i := range usual.pages + 1 {
		s.pages[fmt.Sprint(i)] = page(fmt.Sprint(i+1), 2)
	}
	endless.HTTP = s.client().HTTP
	_, _, err := endless.Services(t.Context(), Query{})
	if e := failed(t, err); !strings.Contains(e.Message, "more than 1000 pages") || !e.Permanent() || len(s.asked) != usual.pages {
		t.Errorf("%v after %d requests", err, len(s.asked))
	}
	left := limits{bytes: 1000, records: 3, pages: 9, nodes: 9, field: 9, depth: 9}
	two := "<results><R/><R/></results>"
	if _, err := read(strings.NewReader(two), &left, func(*element) {}); err != nil || left.records != 1 || left.bytes != int64(1000-len(two)) {
		t.Errorf("%v, left %+v", err, left)
	}
	if _, err := read(strings.NewReader(two), &left, func(*element) {}); err == nil {
		t.Error("the second page has its own limit")
	}
}

// TestAnswersOfAnyPiece: it does not matter in which pieces an answer comes.
func TestAnswersOfAnyPiece(t *testing.T) {
	text := file(t, "services.xml")
	count := func(r io.Reader) (n int) {
		left := usual
		if _, err := read(r, &left, func(*element) { n++ }); err != nil {
			t.Error(err)
		}
		return n
	}
	if n := count(&dripping{[]byte("\ufeff\n" + text)}); n != 6 {
		t.Errorf("%d records", n)
	}
}

// dripping gives a byte at a time.
type dripping struct{ rest []byte }

func (d *dripping) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:1], d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// FuzzAnswers: whatever answers, nothing crashes, an error is one line, and what is read can be relied on.
func FuzzAnswers(f *testing.F) {
	for _, name := range []string{"services.xml", "downtimes-nested.xml", "downtimes-flat.xml"} {
		f.Add([]byte(file(&testing.T{}, name)))
	}
	f.Add([]byte("<error>Unsuported chracter in value: <'</error>"))
	f.Add([]byte("Unable to find method: x"))
	f.Add([]byte(html))
	f.Add([]byte(page("2", 2, "1G0", "2G0")))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := one(string(body))
		s.pages["2"] = page("", 0)
		services, odd, err := s.client().Services(t.Context(), Query{})
		downtimes, odd2, err2 := s.client().Downtimes(t.Context(), Query{}, time.Time{})
		for _, err := range []error{err, err2} {
			if err != nil {
				oneLine(t, "the error", failed(t, err))
			}
		}
		for _, o := range append(odd, odd2...) {
			if text := o.Record + o.Reason; len(text) > 800 || strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
				t.Errorf("%q", text)
			}
		}
		for _, s := range services {
			if !key(s.Key) || s.Site == "" || !utf8.ValidString(s.URL) {
				t.Errorf("%+v", s)
			}
			m, err := Match(services, Wanted{URL: s.URL, Site: s.Site})
			if err == nil && len(m.Found) == 0 {
				t.Errorf("not found by its own URL: %+v", s)
			}
			if text := m.Explain() + m.Hint(); !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("%q", text)
			}
		}
		for _, d := range downtimes {
			if !key(d.ID) || d.End.Before(d.Start) || d.Start.Location() != time.UTC || d.End.Year() > 9999 || len(d.Services) == 0 {
				t.Errorf("%+v", d)
			}
			for _, s := range services {
				d.Affects(s, s.URL)
			}
		}
	})
}

// FuzzNormalize: the normal form of a normal form is itself, and it says nothing that must stay secret.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"https://Keystone.example.org:443/v3/", "http://[FE80::1%25eth0]:5000//v3", "https://bücher.eu/v%33?x#y", "https://u:p@h./", "https://a。b/", "https://xn--/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := Normalize(s)
		if err != nil {
			return
		}
		if twice, err := Normalize(once); err != nil || twice != once {
			t.Errorf("%q: %q, then %q, %v", s, once, twice, err)
		}
		if strings.ContainsAny(once, " \n?#") || (strings.HasPrefix(s, "https://u:p@") && strings.Contains(once, "p@")) {
			t.Errorf("%q: %q", s, once)
		}
		m, err := Match([]Service{{Key: "1G0", Site: "A", URL: s}}, Wanted{URL: once, Site: "A"})
		if err != nil || len(m.Found) != 1 {
			t.Errorf("%q is not found by %q: %v", s, once, err)
		}
	})
}

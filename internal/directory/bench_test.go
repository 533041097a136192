package directory

import (
	"bufio"
	"fmt"
	"io"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// hundred are the documents of a hundred sites: 2 shares each, with 20 images and 20 instance types.
func hundred() []Document {
	documents := make([]Document, 100)
	for i := range documents {
		site := fmt.Sprintf("SITE-%d", i)
		documents[i] = Document{Site: site, Name: site, Document: cloud("https://"+site+".example.org:5000/v3", site, 2, 20, 20, "")}
	}
	return documents
}

func BenchmarkTree(b *testing.B) {
	documents := hundred()
	b.ReportAllocs()
	for b.Loop() {
		t := newTree(documents, "1", nil)
		b.ReportMetric(float64(len(t.nodes)), "entries")
	}
}

// BenchmarkSearch asks over loopback, and reads the answer as bytes.
func BenchmarkSearch(b *testing.B) {
	s, address, _ := start(b, Options{}, hundred()...)
	entries := s.Status().Entries
	for name, c := range map[string]struct{ base, filter string }{
		"whole":  {"o=glue", "(objectClass=*)"},
		"shares": {"GLUE2GroupID=resource,o=glue", "(objectClass=GLUE2CloudComputingShare)"},
		"none":   {"o=glue", "(&(GLUE2EntityName=*nobody*)(!(objectClass=GLUE2Share)))"},
		"one":    {"GLUE2DomainID=SITE-50,o=glue", "(objectClass=GLUE2Domain)"},
	} {
		b.Run(name, func(b *testing.B) {
			request := rawSearch(b, c.base, c.filter)
			n := dial(b, address)
			r := bufio.NewReaderSize(n, 64<<10)
			b.ReportAllocs()
			var got int
			for b.Loop() {
				n.Write(request)
				got = readAnswer(b, r)
			}
			b.SetBytes(int64(got))
			b.ReportMetric(float64(entries), "entries")
		})
	}
}

func rawSearch(b *testing.B, base, text string) []byte {
	packet, err := ldap.CompileFilter(text)
	if err != nil {
		b.Fatal(err)
	}
	return message(1, search(base, 2, packet.Bytes()))
}

// readAnswer reads up to the result, and gives how much that was.
func readAnswer(b *testing.B, n io.Reader) (total int) {
	head, body := make([]byte, 2), make([]byte, 64<<10)
	for {
		if _, err := io.ReadFull(n, head); err != nil {
			b.Fatal(err)
		}
		length := int(head[1])
		if length >= 0x80 {
			more := body[:length&0x7f]
			if _, err := io.ReadFull(n, more); err != nil {
				b.Fatal(err)
			}
			length = 0
			for _, c := range more {
				length = length<<8 | int(c)
			}
		}
		if _, err := io.ReadFull(n, body[:length]); err != nil {
			b.Fatal(err)
		}
		total += length
		if body[3] == opSearchDone {
			return total
		}
	}
}

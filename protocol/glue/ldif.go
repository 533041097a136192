package glue

import (
	"bufio"
	"encoding/base64"
	"io"
	"iter"
)

// lineWidth is how long a line of LDIF becomes before it is folded.
const lineWidth = 76

// LDIFVersion is the first line of a whole LDIF file. Programs that join the outputs of several (a BDII) want none.
const LDIFVersion = "version: 1\n\n"

// WriteLDIF writes the entries by RFC 2849: lines folded at 76 characters, and in base64 whatever is not plainly printable
// ASCII, so that no value can begin a line or an entry of its own.
func WriteLDIF(w io.Writer, entries iter.Seq[Entry]) error {
	out := bufio.NewWriterSize(w, 64<<10)
	var buf []byte
	for e := range entries {
		buf = appendLine(buf[:0], "dn", e.DN.String())
		for _, a := range e.Attributes {
			for _, v := range a.Values {
				buf = appendLine(buf, a.Name, v)
			}
		}
		buf = append(buf, '\n')
		if _, err := out.Write(buf); err != nil {
			return err
		}
	}
	return out.Flush()
}

// appendLine appends an attribute with one value, folded.
func appendLine(buf []byte, name, value string) []byte {
	start := len(buf)
	buf = append(buf, name...)
	if plain(value) {
		buf = append(buf, ": "...)
		buf = append(buf, value...)
	} else {
		buf = append(buf, ":: "...)
		buf = base64.StdEncoding.AppendEncode(buf, []byte(value))
	}
	if len(buf)-start > lineWidth {
		line := string(buf[start:])
		buf = append(buf[:start], line[:lineWidth]...)
		for line = line[lineWidth:]; line != ""; {
			n := min(lineWidth-1, len(line))
			buf = append(append(buf, "\n "...), line[:n]...)
			line = line[n:]
		}
	}
	return append(buf, '\n')
}

// plain tells whether a value may stand as it is: the RFC's SAFE-STRING without control characters, which a terminal or a
// reader that splits lines in its own way might act upon.
func plain(value string) bool {
	for i := 0; i < len(value); i++ {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	if value == "" {
		return true
	}
	first := value[0]
	return first != ' ' && first != ':' && first != '<' && value[len(value)-1] != ' '
}

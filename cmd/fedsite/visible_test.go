package main

import "testing"

// TestVisible: what a tenant calls an image or a VO cannot act on the terminal, nor look like another line.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"ubuntu 22.04": "ubuntu 22.04", "máquina-ñ": "máquina-ñ", "": "", "a\x1b[31mb": `a\x1b[31mb`, "a\nb\tc\r": `a\nb\tc\r`,
		"\u202egnp": `\u202egnp`, "\u200b\u0000": `\u200b\x00`, "it's \\n": `it's \n`, "\xff": "�",
	} {
		if got := visible(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fedsite/fedsite/internal/config"
)

var update = flag.Bool("update", false, "write the generated pages anew")

// TestReference keeps the pages of docs/reference equal to what the program says of itself. Write them anew with
// "make docs".
func TestReference(t *testing.T) {
	for name, want := range map[string][]byte{
		"commands.md":      commands((&cli{}).root()),
		"configuration.md": config.Reference(),
	} {
		file := filepath.Join("../../docs/reference", name)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(got), string(want)); d != "" {
			t.Errorf("%s is not what the program says; write it anew with make docs (-page +program):\n%s", file, d)
		}
	}
}

// commands gives the reference of all commands in Markdown.
func commands(root *cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString("# Commands\n\nGenerated from the program (`make docs`); the same text as `--help`.\n\n" + root.Long + "\n\n## For all commands\n\n")
	flags(&b, root.PersistentFlags())
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", sub.CommandPath(), strings.TrimSpace(strings.ReplaceAll(sub.Long, "\n  ", "\n    ")+orShort(sub)))
			if sub.Example != "" {
				fmt.Fprintf(&b, "\n```text\n%s\n```\n", dedent(sub.Example))
			}
			if sub.LocalNonPersistentFlags().HasFlags() {
				b.WriteByte('\n')
				flags(&b, sub.LocalNonPersistentFlags())
			}
			walk(sub)
		}
	}
	walk(root)
	return b.Bytes()
}

func orShort(cmd *cobra.Command) string {
	if cmd.Long == "" {
		return cmd.Short + "."
	}
	return ""
}

func dedent(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimPrefix(strings.TrimRight(line, "\n"), "  "))
	}
	return strings.Join(lines, "\n")
}

func flags(b *bytes.Buffer, set *pflag.FlagSet) {
	b.WriteString("| flag | meaning |\n| --- | --- |\n")
	set.VisitAll(func(f *pflag.Flag) {
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		meaning := f.Usage
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
			meaning += " (default `" + f.DefValue + "`)"
		}
		fmt.Fprintf(b, "| %s | %s |\n", name, strings.ReplaceAll(meaning, "|", `\|`))
	})
}

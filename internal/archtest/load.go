package archtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Package is a package as the go command lists it. Import paths of the module itself are relative to it.
type Package struct {
	Path    string
	Imports []string       // of the files that are no tests
	Lines   map[string]int // by file, the tests too
}

// Load lists the packages of the module in dir.
func Load(ctx context.Context, dir string) ([]Package, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-json=Dir,ImportPath,Module,Imports,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w", dir, err)
	}
	var all []Package
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir, ImportPath                                             string
			Module                                                      struct{ Path string }
			Imports, GoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list in %s: %w", dir, err)
		}
		pkg := Package{Path: inside(p.Module.Path, p.ImportPath), Lines: map[string]int{}}
		for _, i := range p.Imports {
			pkg.Imports = append(pkg.Imports, inside(p.Module.Path, i))
		}
		for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			pkg.Lines[name] = bytes.Count(text, []byte("\n"))
		}
		all = append(all, pkg)
	}
}

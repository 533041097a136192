package peers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// CASOVersion is the release that requirements.txt pins.
const CASOVersion = "5.2.2"

// CASO is an installation of cASO for one cloud.
type CASO struct {
	Program    string // caso-extract
	Dir        string // configuration, last-run files and queue; it is made
	AuthURL    string // Keystone's, with /v3
	User       string // of the domain "default"
	Password   string
	Site       string // SiteName
	Service    string // CloudComputeService
	Property   string // of a project: its VO
	Projects   []string
	Extractors []string // nil = cASO's default: nova, cinder, neutron
	TZ         string   // of its host; "" = UTC
}

// Extracted is what one run did.
type Extracted struct {
	Messages []string // in the order in which they were written; none is left in the queue
	Log      string
	Crashed  bool // an extractor failed; cASO exits with 0 all the same
	State    *os.ProcessState
}

// FindCASO gives the program that the environment names, FEDSITE_CASO, and an error that says what to do.
func FindCASO() (string, error) {
	program := os.Getenv("FEDSITE_CASO")
	if program == "" {
		return "", errors.New("FEDSITE_CASO is not set: name the caso-extract of a virtual environment made of test/peers/requirements.txt, or use make")
	}
	out, err := exec.Command(program, "--version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("FEDSITE_CASO: %s --version: %w\n%s", program, err, out)
	}
	if version := strings.TrimSpace(string(out)); !strings.Contains(version, CASOVersion) {
		return "", fmt.Errorf("FEDSITE_CASO: %s is cASO %s, want %s: make it anew of test/peers/requirements.txt", program, version, CASOVersion)
	}
	return program, nil
}

func (c CASO) queue() string { return filepath.Join(c.Dir, "outgoing") }

// configure writes caso.conf.
func (c CASO) configure() (string, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return "", err
	}
	lines := []string{
		"[DEFAULT]", "messengers = ssm", "site_name = " + c.Site, "service_name = " + c.Service, "vo_property = " + c.Property,
		"mapping_file = " + filepath.Join(c.Dir, "none.json"), "spooldir = " + filepath.Join(c.Dir, "spool"), "projects = " + strings.Join(c.Projects, ","),
	}
	if c.Extractors != nil {
		lines = append(lines, "extractor = "+strings.Join(c.Extractors, ","))
	}
	lines = append(lines, "[ssm]", "output_path = "+c.queue(),
		"[keystone_auth]", "auth_type = v3password", "auth_url = "+c.AuthURL, "username = "+c.User, "password = "+c.Password, "user_domain_id = default")
	file := filepath.Join(c.Dir, "caso.conf")
	return file, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// crashed is what cASO logs, and goes on, when an extractor raised an exception.
var crashed = regexp.MustCompile(`Extractor \w+: cannot extract records`)

// Extract runs cASO with the options, as --extract-to 2026-11-01.
func (c CASO) Extract(ctx context.Context, options ...string) (Extracted, error) {
	file, err := c.configure()
	if err != nil {
		return Extracted{}, err
	}
	cmd := exec.CommandContext(ctx, c.Program, append([]string{"--config-file", file}, options...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "LANG=C.UTF-8", "TZ=" + cmp.Or(c.TZ, "UTC"), "no_proxy=*"}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	err = cmd.Run()
	e := Extracted{Log: log.String(), State: cmd.ProcessState}
	if err != nil {
		return e, fmt.Errorf("caso-extract %s: %w\n%s", strings.Join(options, " "), err, e.Log)
	}
	e.Crashed = crashed.MatchString(e.Log)
	e.Messages, err = Drain(c.queue())
	return e, err
}

// Drain reads the elements of a directory queue in order, and removes them.
func Drain(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "????????", "??????????????"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		all = append(all, string(text))
		if err := os.Remove(f); err != nil {
			return nil, err
		}
	}
	return all, nil
}

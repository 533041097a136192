package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// CloudInfoVersion is the release that test/e2e/requirements-cloud-info.txt pins.
const CloudInfoVersion = "1.2.0"

// CloudInfoGOCDB is the host that cloud-info-provider asks before all else, whatever it is told.
const CloudInfoGOCDB = "goc.egi.eu"

// CloudInfo is an installation of cloud-info-provider for one cloud.
type CloudInfo struct {
	Program  string // cloud-info-provider-service
	Dir      string // of its site file; it is made
	AuthURL  string // Keystone's, with /v3
	Region   string
	User     string // of the domain "default"
	Password string
	Site     string      // name in GOCDB
	VOs      [][2]string // name and project
	Proxy    string      // by which it reaches GOCDB
	CA       string      // file of the authority that GOCDB's certificate there is of
}

// FindCloudInfo gives the program that the environment names, FEDSITE_CLOUD_INFO, and an error that says what to do.
func FindCloudInfo() (string, error) {
	program := os.Getenv("FEDSITE_CLOUD_INFO")
	if program == "" {
		return "", errors.New("FEDSITE_CLOUD_INFO is not set: name the cloud-info-provider-service of a virtual environment made of test/e2e/requirements-cloud-info.txt, or use make")
	}
	out, err := exec.Command(program, "--version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("FEDSITE_CLOUD_INFO: %s --version: %w\n%s", program, err, out)
	}
	if version := strings.TrimSpace(string(out)); !strings.Contains(version, CloudInfoVersion) {
		return "", fmt.Errorf("FEDSITE_CLOUD_INFO: %s is cloud-info-provider %s, want %s: make it anew of test/e2e/requirements-cloud-info.txt", program, version, CloudInfoVersion)
	}
	return program, nil
}

// Publish runs it, and gives the document that it writes.
func (c CloudInfo) Publish(ctx context.Context) (document []byte, state *os.ProcessState, err error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, nil, err
	}
	lines := []string{"gocdb: " + c.Site, "endpoint: " + c.AuthURL, "vos:"}
	for _, vo := range c.VOs {
		lines = append(lines, fmt.Sprintf("  - {name: %q, auth: {project_id: %s}}", vo[0], vo[1]))
	}
	file := filepath.Join(c.Dir, "site.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, c.Program, file)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "LANG=C.UTF-8", "https_proxy=" + c.Proxy, "no_proxy=127.0.0.1", "REQUESTS_CA_BUNDLE=" + c.CA,
		"OS_USERNAME=" + c.User, "OS_PASSWORD=" + c.Password, "OS_USER_DOMAIN_ID=default", "OS_REGION_NAME=" + c.Region}
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return nil, cmd.ProcessState, fmt.Errorf("cloud-info-provider-service: %w\n%s", err, &log)
	}
	return out.Bytes(), cmd.ProcessState, nil
}

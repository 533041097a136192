package app_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/federation/vault"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// unnamed is a configuration whose VOs name no project: each credential in Vault is of one.
func (k *keyring) unnamed(t *testing.T) *config.Config {
	t.Helper()
	text := fmt.Sprintf("site: {gocdb: SITE}\nclouds: [{name: main, auth_url: %q, credential: vault, gocdb_id: 16001G0}]\ndiscovery: {gocdb: {url: off}}\nvos:\n", k.cloud.AuthURL())
	for _, p := range k.world.Projects[:3] {
		text += fmt.Sprintf("  - {name: %s}\n", p.Properties["egi.VO"])
	}
	return parse(t, store.Config{Path: filepath.Join(t.TempDir(), app.Database)}, text+k.credentials(t))
}

// shares asks the clouds, and gives the state of each share by its VO.
func shares(t *testing.T, a *app.App) (map[string]discovery.ShareStatus, run.Report) {
	t.Helper()
	sites, err := a.Sites("")
	if err != nil {
		t.Fatal(err)
	}
	report := a.Publish(t.Context(), sites, app.PublishOptions{DryRun: true})[0]
	if report.Err != nil {
		t.Fatal(report.Err)
	}
	status, err := a.OfferStatus(t.Context(), sites[0])
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]discovery.ShareStatus{}
	for _, e := range status.Endpoints {
		for _, s := range e.Shares {
			all[s.VO] = s
		}
	}
	return all, report.Report
}

// TestVOsThatNameNoProject: a VO whose own credential is of one project need not name it, as in files of the federation's
// catch-all. One whose credential fails spoils itself alone: discovery shows what it was last known to be offered.
func TestVOsThatNameNoProject(t *testing.T) {
	k := newKeyring(t)
	a := k.with(t, k.unnamed(t))
	if report, _ := collect(t, a); report.Outcome != run.Done || report.Counts["projects_collected"] != 3 {
		t.Fatalf("%+v", report)
	}
	all, report := shares(t, a)
	for _, p := range k.world.Projects[:3] {
		if s := all[p.Properties["egi.VO"]]; s.Project != p.ID || s.State != discovery.Fresh {
			t.Errorf("%+v, %+v", s, report.Problems)
		}
	}

	lost := k.world.Projects[0]
	k.vault.Put("secret", "users/robot/127.0.0.1/"+lost.Properties["egi.VO"], vault.Secret{Data: map[string]any{"application_credential_id": "gone", "application_credential_secret": "x"}})
	k.forward(time.Hour)
	a = k.with(t, func() *config.Config { c := *a.Config(); return &c }())
	all, report = shares(t, a)
	text := fmt.Sprintf("%+v", report.Problems)
	if report.Exit() != run.ExitPartial || !strings.Contains(text, "VO "+lost.Properties["egi.VO"]) {
		t.Errorf("exit %d, %s", report.Exit(), text)
	}
	for i, p := range k.world.Projects[:3] {
		s := all[p.Properties["egi.VO"]]
		if want := map[bool]discovery.ShareState{true: discovery.Stale, false: discovery.Fresh}[i == 0]; s.State != want || s.Project != p.ID {
			t.Errorf("%+v", s)
		}
	}
	if s := all[lost.Properties["egi.VO"]]; len(s.Troubles) == 0 || s.Troubles[0].Stage != "sign-in" || strings.Contains(s.Troubles[0].Reason, "no role") {
		t.Errorf("%+v", s.Troubles)
	}
	if report, _ := collect(t, a); report.Outcome != run.Failed || strings.Contains(fmt.Sprintf("%+v", report.Problems), "held") { // what is missing is not gone
		t.Errorf("%+v", report)
	}
}

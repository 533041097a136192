package tasks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// holdEnv makes this test binary a process that claims the task, says so, and then holds it until it is killed.
const holdEnv = "FEDSITE_TEST_HOLD"

func TestMain(m *testing.M) {
	if where := os.Getenv(holdEnv); where != "" {
		hold(where)
	}
	if text := os.Getenv(serveEnv); text != "" {
		serveChild(text)
	}
	os.Exit(m.Run())
}

func hold(where string) {
	cfg := store.Config{Path: where}
	if strings.Contains(where, "://") {
		cfg = store.Config{URL: where}
	}
	st, err := store.Open(context.Background(), cfg)
	if err == nil {
		var who Identity
		if who, err = NewIdentity(); err == nil {
			_, err = NewRunner(st, who).Claim(context.Background(), ClaimOptions{Task: collect, Cause: "schedule"})
		}
	}
	fmt.Println(err)
	select {}
}

// TestKilled: a process is killed in the middle of its run. Its task is another's when the lease is over, not before.
func TestKilled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := join(t, cfg, "a")
		ensure(t, a)
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), holdEnv+"="+cfg.Path+cfg.URL)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		killed := errors.Join(child.Process.Kill(), func() error { _ = child.Wait(); return nil }())
		if line != "<nil>\n" || killed != nil {
			t.Fatalf("the child says %q, %v", line, killed)
		}

		_, err = a.Claim(t.Context(), ClaimOptions{Task: collect, Always: true})
		held, ok := errors.AsType[*HeldError](err)
		if !ok || !strings.Contains(err.Error(), fmt.Sprintf("process %d on node ", child.Process.Pid)) {
			t.Fatalf("its lease still holds: %v", err)
		}
		a.expire(t)
		run, err := a.due(t)
		if err != nil {
			t.Fatalf("a killed run stays due: %v", err)
		}
		if s, err := Find(t.Context(), a.st, collect); err != nil || s.Last == nil || s.Last.Outcome != Abandoned || s.Last.Fence != 1 || !s.LastSuccess.IsZero() {
			t.Errorf("%+v, %v", s, err)
		}
		if run.Lease.Fence != 2 {
			t.Errorf("fence %d", run.Lease.Fence)
		}
		want := []string{"1 schedule " + held.Owner + " abandoned -", "2 schedule a/4711/abcd open -"}
		if d := cmp.Diff(want, a.history(t)); d != "" {
			t.Errorf("history (-want +got):\n%s", d)
		}
	})
}

// TestServiceKilled: with SQLite a second service is refused; when the first is killed, the next takes its tasks over at once.
func TestServiceKilled(t *testing.T) {
	dir := t.TempDir()
	c := campaign{Path: filepath.Join(dir, "fedsite.db"), Dir: dir, Scale: 1, Tasks: 1, Longest: time.Minute, Even: true, Lock: true}
	st := storetest.Open(t, store.Config{Path: c.Path})
	if err := st.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`CREATE TABLE campaign (task TEXT NOT NULL, fence BIGINT NOT NULL, at BIGINT NOT NULL)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	const name = "kind0/site-0"
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	child := func() (*exec.Cmd, *bytes.Buffer) {
		cmd, said := exec.Command(os.Args[0]), &bytes.Buffer{}
		cmd.Env, cmd.Stderr = append(os.Environ(), serveEnv+"="+string(text)), said
		return cmd, said
	}
	start := func(fence int64) *exec.Cmd {
		t.Helper()
		cmd, said := child()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		ticks := time.NewTicker(50 * time.Millisecond)
		defer ticks.Stop()
		for over := time.After(patience); ; {
			s, err := Find(t.Context(), st, name)
			if err == nil && s.Running != nil && s.Running.Fence == fence {
				return cmd
			}
			select {
			case <-ticks.C:
			case <-over:
				t.Fatalf("run %d was not begun within %v, less than a lease: %s", fence, patience, said)
			}
		}
	}
	first := start(1)
	second, said := child()
	if err := second.Run(); err == nil || !strings.Contains(said.String(), fmt.Sprintf("another fedsite serve runs on %s: process %d since ", dir, first.Process.Pid)) {
		t.Errorf("a second service: %v, %s", err, said)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	start(2)
	if h, err := History(t.Context(), st, name, 0); err != nil || len(h) != 2 || h[1].Outcome != Abandoned {
		t.Errorf("%+v, %v", h, err)
	}
}

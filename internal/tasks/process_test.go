package tasks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

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
		if run.Lease.Fence != 2 {
			t.Errorf("fence %d", run.Lease.Fence)
		}
		want := []string{"1 schedule " + held.Owner + " abandoned -", "2 schedule a/4711/abcd open -"}
		if d := cmp.Diff(want, a.history(t)); d != "" {
			t.Errorf("history (-want +got):\n%s", d)
		}
	})
}

package daemontest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// askedEnv names the file in which the processes of a test note the names that they would have asked the DNS for.
const askedEnv = "FEDSITE_TEST_ASKED"

// Loopback runs tests that may ask nothing beyond this machine, and gives their exit code: a process of theirs that looks a
// name up in the DNS finds nothing, and the tests fail. It is called in TestMain, also by the processes that tests start.
func Loopback(run func() int) int {
	asked, inner := os.LookupEnv(askedEnv)
	if !inner {
		dir, err := os.MkdirTemp("", "fedsite-asked-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a directory for temporary files
		asked = filepath.Join(dir, "names")
		if err := os.Setenv(askedEnv, asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(_ context.Context, _, server string) (net.Conn, error) {
		f, err := os.OpenFile(asked, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
		if err == nil {
			_, err = fmt.Fprintf(f, "%v asked %s\n", os.Args, server)
			err = errors.Join(err, f.Close())
		}
		return nil, errors.Join(errors.New("tests ask nobody beyond this machine"), err)
	}}
	code := run()
	if inner {
		return code
	}
	if text, err := os.ReadFile(asked); err == nil {
		fmt.Fprintf(os.Stderr, "these looked a name up beyond this machine:\n%s", text)
		return 1
	}
	return code
}

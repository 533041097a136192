// Command fedsite connects an OpenStack cloud to the EGI Federated Cloud.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/conversion"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
)

// version is set by the build: -ldflags "-X main.version=1.0.0".
var version string

func main() {
	if conversion.Child(os.Args[1:]) {
		os.Exit(127)
	}
	os.Exit(Main())
}

// Main runs the command line of this process and gives its exit code.
func Main() int { return start(0) }

// start is Main for a service whose times are divided by hurry.
func start(hurry int) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &cli{hurry: hurry, in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, inTerminal: term.IsTerminal(int(os.Stdin.Fd())),
		outTerminal: term.IsTerminal(int(os.Stdout.Fd())), errTerminal: term.IsTerminal(int(os.Stderr.Fd()))}
	return c.run(ctx, os.Args[1:])
}

// cli is one call of the program.
type cli struct {
	in                       io.Reader
	inTerminal               bool // somebody can answer
	out, err                 io.Writer
	outTerminal, errTerminal bool
	getenv                   func(string) string
	now                      func() time.Time // nil = the database's clock; tests put their own

	configFile string
	verbose    bool
	quiet      bool
	serving    bool   // a service, whose log is all that it says
	became     string // what to do where root's rights, which were given up, would have been enough; "" = they were not
	served     bool   // the service has come to its end, as it is told to: what went wrong is no interruption
	hurry      int    // of app.Serving; 0 but in tests
}

// exit is an error with the exit code it leads to.
type exit struct {
	code int
	err  error
	hint string
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

func (c *cli) run(ctx context.Context, args []string) int {
	root := c.root()
	root.SetArgs(args)
	root.SetOut(c.out)
	root.SetErr(c.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return run.ExitDone
	}
	e, ok := errors.AsType[*exit](err)
	switch {
	case ctx.Err() != nil && !c.served && (!ok || e.err != nil):
		e = &exit{code: run.ExitFailed, err: errors.New("interrupted"), hint: "nothing is lost: the next run goes on from what was kept"}
	case !ok:
		e = explain(err)
		if c.became != "" && errors.Is(err, fs.ErrPermission) {
			e.hint = c.became
		}
	}
	if e.err != nil {
		c.fail(e.err, e.hint)
	}
	return e.code
}

// explain gives an error of the program's parts its exit code and hint (design §4, CLI).
func explain(err error) *exit {
	e := &exit{code: run.ExitFailed, err: err, hint: store.Hint(err)}
	if invalid, ok := errors.AsType[*config.Errors](err); ok {
		return &exit{code: run.ExitConfiguration, err: invalid}
	}
	if _, ok := errors.AsType[*tasks.HeldError](err); ok {
		e.code, e.hint = run.ExitLocked, "wait until it has ended; a dead process's hold ends by itself within a minute"
		return e
	}
	if _, ok := errors.AsType[*tasks.ServedError](err); ok {
		e.code, e.hint = run.ExitLocked, "one service uses a state directory; fedsite tasks and the other commands work beside it"
		return e
	}
	switch {
	case errors.Is(err, store.ErrLocked), errors.Is(err, store.ErrInUse):
		e.code = run.ExitLocked
	case errors.Is(err, store.ErrUnavailable):
		e.code = run.ExitUnavailable
	}
	return e
}

func usage(cmd *cobra.Command, err error) error {
	return &exit{code: run.ExitUsage, err: err, hint: "see " + cmd.CommandPath() + " --help"}
}

// Groups of commands in the help.
const (
	pipelines  = "pipelines"
	operations = "operations"
	setup      = "setup"
)

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "fedsite",
		Short: "Connects an OpenStack cloud to the EGI Federated Cloud",
		Long: `fedsite connects an OpenStack cloud to the EGI Federated Cloud: one program, one configuration file.

Exit codes: 0 all done, 1 failed, 2 usage, 3 partly done, 10 configuration invalid, 11 locked,
12 not authorised, 13 remote unavailable.`,
		SilenceErrors: true, SilenceUsage: true,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddGroup(&cobra.Group{ID: pipelines, Title: "Pipelines:"}, &cobra.Group{ID: setup, Title: "Set-up:"}, &cobra.Group{ID: operations, Title: "Operations:"})
	flags := root.PersistentFlags()
	flags.StringVarP(&c.configFile, "config", "c", "", "configuration file (default $FEDSITE_CONFIG, else /etc/fedsite/fedsite.yaml)")
	flags.BoolVarP(&c.verbose, "verbose", "v", false, "log what is done, also each request, to standard error")
	flags.BoolVarP(&c.quiet, "quiet", "q", false, "print a run's report only when not all was done: for cron")
	root.SetFlagErrorFunc(usage)
	root.CompletionOptions.DisableDefaultCmd = false
	root.AddCommand(c.accounting(), c.discovery(), c.images(), c.serve(), c.tasks(), c.backup(), c.restore(), c.privacy(), c.demo(), c.config(), c.version())
	root.SetHelpCommandGroupID(operations)
	root.SetCompletionCommandGroupID(setup)
	return root
}

// DefaultConfig is where the configuration is looked for.
const DefaultConfig = "/etc/fedsite/fedsite.yaml"

// file is the configuration file that the call names.
func (c *cli) file() string {
	if c.configFile != "" {
		return c.configFile
	}
	if f := c.getenv("FEDSITE_CONFIG"); f != "" {
		return f
	}
	return DefaultConfig
}

// load reads the configuration, with what the environment sets.
func (c *cli) load() (*config.Config, error) {
	cfg, err := config.Load(c.file())
	if err != nil {
		return nil, explainConfig(err)
	}
	if err := config.FromEnvironment(cfg, c.getenv); err != nil {
		return nil, &exit{code: run.ExitConfiguration, err: err}
	}
	return cfg, nil
}

func explainConfig(err error) error {
	return &exit{code: run.ExitConfiguration, err: err}
}

// open opens fedsite with the configuration.
func (c *cli) open(ctx context.Context, o app.Options) (*app.App, func(), error) {
	cfg, err := c.load()
	if err != nil {
		return nil, nil, err
	}
	if err := c.dropRoot(cfg.Store.Path); err != nil {
		return nil, nil, err
	}
	log, flush, err := c.logger()
	if err != nil {
		return nil, nil, err
	}
	o.Version, o.Now, o.Log, o.Progress = versionText(), c.now, log, c.progress()
	a, err := app.Open(ctx, cfg, o)
	if err != nil {
		flush()
		return nil, nil, err
	}
	if cfg.Demo.On {
		c.note("DEMO: this configuration was written by fedsite demo; its clock is " + a.Now().Format("2006-01-02 15:04 UTC"))
	}
	return a, func() {
		if err := a.Close(); err != nil {
			c.fail(err, "")
		}
		flush()
	}, nil
}

// version prints what this program is.
func (c *cli) version() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", GroupID: operations, Args: noArgs, RunE: func(*cobra.Command, []string) error {
		_, err := fmt.Fprintf(c.out, "fedsite %s\n", versionText())
		return err
	}}
}

func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) > 0 && cmd.HasSubCommands():
		return usage(cmd, fmt.Errorf("unknown command %q of %s", args[0], cmd.CommandPath()))
	case len(args) > 0:
		return usage(cmd, fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0]))
	}
	return nil
}

// versionText is the version of a released build, or "devel" with the commit it was made from.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 8 {
			return "devel-" + s.Value[:8]
		}
	}
	return "devel"
}

// parseTime reads an instant of the command line: a day, or a time with its zone.
func parseTime(cmd *cobra.Command, flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02", time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usage(cmd, fmt.Errorf("--%s %q is no time: 2026-11-01 (UTC) or 2026-11-01T12:00:00+01:00", flag, text))
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/audit"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/tasks"
)

func (c *cli) tasks() *cobra.Command {
	cmd := &cobra.Command{Use: "tasks", Short: "The recurring work: what runs, when, and how it went", GroupID: operations,
		Long: `The recurring work: what runs, when, and how it went. Any process can look and steer: the service need not be asked.

A task is called part.kind/site. The site may be left out when there is one, and be named as in GOCDB or by its id.`,
		Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(c.tasksList(), c.tasksShow(), c.tasksRun(), c.tasksPause(),
		c.steer("cancel", "End the run that goes on now; what it kept stays", "cancelled: the run ends within seconds", (*app.App).CancelTask),
		c.steer("resume", "End a pause; a slot that fell into it is made up for, once", "resumed", (*app.App).ResumeTask))
	return cmd
}

func (c *cli) tasksList() *cobra.Command {
	var form *form
	cmd := &cobra.Command{Use: "list", Short: "List all tasks: what runs, what is due, how the last run ended", Args: noArgs,
		Example: "  fedsite tasks list\n  fedsite tasks list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, done, err := c.open(cmd.Context(), app.Options{})
			if err != nil {
				return err
			}
			defer done()
			all, err := a.Tasks(cmd.Context())
			if err != nil {
				return err
			}
			if form.value != asTable {
				return c.encode(form.value, all)
			}
			rows := make([][]string, 0, len(all))
			for _, t := range all {
				rows = append(rows, []string{t.Name, t.State, timeOr(t.Due), cmp.Or(t.Outcome, "-"), timeOr(t.Ended), timeOr(t.LastSuccess), t.Note})
			}
			if len(rows) == 0 {
				c.note("no task has run or been scheduled yet: fedsite serve schedules them")
				return nil
			}
			if err := c.table([]string{"TASK", "STATE", "DUE (UTC)", "LAST", "ENDED (UTC)", "LAST GOOD (UTC)", ""}, rows); err != nil {
				return err
			}
			served, err := a.Served(cmd.Context())
			if err == nil && !served {
				c.note("no service runs: what is due waits for fedsite serve")
			}
			return err
		}}
	form = forms(cmd)
	return cmd
}

func timeOr(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return stamp(t)
}

func (c *cli) tasksShow() *cobra.Command {
	var (
		number int64
		limit  uint
		form   *form
	)
	cmd := &cobra.Command{Use: "show TASK", Short: "Show a task's history, or the report of one run", Args: oneTask,
		Example: "  fedsite tasks show accounting.collect\n  fedsite tasks show accounting.collect --run 17",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withTask(cmd, args[0], func(ctx context.Context, a *app.App, name string) error {
				if number > 0 {
					return c.showRun(ctx, a, name, number, form.value)
				}
				t, history, err := a.TaskHistory(ctx, name, int(limit))
				if err != nil {
					return err
				}
				if form.value != asTable {
					return c.encode(form.value, map[string]any{"task": t, "history": history})
				}
				fmt.Fprintf(c.out, "%s  %s", t.Name, t.State)
				if t.Schedule != "" {
					fmt.Fprintf(c.out, ", schedule %q", t.Schedule)
				}
				if !t.Due.IsZero() {
					fmt.Fprintf(c.out, ", due %s UTC", stamp(t.Due))
				}
				fmt.Fprintln(c.out)
				if t.Note != "" {
					fmt.Fprintf(c.out, "  %s\n", t.Note)
				}
				rows := make([][]string, 0, len(history))
				for _, r := range history {
					took := "-"
					if !r.Ended.IsZero() {
						took = r.Ended.Sub(r.Started).Round(10 * time.Millisecond).String()
					}
					rows = append(rows, []string{fmt.Sprint(r.Number), stamp(r.Started), took, r.Cause, cmp.Or(r.Outcome, "running"), r.Where})
				}
				if len(rows) == 0 {
					c.note("it has not run yet")
					return nil
				}
				return c.table([]string{"RUN", "STARTED (UTC)", "TOOK", "CAUSE", "OUTCOME", "BY"}, rows)
			})
		}}
	form = forms(cmd)
	cmd.Flags().Int64Var(&number, "run", 0, "show the report of this run")
	cmd.Flags().UintVar(&limit, "limit", 20, "how many runs to list (0 = all that are kept)")
	return cmd
}

func (c *cli) showRun(ctx context.Context, a *app.App, name string, number int64, form string) error {
	r, err := a.TaskRun(ctx, name, number)
	if err != nil {
		return err
	}
	if form != asTable {
		return c.encode(form, r)
	}
	ended := "goes on"
	if !r.Ended.IsZero() {
		ended = fmt.Sprintf("%s: %s", r.Ended.Sub(r.Started).Round(10*time.Millisecond), r.Outcome)
	}
	fmt.Fprintf(c.out, "%s  run %d, %s UTC, %s, by %s (%s)\n", a.Readable(name), r.Number, stamp(r.Started), ended, r.Where, r.Cause)
	if r.Report == nil {
		c.note("it has left no report")
		return nil
	}
	fmt.Fprintf(c.out, "  %s\n", allCounts(*r.Report))
	problems(c.out, c.outTerminal, *r.Report)
	for _, k := range r.Report.Checks {
		line := strings.Join(strings.Fields(strings.Join([]string{k.Cloud, k.Object, k.Name}, " ")), " ")
		fmt.Fprintf(c.out, "  %-4s  %s: %s\n", k.State, line, cmp.Or(k.Reason, "ok"))
		if k.Remedy != "" {
			fmt.Fprintf(c.out, "        → %s\n", k.Remedy)
		}
	}
	return nil
}

func (c *cli) tasksRun() *cobra.Command {
	return &cobra.Command{Use: "run TASK", Short: "Run a task as soon as the service looks, though it is not due or is paused", Args: oneTask,
		Example: "  fedsite tasks run accounting.collect",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withTask(cmd, args[0], func(ctx context.Context, a *app.App, name string) error {
				if err := a.RunTask(ctx, name, audit.Actor()); err != nil {
					return refused(err)
				}
				served, err := a.Served(ctx)
				if err != nil {
					return err
				}
				done := "asked for: the service begins it within seconds"
				if !served {
					done = "asked for: no service runs, the next one begins it when it starts"
				}
				_, err = fmt.Fprintf(c.out, "%s  %s\n", a.Readable(name), done)
				return err
			})
		}}
}

func (c *cli) tasksPause() *cobra.Command {
	var until string
	cmd := &cobra.Command{Use: "pause TASK", Short: "Don't begin a task before a time, 24 hours from now; a run that goes on is not ended", Args: oneTask,
		Example: "  fedsite tasks pause accounting.send\n  fedsite tasks pause accounting.collect --until 2026-12-01",
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parseTime(cmd, "until", until)
			if err != nil {
				return err
			}
			return c.withTask(cmd, args[0], func(ctx context.Context, a *app.App, name string) error {
				if at.IsZero() {
					at = a.Now().Add(24 * time.Hour)
				}
				if !at.After(a.Now()) {
					return usage(cmd, fmt.Errorf("--until %s is past", until))
				}
				if err := a.PauseTask(ctx, name, at, audit.Actor()); err != nil {
					return refused(err)
				}
				_, err := fmt.Fprintf(c.out, "%s  paused until %s UTC; fedsite tasks resume ends it\n", a.Readable(name), stamp(at))
				return err
			})
		}}
	cmd.Flags().StringVar(&until, "until", "", "when it ends: a day, or a time with its zone (default in 24 hours)")
	return cmd
}

// steer is a command that writes a wish into a task's row.
func (c *cli) steer(verb, short, done string, do func(*app.App, context.Context, string, string) error) *cobra.Command {
	return &cobra.Command{Use: verb + " TASK", Short: short, Args: oneTask, Example: "  fedsite tasks " + verb + " accounting.collect",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withTask(cmd, args[0], func(ctx context.Context, a *app.App, name string) error {
				if err := do(a, ctx, name, audit.Actor()); err != nil {
					return refused(err)
				}
				_, err := fmt.Fprintf(c.out, "%s  %s\n", a.Readable(name), done)
				return err
			})
		}}
}

// refused gives the error of a wish that makes no sense now its hint.
func refused(err error) error {
	switch {
	case errors.Is(err, tasks.ErrNotScheduled):
		return &exit{code: run.ExitFailed, err: err, hint: "fedsite serve schedules what is in the configuration; fedsite accounting collect and send run from the shell"}
	case errors.Is(err, tasks.ErrNotRunning):
		return &exit{code: run.ExitFailed, err: err, hint: "fedsite tasks list shows what runs"}
	}
	return err
}

func oneTask(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usage(cmd, fmt.Errorf("%s takes one task: fedsite tasks list has their names", cmd.CommandPath()))
	}
	return nil
}

// withTask opens fedsite, and runs fn with the full name of a task.
func (c *cli) withTask(cmd *cobra.Command, text string, fn func(context.Context, *app.App, string) error) error {
	a, done, err := c.open(cmd.Context(), app.Options{})
	if err != nil {
		return err
	}
	defer done()
	name, err := a.TaskName(cmd.Context(), text)
	if err != nil {
		return &exit{code: run.ExitFailed, err: err, hint: "fedsite tasks list has the names"}
	}
	return fn(cmd.Context(), a, name)
}

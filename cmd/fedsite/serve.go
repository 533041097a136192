package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fedsite/fedsite/internal/app"
)

func (c *cli) serve() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run every part on schedule, as a service", GroupID: operations, Args: noArgs,
		Long: `Run every part on schedule until it is told to stop (SIGTERM, Ctrl-C), and show on a web page how things are.

SIGHUP loads the configuration anew: a wrong one changes nothing. Whoever stops the service waits for what runs, at most
45 seconds; what is cut off then is gone on with at the next start. The exit status is 1 when the database did not take how a
run ended.`,
		Example: "  fedsite serve\n  systemctl reload fedsite",
		RunE: func(cmd *cobra.Command, _ []string) error {
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			c.serving = true
			a, done, err := c.open(cmd.Context(), app.Options{})
			if err != nil {
				return err
			}
			defer done()
			ctx, stop := context.WithCancel(cmd.Context())
			defer stop()
			reload := make(chan struct{})
			go func() {
				for {
					select {
					case <-hangups:
						select {
						case reload <- struct{}{}:
						case <-ctx.Done():
						}
					case <-ctx.Done():
						return
					}
				}
			}()
			err = a.Serve(ctx, app.Serving{Load: c.load, Reload: reload, Told: tellSystemd, Hurry: c.hurry, Listening: func(at net.Addr) {
				c.note(fmt.Sprintf("http://%s/ shows how things are", at))
			}})
			c.served = !errors.Is(err, context.Canceled)
			return err
		},
	}
}

// tellSystemd tells the service's state to systemd, if that started it.
func tellSystemd(s app.State) {
	text := map[app.State]string{app.Ready: daemon.SdNotifyReady, app.Alive: daemon.SdNotifyWatchdog, app.Stopping: daemon.SdNotifyStopping}[s]
	if s == app.Reloading {
		var now unix.Timespec
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
			return
		}
		text = fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, time.Duration(now.Nano())/time.Microsecond)
	}
	_, _ = daemon.SdNotify(false, text) // nobody else can be told
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/confluo/confluo/agent"
	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/api"
)

type runCmd struct {
	Config string       `short:"c" required:"" placeholder:"FILE" help:"Configuration file; see confluo-host check and docs/configuration.md."`
	Drain  api.Duration `default:"10s" placeholder:"DURATION" help:"When told to stop, wait so long at most for headers and answers under way (default ${default})."`
}

// Help implements kong.HelpProvider.
func (*runCmd) Help() string {
	return `SIGHUP reads the configuration again. SIGINT and SIGTERM end the agent after the headers that it has received are stored and the answers under way are given; a second one ends it at once.

Example:

  confluo-host run -c /etc/confluo/host.yaml`
}

func (c *runCmd) Run(a *app) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		var mistakes config.Errors
		if errors.As(err, &mistakes) {
			fmt.Fprintln(a.err, mistakes)
			return errChecked
		}
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	end := make(chan os.Signal, 2)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(end)

	host := agent.New(cfg, agent.Options{Version: versionText(), Path: c.Config})
	if err := host.Start(a.ctx); err != nil {
		return err
	}
	for _, addr := range host.Addrs() {
		fmt.Fprintf(a.out, "listening on %s\n", addr)
	}
	for running := true; running; {
		select {
		case <-hup:
			// The agent logs what came of it; one that was refused changes nothing.
			_, _ = host.Reload(a.ctx)
		case <-end:
			running = false
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(c.Drain))
	defer cancel()
	drained := make(chan struct{})
	defer close(drained)
	go func() {
		select {
		case <-end:
			cancel()
		case <-drained:
		}
	}()
	_, err = host.Stop(ctx)
	return err
}

package main

import (
	"errors"
	"fmt"

	"github.com/confluo/confluo/agent/config"
)

type checkCmd struct {
	Files []string `arg:"" name:"file" help:"Configuration files."`
}

// Help implements kong.HelpProvider.
func (*checkCmd) Help() string {
	return "Says all mistakes of each file at once: file, line, key, what was found and what is allowed. Exits with 1 when there is one.\n\nExample:\n\n  confluo-host check /etc/confluo/host.yaml"
}

func (c *checkCmd) Run(a *app) error {
	bad := 0
	for _, file := range c.Files {
		if _, err := config.Load(file); err != nil {
			// Each line is a mistake that begins with file and line, as
			// compilers write them, so that editors find the place.
			fmt.Fprintln(a.err, err)
			bad++
			continue
		}
		if _, err := fmt.Fprintf(a.out, "%s: ok\n", file); err != nil {
			return err
		}
	}
	if bad > 0 {
		return errChecked
	}
	return nil
}

// errChecked fails a command that has said why already.
var errChecked = errors.New("the check failed")

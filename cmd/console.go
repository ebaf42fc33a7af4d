package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/phases/access"
)

func newConsole(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Open the web console Headlamp through a port-forward",
		Long: `Forward a port of this computer to the web console Headlamp (the addon headlamp),
through the SSH connection of the first control plane, and print its address with a
token to log in with. The token is that of an administrator and expires. It ends
with Ctrl-C.`,
		Example: "  slipway console\n  slipway console --port 8080 --token-ttl 15m",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.console(cmd.Context()) },
	}
	connectionFlags(cmd)
	cmd.Flags().Int("port", 0, "the port on this computer (default: any that is free)")
	cmd.Flags().Duration("token-ttl", time.Hour, "how long the token is good, 10 minutes at least")
	return cmd
}

func (a *app) console(ctx context.Context) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	opened := false
	err = a.query(ctx, s, phases.Console(access.Console{
		Port: a.settings.GetInt("port"), TokenTTL: a.settings.GetDuration("token-ttl"),
		Opened: func(port int, token string, expires time.Time) {
			opened = true
			fmt.Fprintf(a.out, "http://127.0.0.1:%d\n%s\n", port, token)
			fmt.Fprintf(a.err, "Log in with the token above. It expires at %s. Press Ctrl-C to stop.\n", expires.Local().Format(time.TimeOnly))
		},
	}))
	if opened && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

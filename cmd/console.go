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
		Short: "Forward a local port to the web console Headlamp",
		Long: `Forward a port of this computer to the web console of the addon headlamp, through the
SSH connection to a control plane. The command prints the URL and a login token with
administrator rights, which expires. Press Ctrl-C to stop.`,
		Example: "  slipway console\n  slipway console --port 8080 --token-ttl 15m",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.console(cmd.Context()) },
	}
	connectionFlags(cmd)
	cmd.Flags().Int("port", 0, "Local port. (default any free port)")
	cmd.Flags().Duration("token-ttl", time.Hour, "Lifetime of the token, at least 10 minutes.")
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

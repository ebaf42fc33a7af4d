package cmd

import (
	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/config"
)

func newInit(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Print a commented inventory to start from",
		Long: `Print a commented inventory. Pass each host as NAME=ADDRESS[,ROLE...], where ROLE is
control-plane or worker (default).`,
		Example: `  slipway init > inventory.yaml
  slipway init --name lab --host cp-1=192.0.2.10,control-plane --host w-1=192.0.2.11 > inventory.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Not through viper: a host may hold commas.
			given, err := cmd.Flags().GetStringArray("host")
			if err != nil {
				return err
			}
			options := config.StarterOptions{Name: a.settings.GetString("name")}
			for _, text := range given {
				host, err := config.ParseHost(text)
				if err != nil {
					return &usageError{err}
				}
				options.Hosts = append(options.Hosts, host)
			}
			starter, err := config.Starter(options)
			if err != nil {
				return &usageError{err}
			}
			_, err = a.out.Write(starter)
			return err
		},
	}
	flags := cmd.Flags()
	flags.String("name", "", "Name of the cluster.")
	flags.StringArray("host", nil, "Host of the cluster, as NAME=ADDRESS[,ROLE...]. Can be repeated.")
	return cmd
}

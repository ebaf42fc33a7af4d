package cmd

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/lab/container"
)

// newLabServePackages is the package server of a highly available lab. "slipway lab up"
// starts it.
func newLabServePackages() *cobra.Command {
	cmd := &cobra.Command{
		Use:     container.ServeCommand,
		Short:   "Serve the packages of a lab to its machines",
		Long:    "Serve the files of a directory over HTTP until a signal ends the command.",
		Example: "  slipway lab serve-packages --directory pool --listen 10.88.77.1:7780",
		Hidden:  true,
		Args:    cobra.NoArgs,
	}
	dir := cmd.Flags().String("directory", "", "Path to the directory with the packages.")
	listen := cmd.Flags().String("listen", "", "Address and port to listen on.")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		address, err := netip.ParseAddrPort(*listen)
		if err != nil {
			return &usageError{fmt.Errorf("--listen: %w", err)}
		}
		return container.ServePackages(cmd.Context(), *dir, address)
	}
	return cmd
}

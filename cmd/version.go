package cmd

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/config"
)

// version is set by -ldflags -X in a release build.
var version = "development"

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of slipway and of the Kubernetes releases it supports",
		Example: "  slipway version\n  slipway version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json() {
				return a.printJSON(map[string]any{
					"version": version, "go": runtime.Version(), "kubernetes": config.SupportedMinors(),
					"defaultKubernetes": config.DefaultKubernetesVersion,
				})
			}
			fmt.Fprintf(a.out, "slipway %s (%s), Kubernetes %v, default %s\n", version, runtime.Version(), config.SupportedMinors(), config.DefaultKubernetesVersion)
			return nil
		},
	}
}

func newSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the inventory, for editors",
		Example: "  slipway schema > inventory.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(config.Schema())
			return err
		},
	}
}

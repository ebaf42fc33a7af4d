package cmd

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"slipway.io/slipway/phases"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

func newKubeconfig(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the cluster's kubeconfig, or merge it into ~/.kube/config",
		Long: `Print the administrator's kubeconfig of the cluster, read from the first control
plane that answers. With --merge, add it to ~/.kube/config, or to the first file in
KUBECONFIG, and keep the other clusters in that file.`,
		Example: `  slipway kubeconfig > cluster.conf
  slipway kubeconfig --merge && kubectl get nodes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open()
			if err != nil {
				return err
			}
			defer s.close()
			return a.query(cmd.Context(), s, phases.Kubeconfig(a.settings.GetString("server"), func(conf []byte) error {
				if a.settings.GetBool("merge") {
					return a.mergeKubeconfig(s.cluster.Metadata.Name, conf)
				}
				_, err := a.out.Write(conf)
				return err
			}))
		},
	}
	connectionFlags(cmd)
	flags := cmd.Flags()
	flags.Bool("merge", false, "Merge the kubeconfig into the file that kubectl uses.")
	flags.Bool("force", false, "With --merge, overwrite another cluster's entry of the same name.")
	flags.String("server", "", "URL of the API server. (default the cluster's endpoint)")
	return cmd
}

// forgetKubeconfig removes a deleted cluster from the user's kubeconfig.
func (a *app) forgetKubeconfig(name string) error {
	target, err := kube.DefaultKubeconfig()
	if err != nil {
		return err
	}
	removed, err := kube.Remove(target, name)
	if removed {
		fmt.Fprintf(a.err, "%s: context %s removed\n", target, name)
	}
	return err
}

func (a *app) mergeKubeconfig(name string, conf []byte) error {
	target, err := kube.DefaultKubeconfig()
	if err != nil {
		return err
	}
	result, err := kube.Merge(target, conf, kube.MergeOptions{SetCurrent: true, Force: a.settings.GetBool("force")})
	var taken *kube.NameTakenError
	if errors.As(err, &taken) {
		return workflow.WithHint(err, "change metadata.name in the inventory, or overwrite the entry with --force")
	}
	if err != nil {
		return err
	}
	if result.Backup != "" {
		fmt.Fprintf(a.err, "backup: %s\n", result.Backup)
	}
	fmt.Fprintf(a.err, "%s: context %s\n", target, name)
	return nil
}

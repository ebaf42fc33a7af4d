package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

func newKubeconfig(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the cluster's kubeconfig, or merge it into yours",
		Long: `Fetch the administrator's kubeconfig from the first control plane. It is printed,
or with --merge put into ~/.kube/config (or the first file of KUBECONFIG), where
the other clusters stay as they are.`,
		Example: `  slipway kubeconfig > cluster.conf
  slipway kubeconfig --merge && kubectl get nodes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, path, err := a.inventory()
			if err != nil {
				return err
			}
			conf, err := a.adminConf(cmd.Context(), cluster, path)
			if err != nil {
				return err
			}
			if !a.settings.GetBool("merge") {
				_, err = a.out.Write(conf)
				return err
			}
			return a.mergeKubeconfig(cluster, conf)
		},
	}
	connectionFlags(cmd)
	flags := cmd.Flags()
	flags.Bool("merge", false, "merge it into the kubeconfig of kubectl")
	flags.Bool("force", false, "with --merge: replace another cluster's entry of the same name")
	flags.String("server", "", "the API server's address for this kubeconfig (default: the cluster's endpoint)")
	return cmd
}

// readAdminConf reads the kubeconfig as kubeadm made it.
func readAdminConf(ctx context.Context, first *workflow.Host) ([]byte, error) {
	conf, err := first.Conn.ReadFile(ctx, workflow.AdminConf)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, workflow.WithHint(fmt.Errorf("%s has no %s: there is no cluster yet", first.Config.Name, workflow.AdminConf), "install it with `slipway apply`")
	}
	return conf, err
}

// adminConf fetches the kubeconfig and makes it one that works from here.
func (a *app) adminConf(ctx context.Context, cluster *config.Cluster, path string) ([]byte, error) {
	hosts, closeAll, err := a.hosts(cluster, path)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	first := hosts.Seed()
	conf, err := readAdminConf(ctx, first)
	if err != nil {
		return nil, err
	}
	server := a.settings.GetString("server")
	if server == "" && cluster.ControlPlane.Endpoint == "" {
		// The address by which SSH reaches it is in the certificate too, and is
		// the one that is known to work from here.
		server = "https://" + cluster.Endpoint(first.Config.Address)
	}
	return kube.Rewrite(conf, server, cluster.Metadata.Name)
}

// forgetKubeconfig takes a cluster that is gone out of the user's kubeconfig.
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

func (a *app) mergeKubeconfig(cluster *config.Cluster, conf []byte) error {
	target, err := kube.DefaultKubeconfig()
	if err != nil {
		return err
	}
	result, err := kube.Merge(target, conf, kube.MergeOptions{SetCurrent: true, Force: a.settings.GetBool("force")})
	var taken *kube.NameTakenError
	if errors.As(err, &taken) {
		return workflow.WithHint(err, "give this cluster another metadata.name, or replace the entry with --force")
	}
	if err != nil {
		return err
	}
	if result.Backup != "" {
		fmt.Fprintf(a.err, "the file as it was: %s\n", result.Backup)
	}
	fmt.Fprintf(a.err, "%s: context %s\n", target, cluster.Metadata.Name)
	return nil
}

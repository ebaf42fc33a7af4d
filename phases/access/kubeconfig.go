// Package access lets people use a cluster: with kubectl, and with the web
// console.
package access

import (
	"context"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

// Kubeconfig reads the administrator's kubeconfig and passes it to use with a
// server address that is reachable from localhost: the given one, or else the
// cluster's endpoint.
func Kubeconfig(server string, use func(conf []byte) error) workflow.Phase {
	return workflow.Phase{
		Name:     "kubeconfig",
		Title:    "read the administrator's kubeconfig",
		Why:      "kubectl needs the address of the API server and the administrator's certificate.",
		Manual:   []string{"scp root@CONTROL-PLANE:/etc/kubernetes/admin.conf ."},
		On:       workflow.Localhost,
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			conf, from, err := s.Hosts().AdminConf(ctx)
			if err != nil {
				return err
			}
			cluster, server := s.Cluster(), server
			if server == "" && cluster.ControlPlane.Endpoint == "" {
				// The certificate covers the address that SSH uses, and that
				// address is known to be reachable.
				server = "https://" + cluster.Endpoint(from.Config.Address)
			}
			conf, err = kube.Rewrite(conf, server, cluster.Metadata.Name)
			if err != nil {
				return err
			}
			return use(conf)
		},
	}
}

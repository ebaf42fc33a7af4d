package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// Client gives the control planes what their API servers need to connect to etcd.
func Client() workflow.Phase {
	return workflow.Phase{
		Name:  "etcd-client",
		Title: "copy the client certificate of etcd to the control planes",
		Why: "kubeadm does not create it: the CA of etcd is not on the control planes. The key goes over SSH, and is stored " +
			"nowhere else.",
		Manual: []string{
			"scp /etc/kubernetes/pki/etcd/ca.crt CONTROL_PLANE:/etc/kubernetes/pki/etcd/    # from a host of etcd",
			"scp /etc/kubernetes/pki/apiserver-etcd-client.{crt,key} CONTROL_PLANE:/etc/kubernetes/pki/",
		},
		On:      workflow.ControlPlanes,
		Needs:   []string{"finish-reset", "etcd-ready"},
		Creates: []string{"/etc/kubernetes/pki/"},
		Enabled: (*config.Cluster).ExternalEtcd,
		Do: func(ctx context.Context, s *workflow.Step) error {
			files, err := clientFiles(ctx, s)
			if err != nil || files == nil {
				return err
			}
			_, err = host.EnsureFiles(ctx, s, files...)
			return err
		},
	}
}

// ClientAgain is Client for a certificate that the hosts of etcd have renewed although it
// was not due: it copies that one too.
func ClientAgain() workflow.Phase {
	p := Client()
	p.Needs, p.NeedsAll = []string{"lock"}, []string{"etcd-certificates"}
	p.Enabled = hasHosts
	p.Do = func(ctx context.Context, s *workflow.Step) error {
		from := s.Hosts().EtcdSeed()
		if s.Planning() && s.Selected(from) {
			return fmt.Errorf("the client certificate of etcd: %w", host.ErrPlanned)
		}
		files, err := read(ctx, s.On(from), kubeadm.EtcdClientFiles())
		if err != nil {
			return err
		}
		_, err = host.EnsureFiles(ctx, s, files...)
		return err
	}
	return p
}

// clientFiles returns the files that a control plane needs; nil if it has them. Each host
// of etcd has a client certificate of its own: any of them will do.
func clientFiles(ctx context.Context, s *workflow.Step) ([]host.File, error) {
	if !hasHosts(s.Cluster()) {
		return kubeadm.LocalEtcdFiles(s.Cluster())
	}
	from := s.Hosts().EtcdSeed()
	if whole(s, from) {
		return nil, nil
	}
	if from.Facts() == nil || from.Unreachable() != nil {
		return nil, errors.New("no host with the role etcd can be reached, which has the client certificate of etcd")
	}
	if s.Planning() && s.Selected(from) && !kubeadm.EtcdClientUsable(from.Facts().Kubernetes) { // it is renewed there first
		return nil, fmt.Errorf("the client certificate of etcd: %w", host.ErrPlanned)
	}
	return read(ctx, s.On(from), kubeadm.EtcdClientFiles())
}

// whole reports whether a control plane has the files of the etcd of a host, or of one that
// could not be read, and can use them for a while.
func whole(s *workflow.Step, from *workflow.Host) bool {
	k := s.Facts().Kubernetes
	return kubeadm.EtcdClientUsable(k) && (from.Facts() == nil || k.EtcdCAHash() == from.Facts().Kubernetes.EtcdCAHash())
}

// Data makes sure that etcd has no data of another cluster.
func Data() workflow.Phase {
	return workflow.Phase{
		Name:  "etcd-empty",
		Title: "check that etcd has no data of another cluster",
		Why: "kubeadm init would mix the new cluster with what etcd has: the data of a cluster outlives its control planes when " +
			"etcd does not run on them.",
		Manual: []string{
			"etcdctl --endpoints ENDPOINTS --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/apiserver-etcd-client.crt --key /etc/kubernetes/pki/apiserver-etcd-client.key get /registry/ --prefix --keys-only --limit 1",
		},
		On:      workflow.Seed,
		Needs:   []string{"etcd-client"},
		Enabled: (*config.Cluster).ExternalEtcd,
		Done: func(_ context.Context, s *workflow.Step) (bool, error) {
			return s.Planning() || s.Facts().Joined(), nil
		},
		Do: checkData,
	}
}

func checkData(ctx context.Context, s *workflow.Step) error {
	endpoints, err := s.Hosts().EtcdEndpoints(s.Cluster())
	if err != nil {
		return err
	}
	found, err := kube.ExternalEtcdHasCluster(ctx, s.Target.Conn, endpoints)
	if err != nil {
		return workflow.WithHint(fmt.Errorf("etcd does not answer %s: %w", s.Target.Config.Name, err),
			"check the endpoints, the certificates and the firewall between the control planes and etcd")
	}
	if !found {
		return nil
	}
	remedy := "for a new cluster, delete the data: etcdctl del /registry/ --prefix"
	if hasHosts(s.Cluster()) {
		remedy = "for a new cluster, delete the data: slipway reset --yes"
	}
	return workflow.WithHint(
		errors.New("etcd has the data of a cluster ("+strings.Join(endpoints, ", ")+", below /registry/), and no control plane of the inventory belongs to it"),
		"restore /etc/kubernetes of a control plane from a backup, or add a control plane of that cluster to the inventory; "+remedy)
}

package preflight

import (
	"context"
	"slices"
	"sync"
	"time"

	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/workflow"
)

// apiTimeout bounds the reads from an API server that does not answer.
const apiTimeout = 30 * time.Second

// Cluster reads the state of the cluster: Nodes, etcd, the fields that cannot
// change. Without a cluster there is nothing to read. A silent API server is part of
// the state, and no failure.
func Cluster() workflow.Phase { return clusterPhase(false) }

// ClusterForUpgrade also reads what matters for another version, whatever the inventory
// says.
func ClusterForUpgrade() workflow.Phase { return clusterPhase(true) }

func clusterPhase(upgrade bool) workflow.Phase {
	return workflow.Phase{
		Name:     "cluster",
		Title:    "read the state of the cluster",
		Why:      "What may change follows from the cluster that exists on the hosts, not from the order of the inventory.",
		Manual:   []string{"kubectl get nodes -o wide; kubectl -n kube-system get configmap kubeadm-config slipway -o yaml"},
		On:       workflow.Localhost,
		NeedsAll: []string{"facts"},
		ReadOnly: true,
		Do: func(ctx context.Context, s *workflow.Step) error {
			s.Hosts().SetState(observe(ctx, s.Cluster(), s.Hosts(), s.Kube, upgrade))
			return ctx.Err()
		},
	}
}

// observe reads the state of the cluster on hosts whose facts are known. What matters for
// another version is read with upgrade, or if the inventory changes the version.
func observe(
	ctx context.Context, inventory *config.Cluster, hosts *workflow.Hosts, connect func(context.Context) (*kube.Client, error), upgrade bool,
) *cluster.State {
	state := &cluster.State{}
	hosts.SetAside()
	joined := hosts.WithLeaving().Where(func(h *workflow.Host) bool { return h.Facts() != nil && h.Facts().Joined() })
	if len(joined) == 0 {
		return state
	}
	state.Exists = true
	members := slices.DeleteFunc(joined, func(h *workflow.Host) bool {
		return !h.Facts().Member() || !installed(h.Facts())
	})
	// Each of them writes fields of its own. etcd answers also while the API server hangs.
	var group sync.WaitGroup
	group.Go(func() { observeEtcd(ctx, state, members) })
	group.Go(func() { observeAPI(ctx, state, hosts, connect) })
	group.Wait()
	if state.Answers() && (upgrade || state.NewVersion(inventory) != "") {
		state.Upgrade = observeUpgrade(ctx, state, inventory, hosts, connect)
	}
	hosts.TakeBack(func(h *workflow.Host) bool {
		return state.Node(h.Config.Name) != nil || h.HasMemberIn(state)
	})
	return state
}

// observeAPI reads what the API server knows of the cluster, or else what the hosts do.
func observeAPI(ctx context.Context, state *cluster.State, hosts *workflow.Hosts, connect func(context.Context) (*kube.Client, error)) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	client, err := connect(ctx)
	if err == nil {
		err = state.Read(ctx, client)
	}
	if state.Silent = err; err != nil {
		state.ReadHosts(hosts.Observed())
	}
}

// observeEtcd reads the members of etcd on the hosts that have its data.
func observeEtcd(ctx context.Context, state *cluster.State, members []*workflow.Host) {
	if len(members) == 0 {
		return
	}
	state.MembersOf = members[0].Config.Name
	etcd, err := workflow.ReadEtcd(ctx, members)
	if err != nil {
		state.MembersErr = err
		return
	}
	state.Members, state.MembersOf = etcd.Members, etcd.Serving()[0].Config.Name
	state.Leader = etcd.Leader
	for _, h := range etcd.Serving() {
		state.Answering = append(state.Answering, h.Config.Name)
	}
}

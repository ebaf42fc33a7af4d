package validate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
)

// noticeTimeout bounds the wait until the cluster notices that a host is off: the
// node controller waits 50 s for kubelet (--node-monitor-grace-period).
const noticeTimeout = 75 * time.Second

// target is a host of the inventory with the connection to it.
type target struct {
	config.Host
	conn host.Host
	// failure is why slipway cannot work on the host; nil if it can.
	failure error
}

// off reports whether the host does not answer at all: it is powered off, or cut off.
// One that refuses the connection is no such host.
func (t target) off() bool { return errors.Is(t.failure, host.ErrUnreachable) }

// check returns an error if slipway cannot work on the host: a loss of redundancy if
// the host is off.
func (t target) check() error {
	switch {
	case t.off():
		return degraded("the host is unreachable: " + strings.TrimPrefix(t.failure.Error(), t.Name+": "))
	case t.failure != nil:
		return t.failure
	}
	return nil
}

// connect connects to the hosts, unless an earlier phase has.
func connect(ctx context.Context, hosts *workflow.Hosts) []target {
	targets := make([]target, len(hosts.All))
	var group errgroup.Group
	for i, h := range hosts.All {
		targets[i] = target{Host: h.Config, conn: h.Conn, failure: h.Unreachable()}
		if h.Facts() != nil || targets[i].failure != nil {
			continue
		}
		group.Go(func() error {
			_, targets[i].failure = h.Conn.Query(ctx, host.Cmd{Argv: []string{"true"}, Sudo: true})
			return nil
		})
	}
	_ = group.Wait() // a failure is part of the target
	return targets
}

// controlPlanes are those of the inventory.
func (r *run) controlPlanes() []target {
	return slices.DeleteFunc(slices.Clone(r.targets), func(t target) bool { return !t.Has(config.RoleControlPlane) })
}

// nodes are the hosts that are nodes of the cluster.
func (r *run) nodes() []target {
	return slices.DeleteFunc(slices.Clone(r.targets), func(t target) bool { return t.Has(config.RoleEtcd) })
}

// isOff reports whether a host of that name is off.
func (r *run) isOff(name string) bool {
	return slices.ContainsFunc(r.targets, func(t target) bool { return t.Name == name && t.off() })
}

// someOff reports whether a node is off.
func (r *run) someOff() bool { return slices.ContainsFunc(r.nodes(), target.off) }

// awaitNotice waits until the cluster has noticed which hosts are off, so that it
// starts no pod on them and sends no request to their pods. A host that only slipway
// cannot reach stays in use.
func (r *run) awaitNotice(ctx context.Context) {
	var off []string
	for _, t := range slices.Concat(r.nodes(), r.leaving) {
		if t.off() {
			off = append(off, t.Name)
		}
	}
	for _, h := range r.cluster.Lost() {
		off = append(off, h.Name)
	}
	if len(off) == 0 {
		return
	}
	// After the wait, the condition of each Node decides.
	_ = r.client.WaitFor(ctx, nodesLost(off, &r.without), kube.WaitOptions{
		Timeout: r.scale.extend(noticeTimeout), Progress: r.progress.tell,
	})
}

// nodesLost: none of the nodes that exist is Ready. lost are those that are not.
func nodesLost(names []string, lost *[]string) kube.Condition {
	return kube.Condition{Name: "the loss of " + strings.Join(names, ", "), Check: func(ctx context.Context, c *kube.Client) (bool, string, error) {
		nodes, err := c.Clientset().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		*lost = nil
		alive := 0
		for i := range nodes.Items {
			node := &nodes.Items[i]
			if !slices.Contains(names, node.Name) {
				continue
			}
			if ready, _ := kube.NodeIsReady(node); ready {
				alive++
			} else {
				*lost = append(*lost, node.Name)
			}
		}
		return alive == 0, fmt.Sprintf("the cluster has noticed %d of %d hosts that are off", len(*lost), len(*lost)+alive), nil
	}}
}

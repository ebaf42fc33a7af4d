package validate

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// apiServerTasks ask the API server of each control plane at its own address.
func apiServerTasks(_ context.Context, r *run) []task {
	var tasks []task
	for _, t := range r.controlPlanes() {
		tasks = append(tasks, task{target: t.Name, try: func(ctx context.Context) (string, error) {
			if err := t.check(); err != nil {
				return "", err
			}
			ip, err := r.nodeIP(ctx, t)
			if err != nil {
				return "", err
			}
			return r.ready(ctx, t, net.JoinHostPort(ip, strconv.Itoa(r.cluster.ControlPlane.BindPort)))
		}})
	}
	return tasks
}

// nodeIP is the address at which the API server of a control plane listens.
func (r *run) nodeIP(ctx context.Context, t target) (string, error) {
	if t.NodeIP != "" {
		return t.NodeIP, nil
	}
	node, err := r.client.Clientset().CoreV1().Nodes().Get(ctx, t.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return t.Address, nil
	}
	if err != nil {
		return "", err
	}
	return cmp.Or(internalIP(node), t.Address), nil
}

// endpointTasks request the endpoint from each host that is not off.
func endpointTasks(_ context.Context, r *run) []task {
	if r.cluster.ControlPlane.Endpoint == "" {
		return skipped("the inventory sets no controlPlane.endpoint")
	}
	var tasks []task
	for _, t := range r.nodes() {
		tasks = append(tasks, task{target: "from " + t.Name, try: func(ctx context.Context) (string, error) {
			if t.off() {
				return "", skip(t.Name + " is unreachable")
			}
			if t.failure != nil {
				return "", t.failure
			}
			return r.ready(ctx, t, r.cluster.Endpoint(""))
		}})
	}
	return tasks
}

// ready asks for /readyz at an address, from a host.
func (r *run) ready(ctx context.Context, from target, address string) (string, error) {
	expiry, err := r.readyAt(ctx, from.conn, address)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s is ready; its certificate is valid for the address until %s", address, expiry.UTC().Format(time.DateOnly)), nil
}

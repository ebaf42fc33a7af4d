package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeleteNode deletes a Node, if there is one. It refuses one of another machine, whose
// kubelet has joined with the same name; an empty machine ID matches any.
func (c *Client) DeleteNode(ctx context.Context, name, machineID string) (deleted bool, err error) {
	nodes := c.clientset.CoreV1().Nodes()
	node, err := nodes.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if id := node.Status.NodeInfo.MachineID; id != "" && machineID != "" && id != machineID {
		return false, fmt.Errorf("it belongs to another machine, with the ID %s", id)
	}
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &node.UID}}
	if err := nodes.Delete(ctx, name, options); err != nil && !apierrors.IsNotFound(err) {
		return false, err
	}
	return true, nil
}

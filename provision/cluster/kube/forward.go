package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// Forward listens on a port of localhost's loopback (0: any free port) and
// forwards each connection to a port of the pod, until the context ends. It calls
// ready with the local port once it listens.
func (c *Client) Forward(ctx context.Context, namespace, pod string, local, port int, ready func(local int)) error {
	transport, upgrader, err := c.spdyTransport()
	if err != nil {
		return fmt.Errorf("forward to %s/%s: %w", namespace, pod, err)
	}
	address := c.clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, address)
	up := make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"},
		[]string{strconv.Itoa(local) + ":" + strconv.Itoa(port)}, ctx.Done(), up, io.Discard, io.Discard)
	if err != nil {
		return fmt.Errorf("forward to %s/%s: %w", namespace, pod, err)
	}
	failed := make(chan error, 1)
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case err := <-failed:
		return fmt.Errorf("forward to %s/%s: %w", namespace, pod, err)
	case <-up:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return fmt.Errorf("forward to %s/%s: %w", namespace, pod, err)
	}
	ready(int(ports[0].Local))
	if err := <-failed; err != nil && ctx.Err() == nil {
		return fmt.Errorf("forward to %s/%s: %w", namespace, pod, err)
	}
	return nil
}

package kube

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	streamspdy "k8s.io/streaming/pkg/httpstream/spdy"
)

// Exec runs argv in a container and returns its output. A command that exits
// with another code than 0 is an error that holds a
// k8s.io/client-go/util/exec.CodeExitError. stdin may be nil.
//
// It uses WebSockets, and SPDY where the server refuses them, both through
// the client's connections.
func (c *Client) Exec(ctx context.Context, namespace, pod, container string, argv []string, stdin io.Reader) (stdout, stderr []byte, err error) {
	executor, err := c.executor(namespace, pod, &corev1.PodExecOptions{
		Container: container, Command: argv, Stdin: stdin != nil, Stdout: true, Stderr: true,
	})
	if err == nil {
		var out, errOut bytes.Buffer
		err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &out, Stderr: &errOut})
		if ctx.Err() == nil { // else the stream may still be writing to them
			stdout, stderr = out.Bytes(), errOut.Bytes()
		}
	}
	if err != nil {
		return stdout, stderr, fmt.Errorf("exec in %s/%s: %w", namespace, pod, err)
	}
	return stdout, stderr, nil
}

func (c *Client) executor(namespace, pod string, options *corev1.PodExecOptions) (remotecommand.Executor, error) {
	address := c.clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).
		SubResource("exec").VersionedParams(options, scheme.ParameterCodec).URL()
	config := rest.CopyConfig(c.config)
	if c.tunneled {
		config.Wrap(tunnelWebSocket(c.config.Dial))
	}
	webSocket, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, address.String())
	if err != nil {
		return nil, err
	}
	transport, upgrader, err := c.spdyTransport()
	if err != nil {
		return nil, err
	}
	legacy, err := remotecommand.NewSPDYExecutorForTransports(transport, upgrader, http.MethodPost, address)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(webSocket, legacy, httpstream.IsUpgradeFailure)
}

// spdyTransport is spdy.RoundTripperFor, which ignores the config's
// Dial (client-go v0.36), with a transport that does.
func (c *Client) spdyTransport() (http.RoundTripper, spdy.Upgrader, error) {
	if !c.tunneled {
		return spdy.RoundTripperFor(c.config)
	}
	tlsConfig, err := rest.TLSConfigFor(c.config)
	if err != nil {
		return nil, nil, err
	}
	upgrade, err := streamspdy.NewRoundTripperWithConfig(streamspdy.RoundTripperConfig{
		UpgradeTransport: &http.Transport{DialContext: c.config.Dial, TLSClientConfig: tlsConfig},
	})
	if err != nil {
		return nil, nil, err
	}
	transport, err := rest.HTTPWrappersForConfig(c.config, upgrade)
	if err != nil {
		return nil, nil, err
	}
	return transport, spdy.NewUpgraderForStreaming(upgrade), nil
}

// Package kube speaks to the cluster's API with client-go: it applies
// manifests, waits for named conditions, creates bootstrap tokens, labels Nodes
// and edits kubeconfig files.
package kube

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// FieldManager is the name under which slipway owns fields in the cluster
// (server-side apply).
const FieldManager = "slipway"

const (
	// The defaults of client-go (5 and 10 a second) are meant for controllers
	// that run all the time; an installer has bursts, and the API server's own
	// priority and fairness protects it.
	requestsPerSecond = 200
	requestBurst      = 400
	// dialTimeout bounds the connection to the API server.
	dialTimeout = 10 * time.Second
)

// dialFunc connects to addr ("host:port"), as net.Dialer and host.Dialer do.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Options tune a Client.
type Options struct {
	// DryRun asks the API server what would change, and changes nothing. An
	// object whose namespace or kind does not exist yet counts as Created: the
	// server cannot try it. What cannot be tried at all, such as Exec, fails
	// with host.ErrPlanned.
	DryRun bool
	// Port is where the API server of each control plane listens: Connect dials it on
	// the control plane itself. With 0, or if nothing listens there, the control plane
	// dials the address of the kubeconfig, which may be that of a load balancer.
	Port int
}

// Client is a connection to one cluster. It is safe for concurrent use.
type Client struct {
	clientset kubernetes.Interface
	dynamic   dynamic.Interface
	mapper    meta.ResettableRESTMapper
	config    *rest.Config
	// tunneled: config.Dial leads through a host.
	tunneled bool
	dryRun   bool
}

// New returns a client for the content of a kubeconfig. Nothing is sent yet.
//
// With dial, all API traffic, exec included, goes through the connections that
// it makes, and no proxy of the environment is used. With nil the API server is
// dialed from localhost. Connect dials through the control planes.
func New(kubeconfig []byte, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*Client, error) {
	return newClient(kubeconfig, dial, Options{})
}

func newClient(kubeconfig []byte, dial dialFunc, options Options) (*Client, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS, config.Burst = requestsPerSecond, requestBurst
	config.UserAgent = FieldManager
	config.Dial = directDial
	if dial != nil {
		config.Dial = boundedDial(dial)
		// A proxy of localhost is of no use behind a tunnel.
		config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	if options.DryRun {
		config.Wrap(dryRunTransport)
	}
	// One HTTP client for all three: they share the HTTP/2 connection.
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", config.Host, err)
	}
	clientset, err := kubernetes.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", config.Host, err)
	}
	objects, err := dynamic.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", config.Host, err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(clientset.Discovery()))
	return &Client{
		clientset: clientset, dynamic: objects, mapper: mapper, config: config, tunneled: dial != nil, dryRun: options.DryRun,
	}, nil
}

// CA returns the certificates, in PEM, that the kubeconfig trusts: the
// cluster's own authority, which also signs kubelets' certificates.
func (c *Client) CA() []byte { return c.config.CAData }

// Clientset returns the typed client.
func (c *Client) Clientset() kubernetes.Interface { return c.clientset }

// directDial dials from localhost.
func directDial(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return dialer.DialContext(ctx, network, addr)
}

// boundedDial keeps a dial through a host from hanging longer than a direct one
// would.
func boundedDial(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return dial(ctx, network, addr)
	}
}

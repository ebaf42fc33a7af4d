// Package kube speaks to the cluster's API with client-go: it applies
// manifests, waits on named conditions, makes bootstrap tokens, labels Nodes
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
	// that run for ever; an installer has bursts, and the API server's own
	// priority and fairness protects it.
	requestsPerSecond = 200
	requestBurst      = 400
	// dialTimeout bounds the connection to the API server.
	dialTimeout = 10 * time.Second
)

// DialFunc makes a connection to addr ("host:port"), as net.Dialer and
// remote.Dialer do.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Client is a connection to one cluster. It is safe for concurrent use.
type Client struct {
	clientset kubernetes.Interface
	dynamic   dynamic.Interface
	mapper    meta.ResettableRESTMapper
	// config is nil in a Client made by Wrap, which therefore cannot Exec.
	config *rest.Config
	dial   DialFunc
}

// New makes a client from the content of a kubeconfig. Nothing is sent yet.
//
// With dial, all API traffic, exec included, goes through the connections
// that it makes, such as those of a control plane's SSH connection
// (remote.Dialer), and no proxy of the environment is used. With nil the API
// server is reached from here.
func New(kubeconfig []byte, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*Client, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS, config.Burst = requestsPerSecond, requestBurst
	config.UserAgent = FieldManager
	if dial == nil {
		config.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	} else {
		config.Dial = boundedDial(dial)
		config.Proxy = noProxy
	}
	return newClient(config, dial)
}

func newClient(config *rest.Config, dial DialFunc) (*Client, error) {
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
	return &Client{clientset: clientset, dynamic: objects, mapper: mapper, config: config, dial: dial}, nil
}

// Wrap makes a Client of given parts, for tests with client-go's fakes. It
// cannot Exec.
func Wrap(clientset kubernetes.Interface, objects dynamic.Interface, mapper meta.ResettableRESTMapper) *Client {
	return &Client{clientset: clientset, dynamic: objects, mapper: mapper}
}

// CA are the certificates, in PEM, that the kubeconfig trusts: the cluster's
// own authority, which also signs kubelets' certificates.
func (c *Client) CA() []byte { return c.config.CAData }

// Clientset is the typed client.
func (c *Client) Clientset() kubernetes.Interface { return c.clientset }

// boundedDial keeps a dial through another machine from hanging longer than a
// direct one would.
func boundedDial(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return dial(ctx, network, addr)
	}
}

// noProxy: a proxy of the installer's environment has no place behind a
// tunnel.
func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/yaml"
)

// access reaches an API server with the credentials of a kubeconfig. Each request opens
// a connection of its own, as a new client does: a connection that exists would stay
// with the API server that it reached.
type access struct {
	// server is the URL of the API server.
	server string
	http   *http.Client
}

// accessOf reads a kubeconfig with one cluster and one user, as slipway prints it.
func accessOf(kubeconfig []byte) (access, error) {
	var conf struct {
		Clusters []struct {
			Cluster struct {
				Server string
				CA     []byte `json:"certificate-authority-data"`
			}
		}
		Users []struct {
			User struct {
				Certificate []byte `json:"client-certificate-data"`
				Key         []byte `json:"client-key-data"`
			}
		}
	}
	if err := yaml.Unmarshal(kubeconfig, &conf); err != nil {
		return access{}, fmt.Errorf("kubeconfig: %w", err)
	}
	if len(conf.Clusters) != 1 || len(conf.Users) != 1 {
		return access{}, fmt.Errorf("kubeconfig: %d clusters and %d users, want one of each", len(conf.Clusters), len(conf.Users))
	}
	cluster, user := conf.Clusters[0].Cluster, conf.Users[0].User
	certificate, err := tls.X509KeyPair(user.Certificate, user.Key)
	if err != nil {
		return access{}, fmt.Errorf("kubeconfig: client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cluster.CA) {
		return access{}, errors.New("kubeconfig: no certificate of a CA")
	}
	// Without ForceAttemptHTTP2, a transport with a TLS configuration uses HTTP/1.1.
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	return access{server: strings.TrimRight(cluster.Server, "/"), http: &http.Client{Transport: transport}}, nil
}

// at is the access to another address of the cluster.
func (a access) at(server string) access { return access{server: server, http: a.http} }

// do sends a request, and returns the body of the answer. Another status than the
// wanted one is an error.
func (a access) do(ctx context.Context, method, path, body string, want int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.server+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := a.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s: %.200s", method, path, response.Status, content)
	}
	return content, nil
}

const (
	// askInterval is the time between two requests of a client: ten a second.
	askInterval = 100 * time.Millisecond
	// askTimeout is longer than any outage that the tests accept.
	askTimeout = 10 * time.Second
	// askPath is an object that the API server reads from etcd, with a quorum.
	askPath = "/api/v1/namespaces/kube-system"
)

// client asks an API server again and again, and remembers when it answered.
type client struct {
	access

	mu       sync.Mutex
	answered []time.Time
	// failures counts the requests without an answer, by their reason.
	failures map[string]int
}

func newClient(a access) *client { return &client{access: a, failures: map[string]int{}} }

// run asks until the context ends. It does not wait for an answer before it asks again.
func (c *client) run(ctx context.Context) {
	var requests sync.WaitGroup
	defer requests.Wait()
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			requests.Go(func() { c.ask(ctx) })
		case <-ctx.Done():
			return
		}
	}
}

func (c *client) ask(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := c.do(limited, http.MethodGet, askPath, "", http.StatusOK)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.answered = append(c.answered, time.Now())
	case ctx.Err() == nil:
		c.failures[reason(err)]++
	}
}

// reason is the innermost error: the outer ones name the port of each connection.
func reason(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// gap is the longest time without an answer between two moments.
func (c *client) gap(from, to time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return longestGap(c.answered, from, to)
}

// count is the number of answers since a moment.
func (c *client) count(since time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, at := range c.answered {
		if at.After(since) {
			n++
		}
	}
	return n
}

// String lists why requests had no answer.
func (c *client) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d requests had an answer; the others: %v", len(c.answered), c.failures)
}

// longestGap returns the longest time between two answers. The two moments count as
// answers: a gap may begin before the first answer and end after the last one.
func longestGap(answered []time.Time, from, to time.Time) time.Duration {
	last, longest := from, time.Duration(0)
	for _, at := range answered {
		if at.Before(from) || at.After(to) {
			continue
		}
		longest = max(longest, at.Sub(last))
		last = at
	}
	return max(longest, to.Sub(last))
}

// median of an even number is the mean of the middle two.
func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[len(sorted)/2] + sorted[(len(sorted)-1)/2]) / 2
}

package validate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
)

// The ports of the test pods, not privileged since they do not run as root, and
// of their Services.
const (
	httpPort    = 8080
	udpPort     = 8081
	servicePort = 80
)

// largePayload is more than a packet of any usual MTU holds, in bytes: it
// arrives only if the MTU of the pod network fits, while small packets always
// do.
const largePayload = 4000

// dnsTasks resolve names from a pod on each node.
func dnsTasks(_ context.Context, r *run) []task {
	return r.onEachNode(func(ctx context.Context, node testNode) (string, error) {
		f := r.fixture
		domain := cmp.Or(r.cluster.Network.DNSDomain, "cluster.local") // kubeadm's default
		inNamespace := f.namespace + ".svc." + domain
		// The dot at the end keeps the resolver from trying the search domains of
		// the host first, which may be slow to fail.
		var resolved []string
		for _, q := range []request{
			hostname("kubernetes.default.svc."+domain+".", 443),
			hostname(f.service+"."+inNamespace+".", servicePort),
			hostname(f.service, servicePort),
		} {
			if _, err := f.prober.send(ctx, node.pod, q); err != nil {
				return "", fmt.Errorf("%s: %w", q.host, err)
			}
			resolved = append(resolved, strings.TrimSuffix(q.host, "."))
		}
		// Without this, a resolver that resolves every name would pass.
		absent := hostname("no-such-service."+inNamespace+".", servicePort)
		_, err := f.prober.send(ctx, node.pod, absent)
		switch {
		case err == nil:
			return "", fmt.Errorf("%s resolves, although it does not exist", absent.host)
		case !errors.Is(err, errNoSuchHost):
			return "", fmt.Errorf("%s: %w", absent.host, err)
		}
		return "resolved " + strings.Join(resolved, ", ") + "; a name that does not exist is refused", nil
	})
}

// pairTasks reach the test pod of each node from that of each other node.
func pairTasks(_ context.Context, r *run) []task {
	if len(r.fixture.nodes) < 2 {
		return skipped("the cluster has only one node")
	}
	var tasks []task
	for _, from := range r.fixture.nodes {
		for _, to := range r.fixture.nodes {
			if from.name != to.name {
				tasks = append(tasks, pairTask(r.fixture.prober, from, to))
			}
		}
	}
	return tasks
}

func pairTask(p prober, from, to testNode) task {
	return task{target: from.name + " -> " + to.name, try: func(ctx context.Context) (string, error) {
		if err := cmp.Or(from.skip(), to.skip()); err != nil {
			return "", err
		}
		for _, q := range []request{
			hostname(to.podIP, httpPort),
			{protocol: "udp", host: to.podIP, port: udpPort, payload: "hostname"},
		} {
			got, err := p.send(ctx, from.pod, q)
			if err != nil {
				return "", fmt.Errorf("%s to %s: %w", q.protocol, q.address(), err)
			}
			// The hostname of a pod is its name.
			if got.connectedOnly == "" && got.body != to.pod {
				return "", fmt.Errorf("%s to %s: %q answered instead of %s", q.protocol, q.address(), got.body, to.pod)
			}
		}
		return sendLargePayload(ctx, p, from, to)
	}}
}

// sendLargePayload sends and receives more than fits into one packet.
func sendLargePayload(ctx context.Context, p prober, from, to testNode) (string, error) {
	text := strings.Repeat("x", largePayload)
	q := request{protocol: "http", host: to.podIP, port: httpPort, payload: "echo?msg=" + text, whole: true}
	got, err := p.send(ctx, from.pod, q)
	switch {
	case err != nil:
		return "", fmt.Errorf("small packets reach %s, but %d bytes over HTTP do not; check whether the MTU of the pod network is too large: %w",
			q.address(), largePayload, err)
	case got.connectedOnly != "":
		return fmt.Sprintf("TCP and UDP connect to %s (%s)", to.podIP, got.connectedOnly), nil
	case got.body != text:
		return "", fmt.Errorf("%s returned %d of %d bytes", q.address(), len(got.body), largePayload)
	}
	return fmt.Sprintf("HTTP, UDP and %d bytes to %s, answered by %s", largePayload, to.podIP, to.pod), nil
}

// serviceTasks reach the ClusterIP from each node.
func serviceTasks(_ context.Context, r *run) []task {
	return r.onEachNode(func(ctx context.Context, node testNode) (string, error) {
		return r.reachService(ctx, node, hostname(r.fixture.clusterIP, servicePort))
	})
}

// nodePortTasks reach the NodePort on each node from the test pod of each node.
func nodePortTasks(_ context.Context, r *run) []task {
	var tasks []task
	for _, from := range r.fixture.nodes {
		for _, to := range r.fixture.nodes {
			tasks = append(tasks, task{target: from.name + " -> " + to.name, try: func(ctx context.Context) (string, error) {
				if err := from.skip(); err != nil {
					return "", err
				}
				if to.address == "" {
					return "", fmt.Errorf("node %s has no InternalIP", to.name)
				}
				return r.reachService(ctx, from, hostname(to.address, r.fixture.nodePort))
			}})
		}
	}
	return tasks
}

// reachService sends a request that any test pod may answer.
func (r *run) reachService(ctx context.Context, from testNode, q request) (string, error) {
	got, err := r.fixture.prober.send(ctx, from.pod, q)
	if err != nil {
		return "", fmt.Errorf("%s: %w", q.address(), err)
	}
	if got.connectedOnly == "" && !r.fixture.isTestPod(got.body) {
		return "", fmt.Errorf("%s: %q answered, which is not a test pod", q.address(), got.body)
	}
	return fmt.Sprintf("%s answered by %s", q.address(), got.by()), nil
}

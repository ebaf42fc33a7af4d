package validate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// The ports of the test pods and of their Services. Not privileged: the pods
// do not run as root.
const (
	httpPort    = 8080
	udpPort     = 8081
	servicePort = 80
)

// largeAnswer is more than a frame of any usual MTU holds, in bytes: it comes
// through only if the pod network's MTU fits, while small packets always do.
const largeAnswer = 4000

// errNoSuchName: the resolver answered that there is no such name.
var errNoSuchName = errors.New("no such host")

// dnsTasks resolve names from a pod on each node.
func dnsTasks(_ context.Context, r *run) []task {
	return r.onEachNode(func(ctx context.Context, node bedNode) (string, error) {
		domain := r.options.Cluster.Network.DNSDomain
		if domain == "" {
			domain = "cluster.local" // kubeadm's default
		}
		b := r.fixture
		inNamespace := b.namespace + ".svc." + domain
		// The dot at the end keeps the resolver from asking for the name in
		// the search domains of the machine first, which may be slow to fail.
		names := []question{
			{protocol: "http", host: "kubernetes.default.svc." + domain + ".", port: 443, request: "hostname"},
			{protocol: "http", host: b.service + "." + inNamespace + ".", port: servicePort, request: "hostname"},
			{protocol: "http", host: b.service, port: servicePort, request: "hostname"},
		}
		var resolved []string
		for _, q := range names {
			if _, err := b.prober.ask(ctx, node.pod, q); err != nil {
				return "", fmt.Errorf("%s: %w", q.host, err)
			}
			resolved = append(resolved, strings.TrimSuffix(q.host, "."))
		}
		// Without this, a resolver that says yes to everything would pass.
		absent := question{protocol: "http", host: "no-such-service." + inNamespace + ".", port: servicePort, request: "hostname"}
		_, err := b.prober.ask(ctx, node.pod, absent)
		switch {
		case err == nil:
			return "", fmt.Errorf("%s resolves, although it does not exist", absent.host)
		case !errors.Is(err, errNoSuchName):
			return "", fmt.Errorf("%s: %w", absent.host, err)
		}
		return strings.Join(resolved, ", ") + " answer; a name that does not exist is refused", nil
	})
}

// pairTasks reach the test pod of each node from that of each other one.
func pairTasks(_ context.Context, r *run) []task {
	if r.fixture == nil {
		return skipped("there are no test pods")
	}
	if len(r.fixture.nodes) < 2 {
		return skipped("there is one node only")
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

func pairTask(p prober, from, to bedNode) task {
	return task{target: from.name + " -> " + to.name, once: func(ctx context.Context) (string, error) {
		for _, node := range []bedNode{from, to} {
			if node.trouble != "" {
				return "", skipError{"no test pod on " + node.name}
			}
		}
		for _, q := range []question{
			{protocol: "http", host: to.podIP, port: httpPort, request: "hostname"},
			{protocol: "udp", host: to.podIP, port: udpPort, request: "hostname"},
		} {
			got, err := p.ask(ctx, from.pod, q)
			if err != nil {
				return "", fmt.Errorf("%s to %s: %w", q.protocol, address(q), err)
			}
			if got.connectedOnly != "" {
				continue
			}
			// A pod is called as its hostname is.
			if got.body != to.pod {
				return "", fmt.Errorf("%s to %s: %q answered instead of %s", q.protocol, address(q), got.body, to.pod)
			}
		}
		return largePackets(ctx, p, from, to)
	}}
}

// largePackets sends and receives more than fits into one frame.
func largePackets(ctx context.Context, p prober, from, to bedNode) (string, error) {
	text := strings.Repeat("x", largeAnswer)
	q := question{protocol: "http", host: to.podIP, port: httpPort, request: "echo?msg=" + text, whole: true}
	got, err := p.ask(ctx, from.pod, q)
	switch {
	case err != nil:
		return "", fmt.Errorf("small packets reach %s, %d bytes over HTTP do not (is the pod network's MTU too large?): %w",
			address(q), largeAnswer, err)
	case got.connectedOnly != "":
		return fmt.Sprintf("TCP and UDP connect to %s (no more is known: %s)", to.podIP, got.connectedOnly), nil
	case got.body != text:
		return "", fmt.Errorf("%s gave back %d bytes of %d", address(q), len(got.body), largeAnswer)
	}
	return fmt.Sprintf("HTTP, UDP and %d bytes to %s, answered by %s", largeAnswer, to.podIP, to.pod), nil
}

// serviceTasks reach the ClusterIP from each node.
func serviceTasks(_ context.Context, r *run) []task {
	return r.onEachNode(func(ctx context.Context, node bedNode) (string, error) {
		return r.reachService(ctx, node, question{protocol: "http", host: r.fixture.clusterIP, port: servicePort, request: "hostname"})
	})
}

// nodePortTasks reach the NodePort on each node from each node's pod.
func nodePortTasks(_ context.Context, r *run) []task {
	if r.fixture == nil {
		return skipped("there are no test pods")
	}
	var tasks []task
	for _, from := range r.fixture.nodes {
		for _, to := range r.fixture.nodes {
			tasks = append(tasks, task{target: from.name + " -> " + to.name, once: func(ctx context.Context) (string, error) {
				if from.trouble != "" {
					return "", skipError{"no test pod on " + from.name}
				}
				if to.address == "" {
					return "", fmt.Errorf("node %s has no InternalIP", to.name)
				}
				return r.reachService(ctx, from, question{protocol: "http", host: to.address, port: r.fixture.nodePort, request: "hostname"})
			}})
		}
	}
	return tasks
}

// reachService asks something behind which any test pod may answer.
func (r *run) reachService(ctx context.Context, from bedNode, q question) (string, error) {
	got, err := r.fixture.prober.ask(ctx, from.pod, q)
	if err != nil {
		return "", fmt.Errorf("%s: %w", address(q), err)
	}
	if got.connectedOnly == "" && !r.fixture.isTestPod(got.body) {
		return "", fmt.Errorf("%s: %q answered, which is no test pod", address(q), got.body)
	}
	return fmt.Sprintf("%s answered by %s", address(q), got.by()), nil
}

func address(q question) string { return net.JoinHostPort(q.host, strconv.Itoa(q.port)) }

// Package validate proves that a cluster works: it asks the API about nodes
// and control planes, puts a test pod on each node and has the pods reach
// names, each other, Services and NodePorts, asks from outside what shall
// answer there, and has workloads keep their data, roll and scale.
//
// What it makes is in a namespace of its own, which is deleted at the end,
// however the run ends.
package validate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/probe/httpprobe"
)

// Options say what to validate.
type Options struct {
	// Client speaks to the cluster.
	Client *kube.Client
	// Cluster is the inventory that the cluster is compared with.
	Cluster *config.Cluster
	// NodeIPs are the addresses that the nodes shall have, by host, where
	// the inventory's nodeIP does not say; from facts. May be nil.
	NodeIPs map[string]string
	// AgnhostImage is the reference of the test image.
	AgnhostImage string
	// Outside asks as somebody outside of the cluster does.
	Outside httpprobe.Client
	// Timeout bounds the whole validation, default 5 minutes. With more, each
	// part of it may take longer in proportion.
	Timeout time.Duration
	// Skip names probes to leave out; with Only, no others are run.
	Skip, Only []string
	// Progress is called with what is waited for and how far it is; may be
	// nil. Calls do not overlap.
	Progress func(message string)
}

// definition is a kind of probe.
type definition struct {
	name, title string
	ground      ground
	tasks       func(context.Context, *run) []task
}

// ground is what a kind of probe needs to be there.
type ground int

const (
	// ofAPI: nothing but the API server.
	ofAPI ground = iota
	// inPods: the test pods and their Services.
	inPods
	// inNamespace: the namespace, in which it makes what it needs itself.
	inNamespace
)

// definitions are all kinds of probes, in the order of the report.
func definitions() []definition {
	return []definition{
		{"nodes-ready", "Each host is a Ready node with the wanted version and address", ofAPI, nodeTasks},
		{"control-plane-pods", "Control planes, kube-proxy, CNI and CoreDNS run", ofAPI, controlPlaneTasks},
		{testPods, "A pod of a DaemonSet runs on each node", inPods, podTasks},
		{"dns", "Pods resolve names of the cluster", inPods, dnsTasks},
		{"pod-to-pod", "Pods reach pods on each other node", inPods, pairTasks},
		{"pod-to-service", "Pods reach a ClusterIP", inPods, serviceTasks},
		{"node-port", "Pods reach a NodePort on each node", inPods, nodePortTasks},
		{"exec", "Commands run in pods through the API server", inPods, execTasks},
		{"logs", "Logs are read through the API server", inPods, logTasks},
		{"network-policy", "A NetworkPolicy keeps out whom it does not let in", inPods, policyTasks},
		{"load-balancer", "An address of the load balancer answers from outside", inPods, loadBalancerTasks},
		{"ingress", "An Ingress answers on ports 80 and 443 of each node, from outside", inPods, ingressTasks},
		{"volume", "What a pod writes to a volume is there for the next pod", inNamespace, volumeTasks},
		{"stateful-set", "The replicas of a StatefulSet keep their data", inNamespace, statefulSetTasks},
		{"rolling-update", "A Deployment rolls to another version and back", inNamespace, rolloutTasks},
		{"autoscaler", "An autoscaler reads the metrics of pods", inNamespace, autoscalerTasks},
	}
}

// Names are the names of all probes, for help and completion.
func Names() []string {
	var names []string
	for _, d := range definitions() {
		names = append(names, d.name)
	}
	return names
}

// Run validates a cluster. A cluster that does not work is no error: the
// Report says so. The error is about options that make no sense, or a context
// that ended, in which case the Report holds what was found until then.
func Run(ctx context.Context, o Options) (*Report, error) {
	return validate(ctx, o, &namespaceBed{client: o.Client, image: o.AgnhostImage, pace: paceOf(o.Timeout)})
}

func validate(ctx context.Context, o Options, b testbed) (*Report, error) {
	chosen, err := choose(o.Only, o.Skip)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	start := time.Now()
	bounded, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()

	report := &Report{Probes: []Probe{}, Cluster: o.Cluster.Metadata.Name}
	r := &run{options: o, pace: paceOf(o.Timeout), progress: &progress{say: o.Progress}}
	found, leftover := r.all(bounded, b, chosen)
	report.Leftover = leftover
	for _, d := range definitions() {
		report.Probes = append(report.Probes, orSkipped(d, found[d.name])...)
	}
	report.count()
	report.DurationMS = time.Since(start).Milliseconds()
	return report, ctx.Err()
}

// orSkipped stands in for a kind of probe that was not run.
func orSkipped(d definition, probes []Probe) []Probe {
	if probes != nil {
		return probes
	}
	return []Probe{{Name: d.name, Title: d.title, Status: Skipped, Evidence: "not asked for"}}
}

// choose gives the definitions that --only and --skip leave. Those that run in
// pods bring the probe of the pods with them.
func choose(only, skip []string) ([]definition, error) {
	if unknown := slices.DeleteFunc(slices.Concat(only, skip), func(name string) bool {
		return slices.Contains(Names(), name)
	}); len(unknown) > 0 {
		return nil, fmt.Errorf("no probe is called %s; there are %s",
			strings.Join(unknown, ", "), strings.Join(Names(), ", "))
	}
	all := definitions()
	wanted := func(d definition) bool {
		return (len(only) == 0 || slices.Contains(only, d.name)) && !slices.Contains(skip, d.name)
	}
	needPods := slices.ContainsFunc(all, func(d definition) bool { return d.ground == inPods && d.name != testPods && wanted(d) })
	chosen := slices.DeleteFunc(all, func(d definition) bool {
		return !wanted(d) && (d.name != testPods || !needPods)
	})
	if len(chosen) == 0 {
		return nil, errors.New("no probe is left to run")
	}
	return chosen, nil
}

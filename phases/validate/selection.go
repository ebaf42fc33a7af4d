package validate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/workflow"
)

// Selection says which probes to run. Only, if not empty, names all of them;
// Skip leaves some out.
type Selection struct{ Only, Skip []string }

// Validate reports names that are not those of probes, and a selection that is
// empty, as a *workflow.SelectionError.
func (s Selection) Validate() error {
	_, err := s.definitions()
	return err
}

// Names are the names of all probes, for help and completion.
func Names() []string {
	var names []string
	for _, p := range Probes() {
		names = append(names, p.Name)
	}
	return names
}

// Probe describes a kind of probe.
type Probe struct{ Name, Title string }

// Probes describes all kinds of probes, in the order of the report.
func Probes() []Probe {
	var all []Probe
	for _, d := range definitions() {
		all = append(all, Probe{d.name, d.title})
	}
	return all
}

// definition is a kind of probe.
type definition struct {
	name, title string
	needs       needs
	tasks       func(context.Context, *run) []task
}

// needs is what a kind of probe needs to be set up.
type needs int

const (
	// needsAPI: only the API server.
	needsAPI needs = iota
	// needsTestPods: the test pods and their Services.
	needsTestPods
	// needsNamespace: the test namespace, in which the probe sets up its own
	// workloads.
	needsNamespace
)

const testPods = "test-pods"

// definitions are all kinds of probes, in the order of the report.
func definitions() []definition {
	return []definition{
		{"nodes-ready", "Each host is a Ready node with the version and address of the inventory", needsAPI, nodeTasks},
		{"control-plane-pods", "The control planes, kube-proxy, the CNI and CoreDNS run", needsAPI, controlPlaneTasks},
		{"etcd", "Each member of etcd votes and is in sync, and one leads", needsAPI, etcdTasks},
		{"api-server", "The API server of each control plane answers at its own address", needsAPI, apiServerTasks},
		{"endpoint", "The endpoint answers from each host, with a certificate that is valid for it", needsAPI, endpointTasks},
		{"dns-replicas", "CoreDNS has ready replicas on different nodes", needsAPI, dnsReplicaTasks},
		{testPods, "A pod of a DaemonSet runs on each node", needsTestPods, podTasks},
		{"dns", "Pods resolve the names of Services", needsTestPods, dnsTasks},
		{"pod-to-pod", "Pods reach the pods of each other node", needsTestPods, pairTasks},
		{"pod-to-service", "Pods reach a ClusterIP", needsTestPods, serviceTasks},
		{"node-port", "Pods reach a NodePort on each node", needsTestPods, nodePortTasks},
		{"exec", "Commands run in pods through the API server", needsTestPods, execTasks},
		{"logs", "The API server returns the logs of pods", needsTestPods, logTasks},
		{"network-policy", "A NetworkPolicy allows the pods that it names, and denies others", needsTestPods, policyTasks},
		{"load-balancer", "A Service of type LoadBalancer answers from outside the cluster", needsTestPods, loadBalancerTasks},
		{"ingress", "An Ingress answers on ports 80 and 443 of each node, from outside the cluster", needsTestPods, ingressTasks},
		{"volume", "A pod reads what another pod wrote to a volume", needsNamespace, volumeTasks},
		{"stateful-set", "The replicas of a StatefulSet keep their data", needsNamespace, statefulSetTasks},
		{"rolling-update", "A Deployment rolls to another version and back", needsNamespace, rolloutTasks},
		{"autoscaler", "A HorizontalPodAutoscaler reads the metrics of pods", needsNamespace, autoscalerTasks},
	}
}

// definitions are the selected ones. Probes that need test pods include the
// probe of the test pods.
func (s Selection) definitions() ([]definition, error) {
	var unknown []string
	for _, name := range slices.Concat(s.Only, s.Skip) {
		if !slices.Contains(Names(), name) {
			unknown = append(unknown, fmt.Sprintf("unknown probe %q; the probes are %s", name, strings.Join(Names(), ", ")))
		}
	}
	if len(unknown) > 0 {
		return nil, &workflow.SelectionError{Problems: unknown}
	}
	all := definitions()
	wanted := func(d definition) bool {
		return (len(s.Only) == 0 || slices.Contains(s.Only, d.name)) && !slices.Contains(s.Skip, d.name)
	}
	needPods := slices.ContainsFunc(all, func(d definition) bool { return d.needs == needsTestPods && d.name != testPods && wanted(d) })
	selected := slices.DeleteFunc(all, func(d definition) bool {
		return !wanted(d) && (d.name != testPods || !needPods)
	})
	if len(selected) == 0 {
		return nil, &workflow.SelectionError{Problems: []string{"the selection leaves no probe to run"}}
	}
	return selected, nil
}

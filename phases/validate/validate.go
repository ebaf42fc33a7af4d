// Package validate validates that a cluster works. Its probes compare nodes and
// control planes with the inventory, run a test pod on each node from which
// they reach names, pods, Services and NodePorts, send requests to the load
// balancer and the ingress from outside the cluster, and check that
// workloads keep their data, roll and scale.
//
// All probes are one phase of the workflow, not one each. A node of the
// workflow's graph runs only if what it needs succeeded, and not at all once
// the run is interrupted; a failed probe must not stop the others, and the test
// namespace must be deleted after Ctrl-C. So the phase runs the probes,
// collects their results in a report, and tears down whatever happens.
package validate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/probe/httpprobe"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
)

// Options say what to validate.
type Options struct {
	Selection Selection
	// Timeout bounds the whole validation; 0 is 5 minutes. A longer one extends
	// the timeout of each probe in proportion.
	Timeout time.Duration
	// Strict: a cluster that is degraded does not pass.
	Strict bool
}

// FailedError says that a cluster does not pass its validation.
type FailedError struct {
	// Failures are the failed probes, a line each; none if no probe could run.
	Failures []string
}

func (e *FailedError) Error() string {
	why := "no probe could be run"
	if len(e.Failures) > 0 {
		why = strings.Join(e.Failures, "\n")
	}
	return "the cluster does not pass its validation: " + why
}

// Phase runs the probes and stores their results in the report, also if it is
// interrupted. It fails with a *FailedError if a probe fails.
func Phase(o Options, r *report.ValidationReport) workflow.Phase {
	return workflow.Phase{
		Name:   "validate",
		Title:  "validate the cluster with probes",
		Why:    "Nodes that are Ready can still lack DNS, pod traffic between nodes or working volumes.",
		Manual: []string{"kubectl get nodes", "kubectl -n kube-system get pods", "kubectl run PROBE --image=AGNHOST -- netexec"},
		On:     workflow.Localhost,
		Do: func(ctx context.Context, s *workflow.Step) error {
			all, staying := connect(ctx, s.Hosts().WithLeaving()), len(s.Hosts().All)
			targets, leaving := all[:staying], all[staying:]
			client, err := s.Kube(ctx)
			if err != nil {
				return err
			}
			if s.Bundle() == nil {
				version := s.Version()
				// An API server that does not answer is the result of a probe.
				if server, err := client.Clientset().Discovery().ServerVersion(); err == nil {
					version = server.GitVersion
				}
				if err := s.OpenBundle(ctx, version, architectures(ctx, client)); err != nil {
					return err
				}
			}
			image, err := agnhostImage(s.Bundle())
			if err != nil {
				return err
			}
			scale := timeoutScaleOf(o.Timeout)
			v := &run{
				client: client, cluster: s.Cluster(), image: image, http: outside(s.Cluster(), targets),
				targets: targets, leaving: leaving, readyAt: client.ReadyAt,
				scale: scale, progress: &progress{say: s.Waiting},
				harness: &namespaceHarness{client: client, image: image, scale: scale},
			}
			v.etcd = v.readEtcd
			return v.validate(ctx, o, r)
		},
	}
}

// architectures returns those of the nodes, sorted; none if the API server does not
// answer, which is the result of a probe.
func architectures(ctx context.Context, client *kube.Client) []string {
	var arches []string
	nodes, err := client.Clientset().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	for _, node := range nodes.Items {
		arches = append(arches, node.Status.NodeInfo.Architecture)
	}
	slices.Sort(arches)
	return slices.Compact(arches)
}

// agnhostImage is the test image under the name by which hosts have it.
func agnhostImage(b *bundle.Bundle) (string, error) {
	for _, image := range b.Manifest().Images {
		if strings.Contains(image.Name, "/agnhost:") {
			return image.Name, nil
		}
	}
	return "", &bundle.NotFoundError{Bundle: b.Dir(), Name: "image agnhost"}
}

// outside sends requests to the cluster from localhost; if the hosts are behind a
// bastion, from the first control plane that is not off.
func outside(cluster *config.Cluster, targets []target) httpprobe.Client {
	for _, t := range targets {
		if !t.Has(config.RoleControlPlane) || t.failure != nil {
			continue
		}
		bastion := cmp.Or(t.SSH.Bastion, cluster.SSH.Bastion)
		dialer, ok := t.conn.(host.Dialer)
		if bastion == "" || bastion == "none" || !ok {
			return httpprobe.Client{}
		}
		return httpprobe.Client{Dial: dialer.DialContext, Place: t.Name + ", over SSH"}
	}
	return httpprobe.Client{}
}

// validate runs the selected probes and fills in the report. A probe that fails
// is a result; the error is a *FailedError, a *workflow.SelectionError, or that of
// the context.
func (r *run) validate(ctx context.Context, o Options, found *report.ValidationReport) error {
	selected, err := o.Selection.definitions()
	if err != nil {
		return err
	}
	*found = report.ValidationReport{Probes: []report.ProbeResult{}, Cluster: r.cluster.Metadata.Name, Started: time.Now()}
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	bounded, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the validation timed out after %s", timeout))
	defer cancel()
	results, leftover := r.all(bounded, selected)
	found.Leftover = leftover
	for _, d := range definitions() {
		if results[d.name] == nil {
			results[d.name] = []report.ProbeResult{{Name: d.name, Title: d.title, Status: report.ProbeSkipped, Evidence: "not selected"}}
		}
		found.Add(results[d.name]...)
	}
	found.DurationMS = time.Since(found.Started).Milliseconds()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !found.OK:
		return &FailedError{Failures: found.Failures()}
	case o.Strict && found.Degraded > 0:
		return &FailedError{Failures: found.Degradations()}
	}
	return nil
}

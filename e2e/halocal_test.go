//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// localEndpoint is a name that only the hosts of the cluster know.
	localEndpoint = "api.e2e.test:6443"
	// localRequests are sent to the endpoint, one after the other, while a control plane is
	// off. Each may take as long as haproxy takes to give up a dead control plane.
	localRequests      = 30
	localRequestsBound = 5 * time.Second
	// curlClosed is what curl prints if the connection is closed in the TLS handshake.
	curlClosed = "SSL_ERROR_SYSCALL"
)

// secondControlPlane is the machine that becomes a control plane. The lab calls it a
// worker.
const secondControlPlane = "w5"

// appliesLocal creates a cluster of two control planes, with the load balancer local.
func (e external) appliesLocal(ctx context.Context, t *testing.T) {
	e.editInventory(t, func(inventory map[string]any) {
		inventory["controlPlane"] = map[string]any{"endpoint": localEndpoint, "loadBalancer": map[string]any{"type": "local"}}
	})
	e.setRoles(t, "control-plane", secondControlPlane)
	e.server = e.apiServer("cp1")
	e.applies(ctx, t)
	for _, name := range []string{"cp1", "w4", secondControlPlane} {
		if failed := e.failedRequests(ctx, t, name); len(failed) > 0 {
			t.Errorf("requests to the endpoint failed on %s: %q", name, failed)
		}
	}
	e.changesNothing(ctx, t)
}

// failedRequests sends requests to the endpoint on a machine, each on a new connection,
// and returns those that had no answer of a ready API server: when they began, curl's exit
// code and what it printed.
func (e external) failedRequests(ctx context.Context, t *testing.T, machine string) []string {
	t.Helper()
	out := e.mustSSH(ctx, t, machine, fmt.Sprintf(`for i in $(seq %d); do
	began=$(date +%%T.%%N) code=0
	answer=$(curl -skS --max-time %d https://%s/readyz 2>&1) || code=$?
	[ "$answer" = ok ] || echo "request $i at $began: $code: $answer" | head -n 5
done`, localRequests, int(localRequestsBound.Seconds()), localEndpoint))
	if out == "" {
		return nil
	}
	return strings.Split(strings.TrimSpace(out), "\n")
}

// losesControlPlane powers a control plane off: each host finds the other one by itself.
func (e external) losesControlPlane(ctx context.Context, t *testing.T) {
	const off = "cp1"
	e.server = e.apiServer(secondControlPlane)
	stop := e.writes(ctx, t)
	defer stop()
	e.slipway.must(ctx, t, "lab", "halt", "--name", e.lab.Name, off, "--force")
	from := time.Now()
	for _, name := range []string{"w4", secondControlPlane} {
		// When haproxy notices, it closes a connection that it is about to establish, too.
		failed := e.failedRequests(ctx, t, name)
		if len(failed) > 1 || len(failed) == 1 && !strings.Contains(failed[0], curlClosed) {
			t.Errorf("requests to the endpoint failed on %s while %s is off: %q", name, off, failed)
		}
	}
	without := e.lab
	without.Machines = slices.DeleteFunc(slices.Clone(e.lab.Machines), func(m machine) bool {
		return m.Name == off || slices.Contains(etcdMachines, m.Name)
	})
	all := e.lab
	e.lab = without
	eventually(ctx, t, "the other kubelets renew their leases", time.Minute, func(ctx context.Context) error {
		return e.renewed(ctx, t, from.Add(15*time.Second))
	})
	e.lab = all
	e.worksWithout(ctx, t, off)
	stop()
	e.checkWritten(ctx, t)
	e.slipway.must(ctx, t, "lab", "resume", "--name", e.lab.Name)
	eventually(ctx, t, "the cluster is healthy", comebackBound, func(ctx context.Context) error {
		if r := e.slipway.run(ctx, t, e.on("status")...); r.code != 0 {
			return errStatus(r.String())
		}
		return nil
	})
}

// kubeVIPManifest is where slipway writes the static pod of kube-vip.
const kubeVIPManifest = "/etc/kubernetes/manifests/kube-vip.yaml"

// runsKubeVIP gives kubelet the static pod of kube-vip, as slipway writes it, but with
// another image: kube-vip's cannot be had here. kubelet must start it, start it again
// with another kubeconfig, and remove it.
func (e external) runsKubeVIP(ctx context.Context, t *testing.T) {
	const worker, pod = "w4", "kube-vip-w4"
	golden, err := os.ReadFile("../templates/testdata/kube-vip.yaml")
	if err != nil {
		t.Fatal(err)
	}
	image := strings.TrimSpace(e.mustSSH(ctx, t, worker, "ctr -n k8s.io images list -q | grep '^registry.k8s.io/pause:' | head -n 1"))
	_, rest, _ := strings.Cut(string(golden), `image: "`)
	original, _, _ := strings.Cut(rest, `"`)
	text := strings.Replace(string(golden), original, image, 1)
	last := ""
	for _, kubeconfig := range []string{"/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/config.yaml"} {
		manifest := strings.Replace(text, "path: \"/etc/kubernetes/admin.conf\"", "path: "+strconv.Quote(kubeconfig), 1)
		e.mustSSH(ctx, t, worker, "umask 077; cat >"+kubeVIPManifest+" <<'END'\n"+manifest+"\nEND\n")
		eventually(ctx, t, "kubelet runs the pod with "+kubeconfig, time.Minute, func(ctx context.Context) error {
			out, err := e.kubectl(ctx, t, "get", "pod", "-n", "kube-system", pod, "-o",
				`jsonpath={.status.phase} {.metadata.annotations.kubernetes\.io/config\.hash} {.spec.volumes[0].hostPath.path}`)
			if err != nil {
				return err
			}
			fields := strings.Fields(out)
			if len(fields) != 3 || fields[0] != "Running" || fields[1] == last || fields[2] != kubeconfig {
				return fmt.Errorf("it is %q", out)
			}
			last = fields[1]
			return nil
		})
	}
	e.mustSSH(ctx, t, worker, "rm "+kubeVIPManifest)
	eventually(ctx, t, "kubelet removes the pod", time.Minute, func(ctx context.Context) error {
		out, err := e.kubectl(ctx, t, "get", "pod", "-n", "kube-system", pod, "--ignore-not-found", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("%s exists", out)
		}
		return err
	})
}

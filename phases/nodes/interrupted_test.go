package nodes

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// halfJoined is a fixture whose worker an interrupted run left with these files.
func halfJoined(t *testing.T, existing ...facts.Path) (*workflowtest.Fixture, *hosttest.Fake, *kubetest.Server) {
	t.Helper()
	fixture, fake, server := joining(t)
	fixture.Facts("w-1").Existing = existing
	return fixture, fake, server
}

// The installer was killed after the join: nobody else deletes the token.
func TestTheTokenOfAnInterruptedRunIsDeleted(t *testing.T) {
	t.Parallel()
	fixture, fake, server := halfJoined(t, facts.KubeletConf, facts.JoinConfig, facts.BootstrapConf)
	server.Put(workerNode)
	fake.ExpectQuery("systemctl", "is-active", "--quiet", "kubelet.service").AsUser()
	expectForget(fake, "/etc/kubernetes/bootstrap-kubelet.conf", "/etc/kubernetes/slipway/join.yaml")
	fixture.MustApply(Join())
	if got := server.Requests(); len(got) > 0 {
		t.Errorf("requests %v", got)
	}
}

// The installer was interrupted, and revoked the token, while the join ran: the unit
// with the revoked token must not be followed.
func TestAnInterruptedJoinRunsWithAnotherToken(t *testing.T) {
	t.Parallel()
	var inputs []string
	for range 2 {
		fixture, fake, server := halfJoined(t, facts.JoinConfig, facts.JoinDiscovery, facts.BootstrapConf)
		for _, h := range fixture.Hosts.All {
			if h.Config.Name == "w-1" {
				h.Conn = inputsOf{h.Conn, &inputs}
			}
		}
		expectJoin(fake).Then(func() { server.Put(workerNode) })
		expectForget(fake)
		fixture.MustApply(Join())
	}
	if len(inputs) != 2 || inputs[0] == "" || inputs[0] == inputs[1] {
		t.Errorf("the inputs of the units are %q: they must differ", inputs)
	}
}

func TestAJoinReplacesDamagedFiles(t *testing.T) {
	t.Parallel()
	const ca, current = "/etc/kubernetes/pki/ca.crt", "/var/lib/kubelet/pki/kubelet-client-current.pem"
	for name, test := range map[string]struct {
		before, now []facts.KubeFile
		want        []string
	}{
		"an empty CA": {
			[]facts.KubeFile{{Path: ca, Damaged: true}}, []facts.KubeFile{{Path: ca, Damaged: true}}, []string{ca},
		},
		"an empty certificate of a node": {
			[]facts.KubeFile{{Path: current, Damaged: true}, {Path: string(facts.KubeletConf)}},
			[]facts.KubeFile{{Path: current, Damaged: true}, {Path: string(facts.KubeletConf)}},
			[]string{string(facts.KubeletConf), current},
		},
		"a file that was being written": {
			[]facts.KubeFile{{Path: string(facts.KubeletConf), Damaged: true}}, []facts.KubeFile{{Path: string(facts.KubeletConf)}}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture, fake, server := halfJoined(t, facts.KubeletConf)
			fixture.Facts("w-1").Kubernetes.Files = test.before
			fixture.Facts("w-1").Kubernetes.Finalized = true
			server.Put(workerNode) // the Node exists, and kubelet cannot use its certificate
			fake.ExpectRunScript("stop.sh", "slipway-kubeadm-join.service")
			out := "arch\tx86_64\nkernel\t6\nkubeletFinalized\tyes\n"
			for _, f := range test.now {
				out += "kubeFile\t" + f.Path + map[bool]string{true: " damaged\n", false: " ok\n"}[f.Damaged]
			}
			fake.ExpectQueryScript("facts.sh", facts.Arguments()...).Returns(out)
			if test.want != nil {
				fake.ExpectRun(append([]string{"rm", "-f"}, test.want...)...)
			}
			expectJoin(fake)
			expectForget(fake)
			fixture.MustApply(Join())
		})
	}
}

func TestAPlanOfADamagedWorkerDeletesNothing(t *testing.T) {
	t.Parallel()
	fixture, _, _ := halfJoined(t, facts.KubeletConf)
	fixture.Facts("w-1").Kubernetes.Files = []facts.KubeFile{{Path: "/etc/kubernetes/pki/ca.crt", Damaged: true}}
	fixture.MustPlan(Join())
	if got := strings.Join(fixture.Changes(), "\n"); !strings.Contains(got, "rm -f /etc/kubernetes/pki/ca.crt") {
		t.Error(cmp.Diff("rm -f …", got))
	}
}

// inputsOf keeps the input of each unit.
type inputsOf struct {
	host.Host
	inputs *[]string
}

func (h inputsOf) Run(ctx context.Context, cmd host.Cmd) (host.Result, error) {
	if at := slices.Index(cmd.Argv, "kubeadm-join"); at > 0 {
		*h.inputs = append(*h.inputs, cmd.Argv[at+3])
	}
	return h.Host.Run(ctx, cmd)
}

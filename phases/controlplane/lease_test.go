package controlplane

import (
	"context"
	"slices"
	"testing"
	"time"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const leasePath = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/slipway"

// lockedInit is Init in a run that has locked the hosts, but not the cluster. It ends
// once the cluster is locked.
func lockedInit(t *testing.T, server *kubetest.Server) workflow.Phase {
	t.Helper()
	phase := Init()
	done, do := phase.Done, phase.Do
	phase.Done = func(ctx context.Context, s *workflow.Step) (bool, error) {
		if err := s.Lock(ctx, false); err != nil {
			return false, err
		}
		return done(ctx, s)
	}
	phase.Do = func(ctx context.Context, s *workflow.Step) error {
		if err := do(ctx, s); err != nil {
			return err
		}
		for deadline := time.After(10 * time.Second); server.Get(leasePath) == nil; {
			select {
			case <-time.After(time.Millisecond):
			case <-deadline:
				t.Error("the cluster is not locked")
				return nil
			}
		}
		return nil
	}
	return phase
}

func TestInitLocksTheCluster(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func() (*workflowtest.Fixture, *kubetest.Server){
		"that it creates": func() (*workflowtest.Fixture, *kubetest.Server) {
			fixture, server := workflowtest.New(t, one), kubetest.New(t)
			fixture.Serve(server)
			expectInit(fixture.Host("cp-1")).Returns("[init] Using Kubernetes version\n")
			return fixture, server
		},
		"that did not answer before": func() (*workflowtest.Fixture, *kubetest.Server) {
			fixture, _, server := begun(t, one, record)
			return fixture, server
		},
	} {
		fixture, server := begin()
		if err := fixture.Apply(lockedInit(t, server)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.ContainsFunc(server.Requests(), func(r string) bool {
			return r == "POST /apis/coordination.k8s.io/v1/namespaces/kube-system/leases?fieldManager=slipway"
		}) {
			t.Errorf("%s: requests %v", name, server.Requests())
		}
	}
}

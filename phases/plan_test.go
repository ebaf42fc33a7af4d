package phases

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// afterPreparation returns the workflow of apply on hosts that need no preparation.
func afterPreparation(t *testing.T) workflow.Workflow {
	t.Helper()
	w := Apply()
	init := slices.IndexFunc(w.Phases, func(p workflow.Phase) bool { return p.Name == "kubeadm-init" })
	for i := range w.Phases[:init] {
		w.Phases[i].Done, w.Phases[i].Do = nil, func(context.Context, *workflow.Step) error { return nil }
	}
	return w
}

// A killed init leaves anything from an API server that does not answer to one
// that lacks the last object.
func TestAPlanAfterAnInterruptedInitListsWhatIsLeft(t *testing.T) {
	t.Parallel()
	for name, intercept := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"nothing is uploaded": nil,
		"the administrator has no permissions": func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/readyz" {
				return false
			}
			kubetest.Refuse(w, http.StatusForbidden, "Forbidden", "no permissions")
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture, server := workflowtest.New(t, `
addons: [{name: metrics-server}]
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`), kubetest.New(t)
			server.Intercept = intercept
			fixture.Serve(server)
			fixture.Bundle = workflowtest.NewBundle(t)
			fixture.Facts("cp-1").Existing = []facts.Path{facts.APIServerManifest, facts.AdminConf, facts.CAKey, facts.KubeletConfig}
			fixture.Host("cp-1").Put("/var/lib/kubelet/config.yaml", "maxPods: 50\n")
			fixture.Host("cp-1").Put("/etc/kubernetes/pki/ca.crt", "the authority")
			events := &report.Recorder{}
			run := &workflow.Run{
				Cluster: fixture.Cluster, Hosts: fixture.Hosts, Bundle: fixture.Bundle, Sink: events, Plan: true, Parallel: 4, Holder: "test",
			}
			if err := run.Do(t.Context(), afterPreparation(t)); err != nil {
				t.Fatal(err)
			}
			changed := map[string]bool{}
			for _, e := range events.Events() {
				if e.Kind == report.PhaseChanged {
					changed[strings.TrimSpace(e.Phase+" "+e.Host)] = true
				}
			}
			for _, want := range []string{
				"kubeadm-init cp-1", "join w-1", "kubelet-serving cp-1", "kubelet-serving w-1", "node-metadata w-1", "cni cp-1", "addon-metrics-server cp-1",
			} {
				if !changed[want] {
					t.Errorf("the plan does not list %s: %v", want, changed)
				}
			}
			for _, request := range server.Requests() {
				t.Errorf("the plan sent %s", request)
			}
		})
	}
}

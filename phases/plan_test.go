package phases

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
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

var kubeletFiles = []string{
	"/usr/local/bin/kubelet", "/etc/systemd/system/kubelet.service", "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf", "/var/lib/kubelet/config.yaml",
}

// createdCluster has what kubeadm and slipway create, but no node other than cp-1.
const createdCluster = `{apiVersion: v1, kind: Node, metadata: {name: cp-1}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: slipway, namespace: kube-system}, data: {record.yaml: "fixed: {}"}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: kubelet-config, namespace: kube-system}, data: {kubelet: "serverTLSBootstrap: true"}}
`

// A host may be in any state between blank and joined. What the plan cannot see there
// follows from what it installs, starts and joins; nothing else is hidden.
func TestAPlanListsEverythingOnHostsInAnyState(t *testing.T) {
	t.Parallel()
	const (
		blank   = "disabled\nstopped inactive\n"
		refused = "ctr: failed to dial \"/run/containerd/containerd.sock\": connection refused"
	)
	tests := map[string]struct {
		has        []string // uploaded files
		containerd string   // its state
		code       int      // of ctr
		existing   []facts.Path
		kubelet    string // its state
		cluster    bool   // the control plane exists
		want       []string
		err        string
	}{
		"a blank host": {containerd: blank, code: 127, want: []string{"containerd", "images", "kubelet", "join", "kubelet-serving", "node-metadata"}},
		"containerd was uploaded and not started": {
			has: []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc"}, containerd: blank, code: 1,
			want: []string{"containerd", "images", "join"},
		},
		"containerd fails, and ctr is missing": {has: []string{"containerd"}, containerd: "stopped failed\n", code: 127, want: []string{"containerd", "images", "join"}},
		"a join was killed before kubelet started": {
			cluster: true, containerd: blank, code: 127, existing: []facts.Path{facts.KubeletConf}, want: []string{"kubelet", "join", "kubelet-serving"},
		},
		"a join was killed after kubelet was configured": {
			cluster: true, containerd: blank, code: 127, existing: []facts.Path{facts.KubeletConf, facts.KubeletConfig}, kubelet: "stopped failed\n",
			want: []string{"kubelet", "join", "kubelet-serving"},
		},
		"containerd runs and does not answer": {
			has: []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc"}, code: 1, want: []string{"containerd", "kubelet"}, err: "connection refused",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture, server := workflowtest.New(t, `
addons: [{name: metrics-server}]
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`), kubetest.New(t)
			server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case r.URL.Path == "/readyz":
					_, _ = w.Write([]byte("ok"))
				case strings.HasSuffix(r.URL.Path, "/certificatesigningrequests"):
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(`{"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequestList", "items": []}`))
				default:
					return false
				}
				return true
			})
			fixture.Bundle = workflowtest.NewBundle(t)
			if test.cluster {
				server.Put(createdCluster)
				server.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
					var dialer net.Dialer
					return dialer.DialContext(ctx, network, strings.TrimPrefix(server.URL(), "https://"))
				}
				fixture.Serve(server)
				fixture.Facts("cp-1").Existing = []facts.Path{facts.APIServerManifest, facts.AdminConf, facts.KubeletConf, facts.KubeletConfig}
				fixture.Host("cp-1").Put("/etc/kubernetes/pki/ca.crt", "the authority")
				fixture.Host("cp-1").Put("/var/lib/kubelet/config.yaml", "serverTLSBootstrap: true\n")
			}
			fixture.Facts("w-1").Existing = test.existing
			for name, state := range map[string]struct {
				containerd string
				code       int
			}{"cp-1": {blank, 127}, "w-1": {test.containerd, test.code}} {
				fake := fixture.Host(name)
				fake.StrictFiles()
				fake.Put("/etc/hosts", "127.0.0.1 localhost\n")
				fake.ExpectService("containerd.service", "/etc/containerd/config.toml", "/etc/systemd/system/containerd.service", "/usr/local/bin/containerd").
					Returns(state.containerd).AnyTimes()
				fake.ExpectQuery("/usr/local/bin/ctr", "--namespace", "k8s.io", "images", "list").Fails(state.code, refused).AnyTimes()
			}
			fixture.Host("cp-1").ExpectService("kubelet.service", kubeletFiles...).AnyTimes()
			fake := fixture.Host("w-1")
			for _, file := range test.has {
				content, err := fixture.Bundle.File(file, "amd64")
				if err != nil {
					t.Fatal(err)
				}
				fake.PutBlob(host.Blob{Path: "/usr/local/bin/" + file, SHA256: content.SHA256})
			}
			if test.kubelet != "" {
				fake.Put("/var/lib/kubelet/config.yaml", "maxPods: 50\n")
			}
			fake.ExpectService("kubelet.service", kubeletFiles...).Returns(test.kubelet).AnyTimes()
			fake.ExpectQuery("systemctl", "is-active", "--quiet", "kubelet.service").AsUser().Fails(3, "").AnyTimes()

			w := Apply()
			lock := slices.IndexFunc(w.Phases, func(p workflow.Phase) bool { return p.Name == "lock" })
			for i := range w.Phases[:lock] {
				w.Phases[i].Done, w.Phases[i].Do = nil, func(context.Context, *workflow.Step) error { return nil }
			}
			events := &report.Recorder{}
			run := &workflow.Run{
				Cluster: fixture.Cluster, Hosts: fixture.Hosts, Bundle: fixture.Bundle, Sink: events, Plan: true, Parallel: 4, Holder: "test",
			}
			err := run.Do(t.Context(), w)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %v, want %q", err, test.err)
			}
			var changed []string
			for _, e := range events.Events() {
				if e.Kind == report.PhaseChanged && e.Host == "w-1" {
					changed = append(changed, e.Phase)
				}
				if e.Kind == report.Change && strings.HasPrefix(e.Message, "write ") && e.Diff == "" {
					t.Errorf("%s on %s has no diff", e.Message, e.Host)
				}
			}
			for _, want := range test.want {
				if !slices.Contains(changed, want) {
					t.Errorf("the plan does not list %s: %v", want, changed)
				}
			}
		})
	}
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
			server.Intercept(intercept)
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

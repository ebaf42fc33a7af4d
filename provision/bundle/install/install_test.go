package install

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const one = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

// phase is one that does just this.
func phase(do func(context.Context, *workflow.Step) error) workflow.Phase {
	return workflow.Phase{Name: "install", Title: "install", Do: do}
}

func TestRole(t *testing.T) {
	t.Parallel()
	const cp, worker = config.RoleControlPlane, config.RoleWorker
	tests := []struct {
		name  string
		roles []config.Role
		want  string
	}{
		{"a control plane", []config.Role{cp}, "control-plane"},
		{"a worker", []config.Role{worker}, "worker"},
		{"one that is both needs what a control plane does", []config.Role{worker, cp}, "control-plane"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := Role(config.Host{Roles: test.roles}); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"kubelet": "/usr/local/bin/kubelet", "cni/bridge": "/opt/cni/bin/bridge"} {
		if got := Path(name); got != want {
			t.Errorf("%s goes to %s, want %s", name, got, want)
		}
	}
}

func TestMissingAndDifferentBinariesAreSent(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Bundle = workflowtest.NewBundle(t)
	fake := fixture.Host("cp-1")
	same, err := fixture.Bundle.File("kubelet", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	fake.PutBlob(host.Blob{Path: "/usr/local/bin/kubelet", SHA256: same.SHA256})
	fake.Put("/usr/local/bin/kubeadm", "an older one")
	var uploaded []string
	install := phase(func(ctx context.Context, s *workflow.Step) error {
		var err error
		uploaded, err = Binaries(ctx, s, []string{"kubelet", "kubeadm", "cni/bridge"})
		return err
	})
	fixture.MustApply(install)
	if diff := cmp.Diff([]string{"/usr/local/bin/kubeadm", "/opt/cni/bin/bridge"}, uploaded); diff != "" {
		t.Error(diff)
	}
	want := map[string]bool{"upload /usr/local/bin/kubeadm (0.0 MB)": true, "upload /opt/cni/bin/bridge (0.0 MB)": true}
	got := map[string]bool{}
	for _, change := range fixture.Changes() {
		got[change] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	blob, _ := fake.Blob("/opt/cni/bin/bridge")
	if content, err := os.ReadFile(blob.Source); err != nil || string(content) != "the program cni/bridge" || blob.Mode != 0o755 {
		t.Errorf("sent %+v: %q, %v", blob, content, err)
	}
	fixture.MustApply(install)
	if again := fixture.Changes(); len(again) > 0 || len(uploaded) > 0 {
		t.Errorf("a second time changes %v and returns %v", again, uploaded)
	}
}

func TestAFileThatTheBundleLacksIsReported(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Bundle = workflowtest.NewBundle(t)
	fixture.Host("cp-1").StrictFiles()
	fixture.Facts("cp-1").Arch = "arm64"
	err := fixture.Apply(phase(func(ctx context.Context, s *workflow.Step) error {
		_, err := Binaries(ctx, s, []string{"kubelet"})
		return err
	}))
	var missing *bundle.NotFoundError
	if !errors.As(err, &missing) || missing.Arch != "arm64" {
		t.Errorf("got %v, want a *bundle.NotFoundError", err)
	}
}

func TestTheChecksumsOfAKilledRunAreRecordedOnce(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, one)
	fixture.Bundle = workflowtest.NewBundle(t)
	uploaded, err := fixture.Bundle.File("kubelet", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	fixture.Host("cp-1").PutBlob(host.Blob{Path: "/usr/local/bin/kubelet", SHA256: uploaded.SHA256})
	fixture.Host("cp-1").Put("/usr/local/bin/kubeadm", "an older one")
	install := phase(func(ctx context.Context, s *workflow.Step) error {
		_, err := Binaries(ctx, s, []string{"kubelet", "kubeadm"})
		return err
	})
	if err := fixture.Plan(install); err != nil || len(fixture.Recorded("cp-1")) > 0 {
		t.Errorf("a plan: %v, recorded %q", err, fixture.Recorded("cp-1"))
	}
	for range 2 {
		fixture.MustApply(install)
		want := []string{"/usr/local/bin/kubelet", "/usr/local/bin/kubeadm"}
		if diff := cmp.Diff(want, fixture.Recorded("cp-1")); diff != "" {
			t.Error(diff)
		}
	}
}

package validate

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/report"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const inventory = `metadata: {name: lab}
kubernetes: {version: 1.36.4}
hosts:
- {name: cp-1, address: 192.0.2.1, roles: [control-plane]}
- {name: w-1, address: 192.0.2.2, roles: [worker]}
`

// bundleOf is a bundle of one image.
func bundleOf(t *testing.T, name string) *bundle.Bundle {
	t.Helper()
	w, err := bundle.NewWriter(filepath.Join(t.TempDir(), "bundle"), "v1.36.4", bundle.OriginSource)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.AddImage(t.Context(), bundle.Image{Name: name, Arch: "amd64"}, image); err != nil {
		t.Fatal(err)
	}
	b, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestThePhaseValidatesTheClusterOfTheHosts(t *testing.T) {
	t.Parallel()
	nodes := Options{Selection: Selection{Only: []string{"nodes-ready"}}}
	t.Run("a cluster that passes", func(t *testing.T) {
		t.Parallel()
		c, f := newTestCluster(t), workflowtest.New(t, inventory)
		f.Serve(c.Server)
		f.Bundle = bundleOf(t, testImage)
		var found report.ValidationReport
		if err := f.Apply(Phase(nodes, &found)); err != nil || !found.OK || found.Cluster != "lab" {
			t.Errorf("ok %v of %q, error %v", found.OK, found.Cluster, err)
		}
		if told := waiting(f); !strings.HasSuffix(told, "3 of 3 probes done") {
			t.Errorf("the progress is %q", told)
		}
	})
	t.Run("a cluster that fails", func(t *testing.T) {
		t.Parallel()
		c, f := newTestCluster(t), workflowtest.New(t, inventory)
		c.Put("{apiVersion: v1, kind: Node, metadata: {name: stray}}")
		f.Serve(c.Server)
		f.Bundle = bundleOf(t, testImage)
		var found report.ValidationReport
		var failed *FailedError
		if err := f.Apply(Phase(nodes, &found)); !errors.As(err, &failed) || found.Failed != 1 || !strings.Contains(err.Error(), "nodes-ready no others: registered, but not in the inventory: stray") {
			t.Errorf("%d failed, error %v", found.Failed, err)
		}
	})
	t.Run("hosts without a cluster", func(t *testing.T) {
		t.Parallel()
		f := workflowtest.New(t, inventory)
		err := f.Apply(Phase(nodes, &report.ValidationReport{}))
		if err == nil || !strings.Contains(err.Error(), "there is no cluster yet") || workflow.Hint(err) != "create it with `slipway apply`" {
			t.Errorf("error %v, hint %q", err, workflow.Hint(err))
		}
	})
	t.Run("a bundle without the test image", func(t *testing.T) {
		t.Parallel()
		c, f := newTestCluster(t), workflowtest.New(t, inventory)
		f.Serve(c.Server)
		f.Bundle = bundleOf(t, "registry.test/other:1")
		var missing *bundle.NotFoundError
		if err := f.Apply(Phase(nodes, &report.ValidationReport{})); !errors.As(err, &missing) {
			t.Errorf("error %v", err)
		}
	})
}

// waiting are the observations of the last run.
func waiting(f *workflowtest.Fixture) string {
	var told []string
	for _, e := range f.Events.Events() {
		if e.Kind == report.Waiting {
			told = append(told, e.Message)
		}
	}
	return strings.Join(told, "\n")
}

// dialing is a host that can open connections, as one behind SSH.
type dialing struct{ host.Host }

func (dialing) DialContext(context.Context, string, string) (net.Conn, error) { return nil, errTimeout }

func TestRequestsFromOutsideStartBehindTheBastion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name            string
		cluster, first  string
		conn            host.Host
		want            string
		wantsOwnDialing bool
	}{
		{"no bastion", "", "", dialing{}, "localhost", false},
		{"a bastion of the cluster", "jump", "", dialing{}, "cp-1, over SSH", true},
		{"a bastion of the host", "", "jump", dialing{}, "cp-1, over SSH", true},
		{"a host that opts out of the bastion", "jump", "none", dialing{}, "localhost", false},
		{"a host that cannot open connections", "jump", "", nil, "localhost", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cluster := &config.Cluster{SSH: config.SSH{Bastion: test.cluster}}
			roles := []config.Role{config.RoleControlPlane}
			got := outside(cluster, []target{
				{Host: config.Host{Name: "w-1"}, conn: dialing{}},
				{Host: config.Host{Name: "cp-0", Roles: roles}, conn: dialing{}, failure: host.ErrUnreachable},
				{Host: config.Host{Name: "cp-1", Roles: roles, SSH: config.SSH{Bastion: test.first}}, conn: test.conn},
			})
			if got.From() != test.want || (got.Dial != nil) != test.wantsOwnDialing {
				t.Errorf("from %s, with its own dialer: %v", got.From(), got.Dial != nil)
			}
		})
	}
}

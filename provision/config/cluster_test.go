package config

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEndpoint(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"":                  "192.0.2.11:6443",
		"api.example":       "api.example:6443",
		"api.example:8443":  "api.example:8443",
		"203.0.113.10":      "203.0.113.10:6443",
		"203.0.113.10:6443": "203.0.113.10:6443",
	} {
		c := &Cluster{ControlPlane: ControlPlane{Endpoint: endpoint}}
		c.SetDefaults()
		if got := c.Endpoint("192.0.2.11"); got != want {
			t.Errorf("%q: want %s, got %s", endpoint, want, got)
		}
	}
}

func TestDefaultTaints(t *testing.T) {
	t.Parallel()
	own := []Taint{{Key: "a", Effect: "NoExecute"}}
	kubeadms := []Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}}
	for name, test := range map[string]struct {
		host Host
		want []Taint
	}{
		"a control plane takes no work":      {Host{Roles: []Role{RoleControlPlane}}, kubeadms},
		"unless it is a worker too":          {Host{Roles: []Role{RoleControlPlane, RoleWorker}}, []Taint{}},
		"a worker takes work":                {Host{Roles: []Role{RoleWorker}}, []Taint{}},
		"its own taints win":                 {Host{Roles: []Role{RoleControlPlane}, Taints: own}, own},
		"an empty list of its own wins also": {Host{Roles: []Role{RoleControlPlane}, Taints: []Taint{}}, []Taint{}},
	} {
		if diff := cmp.Diff(test.want, (&Cluster{}).DefaultTaints(test.host)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestHostsByNameAndRole(t *testing.T) {
	t.Parallel()
	c := &Cluster{Hosts: []Host{
		{Name: "w", Roles: []Role{RoleWorker}},
		{Name: "both", Roles: []Role{RoleWorker, RoleControlPlane}},
		{Name: "cp", Roles: []Role{RoleControlPlane}},
	}}
	names := func(hosts []Host) (names []string) {
		for _, h := range hosts {
			names = append(names, h.Name)
		}
		return names
	}
	if got := names(c.ControlPlanes()); !slices.Equal(got, []string{"both", "cp"}) {
		t.Errorf("control planes: %v", got)
	}
	if got := names(c.Workers()); !slices.Equal(got, []string{"w", "both"}) {
		t.Errorf("workers: %v", got)
	}
	if h, ok := c.Host("cp"); !ok || h.Name != "cp" {
		t.Errorf("cp: %v %v", h, ok)
	}
	if h, ok := c.Host("none"); ok {
		t.Errorf("none: %v", h)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1.36.4": "v1.36.4", "v1.36.4": "v1.36.4", "v1.37.0-rc.1": "v1.37.0-rc.1",
		"1.36": "", "latest": "", "": "", "v1.36.4.5": "",
	} {
		got, err := parseVersion(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: want %q, got %q, %v", text, want, got, err)
		}
	}
	minor, err := minorOf(DefaultKubernetesVersion)
	if err != nil || !slices.Contains(SupportedMinors(), minor) {
		t.Errorf("the default %s is of no supported minor %v: %q, %v", DefaultKubernetesVersion, SupportedMinors(), minor, err)
	}
}

func TestParsedVersionIsNormalised(t *testing.T) {
	t.Parallel()
	c, err := Parse("x", []byte("apiVersion: slipway.io/v1alpha1\nkind: Cluster\nkubernetes: {version: 1.35.8}\nhosts: [{name: a, address: a.example, roles: [control-plane]}]\n"))
	if err != nil || c.Kubernetes.Version != "v1.35.8" {
		t.Errorf("want v1.35.8, got %+v, %v", c, err)
	}
}

func TestHostsThatLeaveAreApart(t *testing.T) {
	t.Parallel()
	c, err := Parse("x", []byte(`
apiVersion: slipway.io/v1alpha1
kind: Cluster
hosts:
- {name: cp-1, address: 192.0.2.11, roles: [control-plane], state: absent}
- {name: cp-2, address: 192.0.2.12, roles: [control-plane], state: lost}
- {name: cp-3, address: 192.0.2.12, roles: [control-plane]} # a new machine with the old address
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Hosts) != 1 || len(c.Absent()) != 1 || len(c.Lost()) != 1 || c.Lost()[0].Name != "cp-2" {
		t.Errorf("hosts %v, leaving %v", c.Hosts, c.Leaving)
	}
	if diff := cmp.Diff([]string{"cp-3", "cp-1", "cp-2"}, c.Names()); diff != "" {
		t.Error(diff)
	}
}

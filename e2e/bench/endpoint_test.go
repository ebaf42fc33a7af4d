package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/config"
)

const threeControlPlanes = `
apiVersion: slipway.io/v1alpha1
kind: Cluster
controlPlane: {endpoint: 192.0.2.10, loadBalancer: {type: keepalived}}
hosts:
  - {name: cp1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp3, address: 192.0.2.13, roles: [control-plane]}
  - {name: w1, address: 192.0.2.21}
`

func testSite(t *testing.T, inventory string) *site {
	t.Helper()
	cluster, err := config.Parse("inventory.yaml", []byte(inventory))
	if err != nil {
		t.Fatal(err)
	}
	return &site{dir: t.TempDir(), cluster: cluster}
}

func (s *site) read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestEachControlPlaneSharesTheEndpoint(t *testing.T) {
	t.Parallel()
	s := testSite(t, threeControlPlanes)
	if err := s.writeEndpoint(); err != nil {
		t.Fatal(err)
	}
	haproxy := s.read(t, "endpoint/cp2/etc/haproxy/haproxy.cfg")
	for _, want := range []string{"bind *:6443\n", "server cp1 192.0.2.11:6444\n", "server cp3 192.0.2.13:6444\n"} {
		if !strings.Contains(haproxy, want) {
			t.Errorf("haproxy.cfg lacks %q:\n%s", want, haproxy)
		}
	}
	keepalived := s.read(t, "endpoint/cp2/etc/keepalived/keepalived.conf")
	for _, want := range []string{
		"priority 149\n", "virtual_router_id 51\n", "unicast_src_ip 192.0.2.12\n",
		"unicast_peer {\n        192.0.2.11\n        192.0.2.13\n    }", "192.0.2.10/32\n",
	} {
		if !strings.Contains(keepalived, want) {
			t.Errorf("keepalived.conf lacks %q:\n%s", want, keepalived)
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, "endpoint/w1")); err == nil {
		t.Error("the worker has an endpoint, too")
	}
}

func TestOtherControlPlanesJoinWithTheKeyOfTheFirst(t *testing.T) {
	t.Parallel()
	s := testSite(t, threeControlPlanes)
	if err := s.writeKubeadm(); err != nil {
		t.Fatal(err)
	}
	var first, second, worker struct {
		CertificateKey string
		Discovery      struct {
			BootstrapToken struct{ APIServerEndpoint string }
		}
		ControlPlane struct {
			CertificateKey   string
			LocalAPIEndpoint struct {
				AdvertiseAddress string
				BindPort         int
			}
		}
	}
	stream := s.read(t, "init.yaml")
	document, _, _ := strings.Cut(stream, "---\n")
	for text, into := range map[string]any{document: &first, s.read(t, "join-cp2.yaml"): &second, s.read(t, "join-w1.yaml"): &worker} {
		if err := yaml.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(stream, "kind: ") != 4 || len(first.CertificateKey) != 64 {
		t.Errorf("init.yaml is\n%s", stream)
	}
	plane := second.ControlPlane
	if plane.CertificateKey != first.CertificateKey || plane.LocalAPIEndpoint.AdvertiseAddress != "192.0.2.12" || plane.LocalAPIEndpoint.BindPort != 6444 {
		t.Errorf("cp2 joins with %+v", second)
	}
	if worker.ControlPlane.CertificateKey != "" || worker.Discovery.BootstrapToken.APIServerEndpoint != "192.0.2.10:6443" {
		t.Errorf("w1 joins with %+v", worker)
	}
}

func TestASingleControlPlaneHasNoEndpoint(t *testing.T) {
	t.Parallel()
	s := testSite(t, "apiVersion: slipway.io/v1alpha1\nkind: Cluster\nhosts: [{name: cp1, address: 192.0.2.11, roles: [control-plane]}]\n")
	if err := s.writeEndpoint(); err != nil {
		t.Fatal(err)
	}
	if err := s.writeKubeadm(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s.read(t, "init.yaml"), "certificateKey") {
		t.Error("it uploads its certificates")
	}
	if _, err := os.Stat(filepath.Join(s.dir, "endpoint")); err == nil {
		t.Error("it has files of haproxy")
	}
}

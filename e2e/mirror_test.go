//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// mirrored maps the URLs of published manifests to directories of SLIPWAY_UPSTREAM.
// The images of these addons cannot be pulled here.
var mirrored = map[string]string{
	"https://raw.githubusercontent.com/projectcalico/calico/v3.32.1/manifests/": "calico-v3.32.1/",
	"https://raw.githubusercontent.com/longhorn/longhorn/v1.12.1/deploy/":       "longhorn-v1.12.1/",
}

// mirror serves the manifests, and returns the rewrites of the inventory that
// point to it.
func (s *scenario) mirror(t *testing.T) string {
	t.Helper()
	dir := absolute(t, "SLIPWAY_UPSTREAM", "../../shared/upstream")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("SLIPWAY_UPSTREAM: %v", err)
		}
		t.Skipf("set SLIPWAY_UPSTREAM to the published manifests: %v", err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	section := "  rewrites:\n"
	for from, to := range mirrored {
		section += "    " + from + ": " + server.URL + "/" + to + "\n"
	}
	return section
}

// imageTimeout is the timeout of apply for pods whose images cannot be pulled: long
// enough for the kubelet to report that it reaches no registry.
const imageTimeout = 45 * time.Second

// missingImages checks that apply times out, and names the pods and images that
// it waited for.
func (s *scenario) missingImages(ctx context.Context, t *testing.T, wantStderr []string, args ...string) {
	t.Helper()
	r := s.slipway.run(ctx, t, append([]string{"apply", "--timeout", imageTimeout.String()}, args...)...)
	if r.code == 0 {
		t.Fatalf("apply succeeded without images: %s", r)
	}
	for _, want := range wantStderr {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("stderr of apply lacks %q:\n%s", want, r.stderr)
		}
	}
	s.took("apply until the image timeout", r.took)
}

// get decodes the JSON that kubectl get prints.
func (s *scenario) get(ctx context.Context, t *testing.T, into any, args ...string) {
	t.Helper()
	out, err := s.kubectl(ctx, t, append([]string{"get", "-o", "json"}, args...)...)
	if err == nil {
		err = json.Unmarshal([]byte(out), into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// established checks how many CustomResourceDefinitions of a group are established.
func (s *scenario) established(ctx context.Context, t *testing.T, group string, count int) {
	t.Helper()
	var crds struct {
		Items []struct {
			Spec   struct{ Group string }
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	s.get(ctx, t, &crds, "customresourcedefinitions")
	found := 0
	for _, crd := range crds.Items {
		if strings.HasSuffix(crd.Spec.Group, group) && slices.Contains(crd.Status.Conditions, struct{ Type, Status string }{"Established", "True"}) {
			found++
		}
	}
	if found != count {
		t.Errorf("%d kinds of %s are established, want %d", found, group, count)
	}
}

// longhorn checks that the API server accepts the patched manifests, that apply
// names the missing images, and that everything is deleted afterwards.
func (s *scenario) longhorn(ctx context.Context, t *testing.T) {
	rewrites := s.mirror(t)
	content, err := os.ReadFile(s.lab.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	restore := string(content)
	t.Cleanup(func() { write(t, s.lab.Inventory, restore) })
	text := strings.Replace(restore, "\nartifacts:\n", "\nartifacts:\n"+rewrites, 1)
	text = strings.Replace(text, "  ignore:\n", "  ignore:\n    - {check: iscsi-tcp, reason: the machines have no kernel of their own}\n", 1)
	write(t, s.lab.Inventory, text+"  - name: longhorn\n")
	s.waitForCleanup(ctx, t)
	before := s.objects(ctx, t)
	// No machine of the lab reaches a package mirror.
	s.missingImages(ctx, t, []string{
		"DaemonSet longhorn-system/longhorn-manager: ", "longhorn-manager-", "ImagePull", "docker.io/longhornio/longhorn-manager:v1.12.1",
		"Deployment longhorn-system/longhorn-ui: ", "docker.io/longhornio/longhorn-ui:v1.12.1",
	}, s.on("--skip-phases", "storage")...)
	s.established(ctx, t, "longhorn.io", 25)
	var class struct{ Data map[string]string }
	s.get(ctx, t, &class, "-n", "longhorn-system", "configmap", "longhorn-storageclass")
	for _, want := range []string{`numberOfReplicas: "2"`, `is-default-class: "false"`} {
		if !strings.Contains(class.Data["storageclass.yaml"], want) {
			t.Errorf("the StorageClass lacks %s:\n%s", want, class.Data["storageclass.yaml"])
		}
	}
	var settings struct{ Data map[string]string }
	s.get(ctx, t, &settings, "-n", "longhorn-system", "configmap", "longhorn-default-setting")
	if want := `default-replica-count: '{"v1":"2","v2":"2"}'`; !strings.Contains(settings.Data["default-setting.yaml"], want) {
		t.Errorf("the settings lack %s:\n%s", want, settings.Data["default-setting.yaml"])
	}
	write(t, s.lab.Inventory, restore)
	s.slipway.must(ctx, t, s.on("apply")...)
	after := s.objects(ctx, t)
	if !slices.Equal(before, after) {
		t.Errorf("objects after Longhorn was removed:\n%s\nbefore:\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	s.established(ctx, t, "longhorn.io", 0)
}

// calico checks that the API server of a new cluster accepts the patched manifests,
// and that apply names the missing images.
func (s *scenario) calico(ctx context.Context, t *testing.T) {
	rewrites := s.mirror(t)
	s.setAddons(t, "")
	before := s.lister.list(t, s.lab)
	original := s.lab.Inventory
	s.lab.Inventory = s.edit(t, "\nartifacts:\n", "\nartifacts:\n"+rewrites,
		"\nkubernetes:\n", "\nnetwork: {podSubnet: 10.32.0.0/16, cni: {name: calico, backend: ipip, mtu: 1400}}\nkubernetes:\n")
	t.Cleanup(func() { s.lab.Inventory = original })
	// calico-node mounts /sys/fs/bpf; a machine container has none.
	for _, m := range s.lab.names() {
		s.mustSSH(ctx, t, m, "mkdir -p /sys/fs/bpf")
	}
	s.missingImages(ctx, t, []string{
		"DaemonSet kube-system/calico-node: ", "calico-node-", " on w1: upgrade-ipam: ", "ImagePull", "quay.io/calico/cni:v3.32.1",
		"Deployment kube-system/calico-kube-controllers: ",
	}, s.on()...)
	s.established(ctx, t, "projectcalico.org", 22)
	s.established(ctx, t, "policy.networking.k8s.io", 1)
	var node struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Name string
						Env  []struct{ Name, Value string }
					}
				}
			}
		}
	}
	s.get(ctx, t, &node, "-n", "kube-system", "daemonset", "calico-node")
	env := map[string]string{}
	for _, e := range node.Spec.Template.Spec.Containers[0].Env {
		env[e.Name] = e.Value
	}
	for name, want := range map[string]string{
		"CALICO_IPV4POOL_CIDR": "10.32.0.0/16", "CALICO_IPV4POOL_IPIP": "Always", "CALICO_IPV4POOL_VXLAN": "Never",
		"IP_AUTODETECTION_METHOD": "kubernetes-internal-ip",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	var settings struct{ Data map[string]string }
	s.get(ctx, t, &settings, "-n", "kube-system", "configmap", "calico-config")
	if settings.Data["veth_mtu"] != "1400" {
		t.Errorf("the MTU is %q", settings.Data["veth_mtu"])
	}
	s.lab.Inventory = original
	s.slipway.must(ctx, t, s.on("reset", "--yes")...)
	same(t, before.afterReset(), s.lister.list(t, s.lab).afterReset())
	for _, m := range s.lab.names() {
		s.nothingLeft(ctx, t, m)
	}
}

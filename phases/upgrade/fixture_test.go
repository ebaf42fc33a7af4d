package upgrade

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
	"slipway.io/slipway/provision/bundle/install"
	"slipway.io/slipway/provision/cluster"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubeadm"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

const three = `
controlPlane: {endpoint: 192.0.2.100:6443, bindPort: 6444, loadBalancer: {type: keepalived}}
hosts:
  - {name: cp-1, address: 192.0.2.11, roles: [control-plane]}
  - {name: cp-2, address: 192.0.2.12, roles: [control-plane]}
  - {name: cp-3, address: 192.0.2.13, roles: [control-plane]}
  - {name: w-1, address: 192.0.2.21}
`

var planeNames = []string{"cp-1", "cp-2", "cp-3"}

// rolling is a fixture whose hosts are nodes of a cluster.
type rolling struct {
	*workflowtest.Fixture
	t      *testing.T
	server *kubetest.Server

	mu sync.Mutex
	// broken are the control planes whose API server does not answer.
	broken map[string]bool
	// heartbeats counts the restarts of kubelets, by host.
	heartbeats map[string]int
	// kubelets are the versions of kubelets, by host.
	kubelets map[string]string
	// ends is how often static pods have ended.
	ends atomic.Int32
	// kubeadm is the program that renders.
	kubeadm string
}

// newRolling returns a fixture whose cluster was made from the inventory three, and which
// has more in its inventory now.
func newRolling(t *testing.T, more string) *rolling {
	t.Helper()
	f := &rolling{
		Fixture: workflowtest.New(t, three), t: t, broken: map[string]bool{}, heartbeats: map[string]int{}, kubelets: map[string]string{}, kubeadm: install.BinDir + "/kubeadm",
		server: kubetest.New(t, "192.0.2.11", "192.0.2.12", "192.0.2.13"),
	}
	f.server.Put("apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system}\n")
	f.server.Intercept(f.intercept)
	f.Serve(f.server)
	documents, err := kubeadm.Settings(f.Cluster, f.Cluster.Kubernetes.NewVersion())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, key, section string }{
		{"kubeadm-config", "ClusterConfiguration", "clusterConfiguration"},
		{"kubelet-config", "kubelet", "kubeletConfiguration"},
		{"kube-proxy", "config.conf", "kubeProxyConfiguration"},
	} {
		text, err := yaml.Marshal(documents[c.section])
		if err != nil {
			t.Fatal(err)
		}
		f.server.PutObject(kubetest.Object{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": kubetest.Object{"name": c.name, "namespace": "kube-system"},
			"data": kubetest.Object{c.key: string(text)},
		})
	}
	f.server.Put(`
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-proxy, namespace: kube-system, generation: 1}
spec: {selector: {matchLabels: {k8s-app: kube-proxy}}, template: {metadata: {labels: {k8s-app: kube-proxy}}}}
status: {observedGeneration: 1, desiredNumberScheduled: 4, updatedNumberScheduled: 4, numberAvailable: 4}
`)
	members := make([]string, len(planeNames))
	for i, name := range planeNames {
		members[i] = fmt.Sprintf(`{"ID":"%d","name":%q,"peerURLs":["https://192.0.2.1%d:2380"]}`, i+1, name, i+1)
	}
	for _, h := range f.Hosts.All {
		name := h.Config.Name
		f.server.Put("apiVersion: v1\nkind: Node\nmetadata: {name: " + name + "}\nstatus: {addresses: [{type: InternalIP, address: " + h.Config.Address + "}]}\n")
		existing := []facts.Path{facts.KubeletConf, facts.KubeletConfig}
		if h.Config.Has(config.RoleControlPlane) {
			existing = append(existing, facts.APIServerManifest, facts.CAKey, facts.EtcdMember)
			f.ServeEtcd(name, members...)
			h.Conn = plane{h.Conn, f, name}
		}
		f.Facts(name).Existing = existing
		for _, args := range [][]string{{"<any>", "<any>"}, {"<any>", "<any>", "<any>", "<any>"}} {
			e := f.Host(name).ExpectQueryScript("restarts.sh", args...).AnyTimes()
			e.Then(func() { e.Returns(strings.Repeat(fmt.Sprintln(f.ends.Load()), len(args)/2)) })
		}
	}
	client, err := kube.New(f.server.Kubeconfig(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := cluster.SettingsOf(f.Cluster)
	if err == nil {
		err = cluster.WriteRecord(t.Context(), client, cluster.Record{Fixed: cluster.FixedOf(f.Cluster), Settings: recorded})
	}
	if err != nil {
		t.Fatal(err)
	}
	if f.Cluster, err = config.Parse("inventory.yaml", []byte("apiVersion: slipway.io/v1alpha1\nkind: Cluster\n"+merge(t, three, more))); err != nil {
		t.Fatal(err)
	}
	f.observe()
	return f
}

// merge returns an inventory with more fields.
func merge(t *testing.T, inventory, more string) string {
	t.Helper()
	var base, over map[string]any
	if err := errors.Join(yaml.Unmarshal([]byte(inventory), &base), yaml.Unmarshal([]byte(more), &over)); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(config.Merge(base, over))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// observe reads the state of the cluster, as a new run does.
func (f *rolling) observe() {
	f.t.Helper()
	client, err := kube.New(f.server.Kubeconfig(""), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	state := &cluster.State{Exists: true, Leader: "cp-1"}
	if err := state.Read(f.t.Context(), client); err != nil {
		f.t.Fatal(err)
	}
	f.Hosts.SetState(state)
}

// document returns a document of a ConfigMap in the cluster.
func (f *rolling) document(name, key string) map[string]any {
	f.t.Helper()
	object := f.server.Get("/api/v1/namespaces/kube-system/configmaps/" + name)
	data, _ := object["data"].(kubetest.Object)
	text, _ := data[key].(string)
	var document map[string]any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		f.t.Fatal(err)
	}
	return document
}

// intercept answers for static pods and Nodes as if kubelet ran what the host has: a
// manifest with the flag --bad never becomes ready.
func (f *rolling) intercept(w http.ResponseWriter, r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name, ok := strings.CutPrefix(r.URL.Path, "/api/v1/nodes/"); ok && r.Method == http.MethodGet {
		seconds := f.heartbeats[name]
		kubetest.Answer(w, http.StatusOK, kubetest.Object{
			"apiVersion": "v1", "kind": "Node", "metadata": kubetest.Object{"name": name},
			"status": kubetest.Object{"nodeInfo": kubetest.Object{"kubeletVersion": f.kubelets[name]}, "conditions": []any{kubetest.Object{
				"type": "Ready", "status": "True", "lastHeartbeatTime": time.Unix(int64(1_000_000_000+seconds), 0).UTC().Format(time.RFC3339),
			}}},
		})
		return true
	}
	pod, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/kube-system/pods/")
	if !ok || r.Method != http.MethodGet {
		return false
	}
	for _, component := range components {
		name, ok := strings.CutPrefix(pod, component+"-")
		if !ok || !slices.Contains(planeNames, name) {
			continue
		}
		file, exists := f.Host(name).File(manifestPath(component))
		if !exists {
			return false
		}
		sum := sha256.Sum256(file.Content)
		status := kubetest.Object{"phase": "Running", "conditions": []any{kubetest.Object{"type": "Ready", "status": "True"}}}
		if bytes.Contains(file.Content, []byte("--bad")) {
			status = kubetest.Object{"phase": "Running", "containerStatuses": []any{kubetest.Object{"name": component, "restartCount": maxRestarts, "image": "i", "imageID": "", "ready": false}}}
		}
		kubetest.Answer(w, http.StatusOK, kubetest.Object{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": kubetest.Object{"name": pod, "namespace": "kube-system", "annotations": kubetest.Object{hashAnnotation: hex.EncodeToString(sum[:])}},
			"status":   status,
		})
		return true
	}
	return false
}

// plane is a control plane on which an API server listens.
type plane struct {
	host.Host
	f    *rolling
	name string
}

func (p plane) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if strings.HasSuffix(addr, ":2379") {
		return p.Host.(host.Dialer).DialContext(ctx, network, addr)
	}
	p.f.mu.Lock()
	broken := p.f.broken[p.name]
	p.f.mu.Unlock()
	if broken && strings.HasPrefix(addr, "192.0.2.1") {
		return nil, errors.New("connection refused")
	}
	return new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(p.f.server.URL(), "https://"))
}

// manifest is that of a static pod with these arguments.
func manifest(component string, args ...string) string {
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: " + component + "}\nspec:\n  containers:\n  - name: " + component + "\n    command:\n    - " + component + "\n"
	for _, arg := range args {
		text += "    - " + arg + "\n"
	}
	return text + "status: {}\n"
}

// has puts the files of a node on a host: manifests with their first arguments, the
// certificate of the API server, and the configuration of kubelet.
func (f *rolling) has(name string) {
	f.t.Helper()
	fake := f.Host(name)
	if slices.Contains(planeNames, name) {
		for _, component := range components {
			fake.Put(manifestPath(component), manifest(component, "--v=1"))
		}
		names := []string{name, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
		addresses := []string{"10.96.0.1", "192.0.2.100"}
		for _, h := range f.Cluster.ControlPlanes() {
			names, addresses = append(names, h.Name), append(addresses, h.Address)
		}
		fake.Put(kubeadm.APIServerCertificate, certificate(f.t, names, addresses))
	}
	fake.Put(kubeadm.KubeletConfig, "maxPods: 110\n")
}

// certificate returns a certificate with these names.
func certificate(t *testing.T, names, addresses []string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: slices.Compact(names), NotAfter: time.Now().Add(time.Hour)}
	for _, address := range addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// expectRender expects that kubeadm renders the static pods of a host, with other content
// than it has for some.
func (f *rolling) expectRender(name string, wanted map[string]string) *hosttest.Expectation {
	f.t.Helper()
	return f.expectRendered(name, "control-plane all,etcd local", append(manifestPaths(), kubeadm.APIServerCertificate), func() map[string]string {
		all := map[string]string{}
		for _, component := range components {
			all[component+".yaml"] = manifest(component, "--v=1")
			if other, ok := wanted[component]; ok {
				all[component+".yaml"] = other
			}
		}
		return all
	}())
}

// expectKubelet expects that kubeadm renders the configuration of kubelet.
func (f *rolling) expectKubelet(name, wanted string) *hosttest.Expectation {
	f.t.Helper()
	return f.expectRendered(name, "kubelet-start", []string{kubeadm.KubeletConfig}, map[string]string{"config.yaml": wanted, "kubeadm-flags.env": "x"})
}

func (f *rolling) expectRendered(name, phases string, paths []string, wanted map[string]string) *hosttest.Expectation {
	args := append([]string{f.kubeadm, "<any>", phases}, paths...)
	e := f.Host(name).ExpectQueryScript("render.sh", args...)
	answer := func() {
		var out strings.Builder
		for file, content := range wanted {
			fmt.Fprintf(&out, "wanted\t%s\t%s\n", file, base64.StdEncoding.EncodeToString([]byte(content)))
		}
		for _, path := range paths {
			if file, ok := f.Host(name).File(path); ok {
				fmt.Fprintf(&out, "have\t%s\t%s\n", path, base64.StdEncoding.EncodeToString(file.Content))
			}
		}
		e.Returns(out.String())
	}
	return e.Then(answer)
}

// content returns a file of a host.
func (f *rolling) content(name, path string) string {
	file, _ := f.Host(name).File(path)
	return string(file.Content)
}

type clusterNode = cluster.Node

func mustPrefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

type contextType = context.Context

// rendersWith makes the following expectations expect another kubeadm.
func (f *rolling) rendersWith(program string) { f.kubeadm = program }

// blob is a program of the bundle, as Binaries compares it.
func (f *rolling) blob(name string) host.Blob {
	f.t.Helper()
	file, err := f.Bundle.File(name, "amd64")
	if err != nil {
		f.t.Fatal(err)
	}
	return host.Blob{Path: install.Path(name), SHA256: file.SHA256}
}

package kube

import (
	"archive/tar"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/retry"
	validatetmpl "slipway.io/slipway/templates/validate"
)

// realAPIServer starts kube-apiserver and etcd on the loopback, from the
// images of the bundle that SLIPWAY_BUNDLE names. That alone does not ask for
// it: slipway reads it too, so that it may be set for other reasons.
func realAPIServer(t *testing.T) (client, dryRun *Client) {
	t.Helper()
	if os.Getenv("SLIPWAY_APISERVER_TEST") == "" {
		t.Skip("set SLIPWAY_APISERVER_TEST=1 and SLIPWAY_BUNDLE to start the API server of a bundle; e2e/run does")
	}
	opened, err := bundle.Open(os.Getenv("SLIPWAY_BUNDLE"))
	if err != nil {
		t.Fatal(err)
	}
	dir, ports := t.TempDir(), freePorts(t, 3)
	apiserver, etcd := takeProgram(t, opened, "kube-apiserver", dir), takeProgram(t, opened, "etcd", dir)
	etcdURL := "http://127.0.0.1:" + ports[0]
	start(t, etcd, "--data-dir="+filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level=error",
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL, "--listen-peer-urls=http://127.0.0.1:"+ports[1])
	key, tokens := filepath.Join(dir, "key.pem"), filepath.Join(dir, "tokens.csv")
	writeKey(t, key)
	if err := os.WriteFile(tokens, []byte("test-token,admin,1,system:masters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	certs := filepath.Join(dir, "certs")
	start(t, apiserver, "--etcd-servers="+etcdURL, "--bind-address=127.0.0.1", "--secure-port="+ports[2], "--cert-dir="+certs,
		"--service-cluster-ip-range=10.96.0.0/16", "--token-auth-file="+tokens, "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--endpoint-reconciler-type=none")

	ca := filepath.Join(certs, "apiserver.crt")
	await(t, func() bool { _, err := os.Stat(ca); return err == nil })
	kubeconfig := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: "https://127.0.0.1:%s", certificate-authority: %q}}],
users: [{name: a, user: {token: test-token}}], contexts: [{name: a, context: {cluster: a, user: a}}]}`, ports[2], ca)
	client, err = New([]byte(kubeconfig), nil)
	if err != nil {
		t.Fatal(err)
	}
	dryRun, err = newClient([]byte(kubeconfig), nil, Options{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.WaitFor(t.Context(), APIReady(), WaitOptions{Timeout: 2 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	return client, dryRun
}

// takeProgram writes the program that the image registry.k8s.io/NAME is about
// to a file in dir, and returns its path.
func takeProgram(t *testing.T, from *bundle.Bundle, name, dir string) string {
	t.Helper()
	wanted, err := from.Image("registry.k8s.io/"+name, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := v1.NewHash(wanted.Digest)
	if err != nil {
		t.Fatal(err)
	}
	image, err := layout.Path(filepath.Join(from.Dir(), "images")).Image(digest)
	if err != nil {
		t.Fatal(err)
	}
	files := mutate.Extract(image)
	defer files.Close()
	archive := tar.NewReader(files)
	for {
		header, err := archive.Next()
		if err != nil {
			t.Fatalf("%s in %s: %v", name, wanted.Name, err)
		}
		if header.Typeflag == tar.TypeReg && path.Base(header.Name) == name {
			break
		}
	}
	program := filepath.Join(dir, name+".program")
	file, err := os.OpenFile(program, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(file, archive)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return program
}

// start runs a program until the test ends; a failed test shows its output.
func start(t *testing.T, program string, args ...string) {
	t.Helper()
	var output strings.Builder
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(program), output.String()[max(0, output.Len()-4000):])
		}
	})
}

func freePorts(t *testing.T, count int) []string {
	t.Helper()
	var ports []string
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close() // only after all are chosen, so that they differ
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	return ports
}

func writeKey(t *testing.T, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	err := retry.Until(t.Context(), "the API server", func(context.Context) error {
		if !done() {
			return errors.New("not yet")
		}
		return nil
	}, retry.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAgainstARealAPIServer(t *testing.T) {
	t.Parallel()
	client, dryRun := realAPIServer(t)
	t.Run("kinds and namespaces go first, and a second apply changes nothing", func(t *testing.T) {
		crd := strings.Replace(manifest, "{name: v1, served: true, storage: true}",
			"{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}", 1)
		crd = strings.Replace(crd, "kind: Boat}", "kind: Boat, singular: boat, listKind: BoatList}", 1)
		realApply(t, client, dryRun, []byte(crd))
	})
	t.Run("the manifests of a validation are accepted", func(t *testing.T) {
		data := validatetmpl.Data{Namespace: "slipway-validate-x", Name: "probe", Container: "agnhost", Image: "agnhost:1", HTTPPort: 8080, UDPPort: 8081, ServicePort: 80}
		namespace, err := validatetmpl.Namespace(data)
		if err != nil {
			t.Fatal(err)
		}
		probe, err := validatetmpl.Probe(data)
		if err != nil {
			t.Fatal(err)
		}
		realApply(t, client, dryRun, slices.Concat(namespace, []byte("\n---\n"), probe))
		changed := strings.Replace(string(probe), "periodSeconds: 1", "periodSeconds: 2", 1)
		for _, c := range []*Client{dryRun, client} {
			changes, err := c.Apply(t.Context(), []byte(changed))
			if err != nil {
				t.Fatal(err)
			}
			if changes[0].Action != Changed || changes[1].Action != Unchanged {
				t.Errorf("dry run %v: %v", c.dryRun, actions(changes))
			}
			want := []string{"spec.template.spec.containers[0].readinessProbe.periodSeconds: 1 -> 2"}
			if diff := cmp.Diff(want, dropAnnotations(changes[0].Diff)); diff != "" {
				t.Error(diff)
			}
		}
	})
	t.Run("the static pod of kube-vip is accepted", func(t *testing.T) {
		pod, err := os.ReadFile("../../../templates/testdata/kube-vip.yaml")
		if err != nil {
			t.Fatal(err)
		}
		realApply(t, client, dryRun, []byte("{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: kube-system}}"))
		realApply(t, client, dryRun, pod)
	})
	t.Run("labels and taints follow the inventory", func(t *testing.T) { realNode(t, client) })
	t.Run("nodes are cordoned, and uncordoned", func(t *testing.T) { realCordon(t, client, dryRun) })
	t.Run("what blocks a drain, and uses deprecated APIs, is found", func(t *testing.T) { realObstacles(t, client, dryRun) })
	t.Run("a token is created and deleted", func(t *testing.T) {
		token, err := client.CreateBootstrapToken(t.Context(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := dryRun.DeleteBootstrapToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		id, _, _ := strings.Cut(token, ".")
		if _, err := client.Clientset().CoreV1().Secrets("kube-system").Get(t.Context(), tokenSecretPrefix+id, metav1.GetOptions{}); err != nil {
			t.Errorf("the dry run has deleted the token: %v", err)
		}
		if err := client.DeleteBootstrapToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	})
}

// dropAnnotations leaves out the revision that the server counts in a
// DaemonSet's deprecated annotation.
func dropAnnotations(diff []string) []string {
	return slices.DeleteFunc(diff, func(line string) bool { return strings.HasPrefix(line, "metadata.annotations") })
}

// realApply plans, applies and applies again.
func realApply(t *testing.T, client, dryRun *Client, manifests []byte) {
	t.Helper()
	for _, step := range []struct {
		client *Client
		want   Action
	}{{dryRun, Created}, {client, Created}, {client, Unchanged}, {dryRun, Unchanged}} {
		changes, err := step.client.Apply(t.Context(), manifests)
		if err != nil {
			t.Fatalf("dry run %v: %v", step.client.dryRun, err)
		}
		for _, change := range changes {
			if change.Action != step.want {
				t.Errorf("dry run %v: %s %s is %s, want %s: %v", step.client.dryRun, change.Kind, change.Name, change.Action, step.want, change.Diff)
			}
		}
	}
}

func realNode(t *testing.T, client *Client) {
	nodes := client.Clientset().CoreV1().Nodes()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"theirs": "x"}}}
	if _, err := nodes.Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	taint := corev1.Taint{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}
	for i, step := range []struct {
		labels  map[string]string
		taints  []corev1.Taint
		changed bool
	}{
		{map[string]string{"a": "1"}, []corev1.Taint{taint}, true},
		{map[string]string{"a": "1"}, []corev1.Taint{taint}, false},
		{map[string]string{"b": "2"}, nil, true},
		{map[string]string{"b": "2"}, nil, false},
	} {
		changed, _, err := client.SetNode(t.Context(), "n", step.labels, step.taints)
		if err != nil {
			t.Fatal(err)
		}
		if changed != step.changed {
			t.Errorf("step %d: changed = %v", i, changed)
		}
		got, err := nodes.Get(t.Context(), "n", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"theirs": "x"}
		for key, value := range step.labels {
			want[key] = value
		}
		if diff := cmp.Diff(want, got.Labels); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
		// The admission plugin adds not-ready to a new Node.
		if ours := slices.ContainsFunc(got.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "gpu" }); ours != (step.taints != nil) {
			t.Errorf("step %d: taints %v", i, got.Spec.Taints)
		}
	}
}

func realCordon(t *testing.T, client, dryRun *Client) {
	if _, err := client.clientset.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "cordoned"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	read := func(unschedulable bool, reason CordonReason) {
		t.Helper()
		node, err := client.Node(t.Context(), "cordoned")
		if err != nil {
			t.Fatal(err)
		}
		if node.Spec.Unschedulable != unschedulable || CordonedBySlipway(node) != reason {
			t.Errorf("unschedulable: %v, annotations %v", node.Spec.Unschedulable, node.Annotations)
		}
	}
	if changed, err := dryRun.Cordon(t.Context(), "cordoned", CordonedForRoll); err != nil || !changed {
		t.Errorf("a dry run: changed %v, %v", changed, err)
	}
	read(false, "")
	for _, want := range []bool{true, false} {
		if changed, err := client.Cordon(t.Context(), "cordoned", CordonedForRoll); err != nil || changed != want {
			t.Errorf("cordon: changed %v, %v", changed, err)
		}
	}
	read(true, CordonedForRoll)
	// The labels of the inventory are applied in between.
	if _, _, err := client.SetNode(t.Context(), "cordoned", map[string]string{"a": "1"}, nil); err != nil {
		t.Fatal(err)
	}
	read(true, CordonedForRoll)
	for _, want := range []bool{true, false} {
		if changed, err := client.Uncordon(t.Context(), "cordoned", CordonedForRoll); err != nil || changed != want {
			t.Errorf("uncordon: changed %v, %v", changed, err)
		}
	}
	read(false, "")
}

func realObstacles(t *testing.T, client, dryRun *Client) {
	if _, err := client.Apply(t.Context(), []byte(`
apiVersion: v1
kind: Pod
metadata: {name: guarded, namespace: kube-system, labels: {app: guarded}}
spec: {nodeName: cordoned, containers: [{name: a, image: a}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: never, namespace: kube-system}
spec: {maxUnavailable: 0, selector: {matchLabels: {app: guarded}}}
`)); err != nil {
		t.Fatal(err)
	}
	// There is no kubelet, and no controller.
	pod, err := client.clientset.CoreV1().Pods("kube-system").Get(t.Context(), "guarded", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if _, err := client.clientset.CoreV1().Pods("kube-system").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	budgets := client.clientset.PolicyV1().PodDisruptionBudgets("kube-system")
	budget, err := budgets.Get(t.Context(), "never", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	budget.Status.ObservedGeneration, budget.Status.CurrentHealthy, budget.Status.DesiredHealthy, budget.Status.ExpectedPods = budget.Generation, 1, 1, 1
	if _, err := budgets.UpdateStatus(t.Context(), budget, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	// What Blocking says is what the API server does.
	blocked, err := client.Blocking(t.Context(), "cordoned")
	if err != nil || len(blocked) != 1 || !blocked[0].Never || blocked[0].Pod != "kube-system/guarded" {
		t.Errorf("blocked %+v, %v", blocked, err)
	}
	done, err := dryRun.Drain(t.Context(), "cordoned", WaitOptions{})
	if err != nil || len(done.Blocked) != 1 || len(done.Evicted) > 0 {
		t.Errorf("drained %+v, %v", done, err)
	}
	if pending, err := client.Unschedulable(t.Context(), "cordoned"); err != nil || len(pending) > 0 {
		t.Errorf("unschedulable %v, %v", pending, err)
	}
	// A deprecated API without a planned removal, which every API server serves.
	if _, err := client.clientset.CoreV1().ComponentStatuses().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	apis, err := client.DeprecatedAPIs(t.Context(), nil, strings.TrimPrefix(client.config.Host, "https://"))
	if err != nil || !slices.Contains(apis, DeprecatedAPI{Version: "v1", Resource: "componentstatuses"}) {
		t.Errorf("deprecated %+v, %v", apis, err)
	}
}

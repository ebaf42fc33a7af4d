package validate

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/config"
	"slipway.io/slipway/provision/probe/httpprobe"
)

// setUp is a run in a cluster whose test namespace and test pods are set up. It is
// in memory, so that in a bubble of synctest a probe waits for its real timeouts in
// no time.
func setUp(t *testing.T) (*run, *testCluster, *fakeNetwork) {
	t.Helper()
	c := testClusterOn(t, kubetest.NewInMemory(t))
	c.Put("{apiVersion: v1, kind: Namespace, metadata: {name: ns}}")
	for i, node := range []string{"cp-1", "w-1"} {
		c.Put(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s-%d, namespace: ns}, spec: {nodeName: %s}}", probeName, i, node))
	}
	r := c.run()
	r.namespace = "ns"
	r.fixture = &fixture{namespace: "ns", nodes: []testNode{
		{name: "cp-1", address: "192.0.2.1", pod: probeName + "-0"}, {name: "w-1", address: "192.0.2.2", pod: probeName + "-1"},
	}}
	network := &fakeNetwork{fixture: r.fixture}
	r.fixture.prober = network
	return r, c, network
}

// probeOnce runs one kind of probe.
func probeOnce(t *testing.T, r *run, name string) []string {
	t.Helper()
	for _, d := range definitions() {
		if d.name == name {
			return lines(r.runProbes(t.Context(), []definition{d})[name])
		}
	}
	t.Fatalf("no probe %s", name)
	return nil
}

// outcomes fails the test unless each line begins and ends as wanted: "target:
// status: " … evidence.
func outcomes(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range got {
		begin, end, _ := strings.Cut(want[i], " … ")
		if !strings.HasPrefix(got[i], begin) || !strings.Contains(got[i], end) {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

const (
	defaultStorageClass = `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: example.com/fast}`
	staticStorageClass  = `{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: static}, provisioner: kubernetes.io/no-provisioner}`
)

func addons(names ...string) func(*config.Cluster) {
	return func(c *config.Cluster) {
		for _, name := range names {
			c.Addons = append(c.Addons, config.Addon{Name: name})
		}
	}
}

func TestProbesOfWorkloads(t *testing.T) {
	t.Parallel()
	allWork := func(c *config.Cluster) { c.Hosts[0].Roles = append(c.Hosts[0].Roles, config.RoleWorker) }
	tests := []struct {
		name, probe string
		objects     string
		workloads   workloads
		change      func(*config.Cluster)
		want        []string
	}{
		{"a volume is read on another node", "volume", defaultStorageClass, workloads{}, allWork, []string{"fast: passed: written on w-1, read on cp-1"}},
		{"a volume is read on the only worker", "volume", defaultStorageClass, workloads{}, nil, []string{"fast: passed: written on w-1, read on w-1"}},
		{"a local volume is read on its node", "volume", defaultStorageClass, workloads{localVolumes: true}, allWork, []string{"fast: passed: written on w-1, read on w-1, to which the volume is bound"}},
		{"a volume loses its data", "volume", defaultStorageClass, workloads{losesData: true}, nil, []string{`fast: failed: read "" on w-1, but " … " was written on w-1`}},
		{"a claim is not bound", "volume", defaultStorageClass, workloads{pendingClaims: true}, nil, []string{"fast: failed: pod volume-fast-1: … ; claim volume-fast is Pending: waiting for the provisioner"}},
		{"the StorageClass of an addon is missing", "volume", "", workloads{}, addons(config.AddonLocalPath), []string{"local-path: failed: storage class local-path: … not found"}},
		{"a StorageClass without provisioner is not tried", "volume", staticStorageClass, workloads{}, nil, []string{": skipped: neither the cluster nor the inventory has a StorageClass"}},

		{"a StatefulSet keeps its data", "stateful-set", defaultStorageClass, workloads{}, nil, []string{": passed: stateful-0 on w-1, stateful-1 on w-1 of class fast; stateful-0 kept its data"}},
		{"a StatefulSet loses its data", "stateful-set", defaultStorageClass, workloads{losesData: true}, nil, []string{`: failed: stateful- … reads "", but wrote "`}},
		{"the claim of a replica is not bound", "stateful-set", defaultStorageClass, workloads{pendingClaims: true}, nil, []string{": failed: pod stateful-0: … ; claim data-stateful-0 is Pending: waiting for the provisioner"}},
		{"the default StorageClass of an addon is missing", "stateful-set", staticStorageClass, workloads{}, addons(config.AddonLonghorn), []string{": failed: the cluster has no default StorageClass, but the inventory wants one"}},
		{"no default StorageClass is wanted", "stateful-set", staticStorageClass, workloads{}, nil, []string{": skipped: the cluster has no default StorageClass"}},

		{"a Deployment rolls forward and back", "rolling-update", "", workloads{}, nil, []string{": passed: rolled to v1, v2 and back to v1 with 2 replicas, never fewer available; 2 revisions kept"}},
		{"a Deployment does not start", "rolling-update", "", workloads{noReplicas: true}, nil, []string{": failed: v1: 0 of 2 replicas available"}},
		{"a Deployment keeps an old pod", "rolling-update", "", workloads{stalePods: true}, nil, []string{": failed: v2: pod rollout-1 still has version v1 after the rollout"}},

		{"an autoscaler reads metrics", "autoscaler", "", workloads{}, addons(config.AddonMetricsServer), []string{": passed: the autoscaler reads 5Mi of memory per pod"}},
		{"an autoscaler cannot read metrics", "autoscaler", "", workloads{noMetrics: true}, addons(config.AddonMetricsServer), []string{": failed: FailedGetResourceMetric: no metrics returned"}},
		{"the inventory has no metrics-server", "autoscaler", "", workloads{}, nil, []string{": skipped: the inventory has no metrics-server addon"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, c, _ := setUp(t)
				if test.objects != "" {
					c.Put(test.objects)
				}
				c.workloads = test.workloads
				if test.change != nil {
					test.change(r.cluster)
				}
				outcomes(t, probeOnce(t, r, test.probe), test.want)
			})
		})
	}
}

func TestProbesOfVolumesDeleteTheirWorkloads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, c, _ := setUp(t)
		c.Put(defaultStorageClass)
		outcomes(t, probeOnce(t, r, "volume"), []string{"fast: passed: "})
		outcomes(t, probeOnce(t, r, "stateful-set"), []string{": passed: "})
		for _, path := range []string{
			"/api/v1/namespaces/ns/persistentvolumeclaims/volume-fast", "/api/v1/namespaces/ns/pods/volume-fast-2",
			"/apis/apps/v1/namespaces/ns/statefulsets/stateful", "/api/v1/namespaces/ns/persistentvolumeclaims/data-stateful-0",
		} {
			if c.Get(path) != nil {
				t.Errorf("%s still exists", path)
			}
		}
	})
}

func TestStorageClassesThatCannotBeListedAreAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, c, _ := setUp(t)
		c.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/storageclasses") {
				return false
			}
			kubetest.Refuse(w, http.StatusForbidden, "Forbidden", "not for you")
			return true
		})
		outcomes(t, probeOnce(t, r, "volume"), []string{": failed: list storage classes: … not for you"})
	})
}

func TestProbesAreSkippedWhereWhatTheyNeedIsMissing(t *testing.T) {
	t.Parallel()
	r := &run{cluster: &config.Cluster{}, progress: &progress{say: func(string) {}}, setUpFailure: "namespaces is forbidden"}
	for _, d := range definitions() {
		want := ""
		switch {
		case d.needs == needsNamespace:
			want = ": skipped: there is no test namespace: namespaces is forbidden"
		case d.name == testPods:
			want = ": failed: namespaces is forbidden"
		case d.needs == needsTestPods:
			want = ": skipped: there are no test pods"
		default:
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			outcomes(t, probeOnce(t, r, d.name), []string{want})
		})
	}
}

func TestNetworkPolicy(t *testing.T) {
	t.Parallel()
	calico := func(c *config.Cluster) { c.Network.CNI.Name = config.CNICalico }
	denies := func(pods ...string) func(string, request) (*response, error) {
		return func(pod string, _ request) (*response, error) {
			for _, denied := range pods {
				if pod == probeName+denied {
					return nil, errTimeout
				}
			}
			return &response{body: "policy"}, nil
		}
	}
	tests := []struct {
		name   string
		change func(*run, *fakeNetwork)
		want   string
	}{
		{"the policy allows one pod and denies the other", func(_ *run, n *fakeNetwork) { n.breaks = denies("-1") }, ": passed: slipway-probe-0 is allowed, slipway-probe-1 is denied"},
		{"the policy denies nothing", func(_ *run, n *fakeNetwork) { n.breaks = denies() }, ": failed: the policy denies slipway-probe-1, but it gets an answer from policy"},
		{"the policy denies everything", func(_ *run, n *fakeNetwork) { n.breaks = denies("-0", "-1") }, ": failed: the policy allows slipway-probe-0, but it gets no answer: i/o timeout"},
		{"the API server does not reach the denied pod", func(_ *run, n *fakeNetwork) {
			allows := denies()
			n.breaks = func(pod string, q request) (*response, error) {
				if pod == probeName+"-1" {
					return nil, &proxyError{errors.New("dial tcp 10.244.1.2:8080: i/o timeout")}
				}
				return allows(pod, q)
			}
		}, ": failed: the request of slipway-probe-1, which the policy denies, fails for another reason: the API server cannot reach the pod through its proxy: dial tcp 10.244.1.2:8080: i/o timeout"},
		{"only one test pod is ready", func(r *run, _ *fakeNetwork) { r.fixture.nodes[1].failure = "no image" }, ": skipped: the probe needs two ready test pods"},
		{"Flannel", func(r *run, _ *fakeNetwork) { r.cluster.Network.CNI.Name = config.CNIFlannel }, ": skipped: Flannel does not enforce NetworkPolicies"},
		{"a pod network of the user", func(r *run, _ *fakeNetwork) { r.cluster.Network.CNI.Name = "none" }, ": skipped: slipway does not know whether your pod network enforces NetworkPolicies"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, c, network := setUp(t)
				calico(r.cluster)
				test.change(r, network)
				outcomes(t, probeOnce(t, r, "network-policy"), []string{test.want})
				labels := c.Get("/api/v1/namespaces/ns/pods/" + probeName + "-0")["metadata"].(kubetest.Object)["labels"]
				if ran, labelled := !strings.Contains(test.want, "skipped"), labels != nil; ran != labelled {
					t.Errorf("the allowed pod has the labels %v", labels)
				}
			})
		})
	}
}

// serve answers the requests of a client from outside the cluster, at any
// address; on port 443 with the certificate of the Ingress.
func serve(t *testing.T, c *testCluster, handler http.HandlerFunc) httpprobe.Client {
	t.Helper()
	plain, encrypted := httptest.NewUnstartedServer(handler), httptest.NewUnstartedServer(handler)
	listeners := map[string]*kubetest.Listener{":80": kubetest.Listen(), ":443": kubetest.Listen()}
	for port, server := range map[string]*httptest.Server{":80": plain, ":443": encrypted} {
		_ = server.Listener.Close() // that of the loopback
		server.Listener = listeners[port]
		t.Cleanup(server.Close)
	}
	encrypted.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		secret := c.Get("/api/v1/namespaces/ns/secrets/ingress")
		if secret == nil {
			return nil, errors.New("no certificate")
		}
		decode := func(key string) []byte {
			text, err := base64.StdEncoding.DecodeString(secret["data"].(kubetest.Object)[key].(string))
			if err != nil {
				t.Error(err)
			}
			return text
		}
		pair, err := tls.X509KeyPair(decode("tls.crt"), decode("tls.key"))
		return &pair, err
	}}
	plain.Start()
	encrypted.StartTLS()
	return httpprobe.Client{Place: "outside", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		return listeners[address[strings.LastIndex(address, ":"):]].Dial(ctx, network, address)
	}}
}

// testPod answers as a test pod behind the Ingress, and 404 for other paths.
func testPod(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != ingressPath {
		http.NotFound(w, r)
		return
	}
	fmt.Fprintln(w, probeName+"-1")
}

func anything(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "welcome") }

func refused(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("connection refused")
}

func TestLoadBalancer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer http.HandlerFunc
		change func(*run, *testCluster)
		want   string
	}{
		{"a test pod answers", testPod, nil, ": passed: 192.0.2.100:80 answered by slipway-probe-1, requested from outside"},
		{"something else answers", anything, nil, `: failed: 192.0.2.100:80: answered 200 "welcome", which is not a test pod`},
		{"nothing answers", nil, func(r *run, _ *testCluster) { r.http.Dial = refused }, ": failed: the Service has the address 192.0.2.100, but a request from outside fails: … connection refused"},
		{"the Service gets no address", testPod, func(_ *run, c *testCluster) {
			c.workloads.noAddress = true
			c.Put("{apiVersion: v1, kind: Event, metadata: {name: e, namespace: ns}, message: no available IPs}")
		}, ": failed: the Service of type LoadBalancer has no address: no available IPs, after "},
		{"the inventory has no load balancer", testPod, func(r *run, _ *testCluster) { r.cluster.Addons = nil }, ": skipped: the inventory has no load balancer addon"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, c, _ := setUp(t)
				r.http = serve(t, c, test.answer)
				addons(config.AddonMetalLB)(r.cluster)
				if test.change != nil {
					test.change(r, c)
				}
				outcomes(t, probeOnce(t, r, "load-balancer"), []string{test.want})
			})
		})
	}
}

func TestIngress(t *testing.T) {
	t.Parallel()
	both := func(format string) []string {
		return []string{fmt.Sprintf("w-1 http: "+format, ":80"), fmt.Sprintf("w-1 https: "+format, ":443")}
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		change func(*run, *testCluster)
		want   []string
	}{
		{"a test pod answers on the worker", testPod, nil, []string{
			"w-1 http: passed: 192.0.2.2:80 answered for slipway-validate.test/hostname by slipway-probe-1, requested from outside",
			"w-1 https: passed: 192.0.2.2:443 answered for slipway-validate.test/hostname by slipway-probe-1 with the certificate of the Ingress, requested from outside",
		}},
		{"something else answers for the path", http.NotFound, nil, both(`failed: slipway-validate.test/hostname at 192.0.2.2%s: answered 404 "404 page not found", which is not a test pod`)},
		{"every path is answered", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, probeName+"-1") }, nil, both("failed: 192.0.2.2%s answers 200 instead of 404 for a path that no Ingress has")},
		{"nothing answers", nil, func(r *run, _ *testCluster) { r.http.Dial = refused }, both("failed: request 192.0.2.2%s from outside: … connection refused")},
		{"another certificate is served", testPod, func(_ *run, c *testCluster) {
			certificate, key, err := kube.SelfSigned(ingressHost, time.Hour)
			if err != nil {
				c.t.Fatal(err)
			}
			c.OnCreate(func(object kubetest.Object) {
				if object["kind"] == "Secret" {
					object["data"] = kubetest.Object{"tls.crt": base64.StdEncoding.EncodeToString(certificate), "tls.key": base64.StdEncoding.EncodeToString(key)}
					c.PutObject(object)
				}
			})
		}, []string{"w-1 http: passed: ", "w-1 https: failed: request 192.0.2.2:443 from outside: … certificate"}},
		{"control planes serve the ingress too", testPod, func(r *run, _ *testCluster) { r.cluster.Addons[0].ControlPlanes = true }, []string{
			"cp-1 http: passed: ", "cp-1 https: passed: ", "w-1 http: passed: ", "w-1 https: passed: ",
		}},
		{"the Ingress cannot be created", testPod, func(_ *run, c *testCluster) {
			c.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPatch || !strings.Contains(r.URL.Path, "/ingresses/") {
					return false
				}
				kubetest.Refuse(w, http.StatusForbidden, "Forbidden", "not for you")
				return true
			})
		}, []string{": failed: … not for you"}},
		{"the inventory has no ingress", testPod, func(r *run, _ *testCluster) { r.cluster.Addons = nil }, []string{": skipped: the inventory has no ingress addon"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, c, _ := setUp(t)
				r.http = serve(t, c, test.answer)
				addons(config.AddonTraefik)(r.cluster)
				if test.change != nil {
					test.change(r, c)
				}
				outcomes(t, probeOnce(t, r, "ingress"), test.want)
			})
		})
	}
}

func TestTheIngressClassIsNamedUnlessItIsTheDefault(t *testing.T) {
	t.Parallel()
	no := false
	traefik, nginx := config.Addon{Name: config.AddonTraefik}, config.Addon{Name: config.AddonIngressNginx}
	traefikNotDefault, nginxNotDefault := traefik, nginx
	traefikNotDefault.Default, nginxNotDefault.Default = &no, &no
	tests := []struct {
		name         string
		addons       []config.Addon
		addon, class string
		wanted       bool
	}{
		{"the only ingress is the default", []config.Addon{traefik}, config.AddonTraefik, "", true},
		{"the default is the second one", []config.Addon{traefikNotDefault, nginx}, config.AddonIngressNginx, "", true},
		{"none is the default", []config.Addon{nginxNotDefault, traefikNotDefault}, config.AddonIngressNginx, "nginx", true},
		{"there is none", []config.Addon{{Name: config.AddonMetalLB}}, "", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addon, class, wanted := ingressAddon(&config.Cluster{Addons: test.addons})
			if addon.Name != test.addon || class != test.class || wanted != test.wanted {
				t.Errorf("addon %q, class %q, wanted %v", addon.Name, class, wanted)
			}
		})
	}
}

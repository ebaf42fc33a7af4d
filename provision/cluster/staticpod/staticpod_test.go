package staticpod_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/staticpod"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
	"slipway.io/slipway/templates"
)

const inventory = "hosts: [{name: cp-1, address: 192.0.2.11, roles: [control-plane]}]\n"

// manifest is what kubeadm writes, as far as it is read.
func manifest(name, scheme string) string {
	return fmt.Sprintf(`
spec:
  containers:
  - name: %s
    ports: [{name: probe-port, containerPort: 10259}]
    livenessProbe: {httpGet: {host: 127.0.0.1, path: /livez, port: probe-port, scheme: %s}}
    readinessProbe: {httpGet: {host: 127.0.0.1, path: /readyz, port: probe-port, scheme: %s}}
`, name, scheme, scheme)
}

// dialing is a host on which servers listen, by address.
type dialing struct {
	host.Host
	servers map[string]*httptest.Server
}

func (d dialing) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	server := d.servers[addr]
	if server == nil {
		return nil, net.UnknownNetworkError(addr)
	}
	return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
}

// serve makes a server listen on the host.
func serve(t *testing.T, fixture *workflowtest.Fixture, addr string, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(answer)
	t.Cleanup(server.Close)
	conn, ok := fixture.Hosts.All[0].Conn.(dialing)
	if !ok {
		conn = dialing{fixture.Hosts.All[0].Conn, map[string]*httptest.Server{}}
		fixture.Hosts.All[0].Conn = conn
	}
	conn.servers[addr] = server
	return server
}

func phase(do func(context.Context, *workflow.Step) error) workflow.Phase {
	return workflow.Phase{Name: "test", On: workflow.ControlPlanes, Do: do}
}

func restarting(names ...string) workflow.Phase {
	return phase(func(ctx context.Context, s *workflow.Step) error { return staticpod.Restart(ctx, s, names...) })
}

func stops(fake *hosttest.Fake, name string, ids ...string) *hosttest.Expectation {
	argv := []string{"sh", "-c", string(templates.Script("staticpod/staticpod.sh")), "staticpod.sh", "stop", name}
	return fake.ExpectRun(append(argv, ids...)...)
}

func lists(fake *hosttest.Fake, name, ids string) {
	fake.ExpectQueryScript("staticpod.sh", "list", name).Returns(ids)
}

func TestRestartWaitsForAnotherContainerThatIsReady(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	fake := fixture.Host("cp-1")
	fake.InOrder()
	fake.Put("/etc/kubernetes/manifests/kube-scheduler.yaml", manifest("kube-scheduler", "HTTPS"))
	asked := 0
	serve(t, fixture, "127.0.0.1:10259", func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 || r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	lists(fake, "kube-scheduler", "old\n")
	stops(fake, "kube-scheduler", "old")
	lists(fake, "kube-scheduler", "old\n") // it has not ended yet
	lists(fake, "kube-scheduler", "")
	lists(fake, "kube-scheduler", "new\n")
	fixture.MustApply(restarting("kube-scheduler"))
	if asked != 2 {
		t.Errorf("the probe was asked %d times", asked)
	}
}

func TestAPlanOfARestartWaitsForNothing(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
		fixture.Host("cp-1").Put("/etc/kubernetes/manifests/"+name+".yaml", manifest(name, "HTTPS"))
		lists(fixture.Host("cp-1"), name, "old\n")
	}
	fixture.MustPlan(restarting("kube-controller-manager", "kube-scheduler"))
	if diff := cmp.Diff([]string{"run restart static pod kube-controller-manager", "run restart static pod kube-scheduler"}, fixture.Changes()); diff != "" {
		t.Error(diff)
	}
}

func TestNothingIsStoppedWithoutAManifest(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	if err := fixture.Apply(restarting("kube-scheduler")); err == nil || !strings.Contains(err.Error(), "restart kube-scheduler:") {
		t.Errorf("got %v", err)
	}
}

// A killed run has stopped it, and kubelet is about to start it.
func TestARestartThatWasKilledOnlyWaits(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	fixture.Host("cp-1").Put("/etc/kubernetes/manifests/kube-scheduler.yaml", manifest("kube-scheduler", "HTTPS"))
	serve(t, fixture, "127.0.0.1:10259", func(http.ResponseWriter, *http.Request) {})
	lists(fixture.Host("cp-1"), "kube-scheduler", "")
	lists(fixture.Host("cp-1"), "kube-scheduler", "new\n")
	fixture.MustApply(restarting("kube-scheduler"))
	if got := fixture.Changes(); len(got) > 0 {
		t.Errorf("changed %q", got)
	}
}

// etcd serves the gateway of the member 1 of cp-1, and members 2 and 3, of which some are
// down.
func etcd(t *testing.T, fixture *workflowtest.Fixture, leader string, down ...string) (moved *string) {
	t.Helper()
	moved = new(string)
	var mu sync.Mutex
	member := func(id string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Path == "/v3/maintenance/transfer-leadership" {
				*moved = id + " " + string(body)
			}
			fmt.Fprintf(w, `{"header":{"member_id":%q},"leader":%q,"members":[
				{"ID":"1","name":"cp-1","clientURLs":["https://192.0.2.11:2379"]},
				{"ID":"2","name":"cp-2","clientURLs":["https://127.0.0.1:22379"]},
				{"ID":"3","name":"cp-3","clientURLs":["https://127.0.0.1:32379"]},
				{"ID":"4","isLearner":true}]}`, id, leader)
		}
	}
	own := serve(t, fixture, "127.0.0.1:2379", member("1"))
	key, err := x509.MarshalPKCS8PrivateKey(own.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate().Raw}))
	fake := fixture.Host("cp-1")
	fake.Put("/etc/kubernetes/pki/etcd/ca.crt", certificate)
	fake.Put("/etc/kubernetes/pki/etcd/healthcheck-client.crt", certificate)
	fake.Put("/etc/kubernetes/pki/etcd/healthcheck-client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	for i, id := range []string{"2", "3"} {
		if !strings.Contains(strings.Join(down, " "), id) {
			serve(t, fixture, fmt.Sprintf("127.0.0.1:%d2379", i+2), member(id))
		}
	}
	return moved
}

func TestLeadershipMovesToAHealthyMember(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		leader string
		down   []string
		moved  string
		want   string // of the error
	}{
		"the host leads":                {leader: "1", moved: `1 {"targetID":"2"}`},
		"another host leads":            {leader: "3"},
		"another member is down":        {leader: "1", down: []string{"2"}, want: "etcd would lose its majority without the member of cp-1: member cp-2:"},
		"a follower, and one is down":   {leader: "2", down: []string{"3"}, want: "etcd would lose its majority without the member of cp-1: member cp-3:"},
		"the host leads, both are down": {leader: "1", down: []string{"2", "3"}, want: "member cp-3:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fixture := workflowtest.New(t, inventory)
			moved := etcd(t, fixture, test.leader, test.down...)
			err := fixture.Apply(phase(staticpod.MoveLeader))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v", err)
			}
			if *moved != test.moved {
				t.Errorf("moved %q, want %q", *moved, test.moved)
			}
			if got := len(fixture.Changes()); got != min(len(test.moved), 1) {
				t.Errorf("%d changes", got)
			}
		})
	}
}

func TestAPlanMovesNoLeader(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	moved := etcd(t, fixture, "1")
	fixture.MustPlan(phase(staticpod.MoveLeader))
	if diff := cmp.Diff([]string{"move the leadership of etcd to cp-2"}, fixture.Changes()); diff != "" || *moved != "" {
		t.Errorf("moved %q: %s", *moved, diff)
	}
}

// An etcd whose others would lose the majority is not stopped.
func TestAnEtcdThatIsNeededIsNotStopped(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, inventory)
	etcd(t, fixture, "2", "3")
	fixture.Host("cp-1").Put("/etc/kubernetes/manifests/etcd.yaml", manifest("etcd", "HTTP"))
	lists(fixture.Host("cp-1"), "etcd", "old\n")
	if err := fixture.Apply(restarting("etcd")); err == nil || !strings.Contains(err.Error(), "majority") {
		t.Errorf("got %v", err)
	}
}

package nodes

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// fakeEtcd is the etcd of a cluster: each host with a gateway answers for its member,
// whose ID is the last digit of the host's name.
type fakeEtcd struct {
	mu      sync.Mutex
	members []fakeMember
	removed []string
}

// fakeMember is a member. Its ID is the digit at the end of its name or peer URL.
type fakeMember struct {
	name, peer string
	learner    bool
	// stopped: its gateway does not answer.
	stopped bool
	// client is its client URL, if no control plane of the inventory has it.
	client string
}

func (m fakeMember) id() string { return m.peer[len(m.peer)-1:] }

// started is the member of a control plane.
func started(name string) fakeMember {
	return fakeMember{name: name, peer: "192.0.2.1" + name[len(name)-1:]}
}

func learning(name string) fakeMember  { m := started(name); m.learner = true; return m }
func announced(name string) fakeMember { m := learning(name); m.name = ""; return m }
func silent(name string) fakeMember    { m := started(name); m.stopped = true; return m }

func (e *fakeEtcd) put(m fakeMember) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.members = append(slices.DeleteFunc(e.members, func(old fakeMember) bool { return old.peer == m.peer }), m)
}

func (e *fakeEtcd) answer(w http.ResponseWriter, r *http.Request, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	own := slices.IndexFunc(e.members, func(m fakeMember) bool { return m.id() == id })
	if own < 0 || e.members[own].stopped || e.members[own].name == "" {
		http.Error(w, "no member runs here", http.StatusServiceUnavailable)
		return
	}
	switch r.URL.Path {
	case "/v3/cluster/member/list":
		if e.members[own].learner {
			http.Error(w, "rpc not supported for learner", http.StatusServiceUnavailable)
			return
		}
		var list []map[string]any
		for _, m := range e.members {
			member := map[string]any{"ID": m.id(), "name": m.name, "peerURLs": []string{"https://" + m.peer + ":2380"}, "isLearner": m.learner}
			if m.client != "" {
				member["clientURLs"] = []string{m.client}
			}
			list = append(list, member)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"members": list})
	case "/v3/maintenance/status":
		fmt.Fprintf(w, `{"header":{"member_id":%q},"leader":"1","raftTerm":"2","raftIndex":"10","raftAppliedIndex":"10"}`, id)
	case "/v3/kv/range":
		fmt.Fprint(w, `{}`)
	case "/v3/cluster/member/remove":
		var request struct{ ID string }
		_ = json.NewDecoder(r.Body).Decode(&request)
		e.removed = append(e.removed, request.ID)
		e.members = slices.DeleteFunc(e.members, func(m fakeMember) bool { return m.id() == request.ID })
		fmt.Fprint(w, `{}`)
	default:
		http.NotFound(w, r)
	}
}

// etcdHost is a control plane on which etcd may run. Its API server is that of the test.
type etcdHost struct {
	host.Host
	gateway string
	// apiServers is where the API server of the test is, by the address that is dialed.
	apiServers map[string]string
}

// serveAt lets the API server answer at these addresses of control planes.
func serveAt(fixture *workflowtest.Fixture, server *kubetest.Server, addresses ...string) {
	for _, h := range fixture.Hosts.ControlPlanes() {
		for _, address := range addresses {
			h.Conn.(etcdHost).apiServers[address] = strings.TrimPrefix(server.URL(), "https://")
		}
	}
}

func (h etcdHost) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	switch {
	case strings.HasSuffix(addr, ":2379"):
		addr = h.gateway
	case h.apiServers[addr] != "":
		addr = h.apiServers[addr]
	case strings.HasSuffix(addr, ":6444"):
		return nil, &net.OpError{Op: "dial", Err: fmt.Errorf("%s: connection refused", addr)}
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// serveEtcd starts the gateways of the control planes, and of the members that none of them
// has.
func serveEtcd(t *testing.T, fixture *workflowtest.Fixture, members ...fakeMember) *fakeEtcd {
	t.Helper()
	etcd := &fakeEtcd{members: members}
	gateway := func(id string) *httptest.Server {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { etcd.answer(w, r, id) }))
		t.Cleanup(server.Close)
		return server
	}
	planes := fixture.Hosts.ControlPlanes()
	for i, m := range members {
		if !slices.ContainsFunc(planes, func(h *workflow.Host) bool { return strings.HasSuffix(h.Config.Name, m.id()) }) {
			etcd.members[i].client = gateway(m.id()).URL
		}
	}
	for _, h := range planes {
		name := h.Config.Name
		server := gateway(name[len(name)-1:])
		key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
		fake := fixture.Host(name)
		// The certificate of the server is its CA and that of the client too.
		fake.Put("/etc/kubernetes/pki/etcd/ca.crt", certificate)
		fake.Put("/etc/kubernetes/pki/etcd/healthcheck-client.crt", certificate)
		fake.Put("/etc/kubernetes/pki/etcd/healthcheck-client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
		h.Conn = etcdHost{h.Conn, server.Listener.Addr().String(), map[string]string{}}
	}
	return etcd
}

package workflowtest

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// ServeEtcd runs a gateway of etcd on a host, with members in JSON, and returns the
// requests for removals that it received. Connections to the loopback are dialed from
// localhost, as those to a server of kubetest.New.
func (b *Fixture) ServeEtcd(name string, members ...string) (removed *[]string) {
	b.t.Helper()
	removed = new([]string)
	var mu sync.Mutex
	var own struct{ ID, Name string }
	for _, m := range members {
		if own.Name == name {
			break
		}
		if err := json.Unmarshal([]byte(m), &own); err != nil {
			b.t.Fatal(err)
		}
	}
	electing := slices.Contains(b.Electing, name)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		switch remove := r.URL.Path == "/v3/cluster/member/remove"; {
		case slices.Contains(b.CutOff, name) && (remove || r.URL.Path == "/v3/kv/range"):
			http.Error(w, `{"message":"etcdserver: request timed out"}`, http.StatusServiceUnavailable)
			return
		case remove:
			*removed = append(*removed, string(body))
		}
		leader := "1"
		if electing && r.URL.Path == "/v3/maintenance/status" {
			leader, electing = "0", false
		}
		// The answer to every request: a list of members, or a status with a leader.
		fmt.Fprintf(w, `{"header":{"member_id":%q},"leader":%q,"members":[%s]}`, cmp.Or(own.ID, "0"), leader, strings.Join(members, ","))
	}))
	b.t.Cleanup(server.Close)
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		b.t.Fatal(err)
	}
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	fake := b.fakes[name]
	fake.Put("/etc/kubernetes/pki/etcd/ca.crt", certificate)
	fake.Put("/etc/kubernetes/pki/etcd/healthcheck-client.crt", certificate)
	fake.Put("/etc/kubernetes/pki/etcd/healthcheck-client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	for _, h := range b.Hosts.WithLeaving().All {
		if h.Config.Name == name {
			h.Conn = dialing{fake, func(ctx context.Context, network, addr string) (net.Conn, error) {
				if strings.HasSuffix(addr, ":2379") {
					addr = server.Listener.Addr().String()
				}
				return b.dial(ctx, network, addr)
			}}
		}
	}
	return removed
}

package preflight

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"

	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/facts"
	"slipway.io/slipway/provision/workflow/workflowtest"
)

// dialed is a host that says when a connection is opened through it.
type dialed struct {
	host.Host
	say func()
}

func (d dialed) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	d.say()
	return d.Host.(host.Dialer).DialContext(ctx, network, addr)
}

func TestEtcdIsReadWhileTheAPIServerHangs(t *testing.T) {
	t.Parallel()
	fixture := workflowtest.New(t, two)
	fixture.Facts("cp-1").Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.KubeletConfig}
	fixture.ServeEtcd("cp-1", `{"ID":"1","name":"cp-1"}`)
	asked := make(chan struct{})
	cp1 := fixture.Hosts.All[0]
	cp1.Conn = dialed{cp1.Conn, sync.OnceFunc(func() { close(asked) })}
	errHangs := errors.New("the API server hangs")
	state := observe(t.Context(), fixture.Cluster, fixture.Hosts, func(ctx context.Context) (*kube.Client, error) {
		select {
		case <-asked:
		case <-ctx.Done():
		}
		return nil, errHangs
	}, false)
	if !errors.Is(state.Silent, errHangs) || state.MembersErr != nil || !state.EtcdAnswers("cp-1") {
		t.Errorf("got %+v", state)
	}
}

// authority returns the certificate of a new CA in PEM.
func authority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// An absent host may stay in the inventory when another cluster uses it.
func TestAnAbsentHostOfAnotherClusterIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		node          string // of the cluster
		elsewhere     bool
		wantConflicts int
	}{
		{"it has left", "cp-1", true, 0},
		{"the cluster has a node of its name", "cp-3", false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fixture, server := workflowtest.New(t, leavingInventory("present", "present", "absent")), kubetest.New(t)
			for _, name := range []string{"cp-1", "cp-3"} {
				f := fixture.Facts(name)
				f.Existing = []facts.Path{facts.CAKey, facts.EtcdMember, facts.KubeletConf, facts.Journal}
				f.Kubernetes.Certificates = []facts.Certificate{{Path: "/etc/kubernetes/pki/ca.crt", PEM: authority(t)}}
			}
			fixture.Serve(server)
			server.Put("{apiVersion: v1, kind: Node, metadata: {name: " + test.node + "}}")
			fixture.MustApply(Cluster())
			if state := fixture.Hosts.State(); !state.Answers() {
				t.Fatal(state.Silent)
			}
			if got := len(fixture.Hosts.Elsewhere) == 1 && len(fixture.Hosts.Leaving) == 0; got != test.elsewhere {
				t.Errorf("leaving %d, elsewhere %d", len(fixture.Hosts.Leaving), len(fixture.Hosts.Elsewhere))
			}
			cc := &checkContext{cluster: fixture.Cluster, hosts: hostsRead(fixture.Hosts), unmeasured: "none", state: fixture.Hosts.State()}
			if found := clusterIdentity(cc); len(found) != test.wantConflicts {
				t.Errorf("got %+v", found)
			}
		})
	}
}

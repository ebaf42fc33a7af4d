package certificates

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/workflow/workflowtest"
	"slipway.io/slipway/templates"
)

// piped is a host on which a server listens without a network.
type piped struct {
	host.Host
	current func() *tls.Certificate
}

func (p piped) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		_ = tls.Server(server, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return p.current(), nil
		}}).HandshakeContext(ctx)
	}()
	return client, nil
}

func TestAServerThatDoesNotReadItsCertificateAgainIsRestarted(t *testing.T) {
	t.Parallel()
	for name, restartHelps := range map[string]bool{"a restart helps": true, "nothing helps": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				before := onHost{certificates: map[string]tls.Certificate{apiServer: certificate(t, 30)}}
				old, renewed := before.certificates[apiServer], certificate(t, 365)
				var restarted atomic.Bool
				fixture := workflowtest.New(t, inventory)
				fixture.Facts("cp-1").Kubernetes = before.kubernetes()
				fixture.Hosts.All[0].Conn = piped{fixture.Hosts.All[0].Conn, func() *tls.Certificate {
					if restarted.Load() && restartHelps {
						return &renewed
					}
					return &old
				}}
				fake := fixture.Host("cp-1")
				readsFacts(fake, before)
				runsKubeadm(fake, "apiserver")
				readsFacts(fake, before.with(map[string]tls.Certificate{apiServer: renewed}))
				fake.Put("/etc/kubernetes/manifests/kube-apiserver.yaml", "spec: {containers: [{name: kube-apiserver}]}")
				fake.ExpectQueryScript("staticpod.sh", "list", "kube-apiserver").Returns("old\n")
				fake.ExpectRun("sh", "-c", string(templates.Script("staticpod/staticpod.sh")), "staticpod.sh", "stop", "kube-apiserver", "old").
					Then(func() { restarted.Store(true) })
				fake.ExpectQueryScript("staticpod.sh", "list", "kube-apiserver").Returns("new\n")
				err := fixture.Apply(ControlPlanes())
				if restartHelps && err != nil || !restartHelps && (err == nil || !strings.Contains(err.Error(), "verify that "+apiServer+" is served: ")) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

package preflight

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"slipway.io/slipway/provision/cluster/kube"
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
	state := observe(t.Context(), fixture.Hosts, func(ctx context.Context) (*kube.Client, error) {
		select {
		case <-asked:
		case <-ctx.Done():
		}
		return nil, errHangs
	})
	if !errors.Is(state.Silent, errHangs) || state.MembersErr != nil || !state.EtcdAnswers("cp-1") {
		t.Errorf("got %+v", state)
	}
}

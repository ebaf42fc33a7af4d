package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"slipway.io/slipway/provision/cluster/kubetest"
	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

var (
	errPoweredOff = errors.New("no route to host")
	errRefused    = errors.New("connection refused")
)

// controlPlane is a host whose SSH connection leads to an API server, until it
// is powered off.
type controlPlane struct {
	*hosttest.Fake
	server string // host:port
	off    atomic.Bool
	dials  atomic.Int32
	// port is where the API server listens: other addresses are refused. Empty: all
	// addresses lead to it.
	port string

	mu    sync.Mutex
	conns []net.Conn
}

func (c *controlPlane) ReadFile(ctx context.Context, path string) ([]byte, error) {
	if c.off.Load() {
		return nil, errPoweredOff
	}
	return c.Fake.ReadFile(ctx, path)
}

func (c *controlPlane) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.off.Load() {
		return nil, errPoweredOff
	}
	if c.port != "" && addr != c.port {
		return nil, errRefused
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, c.server)
	if err != nil {
		return nil, err
	}
	c.dials.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return conn, nil
}

// powerOff ends what goes through the host, and all that comes after.
func (c *controlPlane) powerOff() {
	c.off.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

// controlPlanes are hosts with the admin.conf of one API server, which only they
// can dial.
func controlPlanes(t *testing.T, server *kubetest.Server, names ...string) ([]*controlPlane, []host.Host) {
	t.Helper()
	target, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	var all []*controlPlane
	var hosts []host.Host
	for _, name := range names {
		c := &controlPlane{Fake: hosttest.NewFake(t, name), server: target.Host}
		c.Put(AdminConf, string(server.Kubeconfig("https://127.0.0.1:1")))
		all, hosts = append(all, c), append(hosts, c)
	}
	return all, hosts
}

func mustConnect(t *testing.T, hosts []host.Host) *Client {
	t.Helper()
	client, err := Connect(t.Context(), hosts, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// dials are the connections through each host: one that asks whether the API server
// is ready, and one to use.
func dials(all []*controlPlane) []int {
	var counts []int
	for _, c := range all {
		counts = append(counts, int(c.dials.Load()))
	}
	return counts
}

func TestConnectSkipsControlPlanesThatAreDown(t *testing.T) {
	t.Parallel()
	all, hosts := controlPlanes(t, kubetest.New(t), "cp-1", "cp-2", "cp-3")
	all[0].powerOff()
	if _, err := mustConnect(t, hosts).APIs(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]int{0, 2, 0}, dials(all)); diff != "" {
		t.Error(diff)
	}
}

func TestConnectSkipsControlPlanesThatHaveNotJoined(t *testing.T) {
	t.Parallel()
	all, hosts := controlPlanes(t, kubetest.New(t), "cp-1", "cp-2")
	all[0].Remove(AdminConf)
	if _, err := mustConnect(t, hosts).APIs(); err != nil {
		t.Error(err)
	}
}

func TestAClientContinuesThroughAnotherControlPlane(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t)
	all, hosts := controlPlanes(t, server, "cp-1", "cp-2", "cp-3")
	client := mustConnect(t, hosts)
	list := func() {
		t.Helper()
		if _, err := client.Clientset().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
	}
	list()
	list()
	all[0].powerOff()
	list()
	all[1].powerOff()
	list()
	if diff := cmp.Diff([]int{2, 2, 2}, dials(all)); diff != "" {
		t.Error(diff)
	}
}

func TestConnectNamesEveryControlPlaneThatIsDown(t *testing.T) {
	t.Parallel()
	all, hosts := controlPlanes(t, kubetest.New(t), "cp-1", "cp-2")
	all[0].powerOff()
	all[1].Remove(AdminConf)
	_, err := Connect(t.Context(), hosts, Options{})
	want := "no control plane gives access to the API server: cp-1: no route to host; cp-2: "
	if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, errPoweredOff) {
		t.Errorf("got %v, want %s…", err, want)
	}
	if errors.Is(err, fs.ErrNotExist) {
		t.Error("the cluster is said not to exist, although cp-1 may have it")
	}
}

func TestAClientNamesEveryControlPlaneThatWentAway(t *testing.T) {
	t.Parallel()
	all, hosts := controlPlanes(t, kubetest.New(t), "cp-1", "cp-2")
	client := mustConnect(t, hosts)
	all[0].powerOff()
	all[1].powerOff()
	_, err := client.ApplySets(t.Context())
	if want := "cp-1: no route to host; cp-2: no route to host"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want …%s", err, want)
	}
}

func TestWithoutAnyAdminConfThereIsNoCluster(t *testing.T) {
	t.Parallel()
	_, err := Connect(t.Context(), []host.Host{hosttest.NewFake(t, "cp-1"), hosttest.NewFake(t, "cp-2")}, Options{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "there is no cluster yet") {
		t.Errorf("got %v", err)
	}
}

// silent is a host that never answers.
type silent struct{ host.Host }

func (silent) String() string { return "silent" }

func (silent) ReadFile(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestConnectDoesNotWaitForASilentControlPlane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		healthy := hosttest.NewFake(t, "cp-3")
		healthy.Put(AdminConf, "the kubeconfig")
		start := time.Now()
		conf, from, err := ReadAdminConf(t.Context(), []host.Host{silent{}, silent{}, healthy})
		if err != nil || string(conf) != "the kubeconfig" || from != 2 {
			t.Errorf("got %q of host %d, %v", conf, from, err)
		}
		if took := time.Since(start); took != 2*headStart {
			t.Errorf("it took %s, want the head start of two hosts", took)
		}
	})
}

// late answers after the next host was asked.
type late struct {
	host.Host
	name   string
	after  time.Duration
	closed chan struct{}
}

func (l late) String() string { return l.name }

func (l late) DialContext(context.Context, string, string) (net.Conn, error) {
	<-time.After(l.after)
	near, _ := net.Pipe()
	return closeTold{near, l.closed}, nil
}

type closeTold struct {
	net.Conn
	closed chan struct{}
}

func (c closeTold) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

func TestALateConnectionIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := late{name: "slow", after: 2 * headStart, closed: make(chan struct{})}
		fast := late{name: "fast", closed: make(chan struct{})}
		r := &route{hosts: []host.Host{slow, fast}}
		conn, err := r.dial(t.Context(), "tcp", "192.0.2.1:6443")
		if err != nil {
			t.Fatal(err)
		}
		<-slow.closed
		select {
		case <-fast.closed:
			t.Error("the connection in use is closed")
		default:
		}
		if r.last.Load() != 1 {
			t.Error("the next dial begins with the host that did not answer")
		}
		conn.Close()
	})
}

func TestAClientPrefersAControlPlaneWhoseAPIServerIsReady(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		ready []bool
		want  []int
	}{
		{"the second and the third", []bool{false, true, true}, []int{1, 2, 0}},
		{"the last", []bool{false, false, true}, []int{1, 1, 2}},
		{"none: the first answers", []bool{false, false, false}, []int{2, 1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var all []*controlPlane
			var hosts []host.Host
			var ca []byte
			for i, ready := range test.ready {
				server := kubetest.New(t)
				server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
					if ready || r.URL.Path != "/readyz" {
						return false
					}
					http.Error(w, "etcd failed", http.StatusInternalServerError)
					return true
				})
				one, host := controlPlanes(t, server, fmt.Sprintf("cp-%d", i+1))
				all, hosts, ca = append(all, one...), append(hosts, host...), append(ca, server.CA()...)
			}
			// The servers have certificates of their own.
			conf, err := clientcmd.Load([]byte(mustRead(t, all[0])))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range conf.Clusters {
				c.CertificateAuthorityData = ca
			}
			text, err := clientcmd.Write(*conf)
			if err != nil {
				t.Fatal(err)
			}
			all[0].Put(AdminConf, string(text))
			if _, err := mustConnect(t, hosts).APIs(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(test.want, dials(all)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func mustRead(t *testing.T, c *controlPlane) string {
	t.Helper()
	conf, err := c.ReadFile(t.Context(), AdminConf)
	if err != nil {
		t.Fatal(err)
	}
	return string(conf)
}

func TestAControlPlaneDialsItsOwnAPIServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, listens string
		err           string
	}{
		{"on its port", "127.0.0.1:6444", ""},
		{"or what the kubeconfig names, if nothing listens there", "127.0.0.1:1", ""},
		{"and nothing else", "127.0.0.1:6443", "connection refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			all, hosts := controlPlanes(t, kubetest.New(t), "cp-1")
			all[0].port = test.listens
			client, err := Connect(t.Context(), hosts, Options{Port: 6444})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.APIs(); (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
		})
	}
}

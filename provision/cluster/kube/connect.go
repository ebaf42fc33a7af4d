package kube

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"slipway.io/slipway/provision/host"
)

// AdminConf is where kubeadm writes the administrator's kubeconfig.
const AdminConf = "/etc/kubernetes/admin.conf"

// headStart is how long a control plane has to answer before the next one is
// tried as well. A failure ends it.
const headStart = 2 * time.Second

// readinessTimeout bounds the question whether an API server is ready.
const readinessTimeout = 3 * time.Second

// Connect returns a client that reaches the API server through any of the
// control planes: it reads admin.conf on the first one that has it, and dials
// through the first one whose API server is ready, or else through the first one
// that gets a connection. When that one goes away, the client continues through
// another. A host that is no host.Dialer is dialed from localhost.
//
// If no control plane has the file, or none answers, the error is a
// *ConnectError.
func Connect(ctx context.Context, controlPlanes []host.Host, options Options) (*Client, error) {
	conf, from, err := ReadAdminConf(ctx, controlPlanes)
	if err != nil {
		return nil, err
	}
	r := &route{hosts: controlPlanes, port: options.Port}
	r.last.Store(int32(from))
	client, err := newClient(conf, r.dial, options)
	if err != nil || len(controlPlanes) == 1 {
		return client, err
	}
	if r.tls, err = rest.TLSConfigFor(client.config); err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", client.config.Host, err)
	}
	r.server = client.config.Host
	return client, nil
}

// ReadAdminConf reads admin.conf on the first control plane that has it. from
// is the index of that host. An error is a *ConnectError.
func ReadAdminConf(ctx context.Context, controlPlanes []host.Host) (conf []byte, from int, err error) {
	read := func(ctx context.Context, h host.Host) ([]byte, error) { return h.ReadFile(ctx, AdminConf) }
	return firstAnswer(ctx, controlPlanes, 0, read, func([]byte) {})
}

// ConnectError says why no control plane gives access to the API server.
type ConnectError struct {
	// Reasons has an error for each control plane, which begins with its name.
	Reasons []error
}

func (e *ConnectError) Error() string {
	if e.noCluster() {
		return "there is no cluster yet: no control plane has " + AdminConf
	}
	texts := make([]string, 0, len(e.Reasons))
	for _, reason := range e.Reasons {
		texts = append(texts, reason.Error())
	}
	return "no control plane gives access to the API server: " + strings.Join(texts, "; ")
}

// Unwrap returns the reasons. A missing file counts only if all control planes
// lack it: one that does not answer may have it.
func (e *ConnectError) Unwrap() []error {
	if e.noCluster() {
		return e.Reasons
	}
	var known []error
	for _, reason := range e.Reasons {
		if !errors.Is(reason, fs.ErrNotExist) {
			known = append(known, reason)
		}
	}
	return known
}

func (e *ConnectError) noCluster() bool {
	for _, reason := range e.Reasons {
		if !errors.Is(reason, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// route dials through the control plane that answered last, and through
// another one if that fails.
type route struct {
	hosts []host.Host
	port  int // see Options.Port
	last  atomic.Int32
	// tls and server, the URL of the API server, serve to ask whether it is ready. tls
	// is nil if there is no choice.
	tls    *tls.Config
	server string
}

func (r *route) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	anyone := func(ctx context.Context, h host.Host) (net.Conn, error) { return r.through(ctx, h, network, addr) }
	ready := func(ctx context.Context, h host.Host) (net.Conn, error) {
		if err := r.ready(ctx, h); err != nil {
			return nil, err
		}
		return anyone(ctx, h)
	}
	asks := []func(context.Context, host.Host) (net.Conn, error){ready, anyone}
	if r.tls == nil {
		asks = asks[1:]
	}
	var failed error
	for _, ask := range asks {
		conn, through, err := firstAnswer(ctx, r.hosts, int(r.last.Load()), ask, func(late net.Conn) { late.Close() })
		if err == nil {
			r.last.Store(int32(through))
			return conn, nil
		}
		failed = err
	}
	return nil, failed
}

// through dials the API server of a control plane, and what the kubeconfig names if
// nothing listens on its port.
func (r *route) through(ctx context.Context, h host.Host, network, addr string) (net.Conn, error) {
	dialer, ok := h.(host.Dialer)
	if !ok {
		return directDial(ctx, network, addr)
	}
	if r.port == 0 {
		return dialer.DialContext(ctx, network, addr)
	}
	own := net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))
	conn, err := dialer.DialContext(ctx, network, own)
	if err == nil || own == addr {
		return conn, err
	}
	if conn, other := dialer.DialContext(ctx, network, addr); other == nil {
		return conn, nil
	}
	return nil, err
}

// ready returns an error unless the API server that a control plane reaches is ready.
func (r *route) ready(ctx context.Context, h host.Host) error {
	ctx, cancel := context.WithTimeout(ctx, readinessTimeout)
	defer cancel()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return r.through(ctx, h, network, addr)
		},
		TLSClientConfig: r.tls.Clone(), DisableKeepAlives: true,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.server, "/")+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New("its API server is not ready: " + response.Status)
	}
	return nil
}

// attempt is how one host answered.
type attempt[T any] struct {
	index  int
	answer T
	err    error
}

// firstAnswer asks the hosts in turn, beginning with hosts[first], and returns
// the first answer and the index of its host. The next host is asked when one
// fails, or has not answered within its head start. Answers that come too late
// are discarded.
func firstAnswer[T any](
	ctx context.Context, hosts []host.Host, first int,
	ask func(context.Context, host.Host) (T, error), discard func(T),
) (answer T, from int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attempts := make(chan attempt[T], len(hosts))
	reasons := make([]error, len(hosts))
	asked, failed := 0, 0
	for failed < len(hosts) {
		var next <-chan time.Time
		if asked < len(hosts) {
			index := (first + asked) % len(hosts)
			go func() {
				answer, err := ask(ctx, hosts[index])
				attempts <- attempt[T]{index, answer, err}
			}()
			asked++
			next = time.After(headStart)
		}
		select {
		case a := <-attempts:
			if a.err == nil {
				go discardLate(attempts, asked-failed-1, discard)
				return a.answer, a.index, nil
			}
			reasons[a.index] = naming(hosts[a.index], a.err)
			failed++
		case <-next:
		}
	}
	return answer, 0, &ConnectError{Reasons: reasons}
}

func discardLate[T any](attempts <-chan attempt[T], count int, discard func(T)) {
	for range count {
		if a := <-attempts; a.err == nil {
			discard(a.answer)
		}
	}
}

// naming puts the host's name before an error that does not begin with it.
func naming(h host.Host, err error) error {
	if strings.HasPrefix(err.Error(), h.String()+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", h, err)
}

package validate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientexec "k8s.io/client-go/util/exec"

	"slipway.io/slipway/provision/cluster/kube"
)

const (
	// proxyTimeout bounds a request through the API server's proxy; agnhost
	// gives up after 5 s.
	proxyTimeout = 7 * time.Second
	// connectTimeout is the --timeout of agnhost connect.
	connectTimeout = "3s"
	// logLimit bounds what is read of a log, in bytes.
	logLimit int64 = 16 << 10
)

// prober acts in a test pod, or on it.
type prober interface {
	// send has the pod send one request. The error wraps errNoSuchHost if the
	// resolver of the pod answers that the host does not exist, and errUnanswered if
	// the host does not answer or refuses the connection.
	send(ctx context.Context, pod string, q request) (response, error)
	// exec runs a command in the pod and returns its standard output.
	exec(ctx context.Context, pod string, argv ...string) (string, error)
	// logs reads the log of the pod.
	logs(ctx context.Context, pod string) (string, error)
}

// request is what a test pod sends.
type request struct {
	// protocol is "http" or "udp".
	protocol string
	host     string
	port     int
	// payload is the path of an HTTP request without the leading slash, or the
	// data of a UDP packet.
	payload string
	// whole: the payload must arrive; a connection alone says nothing.
	whole bool
}

func (q request) address() string { return net.JoinHostPort(q.host, strconv.Itoa(q.port)) }

// hostname requests the name of the pod that answers.
func hostname(host string, port int) request {
	return request{protocol: "http", host: host, port: port, payload: "hostname"}
}

// response is what a test pod received.
type response struct {
	// body is empty if connectedOnly is set.
	body string
	// connectedOnly says why the pod could only open a connection: the API
	// server cannot reach it through its proxy.
	connectedOnly string
}

// by says who answered, as evidence.
func (a response) by() string {
	if a.connectedOnly != "" {
		return "a connection (" + a.connectedOnly + ")"
	}
	return a.body
}

var (
	errNoSuchHost = errors.New("no such host")
	errUnanswered = errors.New("timed out or refused")
)

// requestError is a failed request of a pod, in the words of agnhost.
type requestError struct {
	message string
	// kind is errNoSuchHost, errUnanswered or nil.
	kind error
}

func (e *requestError) Error() string { return e.message }
func (e *requestError) Unwrap() error { return e.kind }

// unanswered are the words of agnhost connect, and those of Go's net and net/http
// that /dial of agnhost returns.
var unanswered = []string{"TIMEOUT", "REFUSED", "i/o timeout", "Client.Timeout exceeded", "connection refused"}

func newRequestError(message string) error {
	e := &requestError{message: head(strings.TrimSpace(message), 400)}
	switch {
	case strings.HasSuffix(e.message, errNoSuchHost.Error()):
		e.kind = errNoSuchHost
	case strings.Contains(e.message, "lookup "): // it is the name server that does not answer
	case slices.ContainsFunc(unanswered, func(words string) bool { return strings.Contains(e.message, words) }):
		e.kind = errUnanswered
	}
	return e
}

// podProber requests /dial of agnhost through the proxy of the API server. Where
// the API server cannot reach a pod, podProber runs agnhost connect in it
// instead: kubelet starts it, but it shows only that a connection opens.
type podProber struct {
	client    *kube.Client
	namespace string
	scale     timeoutScale

	mu sync.Mutex
	// misses counts, by pod, the requests in a row that the proxy did not
	// deliver; lastMiss is the reason of the last one.
	misses   map[string]int
	lastMiss map[string]string
}

func newPodProber(client *kube.Client, namespace string, scale timeoutScale) *podProber {
	return &podProber{client: client, namespace: namespace, scale: scale, misses: make(map[string]int), lastMiss: make(map[string]string)}
}

// maxProxyMisses is how many requests in a row the proxy may fail to deliver
// before podProber stops using it for that pod: there may briefly be no route to
// a new pod.
const maxProxyMisses = 2

// proxyError: the API server did not reach the pod.
type proxyError struct{ err error }

func (e *proxyError) Error() string {
	return "the API server cannot reach the pod through its proxy: " + e.err.Error()
}
func (e *proxyError) Unwrap() error { return e.err }

func (p *podProber) send(ctx context.Context, pod string, q request) (response, error) {
	if why := p.unreachable(pod); why != "" {
		return p.connect(ctx, pod, q, why)
	}
	got, err := p.dial(ctx, pod, q)
	// A large response that does not arrive says something about the pod
	// network, not about the proxy.
	if !q.whole {
		p.count(pod, err)
	}
	return got, err
}

// unreachable says why the proxy is not used for a pod any more; empty while it
// is.
func (p *podProber) unreachable(pod string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.misses[pod] < maxProxyMisses {
		return ""
	}
	return p.lastMiss[pod]
}

func (p *podProber) count(pod string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var missed *proxyError
	if !errors.As(err, &missed) {
		p.misses[pod] = 0
		return
	}
	p.misses[pod]++
	p.lastMiss[pod] = missed.Error()
}

// dial has /dial of agnhost send the request.
func (p *podProber) dial(parent context.Context, pod string, q request) (response, error) {
	ctx, cancel := context.WithTimeout(parent, p.scale.extend(proxyTimeout))
	defer cancel()
	body, err := p.client.Clientset().CoreV1().RESTClient().Get().
		Namespace(p.namespace).Resource("pods").Name(pod+":"+strconv.Itoa(httpPort)).SubResource("proxy").Suffix("dial").
		Param("protocol", q.protocol).Param("host", q.host).Param("port", strconv.Itoa(q.port)).
		Param("request", q.payload).Param("tries", "1").
		DoRaw(ctx)
	if apierrors.IsBadRequest(err) { // from agnhost: it could not resolve the host
		return response{}, newRequestError(string(body))
	}
	if err != nil && parent.Err() != nil {
		return response{}, err // cut short here, which says nothing about the pod
	}
	if err != nil {
		return response{}, &proxyError{withBody(err, body)}
	}
	var dialed struct{ Responses, Errors []string }
	if err := json.Unmarshal(body, &dialed); err != nil {
		return response{}, fmt.Errorf("decode the response of agnhost: %w: %q", err, head(string(body), 200))
	}
	if len(dialed.Errors) > 0 {
		return response{}, newRequestError(strings.Join(dialed.Errors, "; "))
	}
	return response{body: strings.Join(dialed.Responses, "\n")}, nil
}

// connect runs agnhost connect in the pod.
func (p *podProber) connect(ctx context.Context, pod string, q request, why string) (response, error) {
	protocol := "tcp"
	if q.protocol == "udp" {
		protocol = "udp"
	}
	_, stderr, err := p.client.Exec(ctx, p.namespace, pod, probeContainer,
		[]string{"/agnhost", "connect", q.address(), "--protocol=" + protocol, "--timeout=" + connectTimeout}, nil)
	var exit clientexec.CodeExitError
	if errors.As(err, &exit) {
		return response{}, newRequestError(string(stderr))
	}
	return response{connectedOnly: why}, err
}

func (p *podProber) exec(ctx context.Context, pod string, argv ...string) (string, error) {
	stdout, stderr, err := p.client.Exec(ctx, p.namespace, pod, probeContainer, argv, nil)
	if err != nil && len(stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, head(strings.TrimSpace(string(stderr)), 400))
	}
	return string(stdout), err
}

func (p *podProber) logs(ctx context.Context, pod string) (string, error) {
	limit := logLimit
	text, err := p.client.Clientset().CoreV1().Pods(p.namespace).
		GetLogs(pod, &corev1.PodLogOptions{Container: probeContainer, LimitBytes: &limit}).DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("log of %s: %w", pod, withBody(err, text))
	}
	return string(text), nil
}

// withBody adds the message of the API server to an error: for raw requests,
// the errors of client-go have only the status code, and the body has the reason,
// such as "dial tcp 10.0.2.15:10250: i/o timeout".
func withBody(err error, body []byte) error {
	var status metav1.Status
	message := strings.TrimSpace(string(body))
	if json.Unmarshal(body, &status) == nil {
		message = status.Message
	}
	if message == "" || strings.Contains(err.Error(), message) {
		return err
	}
	return fmt.Errorf("%w: %s", err, head(message, 400))
}

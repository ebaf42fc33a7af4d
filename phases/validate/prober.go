package validate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	// connectTimeout is what agnhost connect is given, a duration in Go's
	// words.
	connectTimeout = "3s"
	// logLimit bounds what is read of a log, in bytes.
	logLimit int64 = 16 << 10
)

// podProber asks agnhost's /dial through the API server's proxy: one request
// over a connection that is there, and the answer says who gave it. Where the
// API server cannot reach a pod, agnhost connect is run in it instead, which
// goes by way of kubelet and shows that a connection can be made, no more.
type podProber struct {
	client    *kube.Client
	namespace string
	pace      pace

	mu sync.Mutex
	// misses counts, by pod, how often in a row the proxy did not reach it;
	// why is the last reason.
	misses map[string]int
	why    map[string]string
}

func newPodProber(client *kube.Client, namespace string, pace pace) *podProber {
	return &podProber{client: client, namespace: namespace, pace: pace, misses: make(map[string]int), why: make(map[string]string)}
}

// tolerated is how many times the proxy may miss a pod before it is given up
// for this pod: it may briefly know no route to a new one.
const tolerated = 2

// proxyError: the API server did not reach the pod.
type proxyError struct{ err error }

func (e *proxyError) Error() string {
	return "the API server cannot reach the pod through its proxy: " + e.err.Error()
}
func (e *proxyError) Unwrap() error { return e.err }

func (p *podProber) ask(ctx context.Context, pod string, q question) (answer, error) {
	if why := p.givenUp(pod); why != "" {
		return p.connect(ctx, pod, q, why)
	}
	got, err := p.dial(ctx, pod, q)
	// A large answer that does not pass is a finding about the pod network,
	// not a reason to ask for less.
	if !q.whole {
		p.count(pod, err)
	}
	return got, err
}

// givenUp says why the proxy is not used for a pod any more.
func (p *podProber) givenUp(pod string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.misses[pod] < tolerated {
		return ""
	}
	return p.why[pod]
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
	p.why[pod] = missed.Error()
}

// dial has agnhost's /dial send the request.
func (p *podProber) dial(parent context.Context, pod string, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(parent, p.pace.limit(proxyTimeout))
	defer cancel()
	body, err := p.client.Clientset().CoreV1().RESTClient().Get().
		Namespace(p.namespace).Resource("pods").Name(pod+":"+strconv.Itoa(httpPort)).SubResource("proxy").Suffix("dial").
		Param("protocol", q.protocol).Param("host", q.host).Param("port", strconv.Itoa(q.port)).
		Param("request", q.request).Param("tries", "1").
		DoRaw(ctx)
	if apierrors.IsBadRequest(err) { // agnhost's own answer: it could not resolve the host
		return answer{}, refused(string(body))
	}
	if err != nil && parent.Err() != nil {
		return answer{}, err // out of time here, which says nothing about the pod
	}
	if err != nil {
		return answer{}, &proxyError{explained(err, body)}
	}
	var dialed struct{ Responses, Errors []string }
	if err := json.Unmarshal(body, &dialed); err != nil {
		return answer{}, fmt.Errorf("answer of agnhost: %w: %q", err, head(string(body), 200))
	}
	if len(dialed.Errors) > 0 {
		return answer{}, errors.New(head(strings.Join(dialed.Errors, "; "), 400))
	}
	return answer{body: strings.Join(dialed.Responses, "\n")}, nil
}

// connect runs agnhost connect in the pod.
func (p *podProber) connect(ctx context.Context, pod string, q question, why string) (answer, error) {
	protocol := "tcp"
	if q.protocol == "udp" {
		protocol = "udp"
	}
	target := address(q)
	_, stderr, err := p.client.Exec(ctx, p.namespace, pod, probeContainer,
		[]string{"/agnhost", "connect", target, "--protocol=" + protocol, "--timeout=" + connectTimeout}, nil)
	var exit clientexec.CodeExitError
	if errors.As(err, &exit) {
		return answer{}, refused(strings.TrimSpace(string(stderr)))
	}
	return answer{connectedOnly: why}, err
}

// refused makes an error of agnhost's words; Go's resolver says "no such host"
// where the server answered NXDOMAIN.
func refused(words string) error {
	words = head(strings.TrimSpace(words), 400)
	if before, ok := strings.CutSuffix(words, errNoSuchName.Error()); ok {
		return fmt.Errorf("%s%w", before, errNoSuchName)
	}
	return errors.New(words)
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
		return "", fmt.Errorf("log of %s: %w", pod, explained(err, text))
	}
	return string(text), nil
}

// explained adds what the server has to say: for raw requests, client-go's
// errors have the code alone, and "dial tcp 10.0.2.15:10250: i/o timeout" is
// in the body.
func explained(err error, body []byte) error {
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

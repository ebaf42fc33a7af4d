package validate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/cluster/kubetest"
)

func newTestProber(t *testing.T) (*podProber, *testCluster) {
	t.Helper()
	c := newTestCluster(t)
	return newPodProber(c.run().client, "ns", 1), c
}

var service = request{protocol: "http", host: "10.96.7.7", port: 80, payload: "hostname"}

func TestResponsesOfAgnhostAreRead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		code int
		body string
		want response
		err  string
		kind error
	}{
		{"a response", 200, `{"responses":["probe-a"]}`, response{body: "probe-a"}, "", nil},
		{"no answer", 200, `{"errors":["dial tcp: i/o timeout"]}`, response{}, "dial tcp: i/o timeout", errUnanswered},
		{
			"no answer to a request", 200, `{"errors":["Get \"http://10.96.7.7:80/hostname\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"]}`,
			response{},
			`Get "http://10.96.7.7:80/hostname": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`, errUnanswered,
		},
		{"a refused connection", 200, `{"errors":["dial tcp: connect: connection refused"]}`, response{}, "dial tcp: connect: connection refused", errUnanswered},
		{"no route", 200, `{"errors":["dial tcp: connect: no route to host"]}`, response{}, "dial tcp: connect: no route to host", nil},
		{"no such name", 400, "host and/or port param are invalid. lookup x: no such host\n", response{}, "host and/or port param are invalid. lookup x: no such host", errNoSuchHost},
		{"no resolver", 400, "host and/or port param are invalid. lookup x: i/o timeout\n", response{}, "host and/or port param are invalid. lookup x: i/o timeout", nil},
		{"something else listens there", 200, "<html>", response{}, `decode the response of agnhost: invalid character '<' looking for beginning of value: "<html>"`, nil},
		{"the proxy fails", 503, "error trying to reach service: i/o timeout", response{}, "the API server cannot reach the pod through its proxy: the server is currently unable to handle the request (get pods probe-a:8080): error trying to reach service: i/o timeout", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, c := newTestProber(t)
			c.proxy = func(w http.ResponseWriter, pod string, r *http.Request) bool {
				if pod != "probe-a" || r.FormValue("port") != "80" || r.FormValue("protocol") != "http" {
					t.Errorf("pod %s received the request %s", pod, r.URL.RawQuery)
				}
				w.Header().Set("Content-Type", "text/plain")
				w.WriteHeader(test.code)
				fmt.Fprint(w, test.body)
				return true
			}
			got, err := p.send(t.Context(), "probe-a", service)
			if got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
			for _, kind := range []error{errNoSuchHost, errUnanswered} {
				if errors.Is(err, kind) != (kind == test.kind) {
					t.Errorf("error %v: %s", err, kind)
				}
			}
			if text := fmt.Sprint(err); test.err != "" && text != test.err || test.err == "" && err != nil {
				t.Errorf("error %q, want %q", text, test.err)
			}
		})
	}
}

func TestAPodThatTheAPIServerCannotReachIsUsedThroughItsKubelet(t *testing.T) {
	t.Parallel()
	p, c := newTestProber(t)
	c.proxy = func(w http.ResponseWriter, pod string, _ *http.Request) bool {
		if pod == "probe-b" {
			return false
		}
		kubetest.Refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "no route to host")
		return true
	}
	for range maxProxyMisses {
		if _, err := p.send(t.Context(), "probe-a", service); err == nil || !strings.Contains(err.Error(), "no route to host") {
			t.Fatalf("error %v", err)
		}
	}
	udp := service
	udp.protocol = "udp"
	for _, q := range []request{service, udp} {
		got, err := p.send(t.Context(), "probe-a", q)
		if err != nil || !strings.Contains(got.connectedOnly, "no route to host") {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for host, want := range map[string]error{"no-such-service.": errNoSuchHost, "no-answer.": errUnanswered} {
		q := service
		q.host = host
		if _, err := p.send(t.Context(), "probe-a", q); !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	want := []string{
		"/agnhost connect 10.96.7.7:80 --protocol=tcp --timeout=3s",
		"/agnhost connect 10.96.7.7:80 --protocol=udp --timeout=3s",
		"/agnhost connect no-answer.:80 --protocol=tcp --timeout=3s",
		"/agnhost connect no-such-service.:80 --protocol=tcp --timeout=3s",
	}
	slices.Sort(c.executed)
	if diff := cmp.Diff(want, c.executed); diff != "" {
		t.Error(diff)
	}
	// Others are not given up for that.
	if got, err := p.send(t.Context(), "probe-b", service); err != nil || got.body != "slipway-probe-0" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestALargeResponseThatDoesNotArriveKeepsTheProxyInUse(t *testing.T) {
	t.Parallel()
	p, c := newTestProber(t)
	c.proxy = func(w http.ResponseWriter, _ string, r *http.Request) bool {
		if !strings.HasPrefix(r.FormValue("request"), "echo") {
			return false
		}
		kubetest.Refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "timeout")
		return true
	}
	large := service
	large.payload, large.whole = "echo?msg=xxx", true
	for range 2 * maxProxyMisses {
		if _, err := p.send(t.Context(), "probe-a", large); err == nil {
			t.Error("no error")
		}
	}
	if got, err := p.send(t.Context(), "probe-a", service); err != nil || got.connectedOnly != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestATimeoutOfTheProbeKeepsTheProxyInUse(t *testing.T) {
	t.Parallel()
	p, c := newTestProber(t)
	c.proxy = func(_ http.ResponseWriter, _ string, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}
	for range maxProxyMisses {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := p.send(ctx, "probe-a", service); err == nil {
			t.Error("no error")
		}
		cancel()
	}
	if why := p.unreachable("probe-a"); why != "" {
		t.Errorf("the proxy was given up: %s", why)
	}
}

func TestTheErrorOfALogHasTheMessageOfTheServer(t *testing.T) {
	t.Parallel()
	p, c := newTestProber(t)
	c.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		kubetest.Refuse(w, http.StatusInternalServerError, "InternalError", "dial tcp 10.0.2.15:10250: i/o timeout")
		return true
	})
	if _, err := p.logs(t.Context(), "probe-a"); err == nil || !strings.Contains(err.Error(), "dial tcp 10.0.2.15:10250: i/o timeout") {
		t.Errorf("error %v", err)
	}
}

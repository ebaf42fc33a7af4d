package kube

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestTransient(t *testing.T) {
	t.Parallel()
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	unreached := errors.New(`failed calling webhook "w": no endpoints available`)
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"a handshake that the server has no time for", handshakeTimeout(t), true},
		{"too many requests", apierrors.NewTooManyRequests("later", 1), true},
		{"a webhook that does not answer", apierrors.NewInternalError(unreached), true},
		{"a webhook that does not reach the API server", apierrors.NewForbidden(schema.GroupResource{Resource: "ipaddresspools"}, "slipway", errors.New(`admission webhook "w" denied the request: Get "https://10.96.0.1:443/apis": dial tcp 10.96.0.1:443: connect: connection refused`)), true},
		{"a webhook that refuses the object", apierrors.NewForbidden(schema.GroupResource{Resource: "ipaddresspools"}, "slipway", errors.New(`admission webhook "w" denied the request: the pool overlaps another one`)), false},
		{"what a webhook has no say in", &WebhookUnavailableError{Err: apierrors.NewInternalError(unreached)}, false},
		{"another internal error", apierrors.NewInternalError(errors.New("nil pointer")), false},
		{"etcd without a leader", apierrors.NewInternalError(errors.New("etcdserver: no leader")), true},
		{"a missing right", apierrors.NewForbidden(deployments, "web", nil), false},
		{"what is not there", apierrors.NewNotFound(deployments, "web"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := transient(test.err); got != test.want {
				t.Errorf("%v: transient is %t", test.err, got)
			}
		})
	}
}

// handshakeTimeout is the error of a client whose server accepts connections
// and says nothing.
func handshakeTimeout(t *testing.T) error {
	t.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	client := &http.Client{Transport: &http.Transport{TLSHandshakeTimeout: time.Millisecond}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+silent.Addr().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err == nil {
		_ = response.Body.Close()
		t.Fatal("it answers")
	}
	return err
}

func TestRetryTransientEndsWithItsContext(t *testing.T) {
	t.Parallel()
	late := handshakeTimeout(t)
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	err := retryTransient(ctx, func() error {
		if tries++; tries == 2 {
			cancel()
		}
		return late
	})
	if !errors.Is(err, late) || tries != 2 {
		t.Errorf("%d tries, then %v", tries, err)
	}
}

package kube

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"slipway.io/slipway/provision/host"
)

// ReadExternalEtcdHealth asks an etcd that does not run on the control planes for its
// members and their status, at its client URLs, from the first control plane that can:
// with the certificate of its API server. The error is why no control plane had an answer.
func ReadExternalEtcdHealth(ctx context.Context, controlPlanes []host.Host, endpoints []string) (EtcdHealth, error) {
	if len(controlPlanes) == 0 {
		return EtcdHealth{}, errors.New("no control plane can be reached, from which etcd could be asked")
	}
	var errs []error
	for _, h := range controlPlanes {
		health, err := readFrom(ctx, h, endpoints)
		if err == nil {
			return health, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", h, err))
	}
	return EtcdHealth{}, errors.Join(errs...)
}

func readFrom(ctx context.Context, h host.Host, endpoints []string) (EtcdHealth, error) {
	callers, err := externalEtcd(ctx, h, endpoints)
	if err != nil {
		return EtcdHealth{}, err
	}
	health, err := readEtcdHealth(ctx, endpoints, callers)
	judgeNotAsked(&health)
	return health, err
}

// judgeNotAsked says what is known of the members of which no endpoint has answered. They
// are unhealthy if as many endpoints are silent, which are of no other member. Otherwise
// the members may be behind a load balancer, or etcd has more members than endpoints.
func judgeNotAsked(health *EtcdHealth) {
	silent := slices.Clone(health.Silent)
	var left []*EtcdMemberHealth
	for i := range health.Members {
		m := &health.Members[i]
		silent = slices.DeleteFunc(silent, func(endpoint string) bool { return endpoint == m.Host })
		switch {
		case !errors.Is(m.Problem, errNotAsked):
		case !m.Started():
			m.Problem = errors.New("it has never started")
		default:
			left = append(left, m)
		}
	}
	for _, m := range left {
		if len(silent) >= len(left) {
			m.Problem = errors.New("no endpoint that answers has it")
		} else {
			m.Problem, m.NotAsked = nil, true
		}
	}
}

// CheckEtcd asks a member at its client URL, from a host that does not have the files yet:
// the CA, and a client certificate with its key, all in PEM.
func CheckEtcd(ctx context.Context, through host.Host, endpoint string, ca, cert, key []byte) error {
	config, err := etcdConfig(ca, cert, key)
	if err != nil {
		return err
	}
	status, err := statusAt(ctx, through, config, endpoint)
	if err != nil {
		return err
	}
	return status.Unhealthy
}

// statusAt asks the member at a client URL for its status, through the connection of a host.
func statusAt(ctx context.Context, through host.Host, config *tls.Config, endpoint string) (EtcdStatus, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return EtcdStatus{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	call := etcdCaller(func(ctx context.Context, path string, body, answer any) error {
		return callEtcd(ctx, through, config.Clone(), u.Host, path, body, answer)
	})
	return call.status(ctx)
}

// externalEtcd calls the members at client URLs from a control plane.
func externalEtcd(ctx context.Context, h host.Host, endpoints []string) ([]etcdCaller, error) {
	config, err := etcdTLS(ctx, h, etcdClient)
	if err != nil {
		return nil, err
	}
	var callers []etcdCaller
	for _, endpoint := range endpoints {
		u, err := url.Parse(endpoint)
		if err != nil {
			return nil, err
		}
		callers = append(callers, func(ctx context.Context, path string, body, answer any) error {
			return callEtcd(ctx, h, config.Clone(), u.Host, path, body, answer)
		})
	}
	return callers, nil
}

// ExternalEtcdHasCluster reports whether an etcd that does not run on the control planes
// has data of Kubernetes, as the first endpoint that answers says.
func ExternalEtcdHasCluster(ctx context.Context, controlPlane host.Host, endpoints []string) (bool, error) {
	callers, err := externalEtcd(ctx, controlPlane, endpoints)
	if err != nil {
		return false, err
	}
	var errs []error
	for i, call := range callers {
		found, err := call.hasKeys(ctx, "/registry/")
		if err == nil {
			return found, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", endpoints[i], err))
	}
	return false, errors.Join(errs...)
}

// hasKeys reports whether a key has the prefix. It needs a majority of the members.
func (call etcdCaller) hasKeys(ctx context.Context, prefix string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	end := []byte(prefix)
	end[len(end)-1]++ // the first key after all that have the prefix
	request := struct {
		Key      []byte `json:"key"`
		RangeEnd []byte `json:"range_end"`
		Limit    int    `json:"limit"`
		KeysOnly bool   `json:"keys_only"`
	}{[]byte(prefix), end, 1, true}
	var answer struct {
		Keys []struct{} `json:"kvs"`
	}
	err := call(ctx, "/v3/kv/range", request, &answer)
	return len(answer.Keys) > 0, err
}

package kube

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"slipway.io/slipway/provision/retry"
)

// transientFor is how long an API that is briefly unavailable is waited for, from
// the first error on: etcd elects a leader, an API server restarts, a webhook's
// Pod starts.
const transientFor = 30 * time.Second

// retryTransient repeats f while its error is transient.
func retryTransient(ctx context.Context, f func() error) error {
	// The first attempt may have taken as long as a server's own timeout, 60 s.
	deadline := sync.OnceValue(func() time.Time { return time.Now().Add(transientFor) })
	return retry.Do(ctx, func(context.Context) error {
		err := f()
		if err == nil || !transient(err) || time.Now().After(deadline()) {
			return retry.Stop(err)
		}
		return err
	}, retry.Options{Pause: retry.Every(pollInterval)})
}

// retried is retryTransient for a request with an answer.
func retried[T any](ctx context.Context, f func() (T, error)) (answer T, err error) {
	err = retryTransient(ctx, func() error {
		answer, err = f()
		return err
	})
	return answer, err
}

// WebhookUnavailableError: what an apply would do cannot be asked for, since a webhook that
// has a say in it does not answer.
type WebhookUnavailableError struct{ Err error }

func (e *WebhookUnavailableError) Error() string { return e.Err.Error() }

// Unwrap gives the API server's error.
func (e *WebhookUnavailableError) Unwrap() error { return e.Err }

// webhookAway: the API server could not reach a webhook. It comes as 500, and
// there is no reason code to go by.
func webhookAway(err error) bool {
	return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
}

// transient says whether the same request may well succeed in a moment.
// Wrong objects and missing rights do not pass by themselves.
func transient(err error) bool {
	var unasked *WebhookUnavailableError
	switch {
	case errors.As(err, &unasked):
		return false
	case utilnet.IsConnectionRefused(err), utilnet.IsConnectionReset(err), utilnet.IsProbableEOF(err),
		utilnet.IsHTTP2ConnectionLost(err), utilnet.IsTimeout(err):
		return true
	case apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsTooManyRequests(err),
		apierrors.IsServiceUnavailable(err):
		return true
	case webhookAway(err):
		return true
	case apierrors.IsInternalError(err):
		return strings.Contains(err.Error(), "etcdserver:")
	default:
		return false
	}
}

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

// transientFor is how long to wait for an API that is briefly unavailable, from the
// first error on: etcd elects a leader, an API server restarts, a webhook's Pod
// starts. kube-proxy asks a server again that was away at intervals of up to 30 s, and pods
// reach the API server only then.
const transientFor = time.Minute

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

// WebhookUnavailableError: an object cannot be dry-run, since an admission
// webhook does not answer.
type WebhookUnavailableError struct{ Err error }

func (e *WebhookUnavailableError) Error() string { return e.Err.Error() }

// Unwrap returns the API server's error.
func (e *WebhookUnavailableError) Unwrap() error { return e.Err }

// webhookUnavailable reports whether the API server could not reach a webhook. It
// answers 500 then, without a reason code.
func webhookUnavailable(err error) bool {
	return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
}

// webhookCutOff reports whether a webhook refused an object because it could not reach
// something itself, usually the API server after a restart. It answers as if the object
// were invalid.
func webhookCutOff(err error) bool {
	return err != nil && strings.Contains(err.Error(), "denied the request") && strings.Contains(err.Error(), ": dial tcp ")
}

// transient reports whether the same request may succeed in a moment. Invalid
// objects and missing permissions are not transient.
func transient(err error) bool {
	var unavailable *WebhookUnavailableError
	switch {
	case errors.As(err, &unavailable):
		return false
	case utilnet.IsConnectionRefused(err), utilnet.IsConnectionReset(err), utilnet.IsProbableEOF(err),
		utilnet.IsHTTP2ConnectionLost(err), utilnet.IsTimeout(err):
		return true
	case apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsTooManyRequests(err),
		apierrors.IsServiceUnavailable(err):
		return true
	case webhookUnavailable(err), webhookCutOff(err):
		return true
	case apierrors.IsInternalError(err):
		return strings.Contains(err.Error(), "etcdserver:")
	default:
		return false
	}
}

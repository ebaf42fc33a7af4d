package sources

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// StallError reports a server that sent nothing for some time: during the lookup of its
// name, the connection, its TLS handshake, before its answer, or within it.
type StallError struct {
	After time.Duration
	// Answered: it stalled within its answer.
	Answered bool
}

func (e *StallError) Error() string {
	if e.Answered {
		return fmt.Sprintf("timed out: no data for %s", e.After)
	}
	return fmt.Sprintf("timed out: no response for %s", e.After)
}

// StatusError reports an answer after which another attempt may succeed.
type StatusError struct {
	Status int
	// RetryAfter is how long the server wants a client to wait; 0 if it does not say.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("%s: the server wants a pause of %s", status(e.Status), e.RetryAfter.Round(time.Second))
	}
	return status(e.Status)
}

// RedirectError reports a redirect that would leave TLS.
type RedirectError struct{ Host string }

func (e *RedirectError) Error() string {
	return fmt.Sprintf("refused to follow a redirect from https to http://%s", e.Host)
}

// Watch returns a transport whose requests end when their server sends nothing for some
// time, also within the body. Answers that may differ at the next attempt, those of a
// proxy that demands credentials, and redirects from https to http are errors.
func Watch(base http.RoundTripper, stall time.Duration) http.RoundTripper {
	return &watched{base, stall}
}

type watched struct {
	base  http.RoundTripper
	stall time.Duration
}

// RoundTrip sends a request.
func (w *watched) RoundTrip(req *http.Request) (*http.Response, error) {
	if from := req.Response; from != nil && from.Request != nil && from.Request.URL.Scheme == "https" && req.URL.Scheme != "https" {
		return nil, &RedirectError{req.URL.Host}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(w.stall, func() { cancel(&StallError{After: w.stall}) })
	resp, err := w.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		timer.Stop()
		err = causeOf(ctx, err)
		cancel(nil)
		return nil, err
	}
	if err := refusal(resp); err != nil {
		timer.Stop()
		cancel(nil)
		_ = resp.Body.Close()
		return nil, err
	}
	timer.Stop()
	resp.Body = &watchedBody{resp.Body, ctx, cancel, w.stall}
	return resp, nil
}

// refusal returns an error for an answer that is not one of the server itself, or that
// may be another one at the next attempt.
func refusal(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusProxyAuthRequired:
		return &ProxyError{Server: resp.Request.URL.Host, Status: code, LoggedIn: resp.Request.Header.Get("Proxy-Authorization") != ""}
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return &StatusError{code, retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	}
	return nil
}

// retryAfter parses the header: seconds, or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// causeOf returns why a request was canceled, else its error.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

type watchedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	stall  time.Duration
}

// Read reads the body. The time that the caller takes between two reads does not count.
func (b *watchedBody) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.stall, func() { b.cancel(&StallError{After: b.stall, Answered: true}) })
	defer timer.Stop()
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = causeOf(b.ctx, err)
	}
	return n, err
}

// Close ends the request.
func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

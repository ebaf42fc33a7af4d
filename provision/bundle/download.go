package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"slipway.io/slipway/provision/retry"
)

// download is the source of a file with a URL. It requests only the missing part.
func (f *fetcher) download(name, url string) source {
	url = f.rewrite(url)
	return func(ctx context.Context, part *os.File) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		offset, err := part.Seek(0, io.SeekEnd)
		if err != nil {
			return retry.Stop(err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return retry.Stop(err)
		}
		if offset > 0 {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		}
		resp, err := f.client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if offset, err = startOf(resp, part, url, offset); err != nil {
			return err
		}
		total := max(0, resp.ContentLength) + offset
		return f.copy(ctx, cancel, part, resp.Body, Progress{Name: name, Bytes: offset, Total: total})
	}
}

// startOf truncates the part to the offset at which the response begins, and returns that offset.
func startOf(resp *http.Response, part *os.File, url string, offset int64) (int64, error) {
	unexpected := fmt.Errorf("GET %s: %d %s", url, resp.StatusCode, http.StatusText(resp.StatusCode))
	switch {
	case resp.StatusCode == http.StatusPartialContent:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
			err := fmt.Errorf("GET %s: unexpected range %q", url, resp.Header.Get("Content-Range"))
			return 0, errors.Join(err, part.Truncate(0))
		}
		return offset, nil
	case resp.StatusCode == http.StatusOK:
		if err := part.Truncate(0); err != nil {
			return 0, err
		}
		return part.Seek(0, io.SeekStart)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		// The part is longer than the file, or complete: restart.
		return 0, errors.Join(unexpected, part.Truncate(0))
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return 0, unexpected
	}
	return 0, retry.Stop(unexpected)
}

// copy appends r to the part, reports progress, and stops when r stalls.
func (f *fetcher) copy(ctx context.Context, cancel context.CancelCauseFunc, part io.Writer, r io.Reader, p Progress) error {
	timer := time.AfterFunc(f.stall, func() { cancel(fmt.Errorf("timed out: no data for %s", f.stall)) })
	defer timer.Stop()
	_, err := io.Copy(part, readFunc(func(b []byte) (int, error) {
		n, err := r.Read(b)
		if n > 0 {
			timer.Reset(f.stall)
			p.Bytes += int64(n)
			f.progress(p)
		}
		return n, err
	}))
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

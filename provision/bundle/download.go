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
)

// StatusError is an answer of a file server that is not the file.
type StatusError struct {
	URL    string
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.URL, e.Status, http.StatusText(e.Status))
}

// download is the source of a file with a URL. It asks only for what is not there yet.
func (f *fetcher) download(name, url string) source {
	url = f.rewrite(url)
	return func(ctx context.Context, part *os.File) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		begun, err := part.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if begun > 0 {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", begun))
		}
		resp, err := f.client.Do(req)
		if err != nil {
			return fmt.Errorf("%w; %w", err, errRetry)
		}
		defer resp.Body.Close()
		if begun, err = startOf(resp, part, url, begun); err != nil {
			return err
		}
		total := max(0, resp.ContentLength) + begun
		return f.copy(ctx, cancel, part, resp.Body, Progress{Name: name, Bytes: begun, Total: total})
	}
}

// startOf makes the part as long as the answer expects it to be, and returns that length.
func startOf(resp *http.Response, part *os.File, url string, begun int64) (int64, error) {
	switch {
	case resp.StatusCode == http.StatusPartialContent:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", begun)) {
			err := fmt.Errorf("%s answered with the range %q", url, resp.Header.Get("Content-Range"))
			return 0, errors.Join(fmt.Errorf("%w; %w", err, errRetry), part.Truncate(0))
		}
		return begun, nil
	case resp.StatusCode == http.StatusOK:
		if err := part.Truncate(0); err != nil {
			return 0, err
		}
		return part.Seek(0, io.SeekStart)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		// The part is longer than the file, or complete: begin again.
		return 0, errors.Join(fmt.Errorf("%w; %w", &StatusError{URL: url, Status: resp.StatusCode}, errRetry), part.Truncate(0))
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return 0, fmt.Errorf("%w; %w", &StatusError{URL: url, Status: resp.StatusCode}, errRetry)
	}
	return 0, &StatusError{URL: url, Status: resp.StatusCode}
}

// copy appends r to the part, tells the progress, and gives up when nothing comes.
func (f *fetcher) copy(ctx context.Context, cancel context.CancelCauseFunc, part io.Writer, r io.Reader, p Progress) error {
	timer := time.AfterFunc(f.stall, func() { cancel(fmt.Errorf("nothing came for %s; %w", f.stall, errRetry)) })
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
	return fmt.Errorf("%w; %w", err, errRetry)
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

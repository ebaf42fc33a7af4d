package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"slipway.io/slipway/provision/retry"
)

// DownloadError reports a download that failed.
type DownloadError struct {
	// URL is that of the server or its mirror.
	URL string
	// Bytes of Total are in the cache, from which the next attempt continues. Total is 0
	// if it is not known.
	Bytes, Total int64
	Err          error
}

func (e *DownloadError) Error() string {
	text := fmt.Sprintf("GET %s: %v", e.URL, e.Err)
	switch {
	case e.Total > 0 && e.Bytes > 0:
		text += fmt.Sprintf(" (after %s of %s)", size(e.Bytes), size(e.Total))
	case e.Bytes > 0:
		text += fmt.Sprintf(" (after %s)", size(e.Bytes))
	}
	return text
}

// Unwrap returns the cause.
func (e *DownloadError) Unwrap() error { return e.Err }

// size shows a number of bytes.
func size(n int64) string {
	if n < 1e6 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// download is the source of a file with a URL. It requests only the missing part.
func (f *fetcher) download(name, address string) source {
	return f.downloadWith(f.client, name, f.rewrite(address), 0)
}

// downloadWith is the source of a file that the client downloads. total is its size, if
// that is known.
func (f *fetcher) downloadWith(client *http.Client, name, address string, total int64) source {
	return func(ctx context.Context, part *os.File) error {
		offset, err := part.Seek(0, io.SeekEnd)
		if err != nil {
			return retry.Stop(err)
		}
		failed := func(err error) error {
			have, _ := part.Seek(0, io.SeekCurrent) // only for the message
			return &DownloadError{URL: address, Bytes: have, Total: total, Err: unwrapURL(address, err)}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return retry.Stop(err)
		}
		// The transport would request and decode gzip, whose ranges are others.
		req.Header.Set("Accept-Encoding", "identity")
		if offset > 0 {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		}
		resp, err := client.Do(req)
		if err != nil {
			return lasting(failed(err))
		}
		defer resp.Body.Close()
		complete, err := startOf(resp, part, offset)
		if err != nil {
			return lasting(failed(err))
		}
		if complete {
			return nil
		}
		if offset, err = part.Seek(0, io.SeekCurrent); err != nil {
			return retry.Stop(err)
		}
		if resp.ContentLength > 0 {
			total = resp.ContentLength + offset
		}
		if err := f.copy(part, resp.Body, Progress{Name: name, Bytes: offset, Total: total}); err != nil {
			return lasting(failed(err))
		}
		return nil
	}
}

// unwrapURL returns the error of a request without its URL, which may be that of a
// redirect, with a secret of the server in its query.
func unwrapURL(address string, err error) error {
	var failed *url.Error
	if !errors.As(err, &failed) {
		return err
	}
	at, err1 := url.Parse(failed.URL)
	requested, err2 := url.Parse(address)
	if err1 == nil && err2 == nil && at.Host != requested.Host {
		return fmt.Errorf("redirected to %s: %w", at.Host, failed.Err)
	}
	return failed.Err
}

// startOf truncates the part to the offset at which the response begins. complete: the
// part is the whole file already.
func startOf(resp *http.Response, part *os.File, offset int64) (complete bool, err error) {
	unexpected := refusal(resp.StatusCode)
	contentRange := resp.Header.Get("Content-Range")
	switch {
	case resp.StatusCode == http.StatusPartialContent && offset > 0:
		if !strings.HasPrefix(contentRange, fmt.Sprintf("bytes %d-", offset)) {
			err := fmt.Errorf("the server sent the range %q instead of the bytes from %d", contentRange, offset)
			return false, errors.Join(err, restart(part))
		}
		return false, nil
	case resp.StatusCode == http.StatusOK:
		return false, restart(part)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && contentRange == fmt.Sprintf("bytes */%d", offset):
		return true, nil
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		// The part is longer than the file: restart.
		return false, errors.Join(unexpected, restart(part))
	}
	return false, unexpected
}

// refusal is the status of an answer without the file.
type refusal int

func (r refusal) Error() string { return fmt.Sprintf("%d %s", int(r), http.StatusText(int(r))) }

// restart empties the part.
func restart(part *os.File) error {
	_, err := part.Seek(0, io.SeekStart)
	return errors.Join(err, part.Truncate(0))
}

// copy appends r to the part and reports progress.
func (f *fetcher) copy(part io.Writer, r io.Reader, p Progress) error {
	f.progress(p)
	_, err := io.Copy(part, readFunc(func(b []byte) (int, error) {
		n, err := r.Read(b)
		if n > 0 {
			p.Bytes += int64(n)
			f.progress(p)
		}
		return n, err
	}))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the connection was closed before the end of the file")
	}
	return err
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

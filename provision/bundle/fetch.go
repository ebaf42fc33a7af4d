package bundle

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/singleflight"

	"slipway.io/slipway/provision/contextio"
	"slipway.io/slipway/provision/retry"
	"slipway.io/slipway/provision/sources"
)

const (
	// attempts is how many in succession may bring nothing.
	attempts = 4
	// pause precedes the second attempt and doubles with each.
	pause = time.Second
	// maxPause bounds it, also if the server wants a longer one.
	maxPause = time.Minute
	// stall is how long an attempt may receive no data.
	stall = time.Minute
)

// fetcher downloads content with a known sha256 into a cache.
type fetcher struct {
	cache    string
	client   *http.Client
	rewrites map[string]string
	mirrors  map[string]string
	progress func(Progress)
	keychain authn.Keychain
	pause    time.Duration
	// pending counts the tasks that have not begun.
	pending *atomic.Int64
	// once downloads a layer that two images share only once.
	once *singleflight.Group
}

func newFetcher(o CreateOptions) *fetcher {
	watched := *o.Client
	watched.Transport = sources.Watch(o.Client.Transport, o.stall)
	pending := &atomic.Int64{}
	progress := func(p Progress) {
		p.More = pending.Load() > 0
		o.Progress(p)
	}
	return &fetcher{
		cache: filepath.Join(o.Cache, "sha256"), client: &watched, rewrites: o.Rewrites, mirrors: o.RegistryMirrors,
		keychain: o.Keychain, progress: progress, pause: pause, pending: pending, once: &singleflight.Group{},
	}
}

// source appends content to part, which may hold the beginning already. It marks permanent errors with retry.Stop.
type source func(ctx context.Context, part *os.File) error

// get returns the local path of the content with this sha256, from the cache or the source.
func (f *fetcher) get(ctx context.Context, name, sum string, from source) (string, error) {
	path, err, _ := f.once.Do(sum, func() (any, error) { return f.getOnce(ctx, name, sum, from) })
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return path.(string), nil
}

func (f *fetcher) getOnce(ctx context.Context, name, sum string, from source) (string, error) {
	file := filepath.Join(f.cache, sum)
	switch got, size, err := hashFile(ctx, file); {
	case err == nil && got == sum:
		f.progress(Progress{Name: name, Bytes: size, Total: size, Cached: true, Done: true})
		return file, nil
	case err == nil: // corrupt
		if err := os.Remove(file); err != nil {
			return "", err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if err := os.MkdirAll(f.cache, 0o755); err != nil {
		return "", err
	}
	part := file + ".part"
	err := f.retry(ctx, name, func() int64 { return sizeOf(part) }, func(ctx context.Context) error {
		return f.attempt(ctx, name, sum, part, from)
	})
	if err != nil {
		return "", err
	}
	return file, os.Rename(part, file)
}

// retry repeats an attempt that fails. Attempts count only if they bring nothing: have
// returns how much there is. It may be nil.
func (f *fetcher) retry(ctx context.Context, name string, have func() int64, attempt func(context.Context) error) error {
	if have == nil {
		have = func() int64 { return 0 }
	}
	failures, wanted, most := 0, time.Duration(0), have()
	err := retry.Do(ctx, func(ctx context.Context) error {
		err := attempt(ctx)
		if now := have(); now > most {
			failures, most = 0, now
		}
		if failures++; failures >= attempts {
			return retry.Stop(err)
		}
		var busy *sources.StatusError
		if wanted = 0; errors.As(err, &busy) {
			wanted = busy.RetryAfter
		}
		return err
	}, retry.Options{
		Pause: func(_ int, elapsed time.Duration) time.Duration {
			return min(max(retry.Doubling(f.pause, maxPause)(failures, elapsed), wanted), maxPause)
		},
		Progress: func(err error) { f.progress(Progress{Name: name, Retrying: err}) },
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// sizeOf returns the size of a file; 0 if there is none.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// lasting marks the errors that another attempt does not change: what a client may not do,
// and what it does not trust.
func lasting(err error) error {
	var (
		answer    refusal
		refused   *transport.Error
		proxy     *sources.ProxyError
		redirect  *sources.RedirectError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &answer) && answer != http.StatusRequestedRangeNotSatisfiable,
		errors.As(err, &refused) && refused.StatusCode < 500 && refused.StatusCode != http.StatusTooManyRequests,
		errors.As(err, &proxy) && proxy.Status < 500, errors.As(err, &redirect),
		errors.As(err, &authority), errors.As(err, &name), errors.As(err, &invalid):
		return retry.Stop(err)
	}
	return err
}

// attempt completes the file part and verifies it. A corrupt part is deleted.
func (f *fetcher) attempt(ctx context.Context, name, sum, part string, from source) error {
	file, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return retry.Stop(err)
	}
	defer file.Close()
	offset, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return retry.Stop(err)
	}
	if err := from(ctx, file); err != nil {
		return err
	}
	got, size, err := hashFile(ctx, part)
	if err != nil {
		return retry.Stop(err)
	}
	if got != sum {
		err := fmt.Errorf("%w; the file was discarded", &CorruptError{Path: "download", Want: "sha256:" + sum, Got: "sha256:" + got})
		err = errors.Join(err, os.Remove(part))
		if offset > 0 { // the resumed part may be corrupt: start again
			return err
		}
		return retry.Stop(err)
	}
	f.progress(Progress{Name: name, Bytes: size, Total: size, Done: true})
	return nil
}

func hashFile(ctx context.Context, path string) (sum string, size int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	h := sha256.New()
	size, err = io.Copy(h, contextio.NewReader(ctx, file))
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// rewrite replaces the prefix of a URL.
func (f *fetcher) rewrite(url string) string {
	best := ""
	for prefix := range f.rewrites {
		if strings.HasPrefix(url, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	if best == "" {
		return url
	}
	return f.rewrites[best] + strings.TrimPrefix(url, best)
}

package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// content is what the servers of these tests have.
var content = bytes.Repeat([]byte("0123456789abcdef"), 1024)

// serve writes content from the start of the requested range.
func serve(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "file", time.Time{}, bytes.NewReader(content))
}

// cut writes at most n bytes of the requested range, and then loses the connection.
func cut(w http.ResponseWriter, r *http.Request, n int) {
	serve(&cutter{w, n}, r)
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) > c.left {
		_, _ = c.ResponseWriter.Write(b[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(b)
	return c.ResponseWriter.Write(b)
}

// quick is a fetcher that hardly waits.
func quick(t *testing.T, client *http.Client, stall time.Duration) *fetcher {
	t.Helper()
	o, err := CreateOptions{Cache: t.TempDir(), Client: client, stall: stall, Keychain: authn.NewMultiKeychain()}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	f := newFetcher(o)
	f.pause = time.Millisecond
	return f
}

func checksumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// tlsServer has the certificate of a CA that only its Client knows, and logs nothing.
func tlsServer(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestDownloadsEndWithWhatHappened(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(serve))
	t.Cleanup(plain.Close)
	const most = attempts
	silence := func(r *http.Request) { <-r.Context().Done() }
	tests := map[string]struct {
		handler func(w http.ResponseWriter, r *http.Request, n int)
		// part is in the cache before.
		part string
		want string
		// requests is how many there are; 0 is not compared.
		requests int
	}{
		"a server that never answers": {
			handler: func(_ http.ResponseWriter, r *http.Request, _ int) { silence(r) },
			want:    "timed out: no response for 100ms", requests: most,
		},
		"a body that stalls": {
			handler: func(w http.ResponseWriter, r *http.Request, _ int) {
				if r.Header.Get("Range") == "" {
					w.Header().Set("Content-Length", fmt.Sprint(len(content)))
					_, _ = w.Write(content[:4000])
					w.(http.Flusher).Flush()
				}
				silence(r)
			},
			want: "timed out: no response for 100ms (after 4000 bytes of 16384 bytes)",
		},
		"a body that stalls at once": {
			handler: func(w http.ResponseWriter, r *http.Request, _ int) {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				w.(http.Flusher).Flush()
				silence(r)
			},
			want: "timed out: no data for 100ms", requests: most,
		},
		"a connection that is lost again and again": {
			handler: func(w http.ResponseWriter, r *http.Request, _ int) { cut(w, r, 1500) },
		},
		"a server without ranges whose connection is lost": {
			handler: func(w http.ResponseWriter, r *http.Request, n int) {
				r.Header.Del("Range")
				cut(w, r, 1500)
			},
			want: "GET URL/file: the connection was closed before the end of the file (after 1500 bytes of 16384 bytes)", requests: 1 + most - 1,
		},
		"a busy server": {
			handler: func(w http.ResponseWriter, r *http.Request, n int) {
				if n > 1 {
					serve(w, r)
					return
				}
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusTooManyRequests)
			},
			requests: 2,
		},
		"a broken server": {
			handler: func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(http.StatusServiceUnavailable) },
			want:    "GET URL/file: 503 Service Unavailable", requests: most,
		},
		"a file that is missing": {
			handler: func(w http.ResponseWriter, r *http.Request, _ int) { http.NotFound(w, r) },
			want:    "GET URL/file: 404 Not Found", requests: 1,
		},
		"a redirect that leaves TLS": {
			handler: func(w http.ResponseWriter, r *http.Request, _ int) {
				http.Redirect(w, r, plain.URL+"/file?signature=hunter2", http.StatusFound)
			},
			want: "GET URL/file: redirected to PLAIN: refused to follow a redirect from https to http://PLAIN", requests: 1,
		},
		"a redirect within TLS": {
			handler: func(w http.ResponseWriter, r *http.Request, _ int) {
				if r.URL.Path == "/file" {
					http.Redirect(w, r, "/other?signature=hunter2", http.StatusFound)
					return
				}
				serve(w, r)
			},
			part: string(content[:77]), requests: 2,
		},
		"another range than the requested one": {
			handler: func(w http.ResponseWriter, r *http.Request, n int) {
				if n == 1 {
					r.Header.Set("Range", "bytes=5-")
				}
				serve(w, r)
			},
			part: string(content[:77]), requests: 2,
		},
		"a file that was complete": {
			handler: func(w http.ResponseWriter, r *http.Request, _ int) { serve(w, r) },
			part:    string(content), requests: 1,
		},
		"a shorter file": {
			handler: func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = w.Write(content[:4000]) },
			want:    "download is corrupt: want sha256:", requests: 1,
		},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			s := tlsServer(t, func(w http.ResponseWriter, r *http.Request) { test.handler(w, r, int(requests.Add(1))) })
			stall := 10 * time.Second
			if strings.Contains(test.want, "timed out") {
				stall = 100 * time.Millisecond
			}
			f := quick(t, s.Client(), stall)
			sum := checksumOf(content)
			if test.part != "" {
				if err := os.MkdirAll(f.cache, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(f.cache, sum+".part"), []byte(test.part), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := f.get(t.Context(), "the file", sum, f.download("the file", s.URL+"/file"))
			want := strings.NewReplacer("URL", s.URL, "PLAIN", strings.TrimPrefix(plain.URL, "http://")).Replace(test.want)
			switch {
			case want == "" && err != nil:
				t.Errorf("got %v", err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2")):
				t.Errorf("got %v, want it to say %q", err, want)
			case want == "":
				if data, err := os.ReadFile(got); err != nil || !bytes.Equal(data, content) {
					t.Errorf("the file has %d bytes, %v", len(data), err)
				}
			}
			if n := int(requests.Load()); test.requests > 0 && n != test.requests {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
		})
	}
}

// A server that accepts connections and never speaks, as behind some firewalls.
func TestATLSHandshakeThatStallsEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	f := quick(t, &http.Client{Transport: http.DefaultTransport}, 50*time.Millisecond)
	_, err = f.get(t.Context(), "the file", checksumOf(content), f.download("the file", "https://"+l.Addr().String()+"/file"))
	if err == nil || !strings.Contains(err.Error(), "timed out: no response for 50ms") {
		t.Errorf("got %v", err)
	}
}

func TestAnUnknownCAIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	s := tlsServer(t, serve)
	f := quick(t, &http.Client{Transport: http.DefaultTransport}, 10*time.Second)
	f.pause = time.Hour
	_, err := f.get(t.Context(), "the file", checksumOf(content), f.download("the file", s.URL+"/file"))
	if err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatWantsAPauseGetsIt(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Swap(time.Now().UnixNano()) == 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		serve(w, r)
	})
	f := quick(t, s.Client(), 10*time.Second)
	var mu sync.Mutex
	var said []string
	f.progress = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Retrying != nil {
			said = append(said, p.Retrying.Error())
		}
	}
	start := time.Now()
	if _, err := f.get(t.Context(), "the file", checksumOf(content), f.download("the file", s.URL)); err != nil {
		t.Fatal(err)
	}
	if pause := time.Unix(0, asked.Load()).Sub(start); pause < time.Second {
		t.Errorf("the second request came after %s", pause)
	}
	if len(said) != 1 || !strings.Contains(said[0], "503 Service Unavailable: the server wants a pause of 1s") {
		t.Errorf("progress said %q", said)
	}
}

// images is a registry with TLS and a CA of its own.
type images struct {
	*httptest.Server
	mu sync.Mutex
	// before answers a request in the place of the registry, if it returns true.
	before   func(w http.ResponseWriter, r *http.Request) bool
	requests []string
	// layer is the digest of the first one.
	layer string
}

func newImages(t *testing.T) *images {
	t.Helper()
	i := &images{}
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	i.Server = tlsServer(t, func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.requests = append(i.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
		before := i.before
		i.mu.Unlock()
		if before == nil || !before(w, r) {
			next.ServeHTTP(w, r)
		}
	})
	ref, err := name.ParseReference(i.host() + "/k8s/pause:3.10.2")
	if err != nil {
		t.Fatal(err)
	}
	image := randomImage(t, "amd64")
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	i.layer = manifest.Layers[0].Digest.String()
	if err := remote.Write(ref, image, remote.WithTransport(i.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *images) host() string { return strings.TrimPrefix(i.URL, "https://") }

func (i *images) intercept(before func(w http.ResponseWriter, r *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.before, i.requests = before, nil
}

// pullAll pulls the image and reads its layers.
func (i *images) pullAll(t *testing.T, f *fetcher) error {
	t.Helper()
	f.mirrors = map[string]string{"registry.k8s.io": i.host() + "/k8s"}
	image, err := f.pull(t.Context(), pauseName, "amd64")
	if err != nil {
		return err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	for _, described := range manifest.Layers {
		layer, err := image.LayerByDigest(described.Digest)
		if err != nil {
			return err
		}
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		if err := content.Close(); err != nil {
			return err
		}
	}
	return nil
}

func TestPullsEndWithWhatHappened(t *testing.T) {
	t.Parallel()
	silent := func(part string) func(http.ResponseWriter, *http.Request) bool {
		return func(_ http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, part) {
				return false
			}
			<-r.Context().Done()
			return true
		}
	}
	challenge := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			<-r.Context().Done()
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="images"`, r.Host))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	tests := map[string]struct {
		before func(http.ResponseWriter, *http.Request) bool
		want   string
	}{
		"a registry that never answers":   {silent("/v2/"), "timed out: no response for 200ms"},
		"a manifest that never comes":     {silent("/manifests/"), "timed out: no response for 200ms"},
		"a layer that never comes":        {silent("/blobs/"), "timed out: no response for 200ms"},
		"a token server that is silent":   {challenge, "timed out: no response for 200ms"},
		"a registry that wants a login":   {demandLogin("me", "pw"), "401 Unauthorized"},
		"a registry that is always busy":  {func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(429); return true }, "429 Too Many Requests"},
		"a registry that fails at layers": {failing("/blobs/"), "500 Internal Server Error"},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			i := newImages(t)
			i.intercept(test.before)
			stall := 10 * time.Second
			if strings.Contains(test.want, "timed out") {
				stall = 200 * time.Millisecond
			}
			err := i.pullAll(t, quick(t, i.Client(), stall))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), i.host()) {
				t.Errorf("got %v, want it to say %q and name %s", err, test.want, i.host())
			}
		})
	}
}

func failing(part string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, part) {
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
}

func demandLogin(user, password string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if u, p, ok := r.BasicAuth(); ok && u == user && p == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="images"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

type keychain authn.AuthConfig

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return authn.FromConfig(authn.AuthConfig(k)), nil
}

func TestPullsLogIn(t *testing.T) {
	t.Parallel()
	i := newImages(t)
	i.intercept(demandLogin("me", "pw"))
	f := quick(t, i.Client(), 10*time.Second)
	f.keychain = keychain{Username: "me", Password: "pw"}
	if err := i.pullAll(t, f); err != nil {
		t.Error(err)
	}
}

func TestALayerResumes(t *testing.T) {
	t.Parallel()
	i := newImages(t)
	i.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/blobs/"+i.layer) {
			return false
		}
		whole := httptest.NewRecorder()
		i.intercept(nil)
		i.Config.Handler.ServeHTTP(whole, r)
		w.Header().Set("Content-Length", fmt.Sprint(whole.Body.Len()))
		_, _ = w.Write(whole.Body.Bytes()[:100])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	if err := i.pullAll(t, quick(t, i.Client(), 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(i.requests, "\n"); !strings.Contains(all, "bytes=100-") {
		t.Errorf("no request for the rest:\n%s", all)
	}
}

func TestAMirrorWithoutTLSIsNamedByItsScheme(t *testing.T) {
	t.Parallel()
	f := &fetcher{mirrors: map[string]string{"quay.io": "http://m.example/q", "docker.io": "m.example:5000"}}
	for reference, want := range map[string]string{
		"quay.io/a/b:1": "http m.example/q/a/b:1", "docker.io/a/b:1": "https m.example:5000/a/b:1", "ghcr.io/a:1": "https ghcr.io/a:1",
	} {
		got, err := f.reference(reference)
		if err != nil || got.Context().Scheme()+" "+got.Name() != want {
			t.Errorf("%s: got %s %s, %v, want %s", reference, got.Context().Scheme(), got.Name(), err, want)
		}
	}
}

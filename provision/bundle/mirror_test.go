package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// mirror serves files and images as the release servers do, on localhost.
type mirror struct {
	*httptest.Server
	registry string
	image    v1.Image

	mu    sync.Mutex
	files map[string][]byte
	// requests counts the requests by path and range.
	requests map[string]int
	// cut is the number of bytes after which the connection is lost; 0 means never.
	cut int
	// status, unless 0, replaces every response.
	status int
}

func newMirror(t *testing.T) *mirror {
	t.Helper()
	m := &mirror{files: map[string][]byte{}, requests: map[string]int{}, image: randomImage(t, "amd64")}
	m.Server = httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(m.Close)
	images := httptest.NewServer(m.count(registry.New(registry.Logger(log.New(io.Discard, "", 0)))))
	t.Cleanup(images.Close)
	m.registry = strings.TrimPrefix(images.URL, "http://")
	ref, err := name.ParseReference(m.registry + "/k8s/pause:3.10.2")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, m.image); err != nil {
		t.Fatal(err)
	}
	m.files["/v1.36.4/amd64/kubelet"] = bytes.Repeat([]byte("kubelet "), 4096)
	m.files["/v2.3.4/amd64.tgz"] = archive(t, map[string]string{
		"./bin/containerd": "containerd itself", "./bin/ctr": "ctr itself", "./bin/containerd-stress": "not wanted",
	})
	return m
}

func (m *mirror) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.requests[r.Method+" "+r.URL.Path]++
		m.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (m *mirror) serve(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	data, ok := m.files[r.URL.Path]
	m.requests[strings.TrimSpace(r.URL.Path+" "+r.Header.Get("Range"))]++
	cut, status := m.cut, m.status
	m.mu.Unlock()
	switch {
	case status != 0:
		http.Error(w, "no", status)
	case !ok:
		http.NotFound(w, r)
	case cut > 0 && r.Header.Get("Range") == "":
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:cut])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	default:
		http.ServeContent(w, r, r.URL.Path, time.Time{}, bytes.NewReader(data))
	}
}

func (m *mirror) requested(request string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests[request]
}

func (m *mirror) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// catalogue is one release with the sums of the current files.
func (m *mirror) catalogue() Catalogue {
	sum := func(path string) map[string]string {
		s := sha256.Sum256(m.files[path])
		return map[string]string{"amd64": hex.EncodeToString(s[:])}
	}
	return Catalogue{
		Components: []Component{
			{
				Name: "kubelet", URL: "https://files.test/v{version}/{arch}/kubelet",
				SHA256: map[string]map[string]string{"v1.36.4": sum("/v1.36.4/amd64/kubelet")},
			},
			{
				Name: "containerd", URL: "https://files.test/v{version}/{arch}.tgz",
				Extract: map[string]string{"bin/containerd": "containerd", "bin/ctr": "ctr"},
				SHA256:  map[string]map[string]string{"v2.3.4": sum("/v2.3.4/amd64.tgz")},
			},
		},
		Releases: []Release{{
			Kubernetes: "v1.36.4",
			Components: map[string]string{"kubelet": "v1.36.4", "containerd": "v2.3.4"},
			Images:     []ReleaseImage{{Name: pauseName, Roles: []string{"worker"}}},
		}},
	}
}

func (m *mirror) options(t *testing.T) CreateOptions {
	t.Helper()
	return CreateOptions{
		Dir: t.TempDir() + "/parent/bundle", Cache: t.TempDir(), Kubernetes: "1.36.4", Client: m.Client(),
		Rewrites:        map[string]string{"https://files.test/": m.URL + "/"},
		RegistryMirrors: map[string]string{"registry.k8s.io": m.registry + "/k8s"},
	}
}

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var data bytes.Buffer
	gz := gzip.NewWriter(&data)
	tw := tar.NewWriter(gz)
	for file, body := range files {
		if err := tw.WriteHeader(&tar.Header{Name: file, Mode: 0o755, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

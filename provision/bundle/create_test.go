package bundle

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"slipway.io/slipway/provision/localhost"
)

func TestCreateWritesACompleteBundle(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	o := m.options(t)
	var mu sync.Mutex
	done := map[string]bool{}
	o.Progress = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Done {
			done[p.Name] = true
		}
	}
	b, err := create(t.Context(), m.catalogue(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"containerd", "ctr", "kubelet"}, fileNames(b.Files("worker", "amd64"))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	ctr, err := b.File("ctr", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(b.Path(ctr)); err != nil || string(got) != "ctr itself" {
		t.Errorf("ctr is %q, %v", got, err)
	}
	if info, err := os.Stat(b.Path(ctr)); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("ctr is not executable: %v, %v", info.Mode(), err)
	}
	image, err := b.Image("registry.k8s.io/pause", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := m.image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if image.Digest != digest.String() || image.Name != pauseName {
		t.Errorf("the image is %s %s, want its own name and the digest %s", image.Name, image.Digest, digest)
	}
	if !done["kubelet v1.36.4 amd64"] || !done["containerd v2.3.4 amd64"] {
		t.Errorf("progress reported only %v", done)
	}
	leftovers(t, filepath.Dir(o.Dir), "bundle")
}

func TestCreateDownloadsEachThingOnce(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	o := m.options(t)
	for range 2 {
		if _, err := create(t.Context(), m.catalogue(), o); err != nil {
			t.Fatal(err)
		}
	}
	if n := m.requested("/v1.36.4/amd64/kubelet"); n != 1 {
		t.Errorf("kubelet was downloaded %d times", n)
	}
	layers, err := m.image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	if n := m.requested("GET /v2/k8s/pause/blobs/" + digest.String()); n != 1 {
		t.Errorf("the layer was downloaded %d times", n)
	}
}

func TestCreateResumesAnInterruptedDownload(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.cut = 100
	o := m.options(t)
	if err := fetchKubelet(t, m, o); err != nil {
		t.Fatal(err)
	}
	if n := m.requested("/v1.36.4/amd64/kubelet bytes=100-"); n != 1 {
		t.Errorf("the rest was requested %d times; requests: %v", n, m.requests)
	}
}

func TestCreateRestartsADownloadWithACorruptBeginning(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	o := m.options(t)
	sum := m.catalogue().Components[0].SHA256["v1.36.4"]["amd64"]
	for name, kept := range map[string][]byte{
		"other bytes":         []byte("something else"),
		"more than the whole": bytes.Repeat([]byte("x"), 1<<20),
	} {
		part := filepath.Join(o.Cache, "sha256", sum+".part")
		if err := os.MkdirAll(filepath.Dir(part), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(part, kept, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := fetchKubelet(t, m, o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(filepath.Join(o.Cache, "sha256", sum)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCreateReplacesACorruptCacheEntry(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	o := m.options(t)
	if _, err := create(t.Context(), m.catalogue(), o); err != nil {
		t.Fatal(err)
	}
	entries, err := filepath.Glob(filepath.Join(o.Cache, "sha256", "*"))
	if err != nil || len(entries) < 3 {
		t.Fatalf("the cache holds %v, %v", entries, err)
	}
	for _, entry := range entries {
		if err := os.WriteFile(entry, []byte("rotten"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := create(t.Context(), m.catalogue(), o); err != nil {
		t.Error(err)
	}
}

func TestCreateRejects(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil func(m *mirror, c *Catalogue)
		want  string
	}{
		"a file with a changed byte": {func(m *mirror, _ *Catalogue) {
			m.files["/v1.36.4/amd64/kubelet"][7] ^= 1
		}, "kubelet v1.36.4 amd64: download is corrupt: want sha256:"},
		"a file that is too long": {func(m *mirror, _ *Catalogue) {
			m.files["/v1.36.4/amd64/kubelet"] = append(m.files["/v1.36.4/amd64/kubelet"], 'x')
		}, "kubelet v1.36.4 amd64: download is corrupt: want sha256:"},
		"a file that is too short": {func(m *mirror, _ *Catalogue) {
			m.files["/v1.36.4/amd64/kubelet"] = m.files["/v1.36.4/amd64/kubelet"][:9]
		}, "kubelet v1.36.4 amd64: download is corrupt: want sha256:"},
		"a file that is not on the mirror": {func(m *mirror, _ *Catalogue) {
			delete(m.files, "/v2.3.4/amd64.tgz")
		}, "404 Not Found"},
		"an archive without an expected file": {func(_ *mirror, c *Catalogue) {
			c.Components[1].Extract["bin/shim"] = "shim"
		}, "not in the archive: bin/shim"},
		"a file that is not an archive": {func(_ *mirror, c *Catalogue) {
			c.Components[0].Extract = map[string]string{"kubelet": "kubelet"}
		}, "not a tar.gz archive"},
		"an image with another digest than the catalogue's": {func(_ *mirror, c *Catalogue) {
			c.Releases[0].Images[0].Digests = map[string]string{"amd64": "sha256:" + strings.Repeat("0", 64)}
		}, "image manifest is corrupt: want sha256:000"},
		"an image that is not in the registry": {func(_ *mirror, c *Catalogue) {
			c.Releases[0].Images[0].Name = "registry.k8s.io/pause:9"
		}, "pull registry.k8s.io/pause:9 for amd64"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			c := m.catalogue()
			m.set(func() { test.spoil(m, &c) })
			o := m.options(t)
			_, err := create(t.Context(), c, o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
			leftovers(t, filepath.Dir(o.Dir))
		})
	}
}

func TestCreateRejectsAnImageOfAnotherArchitecture(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	c := m.catalogue()
	c.Releases[0].Components = nil
	o := m.options(t)
	o.Arches = []string{"arm64"}
	if _, err := create(t.Context(), c, o); err == nil || !strings.Contains(err.Error(), "no such platform in the registry") {
		t.Errorf("got %v", err)
	}
}

func TestCreateReportsEveryFailedDownload(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.status = http.StatusForbidden
	_, err := create(t.Context(), m.catalogue(), m.options(t))
	for _, want := range []string{"kubelet", "containerd", "403 Forbidden"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	if n := m.requested("/v1.36.4/amd64/kubelet"); n != 1 {
		t.Errorf("the forbidden file was requested %d times", n)
	}
}

func TestAStalledDownloadFails(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	silent := make(chan struct{})
	t.Cleanup(func() { close(silent) })
	m.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-silent
	})
	o, err := m.options(t).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	o.stall = 20 * time.Millisecond
	f := newFetcher(o)
	f.pause = time.Millisecond
	sum := m.catalogue().Components[0].SHA256["v1.36.4"]["amd64"]
	if _, err := f.get(t.Context(), "kubelet", sum, f.download("kubelet", m.URL)); err == nil || !strings.Contains(err.Error(), "no data for") {
		t.Errorf("got %v", err)
	}
}

func TestRewriteTakesTheLongestPrefix(t *testing.T) {
	t.Parallel()
	f := &fetcher{rewrites: map[string]string{"https://a.test/": "http://all/", "https://a.test/b/": "http://b/"}}
	for url, want := range map[string]string{
		"https://a.test/b/c": "http://b/c", "https://a.test/c": "http://all/c", "https://z.test/c": "https://z.test/c",
	} {
		if got := f.rewrite(url); got != want {
			t.Errorf("%s becomes %s, want %s", url, got, want)
		}
	}
}

// fetchKubelet downloads one file with a fetcher that does not wait.
func fetchKubelet(t *testing.T, m *mirror, o CreateOptions) error {
	t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	f := newFetcher(o)
	f.pause = time.Millisecond
	c := m.catalogue().Components[0]
	_, err = f.get(t.Context(), "kubelet", c.SHA256["v1.36.4"]["amd64"], f.download("kubelet", c.url("v1.36.4", "amd64")))
	return err
}

func TestCreateWaitsForAnotherProcessThatUsesTheCache(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	o := m.options(t)
	other, err := localhost.Acquire(filepath.Join(o.Cache, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	waited := false
	o.Progress = func(p Progress) {
		if p.Waiting == nil {
			return
		}
		waited = true
		if n := m.requested("/v1.36.4/amd64/kubelet"); n != 0 || !errors.Is(p.Waiting, localhost.ErrLocked) {
			t.Errorf("%d downloads while another process has the lock: %v", n, p.Waiting)
		}
		other.Release()
	}
	if _, err := create(t.Context(), m.catalogue(), o); err != nil || !waited {
		t.Errorf("waited: %v, error %v", waited, err)
	}
}

func TestCreateEndsWithItsContextWhileItWaits(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	o := m.options(t)
	other, err := localhost.Acquire(filepath.Join(o.Cache, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(Progress) { cancel() }
	if _, err := create(ctx, m.catalogue(), o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

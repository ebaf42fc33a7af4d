package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"slipway.io/slipway/provision/bundle"
)

func TestTheBuiltInCatalogueIsWrittenAsItIs(t *testing.T) {
	t.Parallel()
	c, err := bundle.LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	text, err := render(c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(bundle.BuiltInCatalogue()), string(text)); diff != "" {
		t.Errorf("run `make catalogue`, or edit catalogue.yaml.tmpl (-file +written):\n%s", diff)
	}
}

// internet stands in for the release servers and the registries, under their own names and with TLS.
type internet struct {
	client *http.Client

	mu sync.Mutex
	// files holds the contents by host and path; asked counts the requests.
	files map[string]string
	asked map[string]int
}

func newInternet(t *testing.T) *internet {
	t.Helper()
	i := &internet{files: map[string]string{}, asked: map[string]int{}}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/") && (r.Host == "registry.k8s.io" || r.Host == "quay.io") {
			images.ServeHTTP(w, r)
			return
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		url := r.Host + r.URL.Path
		i.asked[url]++
		content, ok := i.files[url]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, content)
	}))
	certificate, roots := selfSigned(t, "dl.k8s.io", "raw.githubusercontent.com", "github.com", "registry.k8s.io", "quay.io")
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	i.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}}
	return i
}

func selfSigned(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func (i *internet) set(url, content string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.files[url] = content
}

// push puts an image for both architectures into its registry, and returns the digests.
func (i *internet) push(t *testing.T, reference string) map[string]string {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	digests := map[string]string{}
	for _, arch := range bundle.Arches() {
		image, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		file, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		file = file.DeepCopy()
		file.OS, file.Architecture = "linux", arch
		if image, err = mutate.ConfigFile(image, file); err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests[arch] = digest.String()
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index, remote.WithTransport(i.client.Transport)); err != nil {
		t.Fatal(err)
	}
	return digests
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

const (
	constantsURL = "raw.githubusercontent.com/kubernetes/kubernetes/v1.36.5/cmd/kubeadm/app/constants/constants.go"
	manifestURL  = "raw.githubusercontent.com/metallb/metallb/v0.16.2/metallb-native.yaml"
	pause        = "registry.k8s.io/pause:3.10.2"
	pauseNext    = "registry.k8s.io/pause:3.10.3"
	speaker      = "quay.io/metallb/speaker:v0.16.2"
)

// before is a catalogue in which everything is missing that a refresh finds.
func before() bundle.Catalogue {
	return bundle.Catalogue{
		KubeadmConstants: "https://raw.githubusercontent.com/kubernetes/kubernetes/v{version}/cmd/kubeadm/app/constants/constants.go",
		Components: []bundle.Component{
			{
				Name: "kubelet", URL: "https://dl.k8s.io/release/v{version}/bin/linux/{arch}/kubelet", Roles: []string{"worker"},
				Checksums: "https://dl.k8s.io/release/v{version}/bin/linux/{arch}/kubelet.sha256",
				SHA256:    map[string]map[string]string{"v1.36.3": {"amd64": sum("old"), "arm64": sum("old")}, "v1.36.4": {"amd64": sum("1.36.4 amd64")}},
			},
			{
				Name: "runc", URL: "https://github.com/opencontainers/runc/releases/download/v{version}/runc.{arch}", Extract: map[string]string{"a": "b"},
				Checksums: "https://github.com/opencontainers/runc/releases/download/v{version}/runc.sha256sum",
			},
		},
		Releases: []bundle.Release{{
			Kubernetes: "v1.36.4", Components: map[string]string{"kubelet": "v1.36.4", "runc": "v1.4.3"},
			Images: []bundle.ReleaseImage{{Name: pause, Roles: []string{"worker"}}},
		}},
		Addons: []bundle.Addon{{
			Name: "metallb", Version: "v0.16.2",
			Manifests: []bundle.AddonManifest{{Name: "metallb-native.yaml", URL: "https://" + manifestURL, SHA256: sum("manifest")}},
			Images:    []bundle.ReleaseImage{{Name: speaker}},
		}},
	}
}

// online serves everything that a refresh of that catalogue asks for.
func online(t *testing.T) (i *internet, digests map[string]map[string]string) {
	t.Helper()
	i = newInternet(t)
	i.set("dl.k8s.io/release/stable-1.36.txt", "v1.36.5")
	i.set(constantsURL, "package constants\n\nconst CoreDNSVersion = \"v1.14.2\"\n\nconst PauseVersion = \"3.10.3\"\n\n"+
		"var SupportedEtcdVersion = map[uint8]string{36: \"3.6.8-0\"}\n")
	for _, version := range []string{"1.36.4", "1.36.5"} {
		for _, arch := range bundle.Arches() {
			i.set("dl.k8s.io/release/v"+version+"/bin/linux/"+arch+"/kubelet.sha256", sum(version+" "+arch)+"\n")
		}
	}
	i.set("github.com/opencontainers/runc/releases/download/v1.4.3/runc.sha256sum",
		sum("runc arm64")+"  runc.arm64\n"+sum("runc amd64")+"  runc.amd64\n")
	i.set(manifestURL, "manifest")
	digests = map[string]map[string]string{}
	for _, image := range []string{pause, pauseNext, speaker} {
		digests[image] = i.push(t, image)
	}
	return i, digests
}

// written writes a catalogue to a file.
func written(t *testing.T, c bundle.Catalogue) string {
	t.Helper()
	text, err := render(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "catalogue.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestARefreshAddsReleasesSumsAndDigests(t *testing.T) {
	t.Parallel()
	i, digests := online(t)
	file := written(t, before())
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-file", file}, i.client, &out); err != nil {
		t.Fatal(err)
	}
	want := before()
	want.Components[0].SHA256 = map[string]map[string]string{
		"v1.36.4": {"amd64": sum("1.36.4 amd64"), "arm64": sum("1.36.4 arm64")},
		"v1.36.5": {"amd64": sum("1.36.5 amd64"), "arm64": sum("1.36.5 arm64")},
	}
	want.Components[1].SHA256 = map[string]map[string]string{"v1.4.3": {"amd64": sum("runc amd64"), "arm64": sum("runc arm64")}}
	want.Releases[0].Images[0].Digests = digests[pause]
	want.Releases = slices.Insert(want.Releases, 0, bundle.Release{
		Kubernetes: "v1.36.5", Components: map[string]string{"kubelet": "v1.36.5", "runc": "v1.4.3"},
		Images: []bundle.ReleaseImage{{Name: pauseNext, Roles: []string{"worker"}, Digests: digests[pauseNext]}},
	})
	want.Addons[0].Images[0].Digests = digests[speaker]
	got, err := bundle.OpenCatalogue(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, line := range []string{
		"release v1.36.5: added\n", "kubelet v1.36.3: removed, no release has it\n",
		"https://dl.k8s.io/release/v1.36.4/bin/linux/arm64/kubelet: sha256 " + sum("1.36.4 arm64") + "\n",
		pause + " for arm64: " + digests[pause]["arm64"] + "\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("the output lacks %q:\n%s", line, out.String())
		}
	}
	if strings.Contains(out.String(), "v1.36.4/bin/linux/amd64") {
		t.Errorf("the output names what has not changed:\n%s", out.String())
	}

	out.Reset()
	if err := run(t.Context(), []string{"-file", file}, i.client, &out); err != nil || out.String() != "nothing has changed\n" {
		t.Errorf("a second refresh: %v, %q", err, out.String())
	}
	moved := i.push(t, pause)
	out.Reset()
	err = run(t.Context(), []string{"-file", file}, i.client, &out)
	if line := fmt.Sprintf("%s for amd64: %s, was %s: the tag has moved\n", pause, moved["amd64"], digests[pause]["amd64"]); err != nil || !strings.Contains(out.String(), line) {
		t.Errorf("a tag that moved: %v, %q", err, out.String())
	}
}

func TestARefreshRefuses(t *testing.T) {
	t.Parallel()
	const kubelet = "dl.k8s.io/release/v1.36.4/bin/linux/amd64/kubelet.sha256"
	for title, test := range map[string]struct{ url, content, says string }{
		"another sum of a known file": {kubelet, sum("replaced"), "the catalogue has sha256 " + sum("1.36.4 amd64") + ", the server " + sum("replaced")},
		"another manifest":            {manifestURL, "replaced", manifestURL + ": the catalogue has"},
		"a page in the place of a sum": {
			"github.com/opencontainers/runc/releases/download/v1.4.3/runc.sha256sum", "<html>sign in</html>", "runc.sha256sum: no sha256 of runc.amd64",
		},
		"a newest release that is none":    {"dl.k8s.io/release/stable-1.36.txt", "<html>", "is not a version"},
		"a newest release without images":  {"dl.k8s.io/release/stable-1.36.txt", "v1.36.6", "v1.36.6/cmd/kubeadm/app/constants/constants.go: 404"},
		"a release whose image is missing": {constantsURL, "package constants\n\nconst CoreDNSVersion, PauseVersion = \"v1\", \"9.9\"\n\nvar SupportedEtcdVersion = map[uint8]string{36: \"3\"}\n", "pull registry.k8s.io/pause:9.9"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			i, digests := online(t)
			i.set(test.url, test.content)
			file := written(t, before())
			if err := run(t.Context(), []string{"-file", file}, i.client, io.Discard); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
			// What could be read is there.
			got, err := bundle.OpenCatalogue(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(digests[speaker], got.Addons[0].Images[0].Digests); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := got.Components[0].SHA256["v1.36.4"]["amd64"]; got != sum("1.36.4 amd64") {
				t.Errorf("the known sum became %q", got)
			}
		})
	}
}

func TestReplaceAcceptsAnotherManifest(t *testing.T) {
	t.Parallel()
	i, _ := online(t)
	i.set(manifestURL, "edited")
	file := written(t, before())
	if err := run(t.Context(), []string{"-file", file, "-replace"}, i.client, io.Discard); err != nil {
		t.Fatal(err)
	}
	got, err := bundle.OpenCatalogue(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := got.Addons[0].Manifests[0].SHA256; got != sum("edited") {
		t.Errorf("got %s", got)
	}
}

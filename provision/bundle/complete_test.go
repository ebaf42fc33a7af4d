package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const constantsPath = "/v1.36.7/constants.go"

// constants is what kubeadm's constants.go says of images.
const constants = `package constants

const (
	DefaultEtcdVersion = "3.6.9-0"
	CoreDNSVersion     = "v1.14.3"
	PauseVersion       = "3.10.3"
)

var SupportedEtcdVersion = map[uint8]string{
	35: "3.6.8-0",
	36: "3.6.9-0",
}
`

// patched is a mirror that also serves v1.36.7, which the catalogue does not list.
func patched(t *testing.T) (*mirror, Catalogue) {
	t.Helper()
	m := newMirror(t)
	c := m.catalogue()
	c.KubeadmConstants = "https://files.test/v{version}/constants.go"
	c.Components[0].Checksums = "https://files.test/v{version}/{arch}/kubelet.sha256"
	c.Releases[0].Components["kubelet"] = "v1.36.4"
	kubelet := []byte("kubelet of v1.36.7")
	sum := sha256.Sum256(kubelet)
	m.files["/v1.36.7/amd64/kubelet"] = kubelet
	m.files["/v1.36.7/amd64/kubelet.sha256"] = []byte(hex.EncodeToString(sum[:]))
	m.files[constantsPath] = []byte(constants)
	m.push(t, "/k8s/pause:3.10.3")
	return m, c
}

// push puts an image into the mirror's registry, and returns its digest.
func (m *mirror) push(t *testing.T, reference string) string {
	t.Helper()
	ref, err := name.ParseReference(m.registry + reference)
	if err != nil {
		t.Fatal(err)
	}
	image := randomImage(t, "amd64")
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func TestAPatchReleaseThatIsNotListedIsPinned(t *testing.T) {
	t.Parallel()
	m, c := patched(t)
	o := m.options(t)
	o.Kubernetes, o.Lock = "v1.36.7", filepath.Join(t.TempDir(), "lab.lock.yaml")
	b, err := create(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Manifest().Kubernetes; got != "v1.36.7" {
		t.Errorf("the bundle has %s", got)
	}
	for file, want := range map[string]string{"kubelet": "v1.36.7", "containerd": "v2.3.4"} {
		if got := b.Version(file); got != want {
			t.Errorf("%s is %s, want %s", file, got, want)
		}
	}
	if got := imageNames(b.Images("", "amd64")); !slices.Equal(got, []string{"registry.k8s.io/pause:3.10.3"}) {
		t.Errorf("images %q are not those of kubeadm", got)
	}
	lock, err := OpenLock(o.Lock)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"https://files.test/v1.36.7/amd64/kubelet", "https://files.test/v1.36.7/constants.go", "https://files.test/v2.3.4/amd64.tgz",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(lock.Files))); diff != "" {
		t.Errorf("pinned files (-want +got):\n%s", diff)
	}
	if got := lock.Images["registry.k8s.io/pause:3.10.3"]["amd64"]; got != b.Manifest().Images[0].Digest {
		t.Errorf("pinned image %q", got)
	}

	// The second download uses the lock file, and not the server's sums.
	before := m.requested("/v1.36.7/amd64/kubelet.sha256")
	o.Dir, o.Cache = t.TempDir(), t.TempDir()
	text, err := os.ReadFile(o.Lock)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := create(t.Context(), c, o); err != nil {
		t.Fatal(err)
	}
	if got := m.requested("/v1.36.7/amd64/kubelet.sha256"); got != before {
		t.Error("the server was asked for a sum that is pinned")
	}
	if again, err := os.ReadFile(o.Lock); err != nil || string(again) != string(text) {
		t.Errorf("the lock file changed: %v\n%s", err, again)
	}
}

func TestADownloadThatIsNotThePinnedOneIsRefused(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("0", 64)
	tests := map[string]struct {
		change func(*testing.T, *mirror)
		says   string
	}{
		"another file with another published sum": {func(_ *testing.T, m *mirror) {
			m.files["/v1.36.7/amd64/kubelet"] = []byte("replaced")
			m.files["/v1.36.7/amd64/kubelet.sha256"] = []byte(zeros)
		}, "https://files.test/v1.36.7/amd64/kubelet is not the one"},
		"another source of kubeadm": {func(_ *testing.T, m *mirror) {
			m.files[constantsPath] = []byte(constants + "// changed\n")
		}, "https://files.test/v1.36.7/constants.go is not the one"},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			m, c := patched(t)
			o := m.options(t)
			o.Kubernetes, o.Lock = "v1.36.7", filepath.Join(t.TempDir(), "lab.lock.yaml")
			if _, err := create(t.Context(), c, o); err != nil {
				t.Fatal(err)
			}
			m.set(func() { test.change(t, m) })
			o.Dir, o.Cache = t.TempDir(), t.TempDir()
			_, err := create(t.Context(), c, o)
			var another *PinError
			if !errors.As(err, &another) {
				t.Fatalf("got %v", err)
			}
			for _, want := range []string{test.says, o.Lock + " pins sha256:", ", got sha256:", "delete its line in lab.lock.yaml"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want it to say %q", err, want)
				}
			}
		})
	}
}

func TestATagThatMovedIsPulledByItsDigest(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	o := m.options(t)
	o.Lock = filepath.Join(t.TempDir(), "lock.yaml")
	first, err := create(t.Context(), m.catalogue(), o)
	if err != nil {
		t.Fatal(err)
	}
	moved := m.push(t, "/k8s/pause:3.10.2")
	o.Dir = t.TempDir()
	second, err := create(t.Context(), m.catalogue(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := second.Manifest().Images[0].Digest, first.Manifest().Images[0].Digest; got != want {
		t.Errorf("the image is %s, want %s", got, want)
	}

	// Without the lock file the tag counts, and that bundle is not the pinned one.
	lock, err := OpenLock(o.Lock)
	if err != nil {
		t.Fatal(err)
	}
	o.Dir, o.Lock = t.TempDir(), ""
	third, err := create(t.Context(), m.catalogue(), o)
	if err != nil || third.Manifest().Images[0].Digest != moved {
		t.Fatalf("got %v", err)
	}
	var another *PinError
	if err := lock.Pin(third); !errors.As(err, &another) || another.Got != moved {
		t.Errorf("got %v", err)
	}
}

func TestALockAndACatalogueThatDifferAreRefused(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	o := m.options(t)
	o.Lock = filepath.Join(t.TempDir(), "lock.yaml")
	if _, err := create(t.Context(), m.catalogue(), o); err != nil {
		t.Fatal(err)
	}
	c := m.catalogue()
	c.Components[0].SHA256["v1.36.4"]["amd64"] = strings.Repeat("0", 64)
	_, err := create(t.Context(), c, o)
	if err == nil || !strings.Contains(err.Error(), "in the catalogue") || !strings.Contains(err.Error(), "/v1.36.4/amd64/kubelet") {
		t.Errorf("got %v", err)
	}
}

func TestAVersionThatCannotBeDerivedListsTheKnownOnes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		version, want string
		change        func(*mirror, *Catalogue)
	}{
		"of another minor version":  {"v1.20.0", "choose one of v1.36.4", nil},
		"no source of kubeadm":      {"v1.36.7", "choose one of v1.36.4", func(_ *mirror, c *Catalogue) { c.KubeadmConstants = "" }},
		"that was never released":   {"v1.36.99", "404", nil},
		"with an unreadable source": {"v1.36.7", "constants.go", func(m *mirror, _ *Catalogue) { m.files[constantsPath] = []byte("<html>") }},
		"without a published sum":   {"v1.36.7", "kubelet.sha256: 404", func(m *mirror, _ *Catalogue) { delete(m.files, "/v1.36.7/amd64/kubelet.sha256") }},
		"with a page in the place of its sum": {"v1.36.7", "no sha256 of kubelet", func(m *mirror, _ *Catalogue) {
			m.files["/v1.36.7/amd64/kubelet.sha256"] = []byte("<html> not found\n<p>")
		}},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			m, c := patched(t)
			if test.change != nil {
				test.change(m, &c)
			}
			o := m.options(t)
			o.Kubernetes = test.version
			if _, err := create(t.Context(), c, o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
		})
	}
}

func TestAStoppedServerDoesNotTouchTheLockFile(t *testing.T) {
	t.Parallel()
	m, c := patched(t)
	o := m.options(t)
	o.Kubernetes, o.Lock = "v1.36.7", filepath.Join(t.TempDir(), "lock.yaml")
	m.status = http.StatusForbidden
	if _, err := create(t.Context(), c, o); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(o.Lock); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestADamagedLockFileIsRefused(t *testing.T) {
	t.Parallel()
	const good = "apiVersion: slipway.io/v1alpha1\nkind: Lock\nfiles:\n  https://a.test/b: " +
		"0000000000000000000000000000000000000000000000000000000000000000\n"
	for title, test := range map[string]struct{ old, replacement, want string }{
		"an unknown field":   {"files", "file", "line 3: field file not found"},
		"another kind":       {"kind: Lock", "kind: Bundle", `kind: is "Bundle"`},
		"no version":         {"apiVersion: slipway.io/v1alpha1\n", "", `apiVersion: is ""`},
		"a sum that is none": {"0000\n", "\n", "64 hex digits"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "lock.yaml")
			if err := os.WriteFile(path, []byte(strings.Replace(good, test.old, test.replacement, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenLock(path); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
		})
	}
}

func TestABundleFromSourceIsNotPinned(t *testing.T) {
	t.Parallel()
	lock, err := OpenLock(filepath.Join(t.TempDir(), "lock.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Pin(newBundle(t)); err != nil || len(lock.Images) > 0 {
		t.Errorf("pinned %v, %v", lock.Images, err)
	}
}

func TestSumOf(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for title, test := range map[string]struct{ text, want, says string }{
		"the sum alone":                 {a + "\n", a, ""},
		"one line of sha256sum":         {a + "  runc.amd64\n", a, ""},
		"a file that was read binary":   {a + " *runc.amd64", a, ""},
		"a path":                        {a + "  dist/runc.amd64", a, ""},
		"a list":                        {b + "  runc.arm64\n" + a + "  runc.amd64\n" + b + "  runc.amd64.asc\n", a, ""},
		"a list without the file":       {b + "  runc.arm64\n", "", "no sha256 of runc.amd64"},
		"two sums of one file":          {a + "  runc.amd64\n" + b + "  runc.amd64\n", "", "two different sums"},
		"a sum that is too short":       {a[1:] + "  runc.amd64\n", "", "is not a sha256"},
		"an empty file":                 {"", "", "no sha256"},
		"two sums without names":        {a + "\n" + b, "", "no sha256"},
		"upper case, as no tool prints": {strings.ToUpper(a), "", "is not a sha256"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			got, err := sumOf(test.text, "runc.amd64")
			if got != test.want || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestKubeadmTags(t *testing.T) {
	t.Parallel()
	for title, test := range map[string]struct{ version, old, replacement, etcd, says string }{
		"the entry of the minor version":              {"v1.36.7", "", "", "3.6.9-0", ""},
		"a newer minor version than all entries":      {"v1.37.2", "", "", "3.6.9-0", ""},
		"an older minor version than all entries":     {"v1.34.1", "", "", "3.6.8-0", ""},
		"keys that are relative to kubeadm's version": {"v1.35.8", "36:", "uint8(getSkewedKubernetesVersion(0).Minor()):", "3.6.9-0", ""},
		"a gap":                          {"v1.35.8", "35:", "33:", "", "no etcd for 1.35"},
		"a key that is computed":         {"v1.36.7", "36:", "minor:", "", "not a minor version"},
		"a tag that is computed":         {"v1.36.7", `36: "3.6.9-0"`, "36: etcd", "", "not a string"},
		"a tag that is a reference":      {"v1.36.7", `"v1.14.3"`, `"evil/x:1"`, "", "CoreDNSVersion"},
		"a constant that was renamed":    {"v1.36.7", "PauseVersion", "Pause", "", "PauseVersion: not a string"},
		"a map that was renamed":         {"v1.36.7", "SupportedEtcdVersion", "Etcd", "", "SupportedEtcdVersion: not a map"},
		"something that is no Go source": {"v1.36.7", "package", "<html>", "", "expected 'package'"},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			tags, err := kubeadmTags([]byte(strings.Replace(constants, test.old, test.replacement, 1)), test.version)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %v, want it to say %q", err, test.says)
				}
				return
			}
			want := map[string]string{
				"registry.k8s.io/etcd": test.etcd, "registry.k8s.io/coredns/coredns": "v1.14.3", "registry.k8s.io/pause": "3.10.3",
			}
			if diff := cmp.Diff(want, tags); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// listed returns a release of the catalogue, to change it.
func listed(t *testing.T, c *Catalogue, version string) *Release {
	t.Helper()
	for i := range c.Releases {
		if c.Releases[i].Kubernetes == version {
			return &c.Releases[i]
		}
	}
	t.Fatalf("%s is not listed", version)
	return nil
}

func TestTheKeyOfABundleHoldsWhatTheCatalogueSays(t *testing.T) {
	t.Parallel()
	key := func(version string, addons []string, change func(*Catalogue)) string {
		c, err := LoadCatalogue()
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(&c)
		}
		key, err := c.Key(version, addons)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	const version = "v1.36.4"
	flannel := []string{"flannel"}
	plain := key(version, flannel, nil)
	if again := key("1.36.4", flannel, nil); again != plain {
		t.Error("the key depends on the v")
	}
	if other := key(version, flannel, func(c *Catalogue) { c.Addons[1].Version = "v9.9.9" }); other != plain {
		t.Error("the key depends on an addon that the bundle does not have")
	}
	for title, another := range map[string]string{
		"an image of an addon":  key(version, flannel, func(c *Catalogue) { c.Addons[0].Images[0].Name = "a.test/b:1" }),
		"an image":              key(version, flannel, func(c *Catalogue) { listed(t, c, version).Images[0].Name = "a.test/b:1" }),
		"a sum":                 key(version, flannel, func(c *Catalogue) { c.Components[0].SHA256[version]["arm64"] = strings.Repeat("0", 64) }),
		"a component's version": key(version, flannel, func(c *Catalogue) { listed(t, c, version).Components["runc"] = "v1.3.6" }),
		"where files come from": key(version, flannel, func(c *Catalogue) { c.Components[0].URL = "https://a.test/{version}/{arch}" }),
		"the addons":            key(version, nil, nil),
		"the minor version":     key("v1.35.9", flannel, nil),
		"the source of kubeadm": key(version, flannel, func(c *Catalogue) { c.KubeadmConstants = "https://a.test/{version}" }),
	} {
		if another == plain {
			t.Errorf("the key does not depend on %s", title)
		}
	}
}

package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodManifest = `apiVersion: slipway.io/v1alpha1
kind: Bundle
kubernetes: v1.36.4
origin: release
files:
- name: kubelet
  version: v1.36.4
  os: linux
  arch: amd64
  path: bin/linux-amd64/kubelet
  sha256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  size: 1
images:
- name: registry.k8s.io/pause:3.10.2
  arch: amd64
  digest: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
  size: 1
  roles: [worker]
`

func TestOpenRejects(t *testing.T) {
	t.Parallel()
	file := goodManifest[strings.Index(goodManifest, "- name: kubelet"):strings.Index(goodManifest, "images:")]
	image := goodManifest[strings.Index(goodManifest, "- name: registry"):]
	tests := map[string]struct{ old, replacement, want string }{
		"an unknown field":            {"origin:", "orgin: release\norigin:", `unknown field "orgin"`},
		"an unknown field of a file":  {"  size: 1\nimages", "  mode: 1\n  size: 1\nimages", `unknown field "mode"`},
		"another api version":         {"v1alpha1", "v9", "apiVersion: "},
		"another kind":                {"kind: Bundle", "kind: Cluster", "kind: "},
		"a version without its v":     {"kubernetes: v", "kubernetes: ", "kubernetes: "},
		"an unknown origin":           {"origin: release", "origin: friend", "origin: "},
		"a path out of the bundle":    {"path: bin/linux-amd64/kubelet", "path: ../x", "files[0].path: \"../x\" leads out of the bundle"},
		"a path that leads out by ..": {"path: bin/linux", "path: bin/../../x/linux", "leads out of the bundle"},
		"an absolute path":            {"path: bin", "path: /bin", "leads out of the bundle"},
		"a path with back slashes":    {"path: bin/", `path: bin\..\..\`, "leads out of the bundle"},
		"a path with ..":              {"path: bin/", "path: x/../bin/", "not a canonical relative path"},
		"a file named twice":          {file, file + strings.Replace(file, "amd64/kubelet", "amd64/other", 1), "files[1].name: duplicate file kubelet for linux/amd64; first defined in files[0].name"},
		"two files at one path":       {file, file + strings.Replace(file, "name: kubelet", "name: kubectl", 1), "files[1].path: duplicate path bin/linux-amd64/kubelet; first defined in files[0].path"},
		"an image named twice":        {image, image + image, "images[1].name: duplicate image registry.k8s.io/pause:3.10.2 for amd64; first defined in images[0].name"},
		"an image without tag":        {"pause:3.10.2", "pause", "images[0].name"},
		"an image without registry":   {"registry.k8s.io/pause:3.10.2", "pause:3.10.2", "images[0].name"},
		"an empty digest":             {"sha256:bbbb", "sha256:", "images[0].digest"},
		"a digest that is a path":     {"sha256:bbbb", "sha256:/../", "images[0].digest"},
		"a sum in capitals":           {"sha256: aa", "sha256: AA", "files[0].sha256"},
		"a negative size":             {"size: 1\nimages", "size: -1\nimages", "files[0].size"},
		"a file for no architecture":  {"  arch: amd64\n  path", "  arch: \"\"\n  path", "files[0].arch"},
		"the same field twice":        {"kind: Bundle\n", "kind: Bundle\nkind: Bundle\n", "kind"},
		"invalid YAML":                {"kind: Bundle", "kind: [", "yaml"},
		"a list instead of a string":  {"kind: Bundle", "kind: [Bundle]", "kind"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(goodManifest, test.old, test.replacement, 1)
			if text == goodManifest {
				t.Fatal("the test changes nothing")
			}
			_, err := openText(t, text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
		})
	}
}

func TestOpenReportsAllInvalidFields(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("kind: Bundle", "kind: X", "path: bin", "path: ../bin", "pause:3.10.2", "pause").Replace(goodManifest)
	_, err := openText(t, text)
	for _, want := range []string{"kind: ", "files[0].path: ", "images[0].name: ", "slipway bundle create"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

func TestOpenHashesNothing(t *testing.T) {
	t.Parallel()
	if _, err := openText(t, goodManifest); err != nil {
		t.Error(err)
	}
}

func TestOpenOfADirectoryWithoutManifestNamesTheCommand(t *testing.T) {
	t.Parallel()
	_, err := Open(t.TempDir())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "slipway bundle create") {
		t.Errorf("got %v", err)
	}
}

func openText(t *testing.T, text string) (*Bundle, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, manifestName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Open(dir)
}

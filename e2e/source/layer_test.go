package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// aTree has one entry of each kind, one of them from a local file of the given age.
func aTree(t *testing.T, age time.Duration) tree {
	t.Helper()
	source := filepath.Join(t.TempDir(), "coredns")
	if err := os.WriteFile(source, []byte("coredns itself"), 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-age)
	if err := os.Chtimes(source, then, then); err != nil {
		t.Fatal(err)
	}
	tr := tree{}
	tr.add("coredns", entry{mode: 0o755, source: source, capability: bindLowPorts()})
	tr.add("/etc/passwd", entry{mode: 0o644, body: []byte("root")})
	tr.add("usr/bin/sh", entry{link: "busybox"})
	tr.add("tmp", entry{dir: true, mode: 0o1777})
	return tr
}

func layerBytes(t *testing.T, tr tree) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tr.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLayersAreReproducible(t *testing.T) {
	t.Parallel()
	first := layerBytes(t, aTree(t, 0))
	if !bytes.Equal(first, layerBytes(t, aTree(t, 48*time.Hour))) {
		t.Error("the layer depends on times or on where its sources are")
	}
}

func TestLayersAreSortedWithDirectoriesFirst(t *testing.T) {
	t.Parallel()
	tr := tar.NewReader(bytes.NewReader(layerBytes(t, aTree(t, 0))))
	var names []string
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s has the time %v and the owner %s:%s", h.Name, h.ModTime, h.Uname, h.Gname)
		}
		if h.Name == "coredns" && len(h.PAXRecords["SCHILY.xattr.security.capability"]) != 20 {
			t.Errorf("coredns has the records %v", h.PAXRecords)
		}
	}
	want := []string{"coredns", "etc/", "etc/passwd", "tmp/", "usr/", "usr/bin/", "usr/bin/sh"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestImagesAreReproducible(t *testing.T) {
	t.Parallel()
	spec := imageSpec{repository: "registry.k8s.io/coredns/coredns", entrypoint: []string{"/coredns"}, user: "65532:65532"}
	digests := map[string]bool{}
	for range 2 {
		layer, err := newLayer(aTree(t, 0), t.TempDir(), "layer")
		if err != nil {
			t.Fatal(err)
		}
		image, err := newImage(spec, "amd64", nil, layer)
		if err != nil {
			t.Fatal(err)
		}
		d, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests[d.String()] = true
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Architecture != "amd64" || config.Config.User != "65532:65532" || config.Config.Env[0] != imagePath {
			t.Errorf("the configuration is %+v", config)
		}
	}
	if len(digests) != 1 {
		t.Errorf("the digests differ: %v", digests)
	}
}

package main

import (
	"os"
	"testing"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"slipway.io/slipway/provision/bundle"
)

func TestMeasure(t *testing.T) {
	for _, mode := range []string{"none", "gzip", "zstd"} {
		w, err := bundle.NewWriter("/tmp/spike/measure-"+mode, "v1.36.4", "source")
		if err != nil { t.Fatal(err) }
		start := time.Now()
		for _, n := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
			tr := tree{}
			tr.add("usr/local/bin/"+n, entry{mode: 0o755, source: "/tmp/spike/bin/" + n})
			f := "/tmp/spike/" + n + ".tar"
			if err := writeTree(tr, f); err != nil { t.Fatal(err) }
			var l v1.Layer
			mt := types.OCIUncompressedLayer
			switch mode {
			case "none":
				l, err = tarball.LayerFromFile(f, tarball.WithCompression(compression.None), tarball.WithMediaType(types.OCIUncompressedLayer))
			case "gzip":
				mt = types.OCILayer
				l, err = tarball.LayerFromFile(f, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
			case "zstd":
				mt = types.OCILayerZStd
				l, err = tarball.LayerFromFile(f, tarball.WithCompression(compression.ZStd), tarball.WithMediaType(types.OCILayerZStd), tarball.WithCompressedCaching)
			}
			if err != nil { t.Fatal(err) }
			img, err := newImage(imageSpec{repository: n}, "amd64", nil, l)
			if err != nil { t.Fatal(err) }
			_ = mt; _ = mutate.Append
			if err := w.AddImage(t.Context(), "registry.k8s.io/"+n+":"+mode, "amd64", nil, img); err != nil { t.Fatal(err) }
		}
		b, err := w.Commit(t.Context())
		if err != nil { t.Fatal(err) }
		out, _ := os.Create("/tmp/spike/measure-" + mode + ".tar")
		if err := b.WriteImages(t.Context(), out, b.Images("", "amd64")); err != nil { t.Fatal(err) }
		st, _ := out.Stat()
		out.Close()
		fmt.Println(mode, st.Size(), time.Since(start))
	}
}

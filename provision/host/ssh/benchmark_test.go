package ssh_test

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/provision/host/hosttest"
)

// trip is the round trip time to a host in another city.
const trip = 20 * time.Millisecond

func BenchmarkUpload(b *testing.B) {
	needRoot(b)
	const size = 64 << 20
	for name, latency := range map[string]time.Duration{"without latency": 0, "20 ms": trip} {
		b.Run(name, func(b *testing.B) {
			h, _ := shellHost(b, hosttest.ServerConfig{Latency: latency})
			blob := newBlob(b, filepath.Join(b.TempDir(), "blob"), size)
			dir := b.TempDir()
			b.SetBytes(size)
			for i := 0; b.Loop(); i++ {
				blob.Path = filepath.Join(dir, strconv.Itoa(i))
				if err := h.Upload(b.Context(), blob); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWriteFile(b *testing.B) {
	for name, contents := range map[string][]string{"unchanged": {"same"}, "replaced": {"one", "two"}} {
		b.Run(name, func(b *testing.B) {
			h, _ := shellHost(b, hosttest.ServerConfig{Latency: trip})
			path := filepath.Join(b.TempDir(), "f")
			for i := 0; b.Loop(); i++ {
				if _, err := host.EnsureFiles(b.Context(), h, mine(path, contents[i%len(contents)])); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkQuery(b *testing.B) {
	h, _ := shellHost(b, hosttest.ServerConfig{Latency: trip})
	for b.Loop() {
		if _, err := h.Query(b.Context(), host.Cmd{Argv: []string{"true"}}); err != nil {
			b.Fatal(err)
		}
	}
}

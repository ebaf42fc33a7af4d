package journal

import (
	"context"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/host"
)

// Sums returns the SHA-256 checksums (lower-case hex) of files on the host, by
// path, in one round trip. Missing files are omitted. For a file that slipway
// uploaded and whose size, times and inode are unchanged, it returns the recorded
// checksum, since hashing 200 MB takes a second or more.
func Sums(ctx context.Context, h host.Host, paths []string) (map[string]string, error) {
	res, err := h.Query(ctx, script("sums.sh", paths...))
	if err != nil {
		return nil, fmt.Errorf("hash files: %w", err)
	}
	sums := make(map[string]string, len(paths))
	for line := range strings.Lines(string(res.Stdout)) {
		if sum, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  "); ok {
			sums[path] = sum
		}
	}
	return sums, nil
}

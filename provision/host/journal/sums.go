package journal

import (
	"context"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/host"
)

// Sums returns the sha256 (lower-case hex) of files on the host by path, all in
// one round trip. A file that does not exist is absent. A file that slipway
// uploaded, and that did not change since by its file system, is not hashed
// again: that takes a second or more for 200 MB.
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

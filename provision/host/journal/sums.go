package journal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"slipway.io/slipway/provision/host"
)

// Sum is the checksum of a file on a host.
type Sum struct {
	// SHA256 is in lower-case hex.
	SHA256 string
	// Recorded: the journal has it, and the file was not hashed.
	Recorded bool
}

// Sums returns the checksums of files on the host, by path, in one round trip. Missing
// files are omitted. A file whose checksum is recorded is not hashed unless its size,
// times or inode have changed, since hashing 200 MB takes a second or more.
func Sums(ctx context.Context, h host.Host, paths []string) (map[string]Sum, error) {
	res, err := h.Query(ctx, script("sums.sh", paths...))
	if err != nil {
		return nil, fmt.Errorf("hash files: %w", err)
	}
	sums := make(map[string]Sum, len(paths))
	for line := range strings.Lines(string(res.Stdout)) {
		sum, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok && len(path) > 1 {
			sums[path[1:]] = Sum{SHA256: sum, Recorded: path[0] == ' '}
		}
	}
	return sums, nil
}

// RecordSums records SHA-256 checksums by path, which Sums had to compute, for the next
// run: a run that is killed after it has uploaded files does not record theirs. conn is
// the connection of the host, since this is no change of it.
func RecordSums(ctx context.Context, conn host.Host, sums map[string]string) error {
	if len(sums) == 0 {
		return nil
	}
	var args []string
	for _, path := range slices.Sorted(maps.Keys(sums)) {
		args = append(args, sums[path], path)
	}
	if _, err := conn.Run(ctx, script("sums-add.sh", args...)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

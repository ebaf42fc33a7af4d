package workflow

import (
	"context"
	"fmt"
	"strings"

	"slipway.io/slipway/provision/host"
	"slipway.io/slipway/templates"
)

// Sums gives the sha256 (lower-case hex) of files on the machine by path, all
// in one round trip; a file that does not exist is absent. What a run has
// uploaded, and the file system says has not been written since, is not hashed
// again: two hundred megabytes a machine are a second or more.
func (s *Step) Sums(ctx context.Context, paths []string) (map[string]string, error) {
	args := append([]string{JournalDir}, paths...)
	res, err := s.Query(ctx, host.Script("sums.sh", templates.Script("workflow/sums.sh"), args...))
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

// noteSums makes Sums quick for files that were just uploaded and verified.
func (j *journaler) noteSums(ctx context.Context, blobs ...host.Blob) error {
	var args []string
	for _, blob := range blobs {
		args = append(args, blob.SHA256, blob.Path)
	}
	return j.write(ctx, "sums-add.sh", args...)
}

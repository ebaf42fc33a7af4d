package bundle

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"slipway.io/slipway/provision/retry"
)

// maxText is the largest file, in bytes, that is downloaded without a known sum: lists of checksums, kubeadm's constants,
// and manifests.
const maxText = 4 << 20

// text downloads a small file whose sha256 is not known.
func (f *fetcher) text(ctx context.Context, name, url string) ([]byte, error) {
	part, err := os.CreateTemp("", "slipway-download-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(part.Name())
	defer part.Close()
	err = retry.Do(ctx, func(ctx context.Context) error { return f.download(name, url)(ctx, part) },
		retry.Options{Attempts: attempts, Pause: retry.Doubling(f.pause, time.Minute)})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if info, err := part.Stat(); err != nil || info.Size() > maxText {
		return nil, fmt.Errorf("%s: GET %s: more than %d bytes (%w)", name, url, maxText, err)
	}
	return os.ReadFile(part.Name())
}

// publishedSum asks the release server for the sha256 of a component's file.
func (f *fetcher) publishedSum(ctx context.Context, c Component, version, arch string) (string, error) {
	list := expand(c.Checksums, version, arch)
	text, err := f.text(ctx, fmt.Sprintf("checksum of %s %s %s", c.Name, version, arch), list)
	if err != nil {
		return "", err
	}
	sum, err := sumOf(string(text), path.Base(c.url(version, arch)))
	if err != nil {
		return "", fmt.Errorf("GET %s: %w", list, err)
	}
	return sum, nil
}

// sumOf returns the sha256 of a file in the output of sha256sum, or in a text that is nothing but the sum.
func sumOf(text, file string) (string, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var sum string
	for _, line := range lines {
		fields := strings.Fields(line)
		alone := len(lines) == 1 && len(fields) == 1
		listed := len(fields) == 2 && filepath.Base(strings.TrimPrefix(fields[1], "*")) == file
		if !alone && !listed {
			continue
		}
		if !hexSum.MatchString(fields[0]) {
			return "", fmt.Errorf("%.80q is not a sha256", fields[0])
		}
		if sum != "" && sum != fields[0] {
			return "", fmt.Errorf("two different sums of %s", file)
		}
		sum = fields[0]
	}
	if sum == "" {
		return "", fmt.Errorf("no sha256 of %s", file)
	}
	return sum, nil
}

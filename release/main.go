// Command release builds the archives of a release of slipway, their SBOMs and
// checksums.txt. The same source code and version of Go give the same files. Run it
// with make release, which also builds the network probe.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

func main() {
	version := flag.String("version", "", "version of the release, such as v0.1.0")
	out := flag.String("out", "dist", "directory for the archives, which is replaced")
	jobs := flag.Int("jobs", 2, "number of binaries to build at the same time")
	only := flag.String("targets", "", "systems and architectures to build for, separated by commas, such as linux/amd64 (default all)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *version, *out, *only, *jobs); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// A releaser builds one release.
type releaser struct {
	root     string // the directory of go.mod
	version  string
	modified time.Time // of all files, the time of the commit
	targets  []target
	jobs     int
	report   func(format string, values ...any)
}

func run(ctx context.Context, version, out, only string, jobs int) error {
	if err := checkVersionName(version); err != nil {
		return err
	}
	selected, err := selectTargets(only)
	if err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	start := time.Now()
	r := releaser{root: root, version: version, targets: selected, jobs: jobs, report: func(format string, values ...any) {
		fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, values...))
	}}
	if r.modified, err = commitTime(ctx, root, os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		return err
	}
	if err := checkCheckout(ctx, root); err != nil {
		return err
	}
	return r.release(ctx, out)
}

// checkVersionName refuses versions that Go and semantic versioning do not know, since
// users compare them.
func checkVersionName(version string) error {
	if !semver.IsValid(version) || semver.Canonical(version) != version {
		return fmt.Errorf("%q is not a version; set VERSION to one like v0.1.0 or v0.1.0-rc.1", version)
	}
	return nil
}

// commitTime is the time of the last commit, or that of SOURCE_DATE_EPOCH:
// https://reproducible-builds.org/specs/source-date-epoch
func commitTime(ctx context.Context, root, epoch string) (time.Time, error) {
	if epoch == "" {
		out, err := git(ctx, root, "log", "-1", "--format=%ct")
		if err != nil {
			return time.Time{}, fmt.Errorf("%w; outside of a checkout, set SOURCE_DATE_EPOCH to the time of the release", err)
		}
		epoch = out
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("the time of the release %q is not in seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// checkCheckout refuses to release what is not committed. Without a checkout, there is
// nothing to compare with.
func checkCheckout(ctx context.Context, root string) error {
	if _, err := os.Stat(filepath.Join(root, ".git")); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	changes, err := git(ctx, root, "status", "--porcelain")
	if err != nil {
		return err
	}
	if changes != "" {
		return fmt.Errorf("these files are not committed, so nobody could build the same release:\n%s", changes)
	}
	return nil
}

func git(ctx context.Context, root string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", arguments...)
	command.Dir = root
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(arguments, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

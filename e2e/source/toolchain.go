package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// toolchain identifies the tools that affect binaries.
type toolchain struct {
	// golang is the version of Go, such as go1.26.8.
	golang string
	// c has the versions of the C compiler, the C library and libseccomp, which runc needs.
	c string
	// debian is the release of the packages in images, such as "debian 12".
	debian string
	arch   string
	// compiler is the C compiler.
	compiler string
	// apt has the packages of the architecture if this computer has another one.
	apt foreignApt
}

// tool is a program with its Debian package.
type tool struct{ name, pkg string }

func tools() []tool {
	return []tool{
		{"gcc", "gcc"},
		{"pkg-config", "pkg-config"},
		{"apt-get", "apt"},
		{"dpkg-deb", "dpkg"},
	}
}

// MissingError reports missing Debian packages.
type MissingError struct{ Packages []string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("missing packages: run \"apt-get install %s\", or use -install as root",
		strings.Join(e.Packages, " "))
}

// detectTools returns the toolchain. The error is a *MissingError if packages are missing.
func detectTools(ctx context.Context) (toolchain, error) {
	missing := &MissingError{}
	for _, t := range tools() {
		if _, err := exec.LookPath(t.name); err != nil {
			missing.Packages = append(missing.Packages, t.pkg)
		}
	}
	if len(missing.Packages) > 0 {
		return toolchain{}, missing
	}
	seccomp, err := output(ctx, "pkg-config", "--modversion", "libseccomp")
	if err != nil {
		missing.Packages = append(missing.Packages, "libseccomp-dev")
		return toolchain{}, missing
	}
	gcc, err := output(ctx, "gcc", "-dumpfullversion")
	if err != nil {
		return toolchain{}, err
	}
	libc, err := output(ctx, "getconf", "GNU_LIBC_VERSION")
	if err != nil {
		return toolchain{}, err
	}
	golang, err := output(ctx, "go", "env", "GOVERSION")
	if err != nil {
		return toolchain{}, err
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return toolchain{}, fmt.Errorf("distribution: %w", err)
	}
	return toolchain{
		golang: golang,
		c:      "gcc " + gcc + ", " + libc + ", libseccomp " + seccomp,
		debian: osRelease(string(release)),
		arch:   runtime.GOARCH, compiler: "gcc",
	}, nil
}

// osRelease returns the ID and VERSION_ID of an os-release file.
func osRelease(text string) string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = strings.Trim(value, `"`)
	}
	return strings.TrimSpace(values["ID"] + " " + values["VERSION_ID"])
}

// installTools detects the tools, and installs missing ones if install is set.
func installTools(ctx context.Context, install bool, say func(string, ...any)) (toolchain, error) {
	// Two rounds, because pkg-config must be installed to detect libseccomp.
	for range 2 {
		tc, err := detectTools(ctx)
		var missing *MissingError
		if !errors.As(err, &missing) || !install {
			return tc, err
		}
		if err := installPackages(ctx, missing.Packages, say); err != nil {
			return toolchain{}, err
		}
	}
	return detectTools(ctx)
}

func installPackages(ctx context.Context, packages []string, say func(string, ...any)) error {
	say("installing %s", strings.Join(packages, " "))
	if _, err := output(ctx, "apt-get", "update"); err != nil {
		return err
	}
	_, err := output(ctx, "apt-get", append([]string{"install", "--yes", "--no-install-recommends"}, packages...)...)
	return err
}

// output runs a program and returns its trimmed output. The error has the end of stderr.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, tail(stderr.String(), 20))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// tail returns the last lines of a program's output.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// A build is the binary of a target.
type build struct {
	target target
	file   string
	info   *debug.BuildInfo // of the binary
	probes []*debug.BuildInfo
}

// buildAll builds the binaries below dir, jobs at a time, and reports
// each one. It fails if a binary contains a module that is not among the modules.
func (r releaser) buildAll(ctx context.Context, dir string, modules []module) ([]build, error) {
	probes, err := r.probes()
	if err != nil {
		return nil, err
	}
	builds := make([]build, len(r.targets))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.jobs)
	for i, t := range r.targets {
		group.Go(func() error {
			start := time.Now()
			r.report("building %s", t)
			file := filepath.Join(dir, t.os+"_"+t.arch, t.binary())
			info, err := r.build(ctx, t, file)
			if err != nil {
				return err
			}
			builds[i] = build{target: t, file: file, info: info, probes: probes}
			for _, program := range append(probes, info) {
				if err := allListed(program, modules); err != nil {
					return fmt.Errorf("the binary for %s: %w", t, err)
				}
			}
			r.report("built %s in %.0f s", t, time.Since(start).Seconds())
			return nil
		})
	}
	return builds, group.Wait()
}

// build builds the binary of a target, and reads its build information. The flags are
// those of make build, so that both share the build cache. The state of the checkout
// is not recorded: it would make the binary depend on more than the source code.
func (r releaser) build(ctx context.Context, t target, file string) (*debug.BuildInfo, error) {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X slipway.io/slipway/cmd.version="+r.version, "-o", file, "./cmd/slipway")
	command.Dir, command.Env = r.root, append(t.env(), "GOGC=400")
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build for %s: %w\n%s", t, err, bytes.TrimSpace(out))
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the build information of %s: %w", file, err)
	}
	for key, want := range map[string]string{"GOOS": t.os, "GOARCH": t.arch, "CGO_ENABLED": "0"} {
		if got := setting(info, key); got != want {
			return nil, fmt.Errorf("%s is built with %s=%s instead of %s", file, key, got, want)
		}
	}
	return info, nil
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// allListed fails if a program contains a module, or a version of it, whose license is
// not among those of the modules.
func allListed(info *debug.BuildInfo, modules []module) error {
	for _, dependency := range info.Deps {
		if !slices.ContainsFunc(modules, func(m module) bool {
			return m.path == dependency.Path && m.version == dependency.Version
		}) {
			return fmt.Errorf("%s %s is not in %s; run make licenses", dependency.Path, dependency.Version, thirdPartyFile)
		}
	}
	return nil
}

// probes reads the build information of the network probes that all binaries embed.
func (r releaser) probes() ([]*debug.BuildInfo, error) {
	var probes []*debug.BuildInfo
	for _, arch := range []string{"amd64", "arm64"} {
		file := filepath.Join(r.root, "provision", "probe", "netprobe", "embedded", "probe-linux-"+arch+".gz")
		info, err := readProbe(file)
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w; run make probe", err)
		}
		if err != nil {
			return nil, fmt.Errorf("read the build information of %s: %w", file, err)
		}
		probes = append(probes, info)
	}
	return probes, nil
}

func readProbe(file string) (*debug.BuildInfo, error) {
	packed, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		return nil, err
	}
	return buildinfo.Read(bytes.NewReader(content))
}

// completions are the scripts that the binary of this computer prints, by the name of
// their file in an archive.
func (r releaser) completions(ctx context.Context, binary string) (map[string][]byte, error) {
	scripts := map[string][]byte{}
	for shell, name := range map[string]string{
		"bash": "slipway.bash", "zsh": "_slipway", "fish": "slipway.fish", "powershell": "slipway.ps1",
	} {
		out, err := exec.CommandContext(ctx, binary, "completion", shell).Output()
		if err != nil {
			return nil, fmt.Errorf("print the completion script for %s: %w", shell, err)
		}
		scripts["completions/"+name] = out
	}
	return scripts, nil
}

// checkVersion runs the binary of this computer.
func (r releaser) checkVersion(ctx context.Context, binary string) error {
	out, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return fmt.Errorf("run %s version: %w", binary, err)
	}
	if !strings.HasPrefix(string(out), "slipway "+r.version+" ") {
		return fmt.Errorf("%s version prints %q, not the version %s", binary, out, r.version)
	}
	r.report("this computer runs the binary for %s: %s", localhost, bytes.TrimSpace(out))
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// triplet is what Debian calls an architecture in the names of compilers and directories.
func triplet(arch string) string {
	if arch == "arm64" {
		return "aarch64-linux-gnu"
	}
	return "x86_64-linux-gnu"
}

// crossTools are the programs of a build for another architecture. The C library is a recommended package of the
// compiler only.
func crossTools(arch string) []tool {
	compiler := triplet(arch) + "-gcc"
	libc := "libc6-dev-" + arch + "-cross"
	return []tool{
		{compiler, "gcc-" + strings.ReplaceAll(triplet(arch), "_", "-")},
		{"/usr/" + triplet(arch) + "/lib/libc.a", libc},
		{"pkg-config", "pkg-config"},
		{"apt-get", "apt"},
		{"dpkg-deb", "dpkg"},
	}
}

// foreignApt is a state of apt of its own, in dir, for packages of another architecture: this computer does not get
// the architecture. It has the keys and the Debian mirrors of this computer.
type foreignApt struct{ arch, dir string }

// options of apt-get and apt-cache.
func (f foreignApt) options() []string {
	var all []string
	for _, o := range []string{
		"APT::Architecture=" + f.arch, "Dir::State=" + f.dir, "Dir::State::status=/dev/null", "Dir::Cache=" + f.dir + "/cache",
		"Dir::Etc::sourcelist=" + f.dir + "/sources.list", "Dir::Etc::sourceparts=/dev/null",
		"APT::Sandbox::User=root", // apt's own user may not read the directory
	} {
		all = append(all, "-o", o)
	}
	return all
}

// update downloads the lists of packages.
func (f foreignApt) update(ctx context.Context) error {
	for _, dir := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(f.dir, dir), 0o755); err != nil {
			return err
		}
	}
	text, err := output(ctx, "apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
	if err != nil {
		return err
	}
	sources := debianSources(text)
	if sources == "" {
		return errors.New("apt has no sources of Debian: run \"apt-get update\" first")
	}
	if err := os.WriteFile(filepath.Join(f.dir, "sources.list"), []byte(sources), 0o644); err != nil {
		return err
	}
	_, err = output(ctx, "apt-get", append([]string{"update", "--quiet"}, f.options()...)...)
	return err
}

// debianSources makes a sources.list from lines of "apt-get indextargets": origin, URL, suite and component.
func debianSources(text string) string {
	var sources strings.Builder
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 4 && fields[0] == "Debian" && fields[3] == "main" && !strings.Contains(sources.String(), fields[1]+" "+fields[2]+" ") {
			fmt.Fprintf(&sources, "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", fields[1], fields[2])
		}
	}
	return sources.String()
}

// unpack downloads packages, without their dependencies, and unpacks them into a directory.
func (f foreignApt) unpack(ctx context.Context, into string, packages ...string) error {
	tmp, err := os.MkdirTemp("", "slipway-cross-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, "apt-get", append(append([]string{"download", "--quiet", "--quiet"}, f.options()...), packages...)...)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get download: %w: %s", err, tail(string(out), 20))
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range debs {
		if _, err := output(ctx, "dpkg-deb", "-x", deb, into); err != nil {
			return err
		}
	}
	return nil
}

// crossToolchain returns the toolchain for another architecture. libseccomp, which runc needs, is unpacked in the cache,
// and the environment of the compilers names it. The error is a *MissingError if packages are missing.
func crossToolchain(ctx context.Context, native toolchain, arch, cache string) (toolchain, error) {
	missing := &MissingError{}
	for _, t := range crossTools(arch) {
		if _, err := exec.LookPath(t.name); err != nil && !isReadable(t.name) {
			missing.Packages = append(missing.Packages, t.pkg)
		}
	}
	if len(missing.Packages) > 0 {
		return toolchain{}, missing
	}
	tc := native
	tc.arch, tc.compiler, tc.apt = arch, triplet(arch)+"-gcc", foreignApt{arch, filepath.Join(cache, "apt-"+arch)}
	if err := tc.apt.update(ctx); err != nil {
		return toolchain{}, err
	}
	sysroot := filepath.Join(cache, "sysroot-"+arch)
	if err := errors.Join(os.RemoveAll(sysroot), os.MkdirAll(sysroot, 0o755)); err != nil {
		return toolchain{}, err
	}
	if err := tc.apt.unpack(ctx, sysroot, "libseccomp-dev"); err != nil {
		return toolchain{}, err
	}
	for name, value := range map[string]string{
		"CC":                             tc.compiler,
		"PKG_CONFIG_LIBDIR":              filepath.Join(sysroot, "usr/lib", triplet(arch), "pkgconfig"),
		"PKG_CONFIG_SYSROOT_DIR":         sysroot,
		"PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1", // its headers are in usr/include of the sysroot
		"PKG_CONFIG_ALLOW_SYSTEM_LIBS":   "1",
		"PKG_CONFIG_PATH":                "",
	} {
		if err := os.Setenv(name, value); err != nil {
			return toolchain{}, err
		}
	}
	seccomp, err := output(ctx, "pkg-config", "--modversion", "libseccomp")
	if err != nil {
		return toolchain{}, err
	}
	gcc, err := output(ctx, tc.compiler, "-dumpfullversion")
	if err != nil {
		return toolchain{}, err
	}
	tc.c = tc.compiler + " " + gcc + ", libseccomp " + seccomp
	return tc, nil
}

func isReadable(path string) bool {
	_, err := os.Stat(path)
	return filepath.IsAbs(path) && err == nil
}

// toolsFor detects the tools of an architecture, and installs missing ones if install is set.
func toolsFor(ctx context.Context, o options, say func(string, ...any)) (toolchain, error) {
	native, err := installTools(ctx, o.install, say)
	if err != nil || o.arch == runtime.GOARCH {
		return native, err
	}
	tc, err := crossToolchain(ctx, native, o.arch, o.cache)
	var missing *MissingError
	if !errors.As(err, &missing) || !o.install {
		return tc, err
	}
	if err := installPackages(ctx, missing.Packages, say); err != nil {
		return toolchain{}, err
	}
	return crossToolchain(ctx, native, o.arch, o.cache)
}

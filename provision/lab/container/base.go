package container

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"slipway.io/slipway/provision/lab"
	"slipway.io/slipway/provision/localhost"
	templates "slipway.io/slipway/templates/lab"
)

// basePackages are the packages of a minimal server, in addition to debootstrap's
// minbase: an init, a login, and the tools that kubelet, kube-proxy and CNI plugins
// call.
func basePackages() []string {
	return []string{
		"ca-certificates", "conntrack", "curl", "dbus", "e2fsprogs", "ethtool", "iproute2", "iptables", "iputils-ping",
		"kmod", "less", "mount", "nftables", "openssh-server", "procps", "socat", "sudo", "systemd", "systemd-sysv",
		"tzdata", "util-linux",
	}
}

// base describes the tree of which all machines are copies.
type base struct {
	Suite, Arch, Mirror string
	Packages            []string
}

// key changes with everything in the tree, but not with new versions of packages.
func (b base) key(tree fs.FS, setup []byte) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q\n%q\n", b.Suite, b.Arch, b.Mirror, slices.Sorted(slices.Values(b.Packages)), setup)
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, path)
		fmt.Fprintf(sum, "%q %q\n", path, content)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil))[:16], err
}

// base describes the base tree of new machines.
func (c Containers) base(ctx context.Context) (base, error) {
	b := base{Suite: c.suite(), Mirror: c.Mirror, Packages: basePackages()}
	arch, err := localhost.Run(ctx, "dpkg", "--print-architecture")
	if err != nil {
		return base{}, err
	}
	b.Arch = strings.TrimSpace(string(arch))
	if b.Mirror == "" {
		b.Mirror, err = aptMirror(ctx, b.Suite)
	}
	return b, err
}

// baseIfNeeded returns the path of the base tree if a machine is missing.
func (c Containers) baseIfNeeded(ctx context.Context, s *session) (string, error) {
	for _, m := range s.state.Machines {
		if s.stateOf(m) == lab.Missing {
			b, err := c.base(ctx)
			if err != nil {
				return "", err
			}
			return s.ensureBase(ctx, b)
		}
	}
	return "", nil
}

// ensureBase returns the path of the base tree, and builds it unless it is cached.
func (s *session) ensureBase(ctx context.Context, b base) (string, error) {
	key, err := b.key(templates.Tree(), templates.Setup())
	if err != nil {
		return "", err
	}
	dir := filepath.Join(s.bases, key)
	err = s.ensureCached(ctx, dir, "build the base tree", func(temp string) error { return s.buildBase(ctx, b, temp) })
	return filepath.Join(dir, "tree"), err
}

// buildBase builds the tree in a temporary directory.
func (s *session) buildBase(ctx context.Context, b base, temp string) error {
	tree := filepath.Join(temp, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(temp, "build.log"))
	if err != nil {
		return err
	}
	defer log.Close()

	s.Logf("", "builds the base tree of all machines: %s from %s (takes some minutes, once)", b.Suite, b.Mirror)
	debootstrap := localhost.Command{
		Argv: []string{
			"debootstrap", "--variant=minbase", "--arch=" + b.Arch,
			"--include=" + strings.Join(b.Packages, ","), b.Suite, tree, b.Mirror,
		},
		Env: aptProxy(ctx), Output: log,
	}
	if _, err := debootstrap.Run(ctx); err != nil {
		return fmt.Errorf("%w (see %s)", err, log.Name())
	}
	if err := copyFiles(tree, templates.Tree()); err != nil {
		return err
	}
	setup := localhost.Command{Argv: []string{"chroot", tree, "/bin/sh", "-s"}, Stdin: bytes.NewReader(templates.Setup()), Output: log}
	if _, err := setup.Run(ctx); err != nil {
		return fmt.Errorf("run setup.sh: %w (see %s)", err, log.Name())
	}
	// A copy of the tree must not copy a mounted file system of localhost.
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	if left := below(mounts, temp); len(left) > 0 {
		return fmt.Errorf("still mounted: %s", strings.Join(left, ", "))
	}
	return nil
}

// copyFiles copies files into a tree, without following a symbolic link out of it.
func copyFiles(tree string, files fs.FS) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return root.MkdirAll(path, 0o755)
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if filepath.Ext(path) == ".sh" {
			mode = 0o755
		}
		return replaceFile(root, path, content, mode)
	})
}

// replaceFile writes a file in place of another one or of a symbolic link.
func replaceFile(root *os.Root, path string, content []byte, mode fs.FileMode) error {
	if err := root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := root.WriteFile(path, content, mode); err != nil {
		return err
	}
	return root.Chmod(path, mode) // independent of the umask
}

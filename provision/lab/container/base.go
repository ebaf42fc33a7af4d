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

// baseIfNeeded returns the path of the base tree if a machine is missing.
func (s *session) baseIfNeeded(ctx context.Context, suite, mirror string) (string, error) {
	for _, m := range s.state.Machines {
		if s.stateOf(m) == lab.Missing {
			return s.ensureBase(ctx, suite, mirror)
		}
	}
	return "", nil
}

// ensureBase returns the path of the base tree, and builds it unless it is cached.
func (s *session) ensureBase(ctx context.Context, suite, mirror string) (string, error) {
	b := base{Suite: suite, Mirror: mirror, Packages: basePackages()}
	arch, err := localhost.Run(ctx, "dpkg", "--print-architecture")
	if err != nil {
		return "", err
	}
	b.Arch = strings.TrimSpace(string(arch))
	if b.Mirror == "" {
		if b.Mirror, err = aptMirror(ctx, suite); err != nil {
			return "", err
		}
	}
	key, err := b.key(templates.Tree(), templates.Setup())
	if err != nil {
		return "", err
	}
	dir := filepath.Join(s.bases, key)
	if complete(dir, key) {
		return filepath.Join(dir, "tree"), nil
	}
	lock, err := s.lockShared(ctx, dir+".lock", "another lab to build the base tree")
	if err != nil {
		return "", err
	}
	defer lock.Release()
	if complete(dir, key) {
		return filepath.Join(dir, "tree"), nil
	}
	if err := s.buildBase(ctx, b, dir, key); err != nil {
		return "", err
	}
	return filepath.Join(dir, "tree"), nil
}

// complete reports whether the build of the base tree reached its last step.
func complete(dir, key string) bool {
	marker, err := os.ReadFile(filepath.Join(dir, "complete"))
	return err == nil && strings.TrimSpace(string(marker)) == key
}

// buildBase builds the tree in a temporary directory and renames that when complete.
func (s *session) buildBase(ctx context.Context, b base, dir, key string) error {
	temp, err := newTempDir(dir)
	if err != nil {
		return err
	}
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
	if err := localhost.WriteFile(filepath.Join(temp, "complete"), []byte(key+"\n"), 0o644); err != nil {
		return err
	}
	// An incomplete tree is no base.
	if err := removeTree(dir); err != nil {
		return err
	}
	return os.Rename(temp, dir)
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

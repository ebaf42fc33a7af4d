package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// debianPackages are what kube-proxy and flanneld call, and a shell for debugging.
func debianPackages() []string {
	return []string{"iptables", "nftables", "conntrack", "ipset", "iproute2", "kmod", "busybox-static"}
}

// debianOnlyForInstalling are dependencies of the packages' installation, not of their programs.
func debianOnlyForInstalling() []string { return []string{"debconf", "gcc-12-base", "gcc-14-base"} }

// isUnneeded matches files that an image does not use.
var isUnneeded = regexp.MustCompile(`^usr/share/(doc|man|info|locale|lintian|bug|bash-completion|doc-base)/|` +
	`^usr/lib/[^/]+/(gconv|tc)/|^usr/share/tabset/|^var/|^etc/(init\.d|logrotate\.d|default)/`).MatchString

// mergedUsr are the directories that Debian replaced by links into /usr.
func mergedUsr() []string { return []string{"bin", "sbin", "lib", "lib64"} }

// downloadDebs downloads the packages and all that they depend on into dir.
func downloadDebs(ctx context.Context, apt foreignApt, dir string, packages []string) error {
	// With an empty status file, apt also lists packages that localhost has already.
	empty := []string{"-o", "Dir::State::status=/dev/null"}
	if apt.arch != "" {
		empty = apt.options()
	}
	args := append([]string{"install", "--print-uris", "--yes", "--quiet", "--quiet", "--no-install-recommends"}, empty...)
	text, err := output(ctx, "apt-get", append(args, packages...)...)
	if err != nil {
		return fmt.Errorf("%w: run \"apt-get update\" first", err)
	}
	wanted := []string{"download", "--quiet", "--quiet"}
	for _, name := range parseURIs(text) {
		if bare, _, _ := strings.Cut(name, "="); !slices.Contains(debianOnlyForInstalling(), bare) {
			wanted = append(wanted, name)
		}
	}
	cmd := exec.CommandContext(ctx, "apt-get", append(wanted, empty...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get download: %w: %s", err, tail(string(out), 20))
	}
	return nil
}

// parseURIs reads what "apt-get --print-uris" says: a line is 'URI' file size sum, and a file is
// name_version_arch.deb with the colon of the version escaped. It returns name=version.
func parseURIs(text string) []string {
	var packages []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "'") {
			continue
		}
		parts := strings.Split(strings.TrimSuffix(fields[1], ".deb"), "_")
		if len(parts) == 3 {
			packages = append(packages, parts[0]+"="+strings.ReplaceAll(parts[1], "%3a", ":"))
		}
	}
	return packages
}

// unpackDebs puts the files of all packages in dir into one tree.
func unpackDebs(ctx context.Context, dir string) (tree, error) {
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, err
	}
	if len(debs) == 0 {
		return nil, errors.New("apt-get downloaded no packages")
	}
	t := tree{}
	for _, name := range mergedUsr() {
		t.add(name, entry{link: "usr/" + name})
		t.add("usr/"+name, entry{dir: true, mode: 0o755})
	}
	for _, deb := range debs {
		if err := unpackDeb(ctx, deb, t); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(deb), err)
		}
	}
	return t, nil
}

func unpackDeb(ctx context.Context, deb string, t tree) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := readDeb(out, t)
	// dpkg-deb must not wait for a reader that gave up.
	_, drainErr := io.Copy(io.Discard, out)
	return errors.Join(readErr, drainErr, cmd.Wait())
}

// readDeb adds the files of a package, read as a tar archive, to the tree.
func readDeb(r io.Reader, t tree) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := inUsr(path.Clean(h.Name))
		if name == "." || isUnneeded(name+"/") || isUnneeded(name) {
			continue
		}
		e := entry{mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid}
		switch h.Typeflag {
		case tar.TypeDir:
			e.dir = true
		case tar.TypeSymlink:
			e.link = h.Linkname
		case tar.TypeLink:
			e = t[inUsr(path.Clean(h.Linkname))]
		case tar.TypeReg:
			if e.body, err = io.ReadAll(tr); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s: unsupported file type %c", name, h.Typeflag)
		}
		t.add(name, e)
	}
}

// inUsr is where a path is after Debian's directories were merged into /usr.
func inUsr(name string) string {
	first, _, _ := strings.Cut(name, "/")
	if slices.Contains(mergedUsr(), first) {
		return "usr/" + name
	}
	return name
}

// linkCommands adds the links of Debian's update-alternatives, and a link for each command of busybox that no package
// has. iptables is the variant for nf_tables, as in Debian and in the released images: kube-proxy, flanneld and the hosts
// must use the same variant, because each one ignores the rules of the other.
func linkCommands(t tree, busybox []string) {
	for _, name := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			t.add("usr/sbin/"+name+suffix, entry{link: name + "-nft" + suffix})
		}
	}
	for _, name := range busybox {
		_, bin := t["usr/bin/"+name]
		_, sbin := t["usr/sbin/"+name]
		if !bin && !sbin {
			t.add("usr/bin/"+name, entry{link: "busybox"})
		}
	}
}

// busyboxCommands lists the commands of the tree's busybox. One for another architecture does not run here, and has the
// same commands as this computer's.
func (b *builder) busyboxCommands(ctx context.Context, t tree, dir string) ([]string, error) {
	if b.tc.apt.arch != "" {
		native, err := os.MkdirTemp(dir, "native-")
		if err != nil {
			return nil, err
		}
		if err := downloadDebs(ctx, foreignApt{}, native, []string{"busybox-static"}); err != nil {
			return nil, err
		}
		if t, err = unpackDebs(ctx, native); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(dir, "busybox")
	if err := os.WriteFile(file, t["usr/bin/busybox"].body, 0o755); err != nil {
		return nil, err
	}
	text, err := output(ctx, file, "--list")
	return strings.Fields(text), err
}

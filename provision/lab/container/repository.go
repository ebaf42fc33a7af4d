package container

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"slipway.io/slipway/provision/localhost"
)

// Machines have no route to a package mirror. The control planes of a highly available
// lab install their load balancer with apt, so the lab serves a repository of its own:
// the packages below and their dependencies.

// repositoryPackages are the packages of the load balancer keepalived.
func repositoryPackages() []string { return []string{"haproxy", "keepalived"} }

// ensureRepository downloads the packages of a highly available lab unless they are
// cached, and serves them.
func (c Containers) ensureRepository(ctx context.Context, s *session) error {
	if !s.state.Endpoint.IsValid() {
		return nil
	}
	if r := s.state.Repository; r == nil || !complete(r.Dir, filepath.Base(r.Dir)) {
		if err := c.fillRepository(ctx, s); err != nil {
			return fmt.Errorf("package repository: %w", err)
		}
	}
	if err := s.serveRepository(ctx, c.Program); err != nil {
		return fmt.Errorf("package server: %w", err)
	}
	return nil
}

// fillRepository downloads the packages, unless another lab did, and records them.
func (c Containers) fillRepository(ctx context.Context, s *session) error {
	b, err := c.base(ctx)
	if err != nil {
		return err
	}
	tree, err := s.ensureBase(ctx, b)
	if err != nil {
		return err
	}
	status, err := os.ReadFile(filepath.Join(tree, "var/lib/dpkg/status"))
	if err != nil {
		return err
	}
	// What is missing depends on what the machines have.
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q\n%s", b.Suite, b.Arch, b.Mirror, repositoryPackages(), status)
	dir := filepath.Join(s.repositories, b.Suite+"-"+hex.EncodeToString(sum.Sum(nil))[:16])
	err = s.ensureCached(ctx, dir, "download packages", func(temp string) error {
		s.Logf("", "downloads %s and their dependencies from %s (once)", strings.Join(repositoryPackages(), ", "), b.Mirror)
		return downloadPackages(ctx, b, tree, status, temp)
	})
	if err != nil {
		return err
	}
	if err := s.stopRepository(ctx); err != nil { // it serves another directory
		return err
	}
	return s.record(func() {
		if s.state.Repository == nil {
			s.state.Repository = &repository{}
		}
		s.state.Repository.Dir = dir
	})
}

// downloadPackages downloads the packages and those of their dependencies that a tree
// lacks to a directory, and writes the index. apt works on a state of its own: it
// changes neither localhost nor the tree.
func downloadPackages(ctx context.Context, b base, tree string, status []byte, dir string) error {
	apt, pool := filepath.Join(dir, "apt"), filepath.Join(dir, "pool")
	for _, d := range []string{"etc", "state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(apt, d), 0o755); err != nil {
			return err
		}
	}
	// Every Debian tree has the keys of its archive.
	source := fmt.Sprintf("deb [arch=%s signed-by=%s] %s %s main\n", b.Arch,
		filepath.Join(tree, "usr/share/keyrings/debian-archive-keyring.gpg"), b.Mirror, b.Suite)
	if err := os.WriteFile(filepath.Join(apt, "etc/sources.list"), []byte(source), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(apt, "status"), status, 0o644); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "build.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	download := append([]string{"install", "--download-only", "--yes", "--no-install-recommends"}, repositoryPackages()...)
	for _, args := range [][]string{{"update"}, download} {
		argv := append([]string{
			"apt-get", "--option=Dir::Etc=" + apt + "/etc", "--option=Dir::State=" + apt + "/state",
			"--option=Dir::State::status=" + apt + "/status", "--option=Dir::Cache=" + apt + "/cache",
			// The directory may be readable for root only, and localhost may prefer another release.
			"--option=APT::Sandbox::User=root", "--option=APT::Default-Release=",
		}, args...)
		if _, err := (localhost.Command{Argv: argv, Output: log}).Run(ctx); err != nil {
			return fmt.Errorf("%w (see %s)", err, log.Name())
		}
	}
	if err := os.Mkdir(pool, 0o755); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(apt, "cache/archives/*.deb"))
	if err != nil {
		return err
	}
	if err := indexPackages(ctx, files, pool); err != nil {
		return err
	}
	return os.RemoveAll(apt)
}

// indexPackages moves packages to a directory and writes the index that apt reads there.
func indexPackages(ctx context.Context, files []string, pool string) error {
	var index strings.Builder
	for _, file := range files {
		fields, err := localhost.Run(ctx, "dpkg-deb", "--field", file)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		entry, name := indexEntry(string(fields), content)
		index.WriteString(entry)
		if err := os.Rename(file, filepath.Join(pool, name)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(pool, "Packages"), []byte(index.String()), 0o644)
}

// indexEntry is the paragraph of a package in the index, from its control fields, and
// the name of its file: as in Debian's archive, without the epoch, whose colon would
// have to be escaped in URLs.
func indexEntry(fields string, content []byte) (entry, name string) {
	values := map[string]string{}
	for line := range strings.Lines(fields) {
		if key, value, found := strings.Cut(line, ":"); found && !strings.HasPrefix(line, " ") {
			values[key] = strings.TrimSpace(value)
		}
	}
	version := values["Version"]
	if _, after, found := strings.Cut(version, ":"); found {
		version = after
	}
	name = fmt.Sprintf("%s_%s_%s.deb", values["Package"], version, values["Architecture"])
	entry = fmt.Sprintf("%s\nFilename: ./%s\nSize: %d\nSHA256: %x\n\n", strings.TrimSpace(fields), name, len(content), sha256.Sum256(content))
	return entry, name
}

// aptSource is the sources.list of the machines. The index has no signature: it comes
// from localhost, where the packages were verified.
func (s *session) aptSource() string {
	return fmt.Sprintf("# The lab serves these packages; no other mirror can be reached.\ndeb [trusted=yes] http://%s ./\n", s.repositoryAddress())
}

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// release replaces the directory out by the files of the release.
func (r releaser) release(ctx context.Context, out string) error {
	common, modules, err := r.documents(ctx)
	if err != nil {
		return err
	}
	r.report("%s names the licenses of %d modules", thirdPartyFile, len(modules))
	scratch, err := os.MkdirTemp("", "slipway-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	builds, err := r.buildAll(ctx, scratch, modules)
	if err != nil {
		return err
	}
	local := slices.IndexFunc(builds, func(b build) bool { return b.target == localhost })
	if local < 0 {
		return fmt.Errorf("this computer (%s) runs none of the binaries, which print the completion scripts; use one of %v", localhost, r.targets)
	}
	if err := r.checkVersion(ctx, builds[local].file); err != nil {
		return err
	}
	completions, err := r.completions(ctx, builds[local].file)
	if err != nil {
		return err
	}
	for name, content := range completions {
		common = append(common, entry{name, 0o644, content})
	}
	files, err := r.pack(builds, common, modules)
	if err != nil {
		return err
	}
	files = append(files, entry{"checksums.txt", 0o644, checksums(files)})
	return r.write(out, files)
}

// documents reads the files that all archives contain. It fails if those about
// licenses do not describe what is linked.
func (r releaser) documents(ctx context.Context) ([]entry, []module, error) {
	all, err := linkedPackages(ctx, r.root)
	if err != nil {
		return nil, nil, err
	}
	licenses, err := thirdPartyLicenses(all.modules)
	if err != nil {
		return nil, nil, err
	}
	want := map[string]string{thirdPartyFile: licenses, noticeFileName: notice(all.modules)}
	var entries []entry
	for _, name := range []string{"LICENSE", "README.md", noticeFileName, thirdPartyFile} {
		content, err := os.ReadFile(filepath.Join(r.root, name))
		if err != nil {
			return nil, nil, err
		}
		if expected, found := want[name]; found && expected != string(content) {
			return nil, nil, fmt.Errorf("%s does not list what the programs contain; run make licenses, and commit the file", name)
		}
		entries = append(entries, entry{name, 0o644, content})
	}
	return entries, all.modules, nil
}

// pack creates the archive and the SBOM of each build, in memory.
func (r releaser) pack(builds []build, common []entry, modules []module) ([]entry, error) {
	files := make([]entry, 2*len(builds))
	var group errgroup.Group
	group.SetLimit(r.jobs)
	for i, b := range builds {
		group.Go(func() error {
			binary, err := os.ReadFile(b.file)
			if err != nil {
				return err
			}
			name := fmt.Sprintf("slipway_%s_%s_%s", r.version, b.target.os, b.target.arch)
			contents := append(slices.Clone(common), entry{b.target.binary(), 0o755, binary})
			archive, err := archiveOf(b.target, name, contents, r.modified)
			if err != nil {
				return err
			}
			sbom, err := r.sbom(b, sha256.Sum256(binary), modules)
			if err != nil {
				return err
			}
			files[2*i] = entry{name + b.target.extension(), 0o644, archive}
			files[2*i+1] = entry{name + ".cdx.json", 0o644, sbom}
			r.report("packed %-13s %3d MB, binary %3d MB", b.target, len(archive)>>20, len(binary)>>20)
			return nil
		})
	}
	return files, group.Wait()
}

// checksums lists the SHA-256 sums of files as sha256sum does.
func checksums(files []entry) []byte {
	var lines []string
	for _, file := range files {
		lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256(file.content), file.name))
	}
	// By name, which follows the sum.
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	return []byte(strings.Join(lines, ""))
}

// write replaces the directory out. It refuses to delete a directory with other files
// than those of a release.
func (r releaser) write(out string, files []entry) error {
	old, err := os.ReadDir(out)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, file := range old {
		if !strings.HasPrefix(file.Name(), "slipway_") && file.Name() != "checksums.txt" {
			return fmt.Errorf("%s contains %s, which is not a file of a release; delete it or choose another directory", out, file.Name())
		}
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(out, file.name), file.content, file.mode); err != nil {
			return err
		}
	}
	r.report("wrote %d files to %s", len(files), out)
	return nil
}

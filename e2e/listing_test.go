//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ignoredPaths are files that a running machine writes by itself.
// Mounts of the machine (/run, /tmp, /proc, …) are not in its tree.
var ignoredPaths = []struct{ path, why string }{
	{`/var/log(/.*)?`, "services log all the time; logs may stay after a reset"},
	{`/var/lib/systemd/random-seed`, "written at each shutdown"},
	{`/var/lib/systemd/timers(/.*)?`, "timestamps of timers"},
	{`/var/tmp(/systemd-private-.*)?`, "systemd creates and deletes the private directories of services at each boot"},
}

// journal matches the archived journal, which a reset keeps.
var journal = regexp.MustCompile(`^/var/lib/slipway(/.*)?$`)

// maxHashed is the size up to which content is compared. Larger files are compared
// by size and mtime.
const maxHashed = 1 << 20

// entry is what is compared of a file or directory.
type entry struct {
	mode     fs.FileMode
	uid, gid uint32
	// size is 0 for directories, whose size on ext4 depends on earlier content.
	size   int64
	mtime  time.Time
	sha256 string
	link   string
}

// listing is the files of all machines, by "machine:path".
type listing map[string]entry

// lister lists trees. It reads a file again only if its inode or ctime changed:
// only the kernel sets ctime.
type lister struct {
	ignored *regexp.Regexp
	sums    map[string]hashed
}

type hashed struct {
	inode uint64
	ctime syscall.Timespec
	sum   string
}

func newLister() *lister {
	var patterns []string
	for _, o := range ignoredPaths {
		patterns = append(patterns, o.path)
	}
	return &lister{ignored: regexp.MustCompile("^(" + strings.Join(patterns, "|") + ")$"), sums: map[string]hashed{}}
}

// list reads the trees of all machines.
func (l *lister) list(t *testing.T, lab lab) listing {
	t.Helper()
	all := listing{}
	for _, name := range lab.names() {
		tree := lab.tree(name)
		err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // deleted since its directory was read
			}
			if err != nil {
				return err
			}
			inside := strings.TrimPrefix(path, tree)
			if l.ignored.MatchString(inside) {
				return nil
			}
			e, err := l.entry(path, d)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			all[name+":"+inside] = e
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func (l *lister) entry(path string, d fs.DirEntry) (entry, error) {
	info, err := d.Info()
	if err != nil {
		return entry{}, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	e := entry{mode: info.Mode(), uid: stat.Uid, gid: stat.Gid, mtime: info.ModTime()}
	switch {
	case info.Mode().IsRegular():
		e.size = info.Size()
		if e.size < maxHashed {
			e.sha256, err = l.sum(path, stat)
		}
	case info.Mode()&fs.ModeSymlink != 0:
		e.link, err = os.Readlink(path)
	}
	return e, err
}

func (l *lister) sum(path string, stat *syscall.Stat_t) (string, error) {
	if known, ok := l.sums[path]; ok && known.inode == stat.Ino && known.ctime == stat.Ctim {
		return known.sum, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	l.sums[path] = hashed{inode: stat.Ino, ctime: stat.Ctim, sum: sum}
	return sum, nil
}

// differences lists the paths that differ between two listings.
func differences(before, after listing) []string {
	var all []string
	for _, path := range slices.Sorted(maps.Keys(before)) {
		old := before[path]
		e, found := after[path]
		switch {
		case !found:
			all = append(all, fmt.Sprintf("- %s (%s)", path, old))
		case !old.mtime.Equal(e.mtime) || old.withoutTime() != e.withoutTime():
			all = append(all, fmt.Sprintf("~ %s (%s → %s)", path, old, e))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if _, found := before[path]; !found {
			all = append(all, fmt.Sprintf("+ %s (%s)", path, after[path]))
		}
	}
	return all
}

func (e entry) withoutTime() entry {
	e.mtime = time.Time{}
	return e
}

func (e entry) String() string {
	text := fmt.Sprintf("%s %d:%d %d B %s", e.mode, e.uid, e.gid, e.size, e.mtime.Format("15:04:05.000"))
	if e.sha256 != "" {
		text += " " + e.sha256[:8]
	}
	return text + e.link
}

// afterReset returns the listing without what a reset may change: the archived
// journal, and the mtime of directories.
func (l listing) afterReset() listing {
	rest := listing{}
	for path, e := range l {
		_, inside, _ := strings.Cut(path, ":")
		if journal.MatchString(inside) {
			continue
		}
		if e.mode.IsDir() {
			e.mtime = time.Time{}
		}
		rest[path] = e
	}
	return rest
}

// unchanged fails the test if files of the machines changed.
func (s *scenario) unchanged(t *testing.T, before listing) {
	t.Helper()
	same(t, before, s.lister.list(t, s.lab))
}

func same(t *testing.T, before, after listing) {
	t.Helper()
	const shown = 60
	if diff := differences(before, after); len(diff) > 0 {
		more := max(0, len(diff)-shown)
		t.Errorf("%d paths differ on the machines:\n%s\n(and %d more)", len(diff), strings.Join(diff[:len(diff)-more], "\n"), more)
	}
}

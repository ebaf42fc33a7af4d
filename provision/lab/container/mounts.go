package container

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// mount is a line of /proc/self/mountinfo, proc_pid_mountinfo(5).
type mount struct {
	// Root is the directory inside the file system that is mounted at Point.
	Root, Point string
	// Type and Super are the type and the options of the file system.
	Type  string
	Super []string
}

func readMounts() ([]mount, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	return parseMounts(string(content)), nil
}

func parseMounts(mountinfo string) []mount {
	var mounts []mount
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		separator := slices.Index(fields, "-")
		if separator < 6 || len(fields) < separator+4 {
			continue
		}
		mounts = append(mounts, mount{
			Root:  unescape(fields[3]),
			Point: unescape(fields[4]),
			Type:  fields[separator+1],
			Super: strings.Split(fields[separator+3], ","),
		})
	}
	return mounts
}

// unescape decodes the kernel's octal escapes of blanks and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// below lists the mount points at or under dir, the last mounted first.
func below(mounts []mount, dir string) []string {
	var points []string
	for _, m := range mounts {
		if m.Point == dir || strings.HasPrefix(m.Point, dir+"/") {
			points = append(points, m.Point)
		}
	}
	slices.Reverse(points)
	return points
}

// removeTree unmounts all file systems under dir, and then deletes dir: a deletion
// must never reach another file system.
func removeTree(dir string) error {
	mounts, err := readMounts()
	if err != nil {
		return err
	}
	var errs []error
	for _, point := range below(mounts, dir) {
		if err := unmount(point); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if mounts, err = readMounts(); err != nil {
		return err
	}
	if left := below(mounts, dir); len(left) > 0 {
		return fmt.Errorf("delete %s: still mounted: %s", dir, strings.Join(left, ", "))
	}
	return os.RemoveAll(dir)
}

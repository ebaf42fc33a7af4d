package main

import (
	"archive/tar"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// entry is a file, a directory or a symbolic link in an image.
type entry struct {
	mode     int64
	uid, gid int
	// dir marks a directory; link is where a symbolic link leads.
	dir  bool
	link string
	// body is the content of a file, or source is the local file that has it.
	body   []byte
	source string
	// capability is the value of the extended attribute security.capability.
	capability []byte
}

// tree is the content of a layer, by path without a leading slash.
type tree map[string]entry

// add adds an entry to the tree, and the directories above it.
func (t tree) add(name string, e entry) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, there := t[dir]; !there {
			t[dir] = entry{dir: true, mode: 0o755}
		}
	}
	t[name] = e
}

// write writes the tree as a reproducible tar archive: sorted, without times and names of owners.
func (t tree) write(w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if err := t[name].write(tw, name); err != nil {
			return fmt.Errorf("layer: %s: %w", name, err)
		}
	}
	return tw.Close()
}

func (e entry) write(tw *tar.Writer, name string) error {
	h := &tar.Header{Name: name, Mode: e.mode, Uid: e.uid, Gid: e.gid, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if e.capability != nil {
		h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": string(e.capability)}
	}
	switch {
	case e.dir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
		return tw.WriteHeader(h)
	case e.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
		return tw.WriteHeader(h)
	case e.source != "":
		return e.writeSource(tw, h)
	}
	h.Typeflag, h.Size = tar.TypeReg, int64(len(e.body))
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := tw.Write(e.body)
	return err
}

func (e entry) writeSource(tw *tar.Writer, h *tar.Header) error {
	f, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(tw, f)
	return err
}

// bindLowPorts is the file capability cap_net_bind_service=ep, as setcap writes it: struct vfs_cap_data of revision 2
// (linux/capability.h) with the effective bit set and bit 10 permitted.
func bindLowPorts() []byte {
	return []byte{
		0x01, 0x00, 0x00, 0x02, // VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE
		0x00, 0x04, 0x00, 0x00, // permitted, low word
		0x00, 0x00, 0x00, 0x00, // inheritable, low word
		0x00, 0x00, 0x00, 0x00, // permitted, high word
		0x00, 0x00, 0x00, 0x00, // inheritable, high word
	}
}

package bundle

import (
	"io/fs"
	"syscall"
)

// stampOf is what the file system says of a file.
func stampOf(info fs.FileInfo) (stamp, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, false
	}
	return stamp{
		Size: st.Size, Device: st.Dev, Inode: st.Ino,
		Modified: st.Mtim.Nano(), Changed: st.Ctim.Nano(),
	}, true
}

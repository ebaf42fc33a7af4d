package bundle

import (
	"io/fs"
	"syscall"
)

// stateOf returns the state of a file.
func stateOf(info fs.FileInfo) (fileState, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileState{}, false
	}
	return fileState{
		Size: st.Size, Device: st.Dev, Inode: st.Ino,
		Modified: st.Mtim.Nano(), Changed: st.Ctim.Nano(),
	}, true
}

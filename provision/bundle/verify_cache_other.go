//go:build !linux

package bundle

import "io/fs"

// stateOf returns none: the meaning of a change time depends on the system.
func stateOf(fs.FileInfo) (fileState, bool) { return fileState{}, false }

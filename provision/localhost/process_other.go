//go:build !linux

package localhost

// CurrentProcess is unknown on this system.
func CurrentProcess() Process { return Process{} }

func ended(Process) bool { return false }

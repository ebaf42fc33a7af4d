package localhost

// Process identifies a process even after it has ended.
type Process struct {
	// Computer is a hash of what PID depends on: the computer, its boot and the PID
	// namespace. It is empty if that is unknown.
	Computer string `json:"computer,omitempty"`
	PID      int    `json:"pid,omitempty"`
	// Started tells processes apart that had the same PID one after another.
	Started string `json:"started,omitempty"`
}

// Ended reports whether the process is known to have ended. It is false for a
// process of another computer, of another container or of an earlier boot.
func (p Process) Ended() bool {
	return p.Computer != "" && p.Computer == CurrentProcess().Computer && p.PID > 0 && ended(p)
}
